"""The texts of the Traces screen: rows of the list, the title of a chain, its annotations, the heading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.text import Text

from o1lab.format import short_count
from o1lab.text import one_line, visible
from o1lab.widgets.kinds import letter_of, style_of
from o1lab.widgets.paged_table import Column, Row
from store.annotations import Progress
from store.migrations import MOVE_KINDS
from store.records import Annotation, TraceRow, TraceText

# Marks differ in their sign as well as in their colour.
VERDICTS: Mapping[str | None, tuple[str, str]] = {
    "correct": ("✓", "green"),
    "incorrect": ("✗", "red"),
    "unverifiable": ("?", "yellow"),
    None: ("·", "dim"),
}
DECISIONS: Mapping[str | None, tuple[str, str]] = {
    "accept": ("A", "bold green"),
    "reject": ("R", "bold red"),
    "skip": ("S", "yellow"),
    None: ("·", "dim"),
}
PAST_TENSE = {"accept": "accepted", "reject": "rejected", "skip": "skipped"}

COLUMNS = (
    Column("verdict", "✓", 1),
    Column("decision", "D", 1),
    Column("problem", "problem", 10, flex=1),
    Column("length", "length", 6, priority=1, justify="right"),
    Column("state", "", 4, priority=4),
    Column("model", "teacher", 10, flex=2, priority=2),
    Column("moves", "moves", 19, flex=2, priority=3),
)


def verdict_mark(verdict: str | None) -> Text:
    sign, style = VERDICTS.get(verdict, VERDICTS[None])
    return Text(sign, style)


def decision_mark(decision: str | None) -> Text:
    sign, style = DECISIONS.get(decision, DECISIONS[None])
    return Text(sign, style)


def table_row(row: TraceRow) -> Row:
    """Return the row of a trace in the list."""
    cells: dict[str, str | Text] = {
        "verdict": verdict_mark(row.verdict),
        "decision": decision_mark(row.decision),
        "problem": problem_name(row),
        "model": row.model,
        "length": short_count(row.chars),
        "state": Text(state(row), "yellow"),
        "moves": moves(row.moves),
    }
    return Row(row.id, cells, row)


def problem_name(row: TraceRow) -> str:
    """Return the key of the problem in its source, or the beginning of its id.

    The keys of traces often begin with the model's name, which has its own column.
    """
    name = row.key.removeprefix(row.model).lstrip("_-:/ ") or row.key
    return one_line(name, 60) or row.problem_id[:8]


def state(row: TraceRow) -> str:
    """Return "loop" or "cut" for a response that does not end properly, else an empty string."""
    if row.looping:
        return "loop"
    return "" if row.complete else "cut"


def moves(counts: Mapping[str, int] | None) -> Text:
    """Format the numbers of moves by letter; kinds that do not occur are left out."""
    text = Text(no_wrap=True)
    if counts is None:
        return text.append("not measured", "dim")
    for kind in MOVE_KINDS:
        if number := counts.get(kind, 0):
            text.append(" " if text else "").append(letter_of(kind), style_of(kind)).append(str(number))
    return text


def folded(row: TraceRow, index: int, total: int) -> Text:
    """Return the line that replaces the list on a narrow terminal: the position, and the chain."""
    return Text.assemble(
        (f"{index + 1:,}/{total:,}" if index >= 0 else f"-/{total:,}", "bold"),
        "  ",
        verdict_mark(row.verdict),
        " ",
        decision_mark(row.decision),
        f" {problem_name(row)}  {one_line(row.model, 28)}  {short_count(row.chars)}",
        (f" {state(row)}" if state(row) else "", "yellow"),
        "  ",
        moves(row.moves),
        no_wrap=True,
        overflow="ellipsis",
    )


def title(row: TraceRow, text: TraceText) -> Text:
    """Return the title of a chain: problem, gold answer, answer and verdict."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(problem_name(row), "bold")
    gold = one_line(text.gold, 40) if text.gold is not None else "none known"
    answer = one_line(row.answer, 40) if row.answer is not None else "none"
    line.append("  gold ", "dim").append(gold).append(" · answer ", "dim").append(answer).append(" ")
    line.append_text(verdict_mark(row.verdict))
    line.append(f" {row.verdict or 'not verified'}", VERDICTS.get(row.verdict, VERDICTS[None])[1])
    return line


