"""The commands ``traces ...`` and ``annotate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli import annotators, labels, steps
from o1lab.cli.base.asking import TraceArgument
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, Item, emit_list
from o1lab.cli.base.output import emit, opened, say, write_raw
from o1lab.cli.base.pager import Line, emit_paged
from o1lab.cli.filters import read_filter
from o1lab.errors import NotFoundError, UsageError
from o1lab.paths import annotator
from o1lab.text import json_of, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.records import Annotation, TraceRow
    from store.sqlite import Database
    from store.suitability import Suitability
    from store.trees import NewWalk

verbs = Verbs()
trace_verbs = Verbs("traces", help="List, read and search traces.")
trace_verbs.add_typer(steps.verbs)
verbs.add_typer(trace_verbs)
verbs.add_typer(annotators.verbs)
verbs.add_typer(labels.verbs)
_SPAN_PARTS = 3


@trace_verbs.command("ls", lists=True)
def traces_ls(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILTER", help='As on the Traces screen: reflect>=3 "wait".', show_default=False),
    ] = None,
    verdict: Annotated[str | None, typer.Option(help="correct, incorrect, unverifiable or none.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Part of the model name.")] = None,
    decision: Annotated[str | None, typer.Option(help="accept, reject, skip or none.")] = None,
    where: Annotated[str, typer.Option(help="The same as FILTER, as one option.")] = "",
    sort: Annotated[
        str | None, typer.Option(help="added, problem, model, verdict, chars, tokens, …; -chars reverses the order.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of traces to list.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Number of traces to skip.")] = 0,
) -> None:
    """List traces.

    Examples: o1lab traces ls 'verdict:correct reflect>=3 wait'; o1lab traces ls --teacher sky-t1 --sort -chars
    """
    from store import filter_values, suitability, traces
    from store.filters import TraceQuery

    named = {"verdict": verdict, "model": teacher, "decision": decision, "sort": sort}
    options = [f'{key}:"{value}"' for key, value in named.items() if value]
    query = read_filter(TraceQuery, " ".join([*options, *(words or []), where]))
    with opened() as store:
        found = traces.page(store.db, query, limit=limit, offset=offset)
        total = traces.count(store.db, query)
        fits = suitability.of_chosen(store.db, [row.id for row in found])
        if not total and (unknown := filter_values.unknown(store.db, query)):
            say(unknown)
    emit_list([_item(row, fits) for row in found], _COLUMNS, total=total)


def _item(row: TraceRow, fits: Mapping[str, Suitability]) -> dict[str, Any]:
    names = ("id", "problem_id", "model", "source", "verdict", "complete", "looping", "chars", "tokens", "moves")
    fit = fits.get(row.id)
    shown = {name: getattr(row, name) for name in (*names, "decision", "disputed")}
    return shown | {"suitability": None if fit is None else fit.as_json()}


def _moves(item: Item) -> str:
    from o1lab.chains.segmentation.moves import MoveKind

    moves = item["moves"]
    return " ".join(f"{kind.letter}{moves.get(kind, 0)}" for kind in MoveKind) if moves else "not measured"


def _figure(item: Item, name: str) -> str:
    value = (item["suitability"] or {}).get(name)
    return "" if value is None else f"{value:.2f}"


_COLUMNS = (
    Column("id", "id"),
    Column("", lambda item: {"correct": "✓", "incorrect": "✗", "unverifiable": "?"}.get(item["verdict"], "·")),
    Column("decision", lambda item: item["decision"] or ("disputed" if item["disputed"] else "·")),
    Column("model", lambda item: one_line(item["model"], 24)),
    Column("source", lambda item: one_line(item["source"], 16)),
    Column("chars", "chars", right=True),
    Column("state", lambda item: "loop" if item["looping"] else "" if item["complete"] else "cut", optional=True),
    Column("moves", _moves),
    Column("nll", lambda item: _figure(item, "nll"), right=True, optional=True),
    Column("local", lambda item: _figure(item, "local_nll"), right=True, optional=True),
    Column("rsr", lambda item: _figure(item, "rsr"), right=True, optional=True),
    Column("pass", lambda item: _figure(item, "pass_rate"), right=True, optional=True),
)


@trace_verbs.command("show")
def traces_show(
    identity: TraceArgument,
    raw: Annotated[bool, typer.Option("--raw", help="Print only the exact bytes of the response.")] = False,
) -> None:
    """Show one trace: problem, thought split into moves, solution, annotations, provenance.

    Example: o1lab traces show 3f9c --raw > chain.txt
    """
    from o1lab.cli.trace_text import shown_move
    from o1lab.ingest.annotation_text import clock, in_full
    from o1lab.ingest.corrections import corrected
    from o1lab.ingest.measuring import moves_of
    from o1lab.ingest.steps import as_item, numbered, sentence
    from store import annotations as annotation_log
    from store import decisions, suitability, traces, trees, wrong_steps
    from store.writers import inside, writers_of

    with opened() as store:
        row = traces.get(store.db, identity)
        text = traces.text(store.db, row.id)
        records = annotation_log.of_trace(store.db, row.id)
        walk = trees.walk_of(store.db, row.id)
        votes = decisions.of_trace(store.db, row.seq)
        student, fits = suitability.chosen(store.db), suitability.of_chosen(store.db, [row.id])
    if raw:
        write_raw(text.raw)
        return
    moves, marked = moves_of(text), text.thought or text.solution
    whole = writers_of(text.meta, len(text.raw))
    writers = list(inside(whole, text.thought_span))
    segments = corrected(moves, records) if text.thought else []
    verdicts = numbered(wrong_steps.latest(records), moves)
    data = _item(row, fits) | json_of(text, "statement", "context", "gold", "raw", "thought", "solution")
    data |= {"outside": [text.raw[slice(*span)] for span in text.outside]}
    data |= json_of(row, "answer", "verdict_reason", "rating") | {
        "decisions": [asdict(vote) for vote in votes],
        "segments": [move.as_item() for move in segments],
        "annotations": [_annotation_item(record) for record in records],
        "wrong_steps": [as_item(verdict) for verdict in verdicts],
        "provenance": json_of(row, "source", "key", "licence", "teacher=model", "synthesis", "format", "parent_id")
        | {"imported_at": row.created_at, "tree": None if walk is None else _tree(walk), "meta": text.meta},
    }
    shown: list[Line] = [
        [(row.id, "bold"), f"  {row.model}  {row.source}  licence {row.licence or 'unknown'}  {row.synthesis}"],
        [f"gold {text.gold or '-'}  answer {row.answer or '-'}  ",
         (row.verdict or "not verified", _VERDICTS.get(row.verdict or "", "")), f": {row.verdict_reason or '-'}"],
        *([fits[row.id].sentence(one_line(student.name, 40))] if student is not None and row.id in fits else []),
        *([f"made from the search tree {walk.tree_id}: o1lab trees show {row.id}"] if walk is not None else []),
        *([f"written in turn by {one_line(', '.join(each.model for each in whole), 200)}"] if whole else []),
        [(f"\n{text.asked}\n", "bold")],
        *(
            line
            for at, move in enumerate(segments, 1)
            for line in shown_move(at, move, text.thought, verdicts, writers)
        ),
        f"\n{text.solution}",
        *(f"\nOutside the think marks, part of the solution: {one_line(part, 200)}" for part in data["outside"]),
        *(f"\n{sentence(verdict)}" for verdict in verdicts if not (verdict.step and segments)),
        *([f"\n{text.meta['left_out']}"] if text.meta.get("left_out") else []),
        *(["\nAnnotations, in local time"] if records else []),
        *(
            f"{clock(one.created_at)}  {one_line(one.annotator, 40)}: {in_full(one, moves, marked)}" for one in records
        ),
    ]  # fmt: skip
    emit_paged(data, shown)


_VERDICTS = {"correct": "green", "incorrect": "red"}


def _tree(walk: NewWalk) -> dict[str, Any]:
    """Return the tree that a trace was made from, and how."""
    return {"id": walk.tree_id} | {name: value for name, value in walk._asdict().items() if name != "tree_id"}


@trace_verbs.command("search", lists=True)
def traces_search(
    query: Annotated[str, typer.Argument(help='Words; "an exact phrase"; -excluded.')],
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of traces to list.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Number of traces to skip.")] = 0,
) -> None:
    """Search statements, thoughts and solutions; the best matches come first.

    Example: o1lab traces search '"double check" carry -loop'
    """
    from store import search

    with opened() as store:
        found, total = search.hits(store.db, query, limit=limit, offset=offset)
    items = [{"id": hit.trace_id, "field": hit.field, "snippet": hit.snippet} for hit in found]
    columns = (Column("id", "id"), Column("field", "field"), Column("text", lambda hit: one_line(hit["snippet"], 100)))
    emit_list(items, columns, total=total)


@verbs.command("annotate")
def annotate(
    identity: TraceArgument,
    accept: Annotated[bool, typer.Option("--accept", help="Accept for training.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject for training.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Leave undecided.")] = False,
    rating: Annotated[int | None, typer.Option(min=0, max=5, help="0 (poor) to 5.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Add a tag; repeatable.")] = None,
    untag: Annotated[list[str] | None, typer.Option(help="Remove a tag; repeatable.")] = None,
    note: Annotated[list[str] | None, typer.Option(help="Add a note; repeatable.")] = None,
    span: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A:B:LABEL",
            help="Label code points A to B of the thought (of the answer if there is no thought); repeatable.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N-M:LABEL",
            help="Give moves N to M, or move N, a label of the lab (`o1lab labels ls`), as one span; repeatable.",
        ),
    ] = None,
    move: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N-M:KIND",
            help="Correct the kind of moves N to M, or of move N: its name or letter; `clear` withdraws your "
            "correction; repeatable.",
        ),
    ] = None,
    wrong_step: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Number of the first wrong move, as `traces show` counts them; `none` if no move is wrong; `clear` "
            "withdraws your verdict. A mistake that the chain itself takes back is not wrong.",
        ),
    ] = None,
    adjudicate: Annotated[
        str | None,
        typer.Option(
            metavar="accept|reject|skip", help="Decide the trace whatever its annotators decided, by the lab's policy."
        ),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Undo your last annotation of this trace.")] = False,
) -> None:
    """Annotate a trace as $O1LAB_ANNOTATOR, or as your login name. Annotations are saved when the command returns.

    Several options make several annotations: all are saved, or none. With --json they are in `annotations`.

    Examples: o1lab annotate 3f9c --accept --rating 4 --tag clear; o1lab annotate 3f9c --span 120:240:"wrong turn";
    o1lab annotate 3f9c --label 4-6:slip --move 7:verify; o1lab annotate 3f9c --wrong-step 4; o1lab annotate 3f9c --undo
    """
    from o1lab.ingest.annotation_text import adjudication_note, clock, what
    from store import annotations as annotation_log
    from store import traces
    from store.decisions import DECISIONS, policy_of

    decisions = [name for name, given in (("accept", accept), ("reject", reject), ("skip", skip)) if given]
    given: dict[str, list[str]] = {
        "decision": decisions, "rating": [] if rating is None else [str(rating)],
        "tag": tag or [], "untag": untag or [], "note": note or [], "span": span or [],
        "label": label or [], "move": move or [],
        "wrong_step": [] if wrong_step is None else [wrong_step],
        "adjudication": [] if adjudicate is None else [adjudicate],
    }  # fmt: skip
    wanted = [(kind, value) for kind, values in given.items() for value in values]
    if len(decisions) > 1:
        raise UsageError("A trace has one decision.", "Give one of --accept, --reject, --skip.")
    if bool(wanted) == undo:
        raise UsageError(
            "--undo goes with no other option." if undo else "There is nothing to annotate.",
            "Give --accept, --reject, --skip, --rating, --tag, --untag, --note, --span, --label, --move, --wrong-step, "
            "--adjudicate, or --undo.",
        )
    if adjudicate is not None and adjudicate not in DECISIONS:
        raise UsageError(f"A trace cannot be adjudicated '{adjudicate}'.", "Give accept, reject or skip.")
    if any(not value.strip() for _, value in wanted):
        raise UsageError("An annotation cannot be empty.", "Give a value, or use --undo.")
    with opened() as store:
        before = traces.get(store.db, identity)
        trace = before.id
        undone: list[Annotation] = []
        if undo:
            records = [_undo(store.db, trace, annotator())]
            undone = annotation_log.targets(store.db, records[0].target or "")
            if undone and undone[0].kind == "edit":
                say(f"The edited text stays as trace {undone[0].value}; reject it to leave it out of datasets.")
        else:
            with store.db.atomic():
                records = [one for each in wanted for one in _annotated(store.db, trace, *each, annotator())]
            if adjudicate is not None and (advice := adjudication_note(policy_of(store.db), before)):
                say(f"The adjudication is saved; {advice}.")
    items = [_annotation_item(record) for record in records]
    data = {"trace_id": trace} | ({"annotations": items} if len(items) > 1 else items[0])
    lines = [f"{record.trace_id}: {what(record)} by {record.annotator}" for record in records]
    if undo:
        data["undone"] = [_annotation_item(record) for record in undone]
        lines = [f"{trace}: undid {what(one)} ({one.annotator}, {clock(one.created_at)})" for one in undone]
    emit(data, text=lines)


def _annotated(db: Database, trace: str, kind: str, value: str, annotator: str) -> list[Annotation]:
    """Add annotations whose value was given on the command line: several if several moves are corrected."""
    from o1lab.ingest.corrections import read_kind, read_moves
    from o1lab.ingest.measuring import moves_of
    from o1lab.ingest.steps import read_step
    from store import annotations as annotation_log
    from store import labels as label_set
    from store import traces

    bounds = None
    if kind == "untag" and value not in (tags := annotation_log.tags_of(db, trace)):
        raise NotFoundError(f"The trace has no tag '{value}'.", f"Its tags: {', '.join(tags) or 'none'}.")
    if kind == "span":
        texts = traces.text(db, trace)
        bounds, value = _span(value, len(texts.thought or texts.solution))
    if kind == "wrong_step":
        value, bounds = read_step(value, moves_of(traces.text(db, trace)))
    if kind == "label":
        moves, name = read_moves(value, moves_of(traces.text(db, trace)))
        kind, value, bounds = "span", label_set.get(db, name).name, (moves[0].start, moves[-1].end)
    if kind == "move":
        moves, word = read_moves(value, moves_of(traces.text(db, trace)))
        spans = [(one.start, one.end) for one in moves]
        return annotation_log.annotate_spans(db, trace, kind, read_kind(word), spans, annotator=annotator)
    return [annotation_log.annotate(db, trace, kind, value, annotator=annotator, span=bounds)]


def _undo(db: Database, trace: str, annotator: str) -> Annotation:
    from store import annotations as annotation_log

    record = annotation_log.undo(db, annotator=annotator, trace_id=trace)
    if record is None:
        raise NotFoundError(f"{annotator} has no annotation of trace {trace} to undo.")
    return record


def _span(text: str, length: int) -> tuple[tuple[int, int], str]:
    parts = text.split(":", _SPAN_PARTS - 1)
    if len(parts) < _SPAN_PARTS or not (parts[0].isdecimal() and parts[1].isdecimal() and parts[2].strip()):
        raise UsageError(f"'{text}' is not a valid span.", "Write it as A:B:LABEL, for example 120:240:slip.")
    start, end = int(parts[0]), int(parts[1])
    if not 0 <= start < end <= length:
        raise UsageError(f"The span {start}:{end} is not inside the text, which has {length} code points.")
    return (start, end), parts[2]


def _annotation_item(record: Annotation) -> dict[str, Any]:
    span = ("span",) if record.span else ()
    return json_of(record, "annotation_id=id", "kind", "value", "annotator", "created_at", *span)
