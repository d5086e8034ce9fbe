"""Selects the evaluations of a table or plot, with the figures of each in percent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from o1lab.errors import NotFoundError
from o1lab.evaluate.report.cells import Interval, figure_text
from o1lab.evaluate.stats import metrics
from store import evaluations
from store.evaluations import Evaluation, ItemRow, Result, Tally
from store.sqlite import Database

# The gold answers of items that test refusals.
_REQUESTS = {"comply": "harmless requests", "refuse": "harmful requests"}


@dataclass(frozen=True, slots=True)
class ComparisonKey:
    """What two evaluations must share to be comparable."""

    suite: str
    items_hash: str
    scorer: str
    metric: str = "accuracy"


@dataclass(frozen=True)
class EvaluationResult:
    """One evaluation under one scorer, or a part of its items.

    Attributes:
        part: what the items of the part have in common; empty for a whole evaluation.
        only: the ids of the items of the part.
        whole: the whole evaluation of the part.
    """

    db: Database
    evaluation: Evaluation
    scorer: str
    tally: Tally
    part: str = ""
    only: frozenset[str] = frozenset()
    whole: EvaluationResult | None = None

    @property
    def key(self) -> ComparisonKey:
        """What other evaluations must share to be comparable."""
        metric = "mean value" if self.graded else "accuracy"
        return ComparisonKey(self.evaluation.suite_label, self.evaluation.items_hash, self.scorer, metric)

    @property
    def model_key(self) -> tuple[str, str]:
        """(model, revision): different revisions are different models."""
        return self.evaluation.model, self.evaluation.revision

    @property
    def expected(self) -> int:
        """The number of samples of the finished evaluation."""
        return self.evaluation.items * self.evaluation.samples

    @property
    def finished(self) -> bool:
        return self.whole.finished if self.whole is not None else self.tally.total >= self.expected

    @property
    def graded(self) -> bool:
        """Whether the headline is the mean of the scorer's values instead of the accuracy."""
        if self.whole is not None:
            return self.whole.graded
        return metrics.headline(self.evaluation, self.scorer, self.tally) == "mean_value"

    def count(self, outcome: str) -> int:
        """Return the number of samples with this outcome. Graded samples with a mark do not count as unscored."""
        if outcome == "unscored" and self.graded:
            return sum(one.outcome == "unscored" and one.value is None for one in self.results)
        return self.tally.outcomes[outcome]

    @property
    def value(self) -> float | None:
        """The headline in percent: correct of ALL samples, or the mean of the values."""
        if self.graded:
            return 100 * self.tally.values / self.tally.valued if self.tally.valued else None
        return 100 * self.tally.outcomes["correct"] / self.tally.total if self.tally.total else None

    @property
    def headline(self) -> str:
        """The headline with its interval, as text."""
        return figure_text(self.value, self.interval, " %")

    @property
    def tokens(self) -> float | None:
        """Average output tokens of the samples with a response, cut-off ones included."""
        return self.tally.output_tokens / self.tally.answered if self.tally.answered else None

    @cached_property
    def results(self) -> list[Result]:
        found = evaluations.results(self.db, self.evaluation.id, self.scorer)
        return [one for one in found if self.whole is None or one.item in self.only]

    @cached_property
    def items(self) -> dict[str, ItemRow]:
        """The items by id; for a part, all items of the whole evaluation."""
        if self.whole is not None:
            return self.whole.items
        return {row.item: row for row in evaluations.items(self.db, self.evaluation.id)}

    @cached_property
    def interval(self) -> Interval | None:
        """At 95 %, in percent: Wilson's for independent samples, else a bootstrap over items."""
        rate = metrics.mean_value(self.results) if self.graded else metrics.accuracy(self.results)
        return rate.interval.percent if rate is not None and rate.interval is not None else None

    @cached_property
    def parts(self) -> list[EvaluationResult]:
        """The evaluation split by variant, or into harmless and harmful requests if the suite has both (as XSTest)."""
        by_kind: dict[str, set[str]] = {}
        for name, row in self.items.items():
            kind = row.variant or (_REQUESTS.get(row.gold[0].casefold(), "") if len(row.gold) == 1 else "")
            by_kind.setdefault(kind, set()).add(name)
        if len(by_kind) < 2 or "" in by_kind:
            return []
        parts = []
        for kind, names in by_kind.items():
            found = [one for one in self.results if one.item in names]
            parts.append(replace(self, tally=_tally_of(found), part=kind, only=frozenset(names), whole=self))
        return parts


