"""Make a dataset from a filter as the form describes it: which traces, how many of a problem, mixed with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from o1lab.distill.datasets import matched, selection
from o1lab.distill.datasets.pairs import PairsPlan, find_pairs, make_pairs
from o1lab.distill.datasets.selection import Choice, PerProblem
from o1lab.errors import UsageError
from store import Store, datasets
from store.filters import Condition, TraceQuery
from store.records import Dataset, with_suffix

Take = Literal["accepted", "verified", "all", "pairs"]
OWN = "-own"
"""What is added to the name of a mixed dataset for the part that the filter selects."""


@dataclass(frozen=True)
class DatasetPlan:
    """Which traces of a filter become rows.

    Attributes:
        query: The filter.
        take: ``accepted`` by hand, whatever their verdict; ``verified`` as correct; or ``all``. The last two apply the
            rules of :mod:`o1lab.distill.datasets.selection`. ``pairs`` are right and wrong ones of a problem, see
            :mod:`o1lab.distill.datasets.pairs`; all other choices but the length do not matter then.
        per_problem: All traces of a problem, or which one.
        longest: The largest number of characters of a trace.
        mix: The datasets that are mixed in.
        balance: Whether each of them, and the traces of the filter, give the same number of rows.
        phase: The training phase, 1 or 2.
    """

    query: TraceQuery
    take: Take = "accepted"
    per_problem: PerProblem = "all"
    longest: int | None = None
    mix: tuple[str, ...] = ()
    balance: bool = False
    phase: int = 2

    @property
    def selected(self) -> TraceQuery:
        """The filter, limited to accepted traces (unless it asks for a decision itself) and to the length."""
        query = self.query
        if self.take == "accepted" and not query.asks("decision"):
            query = _with(query, Condition("decision", ("accept",)), "decision:accept")
        if self.longest is not None:
            query = _with(query, Condition("chars", (str(self.longest),), "<="), f"chars<={self.longest}")
        if query.ids is not None:
            query = replace(query, source=f"{query.source} (a queue of {len(query.ids)} random traces)".strip())
        return query


@dataclass(frozen=True)
class Preview:
    """What a dataset would have: the selection, and the number of rows once it is mixed."""

    choice: Choice
    rows: int


@dataclass(frozen=True)
class Created:
    """A new dataset, with the number of dropped traces by reason, and its own part if it is mixed."""

    dataset: Dataset
    dropped: Mapping[str, int]
    own: Dataset | None = None


def preview(store: Store, plan: DatasetPlan) -> Preview:
    """Select the traces without storing anything.

    Raises:
        NotFoundError: a dataset to mix in does not exist.
        UsageError: it has another phase.
    """
    for name in plan.mix:
        other = datasets.get(store.db, name, kind="sft")
        if other.phase != plan.phase:
            raise UsageError(
                f"The dataset {other.name} has phase {other.phase}, and this one phase {plan.phase}.",
                "Datasets of different phases cannot be mixed.",
            )
    if plan.take == "pairs":
        found = find_pairs(store, _paired(plan))
        return Preview(Choice([one.chosen for one in found.pairs], found.drops, {}), len(found.pairs))
    choice = _choose(store, plan)
    rows = len(choice.ids)
    if plan.mix:
        rows = selection.mixed_size(store, choice.ids, plan.mix, balance=plan.balance)
    return Preview(choice, rows)


def create(store: Store, name: str, plan: DatasetPlan) -> Created:
    """Select the traces again and store the dataset; of a mixed one also its own part, as NAME-own.

    Raises:
        UsageError: a name is taken or not valid, there are no rows, or the datasets cannot be mixed.
    """
    if plan.take == "pairs":
        made = make_pairs(store, name, _paired(plan))
        return Created(made, datasets.drop_counts(store.db, made.name))
    with store.db.atomic():
        own = _create_own(store, with_suffix(name, OWN) if plan.mix else name, plan)
        if not plan.mix:
            return Created(own, datasets.drop_counts(store.db, own.name))
        choice, phase = selection.mix(store, [own.name, *plan.mix], balance=plan.balance)
        parts = " + ".join(str(part["name"]) for part in choice.selection["from"])
        made = datasets.snapshot(
            store.db, name, choice.ids, phase=phase, query=parts, selection=choice.selection, drops=choice.drops
        )
        return Created(made, datasets.drop_counts(store.db, made.name), own)


def _paired(plan: DatasetPlan) -> PairsPlan:
    """Return the plan of pairs.

    Raises:
        UsageError: a choice has no meaning for pairs.
    """
    if plan.mix or plan.phase == 1 or plan.per_problem != "all":
        raise UsageError(
            "Pairs are not mixed, have thoughts and solutions, and are at most four of a problem.",
            "Leave the other choices as they were, or choose other traces.",
        )
    return PairsPlan(plan.selected, ("chains",))


def _create_own(store: Store, name: str, plan: DatasetPlan) -> Dataset:
    query = plan.selected
    if plan.take == "accepted" and plan.per_problem == "all" and not query.of_student:
        return datasets.create(store.db, name, query, phase=plan.phase)
    return matched.save(store, name, query, lambda one: _choose_from(store, one, plan), phase=plan.phase)


def _choose(store: Store, plan: DatasetPlan) -> Choice:
    return _choose_from(store, plan.selected, plan)


def _choose_from(store: Store, query: TraceQuery, plan: DatasetPlan) -> Choice:
    by_hand = plan.take == "accepted"
    return selection.choose(
        store,
        query,
        phase=plan.phase,
        keep="verified" if plan.take == "verified" else "all",
        per_problem=plan.per_problem,
        drop=("evaluation",) if by_hand else selection.RULES,
    )


def _with(query: TraceQuery, condition: Condition, text: str) -> TraceQuery:
    return replace(query.narrowed(condition), source=f"{query.source} {text}".strip())
