"""The commands ``tti``, which scores works and the lab itself by a transparency index, and ``methods``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, Item, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened, print_json, wants_json
from o1lab.cli.base.sheets import TableFile, TableFormat, chosen_format, emit_table, print_styled, terminal_width
from o1lab.errors import NotFoundError, UsageError
from o1lab.paths import annotator

if TYPE_CHECKING:
    from o1lab.transparency.framework import Framework
    from o1lab.transparency.scores import ScoredWork
    from o1lab.transparency.self_score import LabScore
    from store import Store


verbs = Verbs()
_MARKS = {"yes": "✓", "not_used": "✓ not used", "no": "✗", "person": "? a person must judge", None: "·"}


@verbs.command("tti")
def tti(
    work: Annotated[str | None, typer.Argument(metavar="WORK", help="A work that you score.")] = None,
    of_lab: Annotated[bool, typer.Option("--self", help="Score this lab by what it has recorded.")] = False,
    run: Annotated[
        str | None,
        typer.Option(
            help="With --self: the training run [default: the latest finished].", autocompletion=completing("run")
        ),
    ] = None,
    item: Annotated[str | None, typer.Option(metavar="ID", help="Answer this item.")] = None,
    answer: Annotated[
        str | None, typer.Option(help="yes, no, not_used (stated openly; earns the points), or withdrawn.")
    ] = None,
    evidence: Annotated[str, typer.Option(help="A link, a file or a quotation; needed for yes and not_used.")] = "",
    note: Annotated[str, typer.Option(help="A note on the answer.")] = "",
    scorer: Annotated[
        str | None, typer.Option(help="Who answers [default: $O1LAB_ANNOTATOR, or the login name].")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="List every answer to the work, including earlier ones.")
    ] = False,
    framework: Annotated[str, typer.Option(help="The index, a file of LAB/tti or a built-in one.")] = "o1-journey-2",
    form: TableFormat = None,
    out: TableFile = None,
) -> None:
    """Score works by the Technical Transparency Index of the paper: 25 items, 100 points.

    Without WORK, print the leaderboard: the published totals of seven works, and the works scored in this lab.
    With WORK, list its items; with --item and --answer, answer one. With several scorers, the majority counts, and
    their agreement (Krippendorff's alpha) is shown. With --self, the lab scores itself by checks of its records;
    items that only a person can judge are answered with --self --item ID --answer A.

    Example: o1lab tti

    Example: o1lab tti "My replication" --item data.sources --answer yes --evidence https://example.org/data

    Example: o1lab tti --self

    Example: o1lab tti --out leaderboard.tex
    """
    from o1lab.transparency.framework import find_framework
    from o1lab.transparency.scores import SELF

    if of_lab and work is not None:
        raise UsageError("WORK and --self exclude each other.", "Leave one out.")
    if run is not None and not of_lab:
        raise UsageError("--run needs --self.", "o1lab tti --self --run RUN")
    if (item is None) != (answer is None):
        raise UsageError("--item and --answer go together.", "o1lab tti WORK --item ID --answer yes --evidence TEXT")
    if (item or history) and work is None and not of_lab:
        raise UsageError("No work is named.", "o1lab tti WORK ..., or --self for this lab.")
    index = find_framework(current_lab(), framework)
    named = SELF if of_lab else work
    with opened() as store:
        if item is not None and answer is not None and named is not None:
            _answer(store, index, named, item, answer, evidence=evidence, note=note, scorer=scorer)
        elif history and named is not None:
            _history(store, index, named)
        elif of_lab:
            from o1lab.transparency.self_score import score_lab

            found = score_lab(current_lab(), store, index, run)
            emit(found.as_json(), text=_self_lines(found))
        elif work is not None:
            _show_work(store, index, work)
        else:
            _leaderboard(store, index, form, out)


def _answer(
    store: Store, index: Framework, work: str, item: str, answer: str, *,
    evidence: str, note: str, scorer: str | None,
) -> None:  # fmt: skip
    from o1lab.transparency.scores import SELF, check_answer, score
    from store import transparency as log

    wanted = index.item(item)
    if answer != log.WITHDRAWN:
        check_answer(wanted, answer, evidence)
    before = {(one.item, one.scorer): one for one in log.current(store.db, index.name, work)}
    by, cited = scorer or annotator(), evidence.strip()
    made = log.add(store.db, index.name, work, wanted.id, answer, scorer=by, evidence=cited, note=note)
    replaced = before.get((made.item, made.scorer))
    scored = score(index, work, log.current(store.db, index.name, work))
    total = "score the lab again: o1lab tti --self" if work == SELF else f"total {scored.total} of {index.total}"
    text = f"{work}: {wanted.id} {answer} by {made.scorer}; {total}."
    if replaced is not None:
        text += f" The answer '{replaced.answer}' of {replaced.created_at[:10]} is replaced; --history lists it."
    emit(made._asdict() | {"replaced": replaced and replaced.answer, "total": scored.total}, text=text)


def _history(store: Store, index: Framework, work: str) -> None:
    from store import transparency as log

    columns = (
        Column("at", lambda one: one["created_at"][:16].replace("T", " ")),
        Column("item", "item"), Column("answer", "answer"), Column("scorer", "scorer"), Column("evidence", "evidence"),
    )  # fmt: skip
    items = [one._asdict() for one in log.history(store.db, index.name, work)]
    emit_list(items, columns, empty=f"{work} has no scores.")


def _show_work(store: Store, index: Framework, work: str) -> None:
    from o1lab.transparency.scores import agreement, all_works

    named = [one for one in all_works(index, _current(store, index)) if one.name == work]
    if not named:
        raise NotFoundError(
            f"No work is called '{work}'.", f'Score one: o1lab tti "{work}" --item {index.items[0].id} --answer no'
        )
    own = next((one for one in named if not one.published), None)
    found = agreement(own) if own is not None else None
    more: dict[str, Any] = {"works": [one.as_json() for one in named]}
    more["agreement"] = None if found is None else {"alpha": found.value, "units": found.units, "raters": found.raters}
    notes = [_total_line(index, one) for one in named]
    if found is not None:
        value = "undefined" if found.value is None else f"{found.value:.3f}"
        notes.append(f"agreement of {found.raters} scorers: Krippendorff's alpha {value} on {found.units} items")
    items = [] if own is None else [_item_json(one) for one in own.items]
    emit_list(items, _ITEM_COLUMNS, more=more, notes=notes)


def _item_json(one: Any) -> dict[str, Any]:
    return {
        "id": one.item.id, "title": one.item.title, "points": one.item.points, "answer": one.answer,
        "disputed": one.is_disputed, "answers": [answer._asdict() for answer in one.answers],
    }  # fmt: skip


def _answers_text(item: Item) -> str:
    return "; ".join(f"{one['scorer']}: {one['answer']} {one['evidence']}".strip() for one in item["answers"])


_ITEM_COLUMNS = (
    Column("item", "id"),
    Column("points", "points", right=True),
    Column("answer", lambda item: _MARKS[item["answer"]] + (" (disputed)" if item["disputed"] else "")),
    Column("scorers", _answers_text),
)


def _total_line(index: Framework, work: ScoredWork) -> str:
    parts = ", ".join(f"{one.title} {work.scores[one.id]}/{one.points}" for one in index.dimensions)
    return f"{work.name}{' (published)' if work.published else ''}: {work.total} of {index.total}; {parts}"


def _leaderboard(store: Store, index: Framework, form: str | None, out: Any) -> None:
    from o1lab.transparency.leaderboard import bars, leaderboard
    from o1lab.transparency.scores import all_works
    from store import transparency as log

    works = all_works(index, _current(store, index), log.self_scores(store.db, index.name))
    wanted = chosen_format(form, out)
    if wants_json() and out is None:
        print_json({"framework": index.name, "works": [one.as_json() for one in works]})
        return
    emit_table(leaderboard(index, works), wanted, out)
    if out is None and wanted == "terminal":
        print_styled(bars(index, works, terminal_width()))


def _current(store: Store, index: Framework) -> list[Any]:
    from store import transparency as log

    return log.current(store.db, index.name)


def _self_lines(found: LabScore) -> list[str]:
    lines = [f"Run {found.run_id}: {found.total} of {found.framework.total} points ({found.framework.title})"]
    judged = {one.item.id: one for one in found.items}
    for dimension in found.framework.dimensions:
        lines += ["", f"{dimension.title}  {found.of(dimension.id)}/{dimension.points}"]
        for item in dimension.items:
            finding = judged[item.id].finding
            lines.append(f"  {_MARKS[finding.answer]}  {item.title} ({item.points})")
            lines += [f"      {line}" for line in (*finding.evidence, finding.missing) if line]
            if finding.fix and finding.answer in ("no", "person"):
                lines.append(f"      -> {finding.fix}")
    if found.last is not None:
        changes = [f"  {item}: {before} -> {now}" for item, before, now in found.changes]
        lines += ["", f"Since {found.last[:16].replace('T', ' ')}:", *(changes or ["  no change"])]
    return lines


@verbs.command("methods")
def methods(
    form: TableFormat = None,
    out: TableFile = None,
) -> None:
    """Compare the synthesis methods of this lab: distilled, reformatted, debate, human, tree search, imported.

    For each: chains made and accepted, the cost of an accepted chain, tokens, reflections per 1,000 tokens, and the
    students that were trained on it alone. A figure that is not recorded is listed with the command that records it.

    Example: o1lab methods

    Example: o1lab methods --out methods.tex
    """
    from o1lab.transparency.methods import compare_methods, methods_table

    wanted = chosen_format(form, out)
    with opened() as store:
        found = compare_methods(current_lab(), store)
    if wants_json() and out is None:
        print_json({"items": [one.as_json() for one in found], "total": len(found)})
        return
    emit_table(methods_table(found), wanted, out)
