"""The commands ``traces ls``, ``traces show``, ``traces search`` and ``annotate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.listing import Column, FormatOption, Item, emit_list
from o1lab.cli.output import JsonOption, emit, opened, say, write_raw
from o1lab.text import one_line

if TYPE_CHECKING:
    from store.records import Annotation, TraceRow
    from store.sqlite import Database

traces_app = typer.Typer(help="List, read and search traces.", no_args_is_help=True, rich_markup_mode=None)
TraceArgument = Annotated[str, typer.Argument(metavar="ID", help="Trace id, or the start of it.")]
_SPAN_PARTS = 3


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    traces_app.command("ls")(traces_ls)
    traces_app.command("show")(traces_show)
    traces_app.command("search")(traces_search)
    app.add_typer(traces_app, name="traces")
    app.command("annotate")(annotate)


def traces_ls(
    ctx: typer.Context,
    verdict: Annotated[str | None, typer.Option(help="correct, incorrect, unverifiable or none.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Part of the model name.")] = None,
    decision: Annotated[str | None, typer.Option(help="accept, reject, skip or none.")] = None,
    where: Annotated[str, typer.Option(help='Filter as on the Traces screen: reflect>=3 source:amc23 "wait".')] = "",
    sort: Annotated[
        str | None, typer.Option(help="added, problem, model, verdict, chars, tokens, …; -chars reverses the order.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of traces to list.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Number of traces to skip.")] = 0,
    form: FormatOption = None,
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
    emit_list([_item(row) for row in found], _COLUMNS, form=form, as_json=as_json, total=total)


def _item(row: TraceRow) -> dict[str, Any]:
    names = ("id", "problem_id", "model", "source", "verdict", "complete", "looping", "chars", "tokens", "moves")
    return {name: getattr(row, name) for name in (*names, "decision")}


def _moves(item: Item) -> str:
    from o1lab.chains.moves import MoveKind

    moves = item["moves"]
    return " ".join(f"{kind.letter}{moves.get(kind, 0)}" for kind in MoveKind) if moves else "not measured"


_COLUMNS = (
    Column("id", "id"),
    Column("", lambda item: {"correct": "✓", "incorrect": "✗", "unverifiable": "?"}.get(item["verdict"], "·")),
    Column("decision", lambda item: item["decision"] or "·"),
    Column("model", lambda item: one_line(item["model"], 24)),
    Column("source", lambda item: one_line(item["source"], 16)),
    Column("chars", "chars", right=True),
    Column("state", lambda item: "loop" if item["looping"] else "" if item["complete"] else "cut", optional=True),
    Column("moves", _moves),
)


def traces_show(
    ctx: typer.Context,
    identity: TraceArgument,
    raw: Annotated[bool, typer.Option("--raw", help="Print only the exact bytes of the response.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one trace: problem, thought split into moves, solution, annotations, provenance.

    Example: o1lab traces show 3f9c --raw > chain.txt
    """
    from o1lab.ingest.measuring import moves_of
    from store import annotations as annotation_log
    from store import traces

    with opened(ctx) as store:
        row = traces.get(store.db, identity)
        text = traces.text(store.db, row.id)
        records = annotation_log.of_trace(store.db, row.id)
    if raw:
        write_raw(text.raw)
        return
    segments = moves_of(text) if text.thought else []
    data = _item(row) | {
        "statement": text.statement,
        "context": list(text.context),
        "gold": text.gold,
        "raw": text.raw,
        "thought": text.thought,
        "solution": text.solution,
        "outside": [text.raw[slice(*span)] for span in text.outside],
        "answer": row.answer,
        "verdict_reason": row.verdict_reason,
        "rating": row.rating,
        "segments": [{"kind": str(move.kind), "start": move.start, "end": move.end} for move in segments],
        "annotations": [_annotation_item(record) for record in records],
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
        f"\n{text.asked}\n",
        *(f"{move.kind.letter}  {text.thought[move.start : move.end].strip()}" for move in segments),
        f"\n{text.solution}",
        *(f"\nOutside the think marks, part of the solution: {one_line(part, 200)}" for part in data["outside"]),
        *(f"\n{record.annotator} {record.created_at}: {record.kind} {record.value}" for record in records),
    ]
    emit(data, as_json=as_json, text="\n".join(shown))


