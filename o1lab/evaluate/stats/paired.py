"""Paired comparison of two models on the same items: which items only one gets right, and whether that is chance.

Every difference is B minus A. Comparing item by item removes the noise that comes from the difficulty of the items.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from o1lab.errors import UsageError
from o1lab.evaluate.stats.metrics import (
    SEED,
    Interval,
    Rate,
    accuracy,
    by_item,
    cluster,
    clustered_bootstrap,
    interval_json,
    share_correct,
)
from o1lab.text import json_of
from store import evaluations
from store.evaluations import Evaluation, ItemRow, Result
from store.sqlite import Database

_EXACT_FLIPS = 18  # clusters that differ; beyond that, signs are drawn
_FLIPS = 20_000
_FEWEST_FLIPS = 2000
_MOST_DRAWS = 20_000_000  # flips times distinct sizes of differences


@dataclass(frozen=True, slots=True)
class Chance:
    """A two-sided p-value and the method that gave it."""

    p: float
    method: str


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models on the same items. A model gets an item right if more than half of its samples are correct.

    Attributes:
        a, b: the accuracy of each model.
        items: the number of items.
        only_a, only_b, both, neither: the ids of the items that each model gets right.
        mcnemar_p: the p-value of McNemar's test on items, which ignores groups.
        difference: the mean over items of B's share of correct samples minus A's.
        interval: of the difference, by a paired bootstrap over items or groups; None if all differ alike.
        chance: the p-value of the difference, by exchanging whole groups of items.
        by_variant: the same for each variant of the items.
    """

    a: Rate
    b: Rate
    items: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    both: tuple[str, ...]
    neither: tuple[str, ...]
    mcnemar_p: float
    difference: float
    interval: Interval | None
    chance: Chance
    by_variant: Mapping[str, Paired] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        sides = ("items", "a", "b", "only_a", "only_b", "both", "neither")
        found = json_of(self, *sides, "mcnemar_p", "difference", digits=6) | interval_json(self.interval)
        return found | json_of(self, "p=chance.p", "p_method=chance.method", "by_variant", digits=6)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired comparison of two evaluations, and the settings in which they differ."""

    a: Evaluation
    b: Evaluation
    scorer: str
    left_out: int  # items that lack samples in one of the two
    other: tuple[str, ...]
    paired: Paired

    def as_json(self) -> dict[str, Any]:
        about = ("id", "model", "revision", "role")
        suite = ("suite=a.suite", "suite_version=a.suite_version")
        both = {"a": json_of(self.a, *about), "b": json_of(self.b, *about)}
        return both | json_of(self, *suite, "scorer", "left_out", "other_settings=other", "paired")


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: McNemar (1947), Psychometrika 12, 153-157.

    Under the null hypothesis an item that only one model got right is equally likely to be A's or B's, so the smaller
    number is binomial with probability one half; p is twice its tail, at most 1. Computed in integers.

    Args:
        only_a: the number of items that only A got right.
        only_b: the number of items that only B got right.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    term = total = 1
    for number in range(fewer):
        term = term * (n - number) // (number + 1)
        total += term
    return min(1.0, 2 * total / (1 << n))


def sign_flips(sums: Sequence[float]) -> Chance:
    """Return the two-sided p-value of a sum of differences when the two models are exchanged, cluster by cluster.

    Fisher's randomisation test for pairs (Fisher, 1935, "The Design of Experiments", section 21): under the null
    hypothesis each cluster's difference is equally likely with either sign. Up to 18 differing clusters all signs are
    enumerated. Beyond that 20,000 sign vectors are drawn (fewer if over 1,000 differences all have distinct sizes; the
    method states the number), and the observed one is counted among them (Phipson and Smyth, 2010, Stat. Appl. Genet.
    Mol. Biol. 9, 39).

    Args:
        sums: the sum of the differences in each cluster.
    """
    import numpy as np

    differing = np.array([one for one in sums if one])
    observed = abs(float(differing.sum())) - 1e-9 * float(np.abs(differing).sum())  # tolerance for rounding
    if len(differing) <= _EXACT_FLIPS:
        totals = np.zeros(1)
        for one in differing:
            totals = np.concatenate([totals + one, totals - one])
        return Chance(float((np.abs(totals) >= observed).mean()), f"all signs of {len(differing)} clusters that differ")
    sizes, often = np.unique(np.abs(differing).round(12), return_counts=True)
    drawn = min(_FLIPS, max(_FEWEST_FLIPS, _MOST_DRAWS // len(sizes)))
    rng, hits, rows = np.random.default_rng(SEED), 0, max(1, 2_000_000 // len(sizes))
    for start in range(0, drawn, rows):
        # The number of positive signs among differences of equal size is binomial.
        positive = rng.binomial(often, 0.5, (min(rows, drawn - start), len(sizes)))
        hits += int((np.abs((2 * positive - often) @ sizes) >= observed).sum())
    method = f"{drawn:,} drawn signs of {len(differing):,} clusters that differ, seed {SEED}"
    return Chance((hits + 1) / (drawn + 1), method)


def compare(results_a: Iterable[Result], results_b: Iterable[Result], *, common: bool = False) -> Paired:
    """Compare two models' samples on the same items.

    Args:
        results_a: the samples of model A.
        results_b: the samples of model B.
        common: leave out items that only one of them has.

    Raises:
        UsageError: they share no item; or one has items that the other lacks, and ``common`` is not set.
    """
    of_a, of_b = by_item(results_a), by_item(results_b)
    shared = [item for item in of_a if item in of_b]
    apart = len(of_a) + len(of_b) - 2 * len(shared)
    if not shared:
        raise UsageError("The two share no item.", "Compare two evaluations of the same suite.")
    if apart and not common:
        raise UsageError(
            f"{apart:,} items are complete in only one of the two; {len(shared):,} are complete in both.",
            "Let both finish (`o1lab eval resume ID`), or compare the shared items with --common.",
        )
    pairs = [(of_a[item], of_b[item]) for item in shared]
    whole = _paired(pairs)
    variants = dict.fromkeys(a[0].variant for a, _ in pairs)
    by_variant = {
        variant: _paired([pair for pair in pairs if pair[0][0].variant == variant])
        for variant in variants
        if variant is not None
    }
    return replace(whole, by_variant=by_variant) if len(by_variant) > 1 else whole


def compare_evaluations(
    db: Database, a: Evaluation, b: Evaluation, *, scorer: str | None = None, common: bool = False
) -> Comparison:
    """Compare two evaluations of the same suite, version and scorer item by item.

    An item counts only if it has all its samples in both evaluations.

    Args:
        db: the lab's database.
        a: evaluation A.
        b: evaluation B.
        scorer: the label of the scores; by default the evaluations' own, which must be the same.
        common: compare only the items that both have, and count the others in ``left_out``.

    Raises:
        UsageError: suite, version, items or scorer differ, or there are no complete items yet; the message says which.
    """
    label = _comparable(db, a, b, scorer, common=common)
    results = [_whole(evaluations.results(db, one.id, label), one.samples) for one in (a, b)]
    for one, found in zip((a, b), results, strict=True):
        if not found:
            raise UsageError(
                f"No item of {one.id} has all its samples.", f"Let it finish: `o1lab eval resume {one.id}`."
            )
    if a.items_hash == b.items_hash:
        every = a.items
    else:
        rows = [{row.item: row for row in evaluations.items(db, one.id)} for one in (a, b)]
        changed = [name for name, row in rows[0].items() if name in rows[1] and _text(row) != _text(rows[1][name])]
        if changed:
            raise UsageError(
                f"{len(changed):,} items have the same id in both evaluations but differ, such as '{changed[0]}'.",
                "Evaluate both models on the same items.",
            )
        every = len({*rows[0], *rows[1]})
    paired = compare(*results, common=common)
    return Comparison(a, b, label, every - paired.items, _other(a, b), paired)


def _comparable(db: Database, a: Evaluation, b: Evaluation, scorer: str | None, *, common: bool) -> str:
    """Return the scorer's label by which the two are compared.

    Raises:
        UsageError: they cannot be compared.
    """
    if a.suite != b.suite:
        raise UsageError(
            f"{a.id} used the suite {a.suite}, {b.id} used {b.suite}.",
            "Compare two evaluations of the same suite.",
        )
    if a.suite_version != b.suite_version:
        raise UsageError(
            f"{a.id} used {a.suite_label}, {b.id} used {b.suite_label}: versions of a suite are not comparable.",
            "Evaluate both models with the same version.",
        )
    if a.items_hash != b.items_hash and not common:
        raise UsageError(
            f"The items differ: {a.id} has {a.items:,} (hash {a.items_hash}), "
            f"{b.id} has {b.items:,} (hash {b.items_hash}).",
            "Evaluate both on the same items, or compare the shared items with --common.",
        )
    if scorer is None and a.scorer != b.scorer:
        raise UsageError(
            f"{a.id} was scored by {a.scorer}, {b.id} by {b.scorer}: scores of different scorers are not comparable.",
            "Score one again (`o1lab eval --rescore ID`), or name a scorer that scored both: --scorer LABEL.",
        )
    label = a.scorer if scorer is None else scorer
    for one in (a, b):
        check_scorer(db, one, label)
    return label


def check_scorer(db: Database, evaluation: Evaluation, label: str) -> None:
    """Raise UsageError unless the label is the evaluation's own scorer or one that has scored it."""
    if label == evaluation.scorer:
        return
    known = evaluations.scorers(db, evaluation.id)
    if label not in known:
        raise UsageError(
            f"The scorer '{label}' has not scored {evaluation.id}.", f"Available: {', '.join(known) or 'none yet'}."
        )


