"""The moves of samples: which texts are read, how many tokens they have, and that they are counted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.chains.segmentation.moves import MoveKind, segment
from o1lab.evaluate import sample_moves
from o1lab.evaluate.sample_moves import count_moves, moves_of_evaluation
from store import Store, evaluations, open_store
from store.evaluations import Evaluation, ItemRow, NewSample, Turn
from store.move_counts import UncountedSample

THOUGHT = "12 + 30 = 42.\n\nWait, is that right?\n\nLet me check: 42 - 30 = 12.\n\nTherefore the answer is 42."
ANSWER = "First I add 12 and 30.\n\n12 + 30 = 42."


def counted(turns: list[tuple[str, str]], output: int, thought: int | None) -> tuple[str, float | None]:
    found = count_moves(UncountedSample(1, tuple(Turn("?", *turn) for turn in turns), output, thought))
    return found.read, found.tokens


def test_a_thought_is_read_or_else_the_answer() -> None:
    kinds = [move.kind for move in segment(THOUGHT)]
    found = count_moves(UncountedSample(7, (Turn("?", THOUGHT, ANSWER),), 100, 80))
    assert (found.seq, found.read, found.tokens) == (7, "thought", 80)
    assert dict(zip(MoveKind, found.counts, strict=True)) == {kind: kinds.count(kind) for kind in MoveKind}
    assert MoveKind.REFLECT in kinds and MoveKind.VERIFY in kinds
    plain = count_moves(UncountedSample(8, (Turn("?", "", ANSWER),), 100, 0))
    assert (plain.read, plain.tokens, sum(plain.counts)) == ("answer", 100, len(segment(ANSWER)))


def test_the_tokens_are_those_of_what_was_read() -> None:
    # The second turn has no thought: its share of the 20 tokens after the thought is 30 of 40 characters.
    assert counted([("t" * 50, "a" * 10), ("", "b" * 30)], 100, 80) == ("both", 80 + 20 * 30 / 40)
    # A thought of unknown length, but in the text: its share of all characters.
    assert counted([("t" * 60, "a" * 40)], 100, None) == ("thought", 60)
    # A hidden thought of unknown length, and one of known length.
    assert counted([("", "a" * 40)], 100, None) == ("answer", None)
    assert counted([("", "a" * 40)], 100, 70) == ("answer", 30)
    assert counted([("", "")], 5, 0) == ("answer", 0)
    assert counted([], 0, 0) == ("answer", 0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "lab.db")
    one = Evaluation("e1", "evals/e1", "sums", 1, "h", "mathematics", "base", "base", "r", {}, {}, 5, 1, "math@1")
    evaluations.add(store.db, one, [ItemRow(f"i{at}", "?") for at in range(5)])
    turns = (Turn("?", THOUGHT, "42"),)
    samples = [NewSample(f"i{at}", 0, "complete", turns, f"k{at}", "", 5, 100, 80) for at in range(4)]
    with store.db.atomic():
        evaluations.add_samples(store.db, "e1", [*samples, NewSample("i4", 0, "failed", (), "k4")])
    return store


def test_moves_are_counted_once_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_moves, "_BATCH", 3)
    told: list[int] = []
    found = moves_of_evaluation(store.db, "e1", progress=told.append)
    assert (sorted(found), told) == ([(f"i{at}", 0) for at in range(4)], [3, 4])
    monkeypatch.setattr(sample_moves, "segment", None)
    assert moves_of_evaluation(store.db, "e1", progress=told.append) == found
    assert told == [3, 4]


def test_a_lab_that_cannot_be_written_has_the_same_moves(store: Store) -> None:
    store.close()
    readable = Store(store.path)
    readable.read_only = True  # as its permissions say; root may write any file
    found = moves_of_evaluation(readable.db, "e1")
    assert len(found) == 4 and found == moves_of_evaluation(readable.db, "e1")
    assert readable.db.execute("SELECT count(*) FROM sample_moves").fetchone()[0] == 0