def traces_search(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help='Words; "an exact phrase"; -excluded.')],
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of traces to list.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Number of traces to skip.")] = 0,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search statements, thoughts and solutions; the best matches come first.

    Example: o1lab traces search '"double check" carry -loop'
    """
    from store import search

    with opened(ctx) as store:
        found, total = search.hits(store.db, query, limit=limit, offset=offset)
    items = [{"id": hit.trace_id, "field": hit.field, "snippet": hit.snippet} for hit in found]
    columns = (Column("id", "id"), Column("field", "field"), Column("text", lambda hit: one_line(hit["snippet"], 100)))
    emit_list(items, columns, form=form, as_json=as_json, total=total)


def annotate(
    ctx: typer.Context,
    identity: TraceArgument,
    accept: Annotated[bool, typer.Option("--accept", help="Accept for training.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Reject for training.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Leave undecided.")] = False,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="1 (poor) to 5.")] = None,
    tag: Annotated[str | None, typer.Option(help="Add a tag.")] = None,
    untag: Annotated[str | None, typer.Option(help="Remove a tag.")] = None,
    note: Annotated[str | None, typer.Option(help="Add a note.")] = None,
    span: Annotated[
        str | None,
        typer.Option(
            metavar="A:B:LABEL", help="Label code points A to B of the thought (of the answer if there is no thought)."
        ),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Undo your last annotation of this trace.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Annotate a trace as $O1LAB_ANNOTATOR, or as your login name. The annotation is saved when the command returns.

    Examples: o1lab annotate 3f9c --accept; o1lab annotate 3f9c --span 120:240:"wrong turn"; o1lab annotate 3f9c --undo
    """
    from o1lab.errors import NotFoundError, UsageError
    from o1lab.paths import annotator
    from store import annotations as annotation_log
    from store import traces

    decision = [name for name, given in (("accept", accept), ("reject", reject), ("skip", skip)) if given]
    given = {"decision": decision[0] if len(decision) == 1 else None, "rating": rating, "tag": tag, "untag": untag}
    wanted = [(kind, str(value)) for kind, value in (given | {"note": note, "span": span}).items() if value is not None]
    if len(decision) > 1 or len(wanted) + undo != 1:
        raise UsageError(
            "An annotation needs exactly one option.", "Give one of --accept, --reject, --skip, --rating, --tag, "
            "--untag, --note, --span, --undo.",
        )  # fmt: skip
    if any(not value.strip() for _, value in wanted):
        raise UsageError("An annotation cannot be empty.", "Give a value, or use --undo.")
    with opened(ctx) as store:
        trace = traces.get(store.db, identity).id
        if undo:
            record = _undo(store.db, trace, annotator())
            undone = annotation_log.get(store.db, record.target) if record.target else None
            if undone is not None and undone.kind == "edit":
                say(f"The edited text stays as trace {undone.value}; reject it to leave it out of datasets.")
        else:
            kind, value = wanted[0]
            bounds = None
            if kind == "untag" and value not in (tags := annotation_log.tags_of(store.db, trace)):
                raise NotFoundError(f"The trace has no tag '{value}'.", f"Its tags: {', '.join(tags) or 'none'}.")
            if kind == "span":
                texts = traces.text(store.db, trace)
                bounds, value = _span(value, len(texts.thought or texts.solution))
            record = annotation_log.annotate(store.db, trace, kind, value, annotator=annotator(), span=bounds)
    text = f"{record.trace_id}: {record.kind} {record.value} by {record.annotator}"
    emit({"trace_id": record.trace_id} | _annotation_item(record), as_json=as_json, text=text)


def _undo(db: Database, trace: str, annotator: str) -> Annotation:
    from o1lab.errors import NotFoundError
    from store import annotations as annotation_log

    record = annotation_log.undo(db, annotator=annotator, trace_id=trace)
    if record is None:
        raise NotFoundError(f"{annotator} has no annotation of trace {trace} to undo.")
    return record


def _span(text: str, length: int) -> tuple[tuple[int, int], str]:
    from o1lab.errors import UsageError

    parts = text.split(":", _SPAN_PARTS - 1)
    if len(parts) < _SPAN_PARTS or not (parts[0].isdecimal() and parts[1].isdecimal() and parts[2].strip()):
        raise UsageError(f"'{text}' is not a valid span.", "Write it as A:B:LABEL, for example 120:240:slip.")
    start, end = int(parts[0]), int(parts[1])
    if not 0 <= start < end <= length:
        raise UsageError(f"The span {start}:{end} is not inside the text, which has {length} code points.")
    return (start, end), parts[2]


def _annotation_item(record: Annotation) -> dict[str, Any]:
    data: dict[str, Any] = {
        "annotation_id": record.id,
        "kind": record.kind,
        "value": record.value,
        "annotator": record.annotator,
        "created_at": record.created_at,
    }
    return data | ({"span": list(record.span)} if record.span else {})
