"""The commands ``problems ...``: list problems, exclude them by rules, overrule the rules by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.busy import advance
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, Item, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.cli.base.pager import emit_paged
from o1lab.cli.filters import read_filter
from o1lab.paths import annotator
from o1lab.text import json_of, one_line

if TYPE_CHECKING:
    from o1lab.distill.filters.pool import FilterReport
    from store.exclusions import Exclusion
    from store.records import Problem
    from store.sqlite import Database

verbs = Verbs("problems", help="List the lab's problems, filter them by rules, and overrule the rules.")

ProblemArgument = Annotated[
    str,
    typer.Argument(
        metavar="PROBLEM_ID",
        help="Problem id, the start of it, or its key in its source.",
        autocompletion=completing("problem"),
    ),
]
IdsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="ID",
        help="Problem ids, the start of each, or keys of their sources.",
        autocompletion=completing("problem"),
    ),
]
NoteOption = Annotated[str, typer.Option(help="The reason, as a note.")]
QueryArgument = Annotated[
    str,
    typer.Argument(
        help='For example: source:math500 has:answer -excluded:image "triangle". Fields: source, licence, key, id, '
        "excluded (yes, no, person or a rule), has (answer, solution, trace, tree)."
    ),
]


@verbs.command("ls", lists=True)
def problems_ls(
    query: QueryArgument = "",
    where: Annotated[str, typer.Option(metavar="QUERY", help="The same as QUERY; may start with a minus.")] = "",
    source: Annotated[str | None, typer.Option(help="Only sources whose name contains this.")] = None,
    text: Annotated[str, typer.Option(help="Only statements that contain this.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of problems to list.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Number of problems to skip.")] = 0,
) -> None:
    """List problems with their gold answers and the rule that excludes them.

    Examples: o1lab problems ls source:aime24; o1lab problems ls --where '-has:answer excluded:contaminated'
    """
    from store import problems
    from store.filters import Condition, ProblemQuery

    named = {"source": source, "statement": text}
    wanted = read_filter(ProblemQuery, f"{query} {where}").narrowed(
        *(Condition(field, (value,)) for field, value in named.items() if value)
    )
    with opened() as store:
        found = problems.page(store.db, wanted, limit=limit, offset=offset)
        total = problems.count(store.db, wanted)
    emit_list([_item(one) for one in found], _COLUMNS, total=total)


@verbs.command("show")
def problems_show(identity: ProblemArgument) -> None:
    """Show one problem: statement, answer, sources, findings of the rules, rulings made by hand.

    Example: o1lab problems show 3f9c
    """
    from store import exclusions, problems

    with opened() as store:
        problem = problems.resolve(store.db, identity)
        origins = problems.origins(store.db, problem.id)
        findings = [_finding(store.db, one) for one in exclusions.of_problem(store.db, problem.id)]
        rulings = exclusions.rulings(store.db, problem.id)
    data = _item(problem) | {
        "solution": problem.solution,
        "sources": [origin._asdict() for origin in origins],
        "rules": findings,
        "rulings": [ruling._asdict() for ruling in rulings],
    }
    shown = [
        f"{problem.id}  {_state(problem)}",
        *(f"{origin.source} {origin.key}  licence {origin.licence or 'unknown'}" for origin in origins),
        f"\n{problem.statement}\n",
        f"answer {problem.answer or '-'}",
        *(f"{one['rule']} (version {one['version']}): {one['reason']}{_twin(one)}" for one in findings),
        *(f"{one.annotator} {one.created_at}: {one.ruling} {one.note}".rstrip() for one in rulings),
    ]
    emit_paged(data, shown)


@verbs.command("filter")
def problems_filter(
    rules: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these rules [default: all; see `problems rules`].")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the result without saving it.")] = False,
    where: Annotated[str, typer.Option(metavar="QUERY", help="Check only these problems.")] = "",
) -> None:
    """Check problems with the rules and exclude those with a finding. Nothing is deleted.

    New findings replace earlier findings of the same rule on these problems; rulings made by hand are kept. Duplicates
    are searched in the whole pool, contamination against the sources listed under `benchmarks` in o1lab.toml.

    Examples: o1lab problems filter --dry-run; o1lab problems filter --rules image,proof --where source:numina
    """
    from o1lab.config import load_config
    from o1lab.distill.filters.pool import chosen_rules, filter_pool
    from store.filters import ProblemQuery

    chosen = chosen_rules(rules.split(",") if rules is not None else None)
    query = read_filter(ProblemQuery, where)
    config = load_config(current_lab())
    with opened() as store:
        report = filter_pool(store.db, chosen, query, benchmarks=config.benchmarks, dry_run=dry_run, progress=advance)
    rules_json = [json_of(one, "name", "version", "excluded") for one in report.rules]
    data = json_of(report, "total", "kept", "excluded") | {"rules": rules_json, "dry_run": report.dry_run}
    emit(data, text=_report(report))
    if report.tested == 0 and report.total:
        say(
            "Contamination was not checked: this lab has no benchmark problems. Import the benchmarks, or list their "
            "sources under `benchmarks` in o1lab.toml."
        )


def _report(report: FilterReport) -> str:
    lines = [f"{one.name:<16} version {one.version}  {one.excluded:>9,}" for one in report.rules]
    end = f"{report.total:,} problems: {report.kept:,} kept, {report.excluded:,} excluded"
    return "\n".join([*lines, end + (" (nothing written)" if report.dry_run else "")])


@verbs.command("rules", lists=True)
def problems_rules() -> None:
    """List the rules with version, what each excludes, and its last run in this lab.

    Example: o1lab problems rules
    """
    from o1lab.distill.filters import RULES
    from store import exclusions

    with opened() as store:
        runs = exclusions.runs(store.db)
        counts = exclusions.counts(store.db)
    items: list[dict[str, Any]] = []
    for rule in RULES.all().values():
        run = runs.get(rule.name)
        last = None if run is None else {key: value for key, value in run._asdict().items() if key != "rule"}
        items.append({
            "name": rule.name,
            "version": rule.version,
            "about": rule.about,
            "excluded": counts.get(rule.name, 0),
            "last_run": last,
            "stale": run is not None and run.version != rule.version,
        })  # fmt: skip
    emit_list(items, _RULE_COLUMNS)


def _last_run(item: Item) -> str:
    run = item["last_run"]
    if run is None:
        return "never"
    when = f"{run['ran_at'][:16]}: {run['excluded']:,} of {run['looked']:,}"
    return when + (f" (by version {run['version']}: run it again)" if item["stale"] else "")


_RULE_COLUMNS = (
    Column("rule", "name"),
    Column("version", lambda item: str(item["version"]), right=True),
    Column("last run", _last_run),
    Column("what", "about"),
)


@verbs.command("keep")
def problems_keep(ids: IdsArgument, note: NoteOption = "") -> None:
    """Keep problems whatever the rules find. The ruling is signed with $O1LAB_ANNOTATOR, or with your login name.

    Example: o1lab problems keep 3f9c --note "the drawing adds nothing"
    """
    _rule_on(ids, "keep", note)


@verbs.command("exclude")
def problems_exclude(ids: IdsArgument, note: NoteOption = "") -> None:
    """Exclude problems by hand.

    Example: o1lab problems exclude 3f9c 77a0 --note "the gold answer is wrong"
    """
    _rule_on(ids, "exclude", note)


@verbs.command("leave")
def problems_leave(ids: IdsArgument, note: NoteOption = "") -> None:
    """Remove rulings made by hand, so that the rules decide again.

    Example: o1lab problems leave 3f9c
    """
    _rule_on(ids, "none", note)


def _rule_on(ids: list[str], ruling: Any, note: str) -> None:
    from store import exclusions, problems

    with opened() as store:
        chosen = [problems.resolve(store.db, identity).id for identity in ids]
        exclusions.rule_on(store.db, chosen, ruling, annotator=annotator(), note=note)
        now = problems.several(store.db, chosen)
    items = [{"id": one.id, "ruling": ruling, "excluded_by": one.excluded_by} for one in now]
    lines = [f"{one.id}  {_state(one)}" for one in now]
    emit({"items": items, "total": len(items)}, text=lines)


_COLUMNS = (
    Column("id", "id"),
    Column("answer", lambda item: one_line(item["answer"] or "-", 16)),
    Column("statement", lambda item: one_line(item["statement"], 60)),
    Column("excluded by", lambda item: item["excluded_by"] or "", optional=True),
)


def _item(problem: Problem) -> dict[str, Any]:
    return json_of(problem, "id", "statement", "answer", "source", "licence", "excluded_by")


def _state(problem: Problem) -> str:
    return f"excluded by {problem.excluded_by}" if problem.excluded_by else "kept"


def _finding(db: Database, exclusion: Exclusion) -> dict[str, Any]:
    """Return a rule's finding as JSON, with the problem that it names as twin."""
    from store import problems

    twin = problems.get(db, exclusion.twin) if exclusion.twin else None
    named = twin and json_of(twin, "id", "source", "key", "statement")
    return json_of(exclusion, "rule", "version", "reason") | {"twin": named}


def _twin(finding: dict[str, Any]) -> str:
    twin = finding["twin"]
    return f"\n    {twin['id']}  {one_line(twin['statement'], 100)}" if twin else ""
