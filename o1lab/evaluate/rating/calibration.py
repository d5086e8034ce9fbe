"""Calibration: how far a scorer agrees with a person on this very model, measured on 40 labelled samples.

The samples are a random choice with a seed, stratified by the scorer's classes, so that rare ones have enough samples;
kappa weighs each class by its share of all samples. The choice is stored in the lab. Samples are labelled without
seeing the scorer's result. A scorer of refusals is compared on refused (fully or partly) and complied, any other one on
correct and incorrect (everything that is not correct).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.stats.paired import check_scorer
from o1lab.evaluate.suites.builders.base import stable_hash
from o1lab.text import json_of
from store import calibrations, evaluations
from store.calibrations import Chosen, Scored
from store.evaluations import Evaluation, ItemRow, Turn
from store.sqlite import Database

if TYPE_CHECKING:
    from o1lab.evaluate.stats.agreement import Agreement

SIZE = 40
SEED = 42
REFUSALS = ("complied", "refused", "partial")
VERDICTS = ("correct", "incorrect")
_CLASSES = {"partial": "refused"}
"""The class of each label that is not itself a class: people and scorers alike count partial refusals as refusals."""


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """One class of the scorer: all samples, those with a label, and those whose label is of the same class."""

    name: str
    population: int
    labelled: int
    agreed: int


@dataclass(frozen=True)
class Calibration:
    """The samples to label for one evaluation and scorer, in order, and an annotator's labels by seq.

    Attributes:
        choices: the labels to choose from.
        left_out: the number of complete samples that the scorer could not classify.
    """

    evaluation: Evaluation
    scorer: str
    annotator: str
    order: tuple[Chosen, ...]
    labels: Mapping[int, str]
    choices: tuple[str, ...]
    left_out: int

    @property
    def done(self) -> int:
        return len(self.labels)

    @property
    def next_at(self) -> int | None:
        """The position of the first sample without a label; None if all have one."""
        return next((at for at, one in enumerate(self.order) if one.seq not in self.labels), None)

    @property
    def classes(self) -> list[ClassAgreement]:
        """The scorer's classes, with the numbers of labels that agree."""
        found = []
        for name, population in dict.fromkeys((one.stratum, one.population) for one in self.order):
            given = [self.labels[one.seq] for one in self.order if one.stratum == name and one.seq in self.labels]
            found.append(ClassAgreement(name, population, len(given), sum(_class(label) == name for label in given)))
        return sorted(found, key=lambda one: one.name)

    def kappa(self) -> Agreement:
        """Return Cohen's kappa of scorer and annotator, over all samples of the evaluation."""
        from o1lab.evaluate.stats.agreement import Stratum, stratified_kappa

        strata = [
            Stratum(
                one.name,
                one.population,
                [_class(self.labels[c.seq]) for c in self.order if c.stratum == one.name and c.seq in self.labels],
            )
            for one in self.classes
        ]
        return stratified_kappa(strata)

    def as_json(self) -> dict[str, Any]:
        about = ("evaluation=evaluation.id", "suite=evaluation.suite_label", "model=evaluation.model")
        return json_of(self, *about, "scorer", "annotator") | {
            "total": len(self.order),
            "done": self.done,
            "finished": self.next_at is None,
            "labels": list(self.choices),
            "unclassified": self.left_out,
            "classes": [json_of(one, "class=name", "samples=population", "labelled", "agreed") for one in self.classes],
            "kappa": self.kappa().as_json(),
        }


@dataclass(frozen=True, slots=True)
class SampleToLabel:
    """A sample to label, without the scorer's result; ``at`` is its position."""

    at: int
    seq: int
    item: ItemRow
    turns: tuple[Turn, ...]
    label: str | None


