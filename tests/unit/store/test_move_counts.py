"""The numbers of moves that the store keeps: of samples by version of the segmenter, of the chains in datasets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from store import Store, annotations, datasets, evaluations, move_counts, open_store, problems, traces
from store.evaluations import Evaluation, ItemRow, NewSample, Turn
from store.filters import TraceQuery
from store.move_counts import SampleMoves
from store.records import Measured, NewProblem, NewTrace

ONE = (1, 0, 2, 0, 0, 1, 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "lab.db")


def evaluate(store: Store) -> list[int]:
    """Three samples; the last one failed."""
    one = Evaluation("e1", "evals/e1", "sums", 1, "h", "mathematics", "base", "base", "r", {}, {}, 3, 1, "math@1")
    evaluations.add(store.db, one, [ItemRow(name, "?") for name in "abc"])
    with store.db.atomic():
        return evaluations.add_samples(store.db, "e1", [sample("a"), sample("b"), sample("c", failed=True)])


def sample(item: str, *, failed: bool = False) -> NewSample:
    turns = () if failed else (Turn("?", "hm", "two"),)
    return NewSample(item, 0, "failed" if failed else "complete", turns, f"k{item}", "", 5, 10, 4)


def test_each_version_of_the_segmenter_counts_a_sample_once(store: Store) -> None:
    first, second, _ = evaluate(store)
    assert [one.seq for one in move_counts.uncounted(store.db, "e1", 1)] == [first, second]
    [waiting] = move_counts.uncounted(store.db, "e1", 1, after=first, limit=5)
    assert (waiting.turns, waiting.output_tokens, waiting.thought_tokens) == ((Turn("?", "hm", "two"),), 10, 4)
    counted = SampleMoves(first, "thought", 4.0, ONE)
    move_counts.add(store.db, 1, [counted])
    assert [one.seq for one in move_counts.uncounted(store.db, "e1", 1)] == [second]
    assert move_counts.of_evaluation(store.db, "e1", 1) == {("a", 0): counted}
    assert move_counts.of_evaluation(store.db, "e1", 2) == {}
    assert len(move_counts.uncounted(store.db, "e1", 2)) == 2
    move_counts.add(store.db, 2, [SampleMoves(first, "thought", None, ONE)])
    assert move_counts.of_evaluation(store.db, "e1", 1) == {}  # the newest version alone is kept
    assert move_counts.places(store.db, "e1")[second] == ("b", 0)


def test_moves_go_with_the_text_that_they_were_counted_in(store: Store) -> None:
    first, *_ = evaluate(store)
    move_counts.add(store.db, 1, [SampleMoves(first, "thought", 4.0, ONE)])
    with store.db.atomic():
        evaluations.add_samples(store.db, "e1", [sample("a")])
    assert move_counts.of_evaluation(store.db, "e1", 1) == {}
    move_counts.add(store.db, 1, [SampleMoves(first, "thought", 4.0, ONE)])
    evaluations.remove(store.db, "e1")
    assert store.db.execute("SELECT count(*) FROM sample_moves").fetchone()[0] == 0


def chain(store: Store, key: str, model: str, moves: str, *, thought: bool = True, tokens: int | None = 40) -> str:
    """A chain of 12 characters of thought, if any, and 6 of solution, with stored moves."""
    statement = f"What is {key}?"
    thinks = f"thinking {key} \n" if thought else ""
    raw = f"{thinks}答案是 {key}。"
    with store.db.atomic():
        (problem,) = problems.add(store.db, [NewProblem(statement, "book", key, "2")])
        new = NewTrace(problem, model, raw, (0, len(thinks)), (len(thinks), len(raw)), True, "plain", "book",
                       key=key, tokens=tokens)  # fmt: skip
        (identity,) = traces.add(store.db, [(new, statement)])
    letters = {"C": "compute", "R": "reflect"}
    counts = Counter(letters[one[0]] for one in moves.split()) if thought else {}
    traces.set_measures(
        store.db,
        [Measured(identity, False, counts, "2", "correct", "equal", "moves 1", segments=moves, segmenter=1)],
    )
    return identity


def test_chains_of_a_teacher_have_their_moves_with_corrections(store: Store) -> None:
    thinks = chain(store, "a", "o1", "C4 R9 C12")
    chain(store, "b", "o1", "C4 R6", thought=False, tokens=None)
    chain(store, "c", "human", "C12")
    datasets.create(store.db, "some", TraceQuery.parse("key:a"), phase=1)
    assert move_counts.teachers(store.db) == {"o1": 1}
    assert len([*move_counts.of_teacher(store.db, "o1", 1)]) == 1
    assert len([*move_counts.of_teacher(store.db, "o1", 1, everything=True)]) == 2
    assert move_counts.teachers(store.db, ["human"]) == {"human": 1}
    datasets.create(store.db, "all", TraceQuery.parse(""), phase=1)
    assert move_counts.teachers(store.db) == {"o1": 2, "human": 1}
    assert move_counts.teachers(store.db, dataset="some") == {"o1": 1}
    assert move_counts.teachers(store.db, ["human"], "some") == {}
    annotations.annotate(store.db, thinks, "move", "reflect", span=(0, 4), annotator="ann")
    first, second = move_counts.of_teacher(store.db, "o1", 1)
    assert (first.counts, first.tokens, first.thought, first.text) == ((0, 0, 1, 2, 0, 0, 0), 40, 12, None)
    assert (second.counts, second.tokens, second.thought, second.text) == ((0, 0, 1, 1, 0, 0, 0), None, 0, "答案是 b。")
    assert (first.verdict, first.complete, first.solution) == ("correct", True, 6)
    assert [one.counts for one in move_counts.of_teacher(store.db, "o1", 2, dataset="some")] == [None]
