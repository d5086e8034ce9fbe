"""Synthesis methods side by side, as in Figure 2 of the paper: what their chains cost, hold, and teach a student."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from o1lab.distill.methods import METHODS
from o1lab.distill.runs import TEACHER_RUNS
from o1lab.errors import UsageError
from o1lab.evaluate.report.cells import Cell, Column, Interval, Section, Table, TableRow, figure_text
from o1lab.evaluate.report.selection import EvaluationResult, choose
from o1lab.evaluate.stats.metrics import wilson
from o1lab.format import counted, money
from o1lab.paths import Lab
from o1lab.serve.records import SOLVER
from o1lab.text import one_line
from o1lab.train.recipes.recipe_file import load_values
from o1lab.train.runs.directory import list_run_dirs
from store import Store, datasets, synthesis, teacher_runs
from store.errors import NotFoundError
from store.synthesis import MadeChains

NOT_RECORDED = "not recorded"
IMPORTED = "imported"
TREE_SEARCH = "tree search"
DEBATE = "debate"
HUMAN = "human"
REPLAY = "replay"
ALWAYS = ("distilled", "reformatted", DEBATE, HUMAN, TREE_SEARCH, IMPORTED)
"""The methods that are listed even without a chain; others, such as ``translated``, only with one."""

_OF_SYNTHESIS = {
    "distilled": "distilled", "reformatted": "reformatted", "translated": "translated", "multi-agent": DEBATE,
    "rescued": "rescued", "human": HUMAN, "tree search": TREE_SEARCH, "solver": "solver", "unknown": IMPORTED,
}  # fmt: skip
_ANYWHERE = frozenset({HUMAN, TREE_SEARCH, "solver"})
"""Methods that need no teacher run; of the others, chains without one are imported."""
_SUPPLY = {
    "distilled": "o1lab distill --endpoint NAME",
    "reformatted": "o1lab distill --method reformat --endpoint NAME",
    "translated": "o1lab distill --method translate --endpoint NAME",
    "rescued": "o1lab distill --method rescue --student RUN --endpoint NAME",
    DEBATE: "o1lab distill --method debate --endpoint NAME",
    HUMAN: "o1lab distill write PROBLEM_ID",
    TREE_SEARCH: "o1lab import FILE with search trees, or o1lab trees make",
    IMPORTED: "o1lab import FILE",
}

_PRICED = {
    HUMAN: "no command: the lab does not record what a person's time costs",
    TREE_SEARCH: "o1lab distill --method tree_search --endpoint NAME",
}
"""What makes chains of a method at a recorded cost, where that is not sampling a teacher."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing of a method, and the command that supplies it."""

    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class TrainedStudent:
    """A student that was trained on chains of one method only, on one suite; ``rows`` are those of its dataset."""

    run: str
    dataset: str
    rows: int
    result: EvaluationResult

    def as_json(self) -> dict[str, Any]:
        one = self.result
        return {
            "run": self.run, "dataset": self.dataset, "rows": self.rows, "suite": one.evaluation.suite_label,
            "metric": one.key.metric, "value": one.value, "ci95": None if one.interval is None else list(one.interval),
            "evaluation": one.evaluation.id,
        }  # fmt: skip

    @property
    def text(self) -> str:
        one = self.result
        return f"{one.evaluation.suite_label} {one.headline}, run {self.run}, {self.rows:,} rows"


