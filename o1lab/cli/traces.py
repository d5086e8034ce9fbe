"""Verbs of reading and judging traces: traces ls, show, search; annotate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.opening import opened
from o1lab.cli.output import JsonOption, emit, say
from o1lab.text import one_line

if TYPE_CHECKING:
    from store.records import Annotation, TraceRow
    from store.sqlite import Database

traces_app = typer.Typer(help="List, read and search traces.", no_args_is_help=True, rich_markup_mode=None)
TraceArgument = Annotated[str, typer.Argument(metavar="ID", help="The trace's id, or its beginning.")]
_SPAN_PARTS = 3


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    traces_app.command("ls")(traces_ls)
    traces_app.command("show")(traces_show)
    traces_app.command("search")(traces_search)
    app.add_typer(traces_app, name="traces")
    app.command("annotate")(annotate)


def traces_ls(
    ctx: typer.Context,
    verdict: Annotated[str | None, typer.Option(help="correct, incorrect, unverifiable or none.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Part of the model's name.")] = None,
    decision: Annotated[str | None, typer.Option(help="accept, reject, skip or none.")] = None,
    where: Annotated[str, typer.Option(help='The filter of the Traces screen: reflect>=3 source:amc23 "wait".')] = "",
    sort: Annotated[
        str | None, typer.Option(help="added, problem, model, verdict, chars, tokens, …; -chars turns it round.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="After so many.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List traces.

    Example: o1lab traces ls --verdict correct --teacher sky-t1 --sort -chars --limit 20
    """
    from store import traces
    from store.filters import TraceQuery

    named = {"verdict": verdict, "model": teacher, "decision": decision, "sort": sort}
    query = TraceQuery.parse(" ".join([*(f'{key}:"{value}"' for key, value in named.items() if value), where]))
    with opened(ctx) as store:
        found = traces.page(store.db, query, limit=limit, offset=offset)
        total = traces.count(store.db, query)
    lines = [_line(row) for row in found]
    emit(
        {"items": [_item(row) for row in found], "total": total},
        as_json=as_json,
        text="\n".join([*lines, f"{len(found)} of {total:,}"]),
    )


def _item(row: TraceRow) -> dict[str, Any]:
    names = ("id", "problem_id", "model", "source", "verdict", "complete", "looping", "chars", "tokens", "moves")
    return {name: getattr(row, name) for name in (*names, "decision")}


def _line(row: TraceRow) -> str:
    from o1lab.chains.moves import MoveKind

    mark = {"correct": "✓", "incorrect": "✗", "unverifiable": "?"}.get(row.verdict or "", "·")
    decision = {"accept": "A", "reject": "R", "skip": "S"}.get(row.decision or "", "·")
    moves = " ".join(f"{kind.letter}{row.moves.get(kind, 0)}" for kind in MoveKind) if row.moves else "not measured"
    state = "loop" if row.looping else "" if row.complete else "cut"
    return (
        f"{row.id} {mark} {decision} {one_line(row.model, 24):<24} {one_line(row.source, 16):<16} "
        f"{row.chars:>9,} {state:<4} {moves}"
    )


