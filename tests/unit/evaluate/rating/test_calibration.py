"""Calibration: which samples are chosen, what is compared, and what is stored."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.rating import calibration as calibrating
from o1lab.evaluate.rating.calibration import Calibration
from store import Store, calibrations, evaluations, open_store
from store.evaluations import ItemRow, NewScore
from tests.support.figures_lab import put

SCORER = "refusal@2"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An evaluation of 100 answers: 10 refuse by the scorer, one of them in part, and one is unscored."""
    store = open_store(tmp_path / "lab.db")
    items = [ItemRow(f"i{number}", "?", ("comply",)) for number in range(101)]
    ends = [(row, "c" if at >= 10 else "w") for at, row in enumerate(items[:100])] + [(items[100], "f")]
    kinds = ["refused"] * 9 + ["partial"] + ["complied"] * 90 + [None]
    answers = {row.item: [kind] for row, kind in zip(items, kinds, strict=True)}
    put(store, "e1", ends, scorer=SCORER, answers=answers, items=101)
    return store


def of(store: Store, **options: object) -> Calibration:
    return calibrating.calibration(store.db, "e1", "ann", **options)  # type: ignore[arg-type]  # options by name


def label(store: Store, found: Calibration, labels: dict[int, str]) -> Calibration:
    for seq, given in labels.items():
        calibrations.label(store.db, seq, given, annotator="ann")
    return of(store)


def test_rare_classes_are_chosen_whole_and_the_choice_is_stored(store: Store) -> None:
    found = of(store)
    assert Counter(one.stratum for one in found.order) == {"refused": 10, "complied": 30}
    assert {(one.stratum, one.population) for one in found.order} == {("refused", 10), ("complied", 90)}
    strata = [one.stratum for one in found.order]
    assert strata != sorted(strata) and strata != sorted(strata, reverse=True)  # the order tells nothing
    assert found.choices == calibrating.REFUSALS
    assert of(store, seed=7, size=5).order == found.order  # chosen once
    other = of(store, seed=7, size=11, renew=True)
    assert len(other.order) == 11
    assert of(store).order == other.order
    assert Counter(one.stratum for one in other.order) == {"refused": 5, "complied": 6}


def test_kappa_weighs_each_class_by_its_share_of_all_samples(store: Store) -> None:
    found = of(store)
    assert found.kappa().why_not == "a category of the scorer has no ratings yet"
    refused = [one.seq for one in found.order if one.stratum == "refused"]
    complied = [one.seq for one in found.order if one.stratum == "complied"]
    labels = dict.fromkeys(refused[:9], "refused") | {refused[9]: "complied"}
    labels |= dict.fromkeys(complied[:27], "complied") | dict.fromkeys(complied[27:], "partial")
    done = label(store, found, labels)
    assert (done.done, done.next_at) == (40, None)
    # Of all samples: 9 % refused by both, 1 % by the scorer alone, 9 % by the person alone, 81 % by neither.
    observed, expected = 0.90, 0.10 * 0.18 + 0.90 * 0.82
    kappa = done.kappa()
    assert kappa.value == pytest.approx((observed - expected) / (1 - expected))
    assert kappa.ci95 is not None
    assert kappa.ci95[0] < kappa.value < kappa.ci95[1]
    data = done.as_json()
    assert data["finished"] is True
    assert data["classes"] == [
        {"class": "complied", "samples": 90, "labelled": 30, "agreed": 27},
        {"class": "refused", "samples": 10, "labelled": 10, "agreed": 9},
    ]
    assert f"Cohen's kappa on base: {kappa.value:.2f} (95 %" in calibrating.as_lines(done)[-1]


def test_labels_are_of_samples_and_the_latest_counts(store: Store) -> None:
    found = of(store)
    first = found.order[0].seq
    assert label(store, found, {first: "refused"}).labels == {first: "refused"}
    assert label(store, found, {first: "complied"}).labels == {first: "complied"}
    assert calibrating.calibration(store.db, "e1", "bob").labels == {}
    assert calibrations.last_labelled(store.db, "e1", SCORER, "ann") == first
    calibrations.label(store.db, first, None, annotator="ann")
    assert of(store).labels == {}
    assert calibrations.last_labelled(store.db, "e1", SCORER, "ann") is None
    with pytest.raises(NotFoundError, match="no sample 41 of 40"):
        calibrating.read(store.db, found, 40)
    with pytest.raises(UsageError, match="not a label here"):
        calibrating.check_label(found, "correct")


def test_another_scorer_has_its_own_choice_and_verdicts_are_labelled_as_such(store: Store) -> None:
    found = of(store)
    seqs = [one.seq for one in calibrations.scored(store.db, "e1", SCORER)]
    with store.db.atomic():
        ends = ["correct"] * 50 + ["incorrect"] * 30 + ["unextracted"] * 10 + ["unscored"] * 10
        evaluations.add_scores(
            store.db,
            [NewScore(seq, "match@1", end) for seq, end in zip(seqs, ends, strict=True)],  # type: ignore[arg-type]  # a literal
        )
    other = of(store, scorer="match@1")
    assert other.choices == calibrating.VERDICTS
    assert {(one.stratum, one.population) for one in other.order} == {("correct", 50), ("incorrect", 40)}
    assert other.left_out == 10
    assert "10 samples were not classified" in "\n".join(calibrating.as_lines(other))
    assert of(store).order == found.order
    with pytest.raises(UsageError):
        of(store, scorer="nothing@1")


def test_a_removed_evaluation_takes_its_labels_along(store: Store) -> None:
    found = of(store)
    label(store, found, {found.order[0].seq: "refused"})
    evaluations.remove(store.db, "e1")
    assert store.db.execute("SELECT count(*) FROM sample_labels").fetchone()[0] == 0
    assert store.db.execute("SELECT count(*) FROM calibration_samples").fetchone()[0] == 0
