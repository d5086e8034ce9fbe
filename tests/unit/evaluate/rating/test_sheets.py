"""Marks by persons: blind, in an order of each annotator's own, and what comes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.rating import sheets
from store import Store, evaluations, open_store, ratings
from tests.support.evaluate_lab import BASE, STUDENT, make_lab

BOTH = ["base-1", "student-1"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(make_lab(tmp_path / "lab").database)


def rate_all(store: Store, annotator: str, marks: dict[str, float]) -> None:
    """Every sample gets its evaluation's mark, plus a little by its item."""
    for _, seq in sheets.sheet(store.db, BOTH, annotator).order:
        identity, one = evaluations.sample(store.db, seq)
        ratings.rate(store.db, seq, marks[identity] + int(one.item[-1]), annotator=annotator)


def test_each_annotator_has_an_order_of_their_own_and_always_the_same(store: Store) -> None:
    ann, bob = sheets.sheet(store.db, BOTH, "ann"), sheets.sheet(store.db, BOTH, "bob")
    assert ann.order == sheets.sheet(store.db, list(reversed(BOTH)), "ann").order
    assert [seq for _, seq in ann.order] != [seq for _, seq in bob.order]
    assert {seq for _, seq in ann.order} == {seq for _, seq in bob.order}
    assert not {name for name, _ in ann.order} & {name for name, _ in bob.order}
    assert len(ann.order) == 11  # one of 12 samples failed
    order = [evaluations.sample(store.db, seq)[0] for _, seq in ann.order]
    assert order != sorted(order) and order != sorted(order, reverse=True)


def test_what_is_shown_and_exported_names_no_model(store: Store, tmp_path: Path) -> None:
    ann = sheets.sheet(store.db, BOTH, "ann")
    for path in (tmp_path / "sheet.csv", tmp_path / "sheet.jsonl"):
        assert sheets.export(store.db, ann, path) == 11
        told = path.read_text("utf-8")
        assert not [word for word in (BASE, STUDENT, *BOTH, "incorrect", "Wait, let me check") if word in told]
    shown = [sheets.read(store.db, ann, at) for at in range(11)]
    assert not [one for one in shown if BASE in repr(one) or STUDENT in repr(one) or "-1" in one.ticket]


def test_a_sheet_that_was_filled_in_elsewhere_comes_back_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    ann, path = sheets.sheet(store.db, BOTH, "ann"), tmp_path / "sheet.jsonl"
    sheets.export(store.db, ann, path)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def filled(*values: object) -> Path:
        lines = [json.dumps(row | {"value": value}) for row, value in zip(rows, values, strict=False)]
        path.write_text("\n".join(lines), "utf-8")
        return path

    with pytest.raises(UsageError, match=r"Row 2 of .*'101' is not a valid mark"):
        sheets.import_marks(store, ann, filled(50, 101))
    assert not sheets.sheet(store.db, BOTH, "ann").marks
    assert sheets.import_marks(store, ann, filled(0, "", 87.5)) == 2
    again = sheets.sheet(store.db, BOTH, "ann")
    assert [again.marks[seq].value for _, seq in (again.order[0], again.order[2])] == [0, 87.5]
    assert (again.done, again.next_at) == (2, 1)
    with pytest.raises(NotFoundError, match="on the sheet of bob"):
        sheets.import_marks(store, sheets.sheet(store.db, BOTH, "bob"), path)
    with pytest.raises(UsageError, match="neither CSV nor JSONL"):
        sheets.import_marks(store, ann, tmp_path / "sheet.xlsx")


def test_no_spreadsheet_runs_what_a_model_wrote(store: Store, tmp_path: Path) -> None:
    from store.evaluations import NewSample, Turn

    with store.db.atomic():
        evaluations.add_samples(
            store.db, "base-1", [NewSample("add:0", 0, "complete", (Turn("?", "", '=HYPERLINK("x")'),), "k")]
        )
    sheets.export(store.db, sheets.sheet(store.db, BOTH, "ann"), tmp_path / "sheet.csv")
    assert "\"'=HYPERLINK" in (tmp_path / "sheet.csv").read_text("utf-8")


@pytest.mark.parametrize("written", ["", "-1", "100.5", "nan", "inf", "eighty"])
def test_what_is_no_mark(written: str) -> None:
    with pytest.raises(UsageError):
        sheets.parse_mark(written)


def test_means_agreement_and_scores_that_tables_can_show(store: Store) -> None:
    rate_all(store, "ann", {"base-1": 20, "student-1": 80})
    assert not sheets.results(store.db, [*BOTH]).alpha.units
    rate_all(store, "bob", {"base-1": 30, "student-1": 90})
    found = sheets.results(store.db, BOTH)
    assert found.finished and found.progress == {"ann": 11, "bob": 11}
    base, student = found.evaluations
    # Marks are 25 and 85 on the whole, plus the item's number: 0 to 4 for the base, whose sixth failed, and 0 to 5.
    assert (base.mean, student.mean) == (27.0, 87.5)
    assert base.ci95 is not None and base.ci95[0] < 27.0 < base.ci95[1]
    assert found.alpha.value is not None and 0.9 < found.alpha.value < 1
    assert sheets.write_scores(store.db, BOTH) == 11
    values = [
        one.value for one in evaluations.results(store.db, "student-1", sheets.human_label()) if one.value is not None
    ]
    assert values == pytest.approx([0.85, 0.86, 0.87, 0.88, 0.89, 0.9])
    assert evaluations.tally(store.db, "student-1", sheets.human_label()).outcomes["correct"] == 0


def test_a_mark_taken_back_is_to_do_again(store: Store) -> None:
    ann = sheets.sheet(store.db, BOTH, "ann")
    seq = ann.order[0][1]
    ratings.rate(store.db, seq, 40, annotator="ann", note="hm")
    ratings.rate(store.db, seq, None, annotator="ann")
    assert sheets.sheet(store.db, BOTH, "ann").next_at == 0
    assert sheets.results(store.db, BOTH).progress == {}


def test_a_score_goes_with_the_last_mark_that_is_taken_back(store: Store) -> None:
    seq = sheets.sheet(store.db, BOTH, "ann").order[0][1]
    ratings.rate(store.db, seq, 40, annotator="ann")
    assert sheets.write_scores(store.db, BOTH) == 1
    ratings.rate(store.db, seq, None, annotator="ann")
    assert sheets.write_scores(store.db, BOTH) == 0
    [score] = [one for one in evaluations.scores_of(store.db, seq) if one.scorer == sheets.human_label()]
    assert (score.outcome, score.value) == ("unscored", None)
