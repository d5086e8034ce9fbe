"""How much of their thoughts models spend after the answer is stable, over many chains."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.chains.segmentation.moves import segment
from o1lab.evaluate.sample_traces import as_trace
from o1lab.evaluate.stats.metrics import (
    RESAMPLES,
    SEED,
    TAILS,
    Interval,
    Rate,
    cluster,
    interval_json,
    rate_of,
)
from o1lab.format import percent, percent_within
from o1lab.lens.convergence import Chain, Convergence
from o1lab.lens.forcing import judged
from o1lab.text import json_of, one_line
from store import continuations, evaluations, sample_list
from store.evaluations import Evaluation
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Median:
    """A median of n numbers, with its interval; None without numbers."""

    value: float | None
    n: int
    interval: Interval | None

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "median=value", "n", digits=6) | interval_json(self.interval)


@dataclass(frozen=True, slots=True)
class ConvergenceSummary:
    """What a model spends after its answer is stable.

    Attributes:
        model: its name.
        chains: number of chains; those ``incomplete`` have not been cut at all places.
        after: tokens of the thought after the stable answer.
        share: the same as a share of the tokens of the thought.
        right: chains in which an answer was right at some place.
        overwritten: chains in which a wrong answer followed a right one, of all.
        lost: chains in which an answer was right, and the last one is wrong, of all.
    """

    model: str
    chains: int
    incomplete: int
    after: Median
    share: Median
    right: Rate
    overwritten: Rate
    lost: Rate

    def as_json(self) -> dict[str, Any]:
        spent = ("tokens_after=after", "share_after=share")
        return json_of(self, "model", "chains", "incomplete", *spent, "right", "overwritten", "lost")

    def lines(self) -> Iterator[str]:
        """Yield the figures as lines of text."""
        yield f"convergence of {self.chains:,} chains, answers by {one_line(self.model, 30)}"
        if self.incomplete:
            yield f"  {self.incomplete:,} more chains are not cut at all places yet: repeat the command."
        if self.after.value is not None and self.share.value is not None:
            limits = self.after.interval
            between = f" ({limits.low:,.0f} to {limits.high:,.0f})" if limits else ""
            yield (
                f"  tokens after the stable answer  median {self.after.value:,.0f}{between}, "
                f"{percent(self.share.value)} of the thought; {self.after.n:,} chains"
            )
        for name, rate in (("right at some place", self.right), ("overwritten", self.overwritten), ("lost", self.lost)):
            share = percent_within(rate.value, rate.interval and rate.interval.ends)
            yield f"  {name:<31} {share}  {rate.correct:,} of {rate.n:,}"


def summarise(found: Sequence[Convergence], clusters: Sequence[Hashable], *, incomplete: int = 0) -> ConvergenceSummary:
    """Return the figures of chains.

    Args:
        found: the convergence of each chain, by one model.
        clusters: the question of each chain: chains of one question are drawn together for intervals.
        incomplete: number of chains that are left out.
    """
    with_tokens = [
        (one, group) for one, group in zip(found, clusters, strict=True) if one.tokens_after is not None and one.tokens
    ]
    after = [float(one.tokens_after or 0) for one, _ in with_tokens]
    shares = [(one.tokens_after or 0) / (one.tokens or 1) for one, _ in with_tokens]
    groups = [group for _, group in with_tokens]
    return ConvergenceSummary(
        found[0].model if found else "",
        len(found),
        incomplete,
        median(after, groups),
        median(shares, groups),
        rate_of([one.first_right is not None for one in found], clusters),
        rate_of([one.overwritten > 0 for one in found], clusters),
        rate_of([one.lost for one in found], clusters),
    )


def median(values: Sequence[float], clusters: Sequence[Hashable]) -> Median:
    """Return a median with the percentile interval of a bootstrap over clusters.

    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapters 8 and 13. A cluster that is drawn k times
    gives each of its values the weight k; the median is the first value at which half of the weight is reached.

    Args:
        values: the values.
        clusters: the cluster of each value.
    """
    import numpy as np

    if not values:
        return Median(None, 0, None)
    codes: dict[Hashable, int] = {}
    place = np.array([codes.setdefault(one, len(codes)) for one in clusters])
    given = np.asarray(values, float)
    middle = float(np.median(given))
    if len(codes) < 2:
        return Median(middle, len(values), None)
    order = np.argsort(given, kind="stable")
    generator = np.random.default_rng(SEED)
    drawn = np.empty(RESAMPLES)
    for at in range(RESAMPLES):
        often = np.bincount(generator.integers(len(codes), size=len(codes)), minlength=len(codes))
        weight = np.cumsum(often[place[order]])
        drawn[at] = given[order[int(np.searchsorted(weight, weight[-1] / 2))]]
    low, high = np.quantile(drawn, TAILS)
    how = f"bootstrap over {len(codes):,} clusters, {RESAMPLES:,} resamples, seed {SEED}"
    return Median(middle, len(values), Interval(float(low), float(high), how))


def chains_of(db: Database, evaluation: Evaluation) -> list[Chain]:
    """Return the samples of an evaluation that have a thought, as chains to be cut."""
    items = {row.item: row for row in evaluations.items(db, evaluation.id)}
    found = []
    for seq in sample_list.seqs(db, evaluation.id):
        one = evaluations.sample(db, seq)[1]
        if not one.turns or not one.turns[-1].thought.strip():
            continue
        last, item = one.turns[-1], items[one.item]
        trace = as_trace(evaluation, item, one)
        asked = trace.context or ({"role": "user", "content": item.question},)
        messages = tuple({"role": str(message["role"]), "content": str(message["content"])} for message in asked)
        name = f"{one.item}#{one.sample}"
        moves = tuple(segment(last.thought))
        found.append(Chain(name, messages, last.thought, last.answer, moves, item.gold, cluster(item)))
    return found


def of_evaluation(db: Database, evaluation: Evaluation) -> tuple[ConvergenceSummary, ...]:
    """Return the figures for each model that has answered to the cut samples of an evaluation."""
    models = continuations.models_of(db, evaluation.id)
    chains = chains_of(db, evaluation) if models else []
    found = []
    for model in models:
        parts = [some[0] if some else None for some in judged(db, chains, model=model)]
        whole = [(one, chain.cluster) for one, chain in zip(parts, chains, strict=True) if one]
        if whole:
            groups = [group for _, group in whole]
            found.append(summarise([one for one, _ in whole], groups, incomplete=len(parts) - len(whole)))
    return tuple(found)
