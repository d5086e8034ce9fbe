"""Two models on the same items: who is right where the other is not, and whether that could be chance.

Every difference is B minus A. Comparing item by item takes away what the items' own difficulty adds to the noise.
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
    cluster,
    clustered_bootstrap,
    rounded,
)
from store import evaluations
from store.evaluations import Evaluation, ItemRow, Result
from store.sqlite import Database

_EXACT_FLIPS = 18  # clusters that differ: beyond it signs are drawn
_FLIPS = 20_000
_FEWEST_FLIPS = 2000
_MOST_DRAWS = 20_000_000  # flips times differences of different sizes


@dataclass(frozen=True, slots=True)
class Chance:
    """The chance of a difference at least as large if the two were alike, and how it was found."""

    p: float
    method: str


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models on n items. An item is got right with more than half of its samples.

    ``difference`` is the mean over items of B's share of correct samples minus A's; ``mcnemar_p`` looks at items got
    right only, each for itself; ``chance`` at the shares, whole groups of items together. ``interval`` is the paired
    bootstrap's over items or groups; none where all differ alike, for then resampling shows no width.
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
        return {
            "items": self.items,
            "a": self.a.as_json(),
            "b": self.b.as_json(),
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
            "both": list(self.both),
            "neither": list(self.neither),
            "mcnemar_p": rounded(self.mcnemar_p),
            "difference": rounded(self.difference),
            "ci95": self.interval and self.interval.as_json(),
            "ci_method": self.interval and self.interval.method,
            "p": rounded(self.chance.p),
            "p_method": self.chance.method,
            "by_variant": {name: one.as_json() for name, one in self.by_variant.items()},
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations side by side, and what else is not the same about them."""

    a: Evaluation
    b: Evaluation
    scorer: str
    left_out: int  # items that not both have all samples of
    other: tuple[str, ...]
    paired: Paired

    def as_json(self) -> dict[str, Any]:
        return {
            "a": {"id": self.a.id, "model": self.a.model, "revision": self.a.revision, "role": self.a.role},
            "b": {"id": self.b.id, "model": self.b.model, "revision": self.b.revision, "role": self.b.role},
            "suite": self.a.suite,
            "suite_version": self.a.suite_version,
            "scorer": self.scorer,
            "left_out": self.left_out,
            "other_settings": list(self.other),
            "paired": self.paired.as_json(),
        }


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p of McNemar's test: McNemar (1947), Psychometrika 12, 153-157.

    Under no difference an item that only one got right is as likely either's, so the smaller number is binomial with
    one half; twice its tail, at most 1. In whole numbers, without rounding.
    """
    n, fewer = only_a + only_b, min(only_a, only_b)
    term = total = 1
    for number in range(fewer):
        term = term * (n - number) // (number + 1)
        total += term
    return min(1.0, 2 * total / (1 << n))


def sign_flips(sums: Sequence[float]) -> Chance:
    """The two-sided p of a sum of differences under exchange of the two models, cluster by cluster.

    Fisher's randomisation test for pairs (Fisher, 1935, "The Design of Experiments", section 21): if the two are alike,
    each cluster's difference is as likely with either sign. All signs up to 18 clusters that differ; beyond, 20,000
    drawn ones (fewer, and said so, where over 1,000 differences all have sizes of their own), the observed counted
    among them (Phipson and Smyth, 2010, Stat. Appl. Genet. Mol. Biol. 9, 39).

    Args:
        sums: the difference summed over each cluster.
    """
    import numpy as np

    differing = np.array([one for one in sums if one])
    observed = abs(float(differing.sum())) - 1e-9 * float(np.abs(differing).sum())  # sums of doubles are not exact
    if len(differing) <= _EXACT_FLIPS:
        totals = np.zeros(1)
        for one in differing:
            totals = np.concatenate([totals + one, totals - one])
        return Chance(float((np.abs(totals) >= observed).mean()), f"all signs of {len(differing)} clusters that differ")
    sizes, often = np.unique(np.abs(differing).round(12), return_counts=True)
    drawn = min(_FLIPS, max(_FEWEST_FLIPS, _MOST_DRAWS // len(sizes)))
    rng, hits, rows = np.random.default_rng(SEED), 0, max(1, 2_000_000 // len(sizes))
    for start in range(0, drawn, rows):
        # Of differences that are alike in size, how many are positive is binomial.
        positive = rng.binomial(often, 0.5, (min(rows, drawn - start), len(sizes)))
        hits += int((np.abs((2 * positive - often) @ sizes) >= observed).sum())
    method = f"{drawn:,} drawn signs of {len(differing):,} clusters that differ, seed {SEED}"
    return Chance((hits + 1) / (drawn + 1), method)


def compare(results_a: Iterable[Result], results_b: Iterable[Result], *, common: bool = False) -> Paired:
    """Two models' samples on the same items.

    Args:
        common: leave out items that only one of them has samples of.

    Raises:
        UsageError: they have no item in common; or one has items that the other has not, and ``common`` is not set.
    """
    of_a, of_b = _by_item(results_a), _by_item(results_b)
    shared = [item for item in of_a if item in of_b]
    apart = len(of_a) + len(of_b) - 2 * len(shared)
    if not shared:
        raise UsageError("The two have no item in common.", "Compare two evaluations of one suite.")
    if apart and not common:
        raise UsageError(
            f"{apart:,} items have all their samples in one of the two only; in both {len(shared):,} have.",
            "Let both finish (`o1lab eval resume ID`), or compare what both have: --common.",
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
    """Two evaluations of one suite, version and scorer, on the same items.

    An item counts once all its samples are there: until then one has not got it.

    Args:
        scorer: the label of the scores; without it both must show the same one.
        common: compare the items that both have, where they were put alike, and say how many are left out.

    Raises:
        UsageError: suite, version, items or scorer are not the same, or too little is there yet; it says which.
    """
    label = _comparable(db, a, b, scorer, common=common)
    results = [_whole(evaluations.results(db, one.id, label), one.samples) for one in (a, b)]
    for one, found in zip((a, b), results, strict=True):
        if not found:
            raise UsageError(
                f"No item of {one.id} has all its samples yet.", f"Let it finish: `o1lab eval resume {one.id}`."
            )
    if a.items_hash == b.items_hash:
        every = a.items
    else:
        rows = [{row.item: row for row in evaluations.items(db, one.id)} for one in (a, b)]
        changed = [name for name, row in rows[0].items() if name in rows[1] and _text(row) != _text(rows[1][name])]
        if changed:
            raise UsageError(
                f"{len(changed):,} items have the same id in both, such as '{changed[0]}', but are not the same.",
                "Evaluate both models on the same items.",
            )
        every = len({*rows[0], *rows[1]})
    paired = compare(*results, common=common)
    return Comparison(a, b, label, every - paired.items, _other(a, b), paired)


def _comparable(db: Database, a: Evaluation, b: Evaluation, scorer: str | None, *, common: bool) -> str:
    """The label both are compared by."""
    if a.suite != b.suite:
        raise UsageError(
            f"{a.id} is of the suite {a.suite}, {b.id} of {b.suite}.", "Compare two evaluations of one suite."
        )
    if a.suite_version != b.suite_version:
        raise UsageError(
            f"{a.id} is of {a.suite_label}, {b.id} of {b.suite_label}: another version is another suite.",
            "Evaluate both models by the same version.",
        )
    if a.items_hash != b.items_hash and not common:
        raise UsageError(
            f"The items are not the same: {a.id} has {a.items:,} (hash {a.items_hash}), "
            f"{b.id} has {b.items:,} (hash {b.items_hash}).",
            "Evaluate both on the same items, or compare what both have: --common.",
        )
    if scorer is None and a.scorer != b.scorer:
        raise UsageError(
            f"{a.id} is scored by {a.scorer}, {b.id} by {b.scorer}: two scorers' figures are not compared.",
            "Score one anew (`o1lab eval --rescore ID`), or name one that looked at both: --scorer LABEL.",
        )
    label = a.scorer if scorer is None else scorer
    for one in (a, b):
        check_scorer(db, one, label)
    return label


def check_scorer(db: Database, evaluation: Evaluation, label: str) -> None:
    """Raises UsageError where a scorer that is not the evaluation's own never looked at it."""
    if label == evaluation.scorer:
        return
    known = evaluations.scorers(db, evaluation.id)
    if label not in known:
        looked = ", ".join(known) or "none yet"
        raise UsageError(f"No scorer '{label}' has looked at {evaluation.id}.", f"Those that have: {looked}.")