def _text(row: ItemRow) -> tuple[object, ...]:
    return row.question, row.gold, row.group, row.variant


def _other(a: Evaluation, b: Evaluation) -> tuple[str, ...]:
    """Return the settings in which the two evaluations differ, as 'NAME A / B'."""
    names = sorted({*a.sampling, *b.sampling})
    found = [
        f"{name} {a.sampling.get(name)} / {b.sampling.get(name)}"
        for name in names
        if a.sampling.get(name) != b.sampling.get(name)
    ]
    if a.samples != b.samples:
        found.append(f"samples per item {a.samples} / {b.samples}")
    return tuple(found)


def _whole(results: Iterable[Result], samples: int) -> list[Result]:
    """Return the samples of complete items."""
    return [one for found in by_item(results).values() if len(found) >= samples for one in found]


def _paired(pairs: Sequence[tuple[list[Result], list[Result]]]) -> Paired:
    kinds: dict[tuple[bool, bool], list[str]] = {}
    differences: list[float] = []
    clusters: list[tuple[str, str]] = []
    sums: dict[tuple[str, str], float] = {}
    for a, b in pairs:
        kinds.setdefault((_right(a), _right(b)), []).append(a[0].item)
        differences.append(share_correct(b) - share_correct(a))
        clusters.append(cluster(a[0]))
        sums[clusters[-1]] = sums.get(clusters[-1], 0.0) + differences[-1]
    only_a, only_b = kinds.get((True, False), []), kinds.get((False, True), [])
    return Paired(
        a=accuracy([one for a, _ in pairs for one in a]),
        b=accuracy([one for _, b in pairs for one in b]),
        items=len(pairs),
        only_a=tuple(only_a),
        only_b=tuple(only_b),
        both=tuple(kinds.get((True, True), ())),
        neither=tuple(kinds.get((False, False), ())),
        mcnemar_p=mcnemar(len(only_a), len(only_b)),
        difference=math.fsum(differences) / len(differences),
        interval=clustered_bootstrap(differences, clusters),
        chance=sign_flips(list(sums.values())),
    )


def is_right(correct: int, samples: int) -> bool:
    """Whether a model gets an item right: if more than half of its samples are correct."""
    return 2 * correct > samples


def _right(samples: Sequence[Result]) -> bool:
    return is_right(sum(one.correct for one in samples), len(samples))
