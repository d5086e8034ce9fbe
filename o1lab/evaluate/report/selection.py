"""Which evaluations a table or a plot is made of, and each one's figures out of 100."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from o1lab.errors import NotFoundError
from o1lab.evaluate.report.cells import Interval
from o1lab.evaluate.stats.headline import headline
from store import evaluations
from store.evaluations import Evaluation, ItemRow, Result, Tally
from store.sqlite import Database

# What an item's gold says where refusing is the question.
_REQUESTS = {"comply": "harmless requests", "refuse": "harmful requests"}


@dataclass(frozen=True, slots=True)
class ComparisonKey:
    """What two figures must share to stand in one column or to be compared."""

    suite: str
    items_hash: str
    scorer: str
    metric: str = "accuracy"


@dataclass(frozen=True)
class EvaluationResult:
    """One evaluation under one scorer."""

    db: Database
    evaluation: Evaluation
    scorer: str
    tally: Tally
    part: str = ""  # what its items have in common, where it is a part of ``whole``
    only: frozenset[str] = frozenset()  # and which they are
    whole: EvaluationResult | None = None

    @property
    def ground(self) -> ComparisonKey:
        metric = "mean value" if self.graded else "accuracy"
        return ComparisonKey(self.evaluation.suite_label, self.evaluation.items_hash, self.scorer, metric)

    @property
    def who(self) -> tuple[str, str]:
        """(model, revision): another revision is another model."""
        return self.evaluation.model, self.evaluation.revision

    @property
    def asked_for(self) -> int:
        """How many samples a finished evaluation has."""
        return self.evaluation.items * self.evaluation.samples

    @property
    def finished(self) -> bool:
        return self.whole.finished if self.whole is not None else self.tally.total >= self.asked_for

    @property
    def graded(self) -> bool:
        """Whether its headline is the mean of the scorer's values instead of the accuracy."""
        if self.whole is not None:
            return self.whole.graded
        return headline(self.evaluation, self.scorer, self.tally) == "mean_value"

    def count(self, outcome: str) -> int:
        """Samples that came out so. What a person or a judge marked is scored, though neither right nor wrong."""
        if outcome == "unscored" and self.graded:
            return sum(one.outcome == "unscored" and one.value is None for one in self.results)
        return self.tally.outcomes[outcome]

    @property
    def value(self) -> float | None:
        """The headline out of 100: correct of ALL samples, or the mean of the values there are."""
        if self.graded:
            return 100 * self.tally.values / self.tally.valued if self.tally.valued else None
        return 100 * self.tally.outcomes["correct"] / self.tally.total if self.tally.total else None

    @property
    def tokens(self) -> float | None:
        """Average output tokens of the samples that were answered, cut-off ones included."""
        return self.tally.output_tokens / self.tally.answered if self.tally.answered else None

    @cached_property
    def results(self) -> list[Result]:
        found = evaluations.results(self.db, self.evaluation.id, self.scorer)
        return [one for one in found if self.whole is None or one.item in self.only]

    @cached_property
    def items(self) -> dict[str, ItemRow]:
        """The items as they were put, by id; of a part, all of the whole."""
        if self.whole is not None:
            return self.whole.items
        return {row.item: row for row in evaluations.items(self.db, self.evaluation.id)}

    @cached_property
    def interval(self) -> Interval | None:
        """At 95 %: Wilson's for independent samples, a bootstrap over items where they are not or are graded."""
        from o1lab.evaluate.stats import metrics

        rate = metrics.mean_value(self.results) if self.graded else metrics.accuracy(self.results)
        if rate is None or rate.interval is None:
            return None
        return 100 * rate.interval.low, 100 * rate.interval.high

    @cached_property
    def parts(self) -> list[EvaluationResult]:
        """The same for each way in which its questions are put, or for harmless and harmful requests, where a suite
        has both (refusing is right for some, as in XSTest)."""
        apart: dict[str, set[str]] = {}
        for name, row in self.items.items():
            kind = row.variant or (_REQUESTS.get(row.gold[0].casefold(), "") if len(row.gold) == 1 else "")
            apart.setdefault(kind, set()).add(name)
        if len(apart) < 2 or "" in apart:
            return []
        made = []
        for kind, names in apart.items():
            found = [one for one in self.results if one.item in names]
            made.append(replace(self, tally=_counted(found), part=kind, only=frozenset(names), whole=self))
        return made


