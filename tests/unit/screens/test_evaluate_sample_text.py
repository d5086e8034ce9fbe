"""How a sample reads: all turns, every scorer's word, nothing hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from screens.evaluate import sample_text as text_of
from screens.evaluate.sample_text import Listing, read_sample
from store import Store, evaluations, open_store
from store.evaluations import NewSample, NewScore, Turn
from store.sample_list import SampleRow
from tests.support.evaluate_lab import SCORER, make_lab
from tests.support.lab_seed import HOSTILE


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(make_lab(tmp_path / "lab").database)


def put(store: Store, *turns: Turn) -> int:
    """A sample of these turns in place of the base's first, without a score."""
    with store.db.atomic():
        return evaluations.add_samples(store.db, "base-1", [NewSample("add:0", 0, "complete", turns, "k")])[0]


def test_a_sample_of_several_turns_shows_them_all(store: Store) -> None:
    seq = put(store, Turn("2 + 2?", "two and two", "4"), Turn("Sure?", "they doubt it", "No, 5."))
    whole = read_sample(store.db, seq)
    assert [document.thought for document in whole.documents] == ["two and two", "they doubt it"]
    assert text_of.conversation(whole, 1).plain == "user: 2 + 2?\nmodel: 4\nuser: Sure?"
    assert text_of.conversation(whole, 0).plain == "user: 2 + 2?"


def test_of_a_long_remark_only_the_ends_are_laid_out(store: Store) -> None:
    long = "begin " + "y" * 2_000_000 + " end"
    whole = read_sample(store.db, put(store, Turn("2 + 2?", "", long), Turn("Sure?", "", "No, 5.")))
    said = text_of.conversation(whole, 1).plain
    assert len(said) < 2 * text_of.MESSAGE_CHARS
    assert "begin yyy" in said
    assert f"{2_000_010 - text_of.MESSAGE_CHARS:,} characters" in said
    assert "yyy end\nuser: Sure?" in said


def test_every_scorer_s_word_stands_under_its_label_the_shown_one_first(store: Store) -> None:
    seq = evaluations.find_sample(store.db, "base-1", "add:0")
    evaluations.add_scores(store.db, [NewScore(seq, "judge@1(m)", "correct", 0.75, None, "fine")])
    lines = text_of.words(read_sample(store.db, seq), "judge@1(m)").plain.splitlines()
    assert lines == ["judge@1(m) ✓ correct 0.75: fine", "math@1 ✗ incorrect: 911 is not 411"]


def test_nothing_that_a_model_or_a_scorer_wrote_reaches_the_terminal_as_it_is(store: Store) -> None:
    seq = put(store, Turn(HOSTILE, HOSTILE, HOSTILE), Turn(HOSTILE, "", HOSTILE))
    evaluations.add_scores(store.db, [NewScore(seq, SCORER, "incorrect", 0.5, HOSTILE, HOSTILE)])
    whole = read_sample(store.db, seq)
    row = next(one for one in Listing("base-1", SCORER).page(store.db, 0, 9).rows if one.key == seq)
    assert isinstance(row.data, SampleRow)
    shown = [
        text_of.peek(row.data, SCORER), text_of.title(whole, SCORER), text_of.origin(whole),
        text_of.words(whole, SCORER), text_of.conversation(whole, 1), *row.cells.values(),
    ]  # fmt: skip
    told = "".join(str(part) for part in shown)
    assert "owned" in told
    assert not [letter for letter in told if letter in "\x1b\x07\x00\x7f\x9b\u202e\u2066"]


def test_a_sample_that_failed_reads_as_that(store: Store) -> None:
    whole = read_sample(store.db, evaluations.find_sample(store.db, "base-1", "add:5"))
    assert (whole.documents, whole.trace_id, whole.outcome(SCORER)) == ((), None, "failed")
    assert text_of.words(whole, SCORER).plain == "failed: the server went away"


def test_a_sample_has_the_number_that_commands_take(store: Store) -> None:
    with store.db.atomic():
        turns = (Turn("2 + 2?", "", "4"),)
        evaluations.add_samples(store.db, "base-1", [NewSample("add:0", 1, "complete", turns, "again")])
    names = [str(row.cells["item"]) for row in Listing("base-1", SCORER).page(store.db, 0, 9).rows]
    assert names[:3] == ["add:0", "add:0 -k 1", "add:1"]
    seq = evaluations.find_sample(store.db, "base-1", "add:0", 1)
    assert " · add:0 -k 1 · gold" in text_of.title(read_sample(store.db, seq), SCORER).plain
