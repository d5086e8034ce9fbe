"""One problem of the pool: its statement, sources, findings of the rules and rulings of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from o1lab.text import one_line
from o1lab.widgets.columns import Column, Page, Row
from o1lab.widgets.line_view import LineView
from o1lab.widgets.sections import Section
from store import exclusions, problems
from store.exclusions import Exclusion, RuleRun, Ruling
from store.filters import ProblemQuery
from store.problems import Origin
from store.records import Problem
from store.sqlite import Database

COLUMNS = (
    Column("mark", "", 1),
    Column("statement", "problem", 20, flex=3),
    Column("answer", "gold", 8, flex=1, priority=2),
    Column("source", "source", 13, priority=1),
    Column("excluded", "left out by", 15),
)
RULED = {"keep": "keep it", "exclude": "leave it out", "none": "as the rules say"}


@dataclass(frozen=True)
class PoolCounts:
    """The counts of the pool. ``rules`` counts the findings of each rule; a problem can have several."""

    total: int
    kept: int
    by_person: int
    rules: Mapping[str, int] = field(default_factory=dict)
    runs: Mapping[str, RuleRun] = field(default_factory=dict)
    """The last run of each rule."""
    sources: Sequence[str] = ()


@dataclass(frozen=True)
class WholeProblem:
    """A problem with everything the lab knows about it."""

    problem: Problem
    origins: Sequence[Origin]
    findings: Sequence[tuple[Exclusion, Problem | None]]
    """The findings of the rules, each with its twin, if any."""
    rulings: Sequence[Ruling]

    @property
    def ruling(self) -> str:
        """The ruling that applies: keep, exclude or none."""
        return self.rulings[-1].ruling if self.rulings else "none"


def count_pool(db: Database) -> PoolCounts:
    """Count the problems of the pool."""

    def number(query: str) -> int:
        return problems.count(db, ProblemQuery.parse(query))

    return PoolCounts(
        number(""),
        number("excluded:no"),
        number("excluded:person"),
        exclusions.counts(db),
        exclusions.runs(db),
        [name for name, _ in problems.sources(db)],
    )


def read_problem(db: Database, identity: str) -> WholeProblem:
    """Read one problem with everything the lab knows about it.

    Raises:
        NotFoundError: The problem is gone.
    """
    problem = problems.resolve(db, identity)
    findings = [
        (one, problems.get(db, one.twin) if one.twin else None) for one in exclusions.of_problem(db, problem.id)
    ]
    return WholeProblem(problem, problems.origins(db, problem.id), findings, exclusions.rulings(db, problem.id))


def page(db: Database, query: ProblemQuery, offset: int, limit: int) -> Page:
    """Read a page of the list of problems."""
    rows = [table_row(problem) for problem in problems.page(db, query, limit=limit, offset=offset)]
    return Page(rows, problems.count(db, query))


def table_row(problem: Problem) -> Row:
    """Make the row of a problem."""
    kept = problem.excluded_by is None
    return Row(
        problem.id,
        {
            "mark": Text("✓", "green") if kept else Text("✗", "red"),
            "statement": one_line(problem.statement, 300),
            "answer": "-" if problem.answer is None else one_line(problem.answer, 60),
            "source": one_line(problem.source, 40),
            "excluded": "" if kept else one_line(str(problem.excluded_by), 60),
        },
        problem,
    )


def counts_text(counts: PoolCounts) -> Text:
    """Format the number of problems, of kept ones, and of those each rule leaves out."""
    text = Text()
    text.append(f"{counts.total:,} problems", "bold").append(" · ").append(f"✓ {counts.kept:,} kept", "green")
    text.append(" · ").append(f"✗ {counts.total - counts.kept:,} left out", "red")
    parts = [f"{name} {number:,}" for name, number in counts.rules.items()]
    parts += [f"by hand {counts.by_person:,}"] if counts.by_person else []
    if parts:
        text.append(": " + " · ".join(parts))
    if not counts.runs:
        text.append("   no rule has run yet: press F", "yellow")
    return text


def title(whole: WholeProblem) -> Text:
    """Format one line about a problem: its state, source and id."""
    problem = whole.problem
    sign = Text("✓ kept", "bold green") if problem.excluded_by is None else Text("✗ left out", "bold red")
    by_hand = " by hand" if whole.ruling != "none" else ""
    where = f"{problem.source} {problem.key}".strip()
    return Text.assemble(sign, by_hand, "  ", (one_line(where, 60), "bold"), "  ", (problem.id[:12], "dim"))


def show(view: LineView, whole: WholeProblem | None) -> None:
    """Show a problem in a view, one section per fact."""
    parts = sections(whole) if whole is not None else []
    view.show_sections([Section(view.laid_out(f"{body}\n\n"), header) for header, body in parts])


def sections(whole: WholeProblem) -> list[tuple[str, str]]:
    """Return (heading, text) of everything known about a problem. The view escapes control characters."""
    problem = whole.problem
    parts = [("statement", problem.statement), ("gold answer", problem.answer or "none: it cannot be verified")]
    rules = [_finding(one, twin) for one, twin in whole.findings]
    parts.append(("findings of the rules", "\n".join(rules) or "none"))
    if whole.rulings:
        words = [
            f"{RULED.get(one.ruling, one.ruling)}, {one.annotator}, {one.created_at[:16].replace('T', ' ')}"
            + (f": {one.note}" if one.note else "")
            for one in whole.rulings
        ]
        parts.append(("rulings of people (the last one applies)", "\n".join(words)))
    origins = [f"{one.source} {one.key}  licence {one.licence or 'unknown'}" for one in whole.origins]
    parts.append(("sources", "\n".join(origins)))
    if problem.solution:
        parts.append(("reference solution", problem.solution))
    parts.append(("id", problem.id))
    return parts


def _finding(one: Exclusion, twin: Problem | None) -> str:
    text = f"✗ {one.rule} (version {one.version}): {one.reason}"
    if twin is not None:
        named = f"{twin.source} {twin.key}".strip()
        text += f"\n    its twin: {named}  {twin.id[:12]}\n    {one_line(twin.statement, 400)}"
    return text