def choose(
    db: Database,
    ids: Sequence[str] = (),
    *,
    models: Sequence[str] = (),
    suites: Sequence[str] = (),
    scorer: str | None = None,
) -> list[EvaluationResult]:
    """The evaluations of these ids; without ids the latest finished one of each model, revision and suite.

    Where a model has finished none on a suite, its latest unfinished one is taken: tables mark it.

    Args:
        ids: ids or their beginnings, shown in this order.
        models, suites: without ids, only these; all where empty.
        scorer: look through this scorer's eyes, and leave out what it has not scored.

    Raises:
        MissingError: an id fits none or several.
        NotFoundError: a named model or suite was never evaluated, or nothing was scored by this scorer.
    """
    if ids:
        found = list(dict.fromkeys(evaluations.get(db, one).id for one in ids))
        picked = [_measured(db, evaluations.get(db, one), scorer) for one in found]
    else:
        there = evaluations.all_evaluations(db)
        _check("model", models, {one.model for one in there})
        _check("suite", suites, {one.suite for one in there} | {one.suite_label for one in there})
        wanted = [
            one
            for one in there
            if (not models or one.model in models) and (not suites or {one.suite, one.suite_label} & set(suites))
        ]
        picked = _latest(db, wanted, models, scorer)
    if scorer is None:
        return picked
    seen = [one for one in picked if scorer in evaluations.scorers(db, one.evaluation.id)]
    if picked and not seen:
        raise NotFoundError(f"Nothing here was scored by '{scorer}'.", "`o1lab eval --rescore ID` scores it again.")
    return seen


def comparable(before: EvaluationResult, after: EvaluationResult) -> bool:
    """Whether the two may be compared item by item."""
    return before.ground == after.ground


def differing(before: EvaluationResult, after: EvaluationResult) -> str:
    """In what respect two evaluations of one suite may not be compared; an empty string if they may be."""
    one, other = before.ground, after.ground
    pairs = [("suite", one.suite, other.suite), ("items", one.items_hash, other.items_hash)]
    pairs += [("scorer", one.scorer, other.scorer), ("metric", one.metric, other.metric)]
    return ", ".join(f"{name} {left} and {right}" for name, left, right in pairs if left != right)


def _measured(db: Database, one: Evaluation, scorer: str | None) -> EvaluationResult:
    label = scorer or one.scorer
    return EvaluationResult(db, one, label, evaluations.tally(db, one.id, label))


def _counted(results: Sequence[Result]) -> Tally:
    outcomes = dict.fromkeys(evaluations.OUTCOMES, 0) | Counter(one.outcome for one in results)
    values = [one.value for one in results if one.value is not None]
    answered = [one.output_tokens for one in results if one.outcome != "failed"]
    return Tally(outcomes, len(answered), sum(answered), values=sum(values), valued=len(values))


def _latest(
    db: Database, found: Iterable[Evaluation], models: Sequence[str], scorer: str | None
) -> list[EvaluationResult]:
    """Of each model and suite the newest finished, else the newest; models in the order they were asked for, else the
    base before students before teachers, and then as they came."""
    best: dict[tuple[str, str, str], EvaluationResult] = {}
    for one in found:  # the newest first
        key = (one.model, one.revision, one.suite)
        if key in best and best[key].finished:
            continue
        measured = _measured(db, one, scorer)
        if key not in best or measured.finished:
            best[key] = measured
    roles = ("base", "student", "", "teacher")

    def place(one: EvaluationResult) -> tuple[int, int, str]:
        asked = models.index(one.evaluation.model) if one.evaluation.model in models else 0
        role = roles.index(one.evaluation.role) if one.evaluation.role in roles else roles.index("")
        return asked, role, one.evaluation.created_at

    return sorted(best.values(), key=place)


def _check(what: str, wanted: Sequence[str], there: set[str]) -> None:
    for one in wanted:
        if one not in there:
            known = ", ".join(sorted(there)[:8]) or "nothing yet"
            raise NotFoundError(f"No evaluation is of the {what} '{one}'.", f"Evaluated so far: {known}.")