def origin(row: TraceRow) -> Text:
    """Return a line on the origin of a chain: model, length, synthesis, source and ids."""
    parts = [one_line(row.model, 40), f"{short_count(row.chars)} chars"]
    if row.tokens is not None:
        parts.append(f"{row.tokens:,} tok")
    if state(row):
        parts.append({"loop": "looping", "cut": "cut off"}[state(row)])
    parts += [row.synthesis, one_line(row.source, 30)]
    if row.parent_id:
        parts.append(f"edited from {row.parent_id[:8]}")
    parts.append(row.id[:8])
    return Text(" · ".join(parts), "dim", no_wrap=True, overflow="ellipsis")


def clock(created_at: str) -> str:
    """Format a time stamp in local time, without the date if it is today."""
    then = datetime.fromisoformat(created_at).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return f"{then:%H:%M:%S}" if then.date() == today else f"{then:%Y-%m-%d %H:%M}"


def remarks(records: Sequence[Annotation]) -> Text:
    """Return the annotations of a trace in one line: decision, rating, tags, spans, note."""
    line = Text(no_wrap=True, overflow="ellipsis")
    last = {record.kind: record for record in records}
    if decision := last.get("decision"):
        style = DECISIONS.get(decision.value, DECISIONS[None])[1]
        line.append(PAST_TENSE.get(decision.value, visible(decision.value)), style)
        line.append(f" by {one_line(decision.annotator, 20)} {clock(decision.created_at)}", "dim")
    else:
        line.append("to do", "bold")
    if rating := last.get("rating"):
        line.append(f" · rated {rating.value}/5")
    tags: dict[str, None] = {}
    for record in records:
        if record.kind == "tag":
            tags[record.value] = None
        elif record.kind == "untag":
            tags.pop(record.value, None)
    for tag in tags:
        line.append(" ").append(f"#{one_line(tag, 24)}", "cyan")
    if spans := [record for record in records if record.kind == "span"]:
        labels = ", ".join(dict.fromkeys(one_line(record.value, 20) for record in spans))
        line.append(f" · {len(spans)} span{'s' if len(spans) > 1 else ''}: {labels}")
    if note := last.get("note"):
        line.append(f" · “{one_line(note.value, 120)}”", "italic")
    if edits := [record for record in records if record.kind == "edit"]:
        line.append(f" · edited into {edits[-1].value[:8]}", "dim")
    return line


def confirmation(record: Annotation, row: TraceRow | None, done: str = "saved") -> Text:
    """Return the message that an annotation is saved or undone, with annotator and time."""
    of = f"{problem_name(row)} {one_line(row.model, 24)}" if row else record.trace_id[:8]
    return Text.assemble(
        (f"{done} ", "green"),
        f"{clock(record.created_at)} {one_line(record.annotator, 20)}: {what(record)} · {of}",
        no_wrap=True,
        overflow="ellipsis",
    )


def what(record: Annotation) -> str:
    """Describe an annotation in a few words."""
    value = one_line(record.value, 40)
    if record.kind == "decision":
        return PAST_TENSE.get(record.value, value)
    if record.kind == "span" and record.span:
        return f"span {record.span[0]}-{record.span[1]} {value}"
    return {
        "rating": f"rated {value}",
        "tag": f"tagged #{value}",
        "untag": f"untagged #{value}",
        "note": f"noted “{value}”",
        "edit": f"edited into {value[:8]}",
        "undo": "undone",
    }.get(record.kind, f"{record.kind} {value}")


def heading(progress: Progress, width: int) -> str:
    """Return progress and pace, shortened to ``width`` cells."""
    by = progress.by_decision
    accepted, rejected, skipped = by.get("accept", 0), by.get("reject", 0), by.get("skip", 0)
    todo = progress.total - progress.decided
    pace = ""
    if progress.per_hour is not None:
        left = todo / progress.per_hour
        ends = f", {left * 60:.0f} min left" if left < 1 else f", {left:.1f} h left"
        pace = f" · {progress.per_hour:,.0f}/h" + (ends if todo else "")
    today = f" · {progress.today:,} today" if progress.today else ""
    skip = f" · {skipped:,} skipped" if skipped else ""
    traces = f"{progress.total:,} trace{'' if progress.total == 1 else 's'}"
    long = f"{traces} · {accepted:,} accepted · {rejected:,} rejected{skip}"
    short = f"{traces} · A {accepted:,} R {rejected:,} S {skipped:,}"
    ending = f" · {todo:,} to do"
    candidates = (
        long + ending + today + pace,
        long + ending + pace,
        short + ending + pace,
        long + ending,
        short + ending,
    )
    return next((line for line in candidates if len(line) <= width), candidates[-1])