def _text(row: ItemRow) -> tuple[object, ...]:
    return row.question, row.gold, row.group, row.variant


def _other(a: Evaluation, b: Evaluation) -> tuple[str, ...]:
    """How else the two were asked, and how often."""
    names = sorted({*a.sampling, *b.sampling})
    found = [
        f"{name} {a.sampling.get(name)} / {b.sampling.get(name)}"
        for name in names
        if a.sampling.get(name) != b.sampling.get(name)
    ]
    if a.samples != b.samples:
        found.append(f"samples an item {a.samples} / {b.samples}")
    return tuple(found)


def _whole(results: Iterable[Result], samples: int) -> list[Result]:
    """Those of items that have all their samples."""
    return [one for found in _by_item(results).values() if len(found) >= samples for one in found]


def _by_item(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for one in results:
        found.setdefault(one.item, []).append(one)
    return found


def _paired(pairs: Sequence[tuple[list[Result], list[Result]]]) -> Paired:
    kinds: dict[tuple[bool, bool], list[str]] = {}
    differences: list[float] = []
    clusters: list[tuple[str, str]] = []
    sums: dict[tuple[str, str], float] = {}
    for a, b in pairs:
        kinds.setdefault((_right(a), _right(b)), []).append(a[0].item)
        differences.append(_share(b) - _share(a))
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


def _share(samples: Sequence[Result]) -> float:
    return sum(one.correct for one in samples) / len(samples)


def _right(samples: Sequence[Result]) -> bool:
    return 2 * sum(one.correct for one in samples) > len(samples)