def traces_show(
    ctx: typer.Context,
    identity: TraceArgument,
    raw: Annotated[bool, typer.Option("--raw", help="Print the response's exact bytes and nothing else.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one trace: its problem, thought in moves, solution, annotations, provenance.

    Example: o1lab traces show 3f9c --raw > chain.txt
    """
    from o1lab.ingest.measuring import moves_of
    from store import annotations as annotation_log
    from store import traces
    from store.records import encode

    with opened(ctx) as store:
        row = traces.get(store.db, identity)
        text = traces.text(store.db, row.id)
        records = annotation_log.of_trace(store.db, row.id)
    if raw:
        sys.stdout.buffer.write(encode(text.raw))
        sys.stdout.buffer.flush()
        return
    segments = moves_of(text) if text.thought else []
    data = _item(row) | {
        "statement": text.statement,
        "gold": text.gold,
        "raw": text.raw,
        "thought": text.thought,
        "solution": text.solution,
        "answer": row.answer,
        "verdict_reason": row.verdict_reason,
        "rating": row.rating,
        "segments": [{"kind": str(move.kind), "start": move.start, "end": move.end} for move in segments],
        "annotations": [_said(record) for record in records],
        "provenance": {
            "source": row.source,
            "key": row.key,
            "licence": row.licence,
            "teacher": row.model,
            "synthesis": row.synthesis,
            "format": row.format,
            "parent_id": row.parent_id,
            "imported_at": row.created_at,
            "meta": text.meta,
        },
    }
    shown = [
        f"{row.id}  {row.model}  {row.source}  licence {row.licence or 'unknown'}  {row.synthesis}",
        f"gold {text.gold or '-'}  answer {row.answer or '-'}  {row.verdict or 'not verified'}: "
        f"{row.verdict_reason or '-'}",
        f"\n{text.statement}\n",
        *(f"{move.kind.letter}  {text.thought[move.start : move.end].strip()}" for move in segments),
        f"\n{text.solution}",
        *(f"\n{record.annotator} {record.created_at}: {record.kind} {record.value}" for record in records),
    ]
    emit(data, as_json=as_json, text="\n".join(shown))


def traces_search(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help='Words; "words in a row"; -without.')],
    limit: Annotated[int, typer.Option(min=1, help="At most so many traces.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="After so many.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Search statements, thoughts and solutions, the best first.

    Example: o1lab traces search '"double check" carry -loop'
    """
    from store import search

    with opened(ctx) as store:
        found, total = search.hits(store.db, query, limit=limit, offset=offset)
    items = [{"id": hit.trace_id, "field": hit.field, "snippet": hit.snippet} for hit in found]
    lines = [f"{hit.trace_id}  {hit.field:<9}  {one_line(hit.snippet, 100)}" for hit in found]
    emit({"items": items, "total": total}, as_json=as_json, text="\n".join([*lines, f"{total:,} traces"]))


def annotate(
    ctx: typer.Context,
    identity: TraceArgument,
    accept: Annotated[bool, typer.Option("--accept", help="Fit for training.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Not fit.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Undecided.")] = False,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="1 (poor) to 5.")] = None,
    tag: Annotated[str | None, typer.Option(help="Add a tag.")] = None,
    untag: Annotated[str | None, typer.Option(help="Take a tag away.")] = None,
    note: Annotated[str | None, typer.Option(help="A note in your words.")] = None,
    span: Annotated[
        str | None,
        typer.Option(
            metavar="A:B:LABEL", help="Label code points A to B of the thought, of the answer where there is none."
        ),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back your last annotation of this trace.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Annotate a trace. Who: $O1LAB_ANNOTATOR, else your login. It is on the disk when this returns.

    Examples: o1lab annotate 3f9c --accept; o1lab annotate 3f9c --span 120:240:"wrong turn"; o1lab annotate 3f9c --undo
    """
    from o1lab.errors import UsageError
    from o1lab.paths import annotator
    from store import annotations as annotation_log
    from store import traces

    decision = [name for name, given in (("accept", accept), ("reject", reject), ("skip", skip)) if given]
    given = {"decision": decision[0] if len(decision) == 1 else None, "rating": rating, "tag": tag, "untag": untag}
    wanted = [(kind, str(value)) for kind, value in (given | {"note": note, "span": span}).items() if value is not None]
    if len(decision) > 1 or len(wanted) + undo != 1:
        raise UsageError(
            "An annotation says one thing.", "Give one of --accept, --reject, --skip, --rating, --tag, --untag, "
            "--note, --span, --undo.",
        )  # fmt: skip
    if any(not value.strip() for _, value in wanted):
        raise UsageError("An annotation cannot be empty.", "Say something, or use --undo.")
    with opened(ctx) as store:
        trace = traces.get(store.db, identity).id
        if undo:
            made = _undone(store.db, trace, annotator())
            taken_back = annotation_log.get(store.db, made.target) if made.target else None
            if taken_back is not None and taken_back.kind == "edit":
                say(f"The edited text stays as trace {taken_back.value}; reject it if it is to stay out.")
        else:
            kind, value = wanted[0]
            bounds = None
            if kind == "span":
                read = traces.text(store.db, trace)
                bounds, value = _span(value, len(read.thought or read.solution))
            made = annotation_log.annotate(store.db, trace, kind, value, annotator=annotator(), span=bounds)
    text = f"{made.trace_id}: {made.kind} {made.value} by {made.annotator}"
    emit({"trace_id": made.trace_id} | _said(made), as_json=as_json, text=text)


def _undone(db: Database, trace: str, annotator: str) -> Annotation:
    from o1lab.errors import NotFoundError
    from store import annotations as annotation_log

    made = annotation_log.undo(db, annotator=annotator, trace_id=trace)
    if made is None:
        raise NotFoundError(f"{annotator} has said nothing of trace {trace} that could be taken back.")
    return made


def _span(text: str, length: int) -> tuple[tuple[int, int], str]:
    from o1lab.errors import UsageError

    parts = text.split(":", _SPAN_PARTS - 1)
    if len(parts) < _SPAN_PARTS or not (parts[0].isdecimal() and parts[1].isdecimal() and parts[2].strip()):
        raise UsageError(f"'{text}' is no span.", "Write it as A:B:LABEL, for example 120:240:slip.")
    start, end = int(parts[0]), int(parts[1])
    if not 0 <= start < end <= length:
        raise UsageError(f"The span {start}:{end} is not inside the text, which has {length} code points.")
    return (start, end), parts[2]


def _said(record: Annotation) -> dict[str, Any]:
    data: dict[str, Any] = {
        "annotation_id": record.id,
        "kind": record.kind,
        "value": record.value,
        "annotator": record.annotator,
        "created_at": record.created_at,
    }
    return data | ({"span": list(record.span)} if record.span else {})