def choose(
    db: Database,
    ids: Sequence[str] = (),
    *,
    models: Sequence[str] = (),
    suites: Sequence[str] = (),
    scorer: str | None = None,
) -> list[EvaluationResult]:
    """Return the evaluations with these ids, or else the latest finished one of each model, revision and suite.

    If a model has no finished evaluation on a suite, its latest unfinished one is taken; tables mark it.

    Args:
        db: the lab's database.
        ids: ids or their prefixes; the result has this order.
        models: without ids, only these models; empty for all.
        suites: without ids, only these suites; empty for all.
        scorer: use the scores of this scorer, and leave out evaluations without them.

    Raises:
        NotFoundError: an id matches no evaluation or several, a model or suite was never evaluated, or nothing was
            scored by this scorer.
    """
    if ids:
        found = list(dict.fromkeys(evaluations.get(db, one).id for one in ids))
        chosen = [_result(db, evaluations.get(db, one), scorer) for one in found]
    else:
        known = evaluations.all_evaluations(db)
        _check("model", models, {one.model for one in known})
        _check("suite", suites, {one.suite for one in known} | {one.suite_label for one in known})
        wanted = [
            one
            for one in known
            if (not models or one.model in models) and (not suites or {one.suite, one.suite_label} & set(suites))
        ]
        chosen = _latest(db, wanted, models, scorer)
    if scorer is None:
        return chosen
    seen = [one for one in chosen if scorer in evaluations.scorers(db, one.evaluation.id)]
    if chosen and not seen:
        raise NotFoundError(
            f"None of these evaluations was scored by '{scorer}'.", "Score one: o1lab eval --rescore ID"
        )
    return seen


def comparable(before: EvaluationResult, after: EvaluationResult) -> bool:
    """Whether the two may be compared item by item."""
    return before.key == after.key


def differing(before: EvaluationResult, after: EvaluationResult) -> str:
    """Return the respects in which two evaluations of a suite are not comparable; empty if they are."""
    one, other = before.key, after.key
    pairs = [("suite", one.suite, other.suite), ("items", one.items_hash, other.items_hash)]
    pairs += [("scorer", one.scorer, other.scorer), ("metric", one.metric, other.metric)]
    return ", ".join(f"{name} {left} and {right}" for name, left, right in pairs if left != right)


def _result(db: Database, one: Evaluation, scorer: str | None) -> EvaluationResult:
    label = scorer or one.scorer
    return EvaluationResult(db, one, label, evaluations.tally(db, one.id, label))


def _tally_of(results: Sequence[Result]) -> Tally:
    outcomes = dict.fromkeys(evaluations.OUTCOMES, 0) | Counter(one.outcome for one in results)
    values = [one.value for one in results if one.value is not None]
    answered = [one.output_tokens for one in results if one.outcome != "failed"]
    return Tally(outcomes, len(answered), sum(answered), values=sum(values), valued=len(values))


def _latest(
    db: Database, found: Iterable[Evaluation], models: Sequence[str], scorer: str | None
) -> list[EvaluationResult]:
    """Return the newest finished evaluation of each model and suite, else the newest.

    The order is that of ``models``, else base, students, teachers, and then by creation time.
    """
    best: dict[tuple[str, str, str], EvaluationResult] = {}
    for one in found:  # the newest first
        key = (one.model, one.revision, one.suite)
        if key in best and best[key].finished:
            continue
        result = _result(db, one, scorer)
        if key not in best or result.finished:
            best[key] = result
    roles = ("base", "student", "", "teacher")

    def place(one: EvaluationResult) -> tuple[int, int, str]:
        asked = models.index(one.evaluation.model) if one.evaluation.model in models else 0
        role = roles.index(one.evaluation.role) if one.evaluation.role in roles else roles.index("")
        return asked, role, one.evaluation.created_at

    return sorted(best.values(), key=place)


def _check(what: str, wanted: Sequence[str], evaluated: set[str]) -> None:
    for one in wanted:
        if one not in evaluated:
            known = ", ".join(sorted(evaluated)[:8]) or "nothing yet"
            raise NotFoundError(f"The {what} '{one}' has not been evaluated.", f"Evaluated so far: {known}.")