@dataclass(frozen=True)
class MethodFacts:
    """What the lab has recorded about the chains of one method.

    Attributes:
        name: the method.
        groups: its chains, by synthesis, model and teacher run.
        cost_usd: what its teacher runs with a known price cost, failed and rejected responses included; None if there
            is no such run.
        paid: accepted chains of these runs.
        taught: the students that were trained on it, by suite.
        missing: what is not recorded, and the command that supplies it.
    """

    name: str
    groups: tuple[MadeChains, ...] = ()
    cost_usd: float | None = None
    paid: int = 0
    taught: tuple[TrainedStudent, ...] = ()
    missing: tuple[Missing, ...] = field(default=())

    def _sum(self, name: str) -> int:
        return sum(getattr(one, name) for one in self.groups)

    @property
    def chains(self) -> int:
        return self._sum("chains")

    @property
    def accepted(self) -> int | None:
        """Chains that a person accepted; None if no chain has a decision."""
        return self._sum("accepted") if self._sum("decided") else None

    @property
    def rate(self) -> float | None:
        """The share of all chains that were accepted."""
        return None if self.accepted is None else self.accepted / self.chains

    @property
    def rate_interval(self) -> Interval | None:
        """Wilson's interval of :attr:`rate` at 95 %."""
        return None if self.accepted is None else wilson(self.accepted, self.chains)

    @property
    def rate_percent(self) -> tuple[float | None, Interval | None]:
        """The rate and its interval in percent."""
        if self.rate is None or self.rate_interval is None:
            return None, None
        low, high = self.rate_interval
        return 100 * self.rate, (100 * low, 100 * high)

    @property
    def cost_per_accepted(self) -> float | None:
        return self.cost_usd / self.paid if self.cost_usd is not None and self.paid else None

    @property
    def students(self) -> list[str]:
        """The student with the most rows on each suite, the newest among equals, and how many others there are."""
        best: dict[str, TrainedStudent] = {}
        for one in self.taught:  # the newest run first
            suite = one.result.evaluation.suite_label
            if suite not in best or one.rows > best[suite].rows:
                best[suite] = one
        others = len(self.taught) - len(best)
        return [*(one.text for one in best.values()), *([f"{others:,} more: o1lab methods --json"] if others else [])]

    @property
    def mean_tokens(self) -> float | None:
        """Mean length of the chains whose tokens were counted."""
        return self._sum("tokens") / number if (number := self._sum("counted")) else None

    @property
    def reflections(self) -> float | None:
        """Moves ``reflect`` and ``backtrack`` for each 1,000 tokens."""
        return 1000 * self._sum("reflections") / tokens if (tokens := self._sum("measured_tokens")) else None

    def as_json(self) -> dict[str, Any]:
        return {
            "method": self.name, "chains": self.chains, "accepted": self.accepted, "acceptance_rate": self.rate,
            "acceptance_ci95": None if self.rate_interval is None else list(self.rate_interval),
            "correct": self._sum("correct"), "cost_usd": self.cost_usd, "accepted_of_paid_runs": self.paid,
            "cost_per_accepted_usd": self.cost_per_accepted, "tokens": self._sum("tokens"),
            "chains_with_tokens": self._sum("counted"), "mean_tokens": self.mean_tokens,
            "reflections": self._sum("reflections"), "reflections_per_1000_tokens": self.reflections,
            "students": [one.as_json() for one in self.taught],
            "missing": [{"what": one.what, "fix": one.fix} for one in self.missing],
        }  # fmt: skip


def compare_methods(lab: Lab, store: Store) -> list[MethodFacts]:
    """Return what the lab knows about each method. Chains of students, and answers to evaluations, do not count.

    A student counts for a method if each row of its dataset that a method made was made by this one.
    """
    students = _Students(lab, store)
    by_method: dict[str, list[MadeChains]] = {name: [] for name in ALWAYS}
    for one in synthesis.made_chains(store.db):
        if (name := method_of(one)) is not None and not students.wrote(one):
            by_method.setdefault(name, []).append(one)
    costs = _costs(lab, store, students)
    taught = students.by_method()
    return [_facts(name, tuple(groups), costs, taught.get(name, ())) for name, groups in by_method.items()]


def method_of(one: MadeChains) -> str | None:
    """Return the method that made a group of chains; None if they are not synthetic, such as reference solutions."""
    if one.synthesis == REPLAY:
        return None  # the base's own words, not chains that teach it something
    name = _OF_SYNTHESIS.get(one.synthesis)
    if name is None:
        return one.synthesis if one.run_id is not None else None  # a method of a plugin
    return name if one.run_id is not None or name in _ANYWHERE else IMPORTED