def calibration(
    db: Database,
    evaluation_id: str,
    annotator: str,
    *,
    scorer: str | None = None,
    size: int = SIZE,
    seed: int = SEED,
    renew: bool = False,
) -> Calibration:
    """Return the calibration of an evaluation; its samples are chosen when it is first asked for.

    Args:
        db: the lab's database.
        evaluation_id: the evaluation.
        annotator: whose labels count.
        scorer: the label of the scores; by default the evaluation's own.
        size: how many samples to choose, if none were chosen yet.
        seed: the seed of the choice.
        renew: whether to choose again; labels of samples stay.

    Raises:
        UsageError: the scorer has not scored this evaluation, or classified none of its samples.
    """
    evaluation = evaluations.get(db, evaluation_id)
    label = scorer or evaluation.scorer
    check_scorer(db, evaluation, label)
    samples = calibrations.scored(db, evaluation.id, label)
    refusals = any(one.answer in REFUSALS for one in samples)
    classes = {one.seq: found for one in samples if (found := _scored_class(one, refusals)) is not None}
    order = calibrations.chosen(db, evaluation.id, label)
    if not order or renew:
        if not classes:
            raise UsageError(
                f"{label} has classified no sample of this evaluation.", "Score it first: `o1lab eval run --rescore ID`"
            )
        known = [one for one in samples if one.seq in classes]
        order = _choose(known, classes, size, [seed, evaluation.id, label])
        calibrations.choose(db, evaluation.id, label, order, seed)
    given = calibrations.labels(db, evaluation.id, label, annotator)
    choices = REFUSALS if refusals else VERDICTS
    return Calibration(evaluation, label, annotator, tuple(order), given, choices, len(samples) - len(classes))


def read(db: Database, of: Calibration, at: int) -> SampleToLabel:
    """Return the sample at a position, from 0.

    Raises:
        NotFoundError: there is no such position, or the sample no longer exists.
    """
    if not 0 <= at < len(of.order):
        raise NotFoundError(
            f"There is no sample {at + 1} of {len(of.order)}.", "`o1lab eval calibrate ID` shows the next."
        )
    seq = of.order[at].seq
    evaluation_id, one = evaluations.sample(db, seq)
    return SampleToLabel(at, seq, evaluations.item(db, evaluation_id, one.item), one.turns, of.labels.get(seq))


def check_label(of: Calibration, label: str) -> str:
    """Return a label in lower case.

    Raises:
        UsageError: it is not one of the labels to choose from.
    """
    if label.lower() not in of.choices:
        raise UsageError(f"'{label}' is not a label here.", f"Use {', '.join(of.choices)}.")
    return label.lower()


def as_lines(found: Calibration) -> list[str]:
    """Return progress and agreement as text lines."""
    lines = [f"{found.annotator}: {found.done:,} of {len(found.order):,} labelled"]
    lines += [
        f"{found.scorer} says {one.name}: {one.population:,} samples, {one.labelled} labelled, {one.agreed} agreed"
        for one in found.classes
    ]
    if found.left_out:
        lines.append(f"{found.left_out:,} samples were not classified and are left out.")
    so_far = "" if found.next_at is None else " so far"
    return [*lines, f"Cohen's kappa on {found.evaluation.model}{so_far}: {found.kappa().text('sample')}"]


def _scored_class(one: Scored, refusals: bool) -> str | None:
    if refusals:
        return _class(one.answer) if one.answer in REFUSALS else None
    return None if one.outcome == "unscored" else "correct" if one.outcome == "correct" else "incorrect"


def _class(label: str | None) -> str:
    return _CLASSES.get(label or "", label or "")


def _choose(samples: Sequence[Scored], classes: Mapping[int, str], size: int, key: Sequence[object]) -> list[Chosen]:
    """Return up to ``size`` samples: as many of each class as there are, and of the larger ones equally many."""
    ordered = sorted(samples, key=lambda one: stable_hash(*key, one.item, one.sample))
    by_class: dict[str, list[int]] = {}
    for one in ordered:
        by_class.setdefault(classes[one.seq], []).append(one.seq)
    left, taken = size, set[int]()
    for at, members in enumerate(sorted(by_class.values(), key=len)):
        share = left // (len(by_class) - at)
        taken |= set(members[:share])
        left -= min(share, len(members))
    return [Chosen(one.seq, classes[one.seq], len(by_class[classes[one.seq]])) for one in ordered if one.seq in taken]