class _Students:
    """The students of a lab: what they wrote, and which method taught them."""

    def __init__(self, lab: Lab, store: Store) -> None:
        self._store = store
        self._runs = list_run_dirs(lab)
        self._ids = {run.id for run in self._runs}
        self._asked = {run.id: run.endpoint for run in teacher_runs.all_runs(store.db)}

    def is_student(self, model: str) -> bool:
        """Return whether the name of a model is that of a checkpoint of this lab."""
        return model.partition("/")[0] in self._ids

    def wrote(self, one: MadeChains) -> bool:
        """Return whether a student wrote these chains."""
        return self.is_student(one.model) or self.is_student(self._asked.get(one.run_id or "", ""))

    def by_method(self) -> Mapping[str, Sequence[TrainedStudent]]:
        """Return the evaluated students of each method, those of the newest runs first."""
        results: dict[str, list[EvaluationResult]] = {}
        for result in choose(self._store.db):
            results.setdefault(result.evaluation.model.partition("/")[0], []).append(result)
        found: dict[str, list[TrainedStudent]] = {}
        for run in self._runs:
            if run.id not in results or run.info().state != "finished":
                continue
            try:
                recipe = load_values(run.recipe)
                dataset = datasets.get(self._store.db, str(recipe.get("dataset")))
            except (UsageError, NotFoundError):
                continue
            if recipe.get("dataset_hash") not in (None, "", dataset.hash):
                continue  # the lab has another dataset of this name today
            made = synthesis.chains_of_dataset(self._store.db, dataset.name)
            methods = {name for one in made if (name := method_of(one)) is not None}
            if len(methods) == 1:
                found.setdefault(methods.pop(), []).extend(
                    TrainedStudent(run.id, dataset.name, dataset.rows, one) for one in results[run.id]
                )
        return found


@dataclass(frozen=True)
class _Costs:
    """Cost in US dollars of the teacher runs of each method, and the runs whose cost is not known."""

    known: Mapping[str, float]
    method_of_run: Mapping[str, str]
    unknown: Mapping[str, str]  # why, by run


def _costs(lab: Lab, store: Store, students: _Students) -> _Costs:
    infos = {info.id: info for info in TEACHER_RUNS.infos(lab)}
    known: dict[str, float] = {}
    methods: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for run in teacher_runs.all_runs(store.db):
        if students.is_student(run.endpoint):
            continue
        kind = METHODS.find(run.method)
        if kind is not None and not kind.synthesis:
            continue  # it makes no traces: a judge
        alone = kind is None or not kind.continues
        made = "solver" if run.endpoint == SOLVER and alone else kind.synthesis if kind is not None else run.method
        methods[run.id] = _OF_SYNTHESIS.get(made, made)
        info = infos.get(run.id)
        if info is None:
            unknown[run.id] = "its folder is gone"
        elif info.unreadable:
            unknown[run.id] = info.unreadable
        elif not info.status.priced:
            unknown[run.id] = "its price is not known"
        else:
            known[run.id] = info.status.cost_usd
    return _Costs(known, methods, unknown)


def _facts(name: str, groups: tuple[MadeChains, ...], costs: _Costs, taught: Sequence[TrainedStudent]) -> MethodFacts:
    runs = [run for run, method in costs.method_of_run.items() if method == name]
    priced = [run for run in runs if run in costs.known]
    cost = sum(costs.known[run] for run in priced) if priced else None
    paid = sum(one.accepted for one in groups if one.run_id in costs.known)
    facts = MethodFacts(name, groups, cost, paid, tuple(taught))
    return replace(facts, missing=tuple(_missing(facts, runs, costs)))


def _missing(facts: MethodFacts, runs: Iterable[str], costs: _Costs) -> Iterator[Missing]:
    where = _where(facts.name)
    if not facts.chains:
        yield Missing("no chain", _SUPPLY.get(facts.name, "o1lab distill --endpoint NAME"))
        return
    if facts.accepted is None:
        yield Missing("no chain has a decision", "o1lab annotate ID --accept")
    if facts.cost_usd is not None and not facts.paid:
        yield Missing("none of the chains that its teacher runs made is accepted", "o1lab annotate ID --accept")
    for run in runs:
        if why := costs.unknown.get(run):
            fix = "input_usd and output_usd of the endpoint in o1lab.toml" if "price" in why else "o1lab doctor"
            yield Missing(f"the cost of teacher run {run}: {why}", fix)
    if apart := sum(one.chains for one in facts.groups if one.run_id is None):
        fix = _PRICED.get(facts.name, "o1lab distill --endpoint NAME")
        yield Missing(f"the cost of {counted(apart, 'chain')} that no teacher run here made", fix)
    if uncounted := facts.chains - facts._sum("counted"):
        yield Missing(
            f"the tokens of {counted(uncounted, 'chain')}",
            f"o1lab traces ls --where '{where} -tokens>=0'",
        )
    if unmeasured := facts._sum("counted") - facts._sum("measured"):
        yield Missing(
            f"the moves of {counted(unmeasured, 'chain')}",
            "open the lab: o1lab measures them in the background",
        )
    if not facts.taught:
        yield Missing(
            "no student was trained on it alone and evaluated",
            f"o1lab dataset create NAME --where '{where}', o1lab train --dataset NAME, o1lab eval SUITE --model RUN",
        )


def _where(name: str) -> str:
    """Return a filter of the traces of a method; that of imported ones finds others too."""
    kind = next((kind for kind, method in _OF_SYNTHESIS.items() if method == name), name)
    return f'synthesis:"{kind}"' if name != IMPORTED else "-source:distill"


_COLUMNS = (
    Column("accepted", "accepted", "text"),
    Column("chains", "made", "count"),
    Column("rate", "rate %", "percent"),
    Column("cost", "cost/accepted", "text"),
    Column("tokens", "tokens", "text"),
    Column("reflections", "reflections per 1,000 tokens", "text"),
    Column("students", "students", "text"),
)


def methods_table(methods: Sequence[MethodFacts]) -> Table:
    """Return the methods as a table, with what is missing as its notes."""
    rows = tuple(TableRow(one.name, _cells(one)) for one in methods)
    notes = [
        "Accepted: by a person. Cost: of all responses of the teacher runs of the method, failed and rejected ones "
        "included, for each of their accepted chains. Tokens: mean of a chain, by the tokenizer of its model. "
        "Students: of those trained on chains of this method alone, the one with the most rows on each suite."
    ]
    notes += [f"{one.name}: {each.what}. Supply it: {each.fix}" for one in methods for each in one.missing]
    title = "Synthesis methods side by side"
    return Table("methods", title, "method", _COLUMNS, (Section("Chains", rows),), tuple(notes))


def figures_of(one: MethodFacts) -> list[tuple[str, str]]:
    """Return (name, figure) of a method that has chains; what is unknown reads "not recorded"."""
    return [
        ("chains", f"{one.chains:,}"),
        ("accepted", NOT_RECORDED if one.accepted is None else f"{one.accepted:,}"),
        ("acceptance rate", NOT_RECORDED if one.rate is None else figure_text(*one.rate_percent, " %")),
        ("cost of an accepted chain", _cost(one)),
        ("tokens of a chain", NOT_RECORDED if one.mean_tokens is None else f"{one.mean_tokens:,.0f}"),
        ("reflections per 1,000 tokens", NOT_RECORDED if one.reflections is None else f"{one.reflections:.2f}"),
        *(("student", one_line(each, 200)) for each in one.students),
    ]


def _cells(one: MethodFacts) -> dict[str, Cell]:
    if not one.chains:
        return {"chains": Cell(0)}
    figures = dict(figures_of(one))
    return {
        "accepted": Cell(figures["accepted"]),
        "chains": Cell(one.chains),
        "rate": Cell(note=NOT_RECORDED) if one.rate is None else Cell(*one.rate_percent),
        "cost": Cell(figures["cost of an accepted chain"]),
        "tokens": Cell(figures["tokens of a chain"]),
        "reflections": Cell(figures["reflections per 1,000 tokens"]),
        "students": Cell("; ".join(one.students) or NOT_RECORDED),
    }


def _cost(one: MethodFacts) -> str:
    return NOT_RECORDED if one.cost_per_accepted is None else money(one.cost_per_accepted)
