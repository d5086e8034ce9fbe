"""The texts of the Traces screen: rows of the list, the title of a chain, its annotations, the heading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from rich.text import Text

from o1lab.format import short_count
from o1lab.ingest.annotation_text import PAST_TENSE, clock, what
from o1lab.ingest.steps import who
from o1lab.text import one_line, visible
from o1lab.widgets.columns import Column, Row
from o1lab.widgets.reader.document import letter_of, style_of
from o1lab.widgets.rendered import rendered_line
from store import corrections
from store.annotations import Counts, Progress
from store.decisions import View, adjudications_in, votes_in
from store.naming import without_model
from store.records import Annotation, TraceRow, TraceText
from store.schema.migrations import MOVE_KINDS
from store.wrong_steps import latest

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
NOTHING = Counts()

COLUMNS = (
    Column("verdict", "✓", 1),
    Column("decision", "D", 1),
    Column("problem", "problem", 10, flex=1),
    Column("length", "length", 6, priority=1, justify="right"),
    Column("state", "", 4, priority=4),
    Column("model", "teacher", 10, flex=2, priority=2),
    Column("moves", "moves", 19, flex=2, priority=3),
    Column("written", "written", 11, priority=5),
)


def verdict_mark(verdict: str | None) -> Text:
    sign, style = VERDICTS.get(verdict, VERDICTS[None])
    return Text(sign, style)


def decision_mark(decision: str | None, *, disputed: bool = False) -> Text:
    sign, style = ("!", "bold magenta") if disputed else DECISIONS.get(decision, DECISIONS[None])
    return Text(sign, style)


def table_row(row: TraceRow, counts: Counts = NOTHING) -> Row:
    """Return the row of a trace in the list, with the numbers of what annotators wrote on it."""
    cells: dict[str, str | Text] = {
        "verdict": verdict_mark(row.verdict),
        "decision": decision_mark(row.decision, disputed=row.disputed),
        "problem": problem_name(row),
        "model": row.model,
        "length": short_count(row.chars),
        "state": Text(state(row), "yellow"),
        "moves": moves(row.moves),
        "written": written(counts),
    }
    return Row(row.id, cells, row)


def written(counts: Counts) -> Text:
    """Format the numbers of labels, notes, tags and annotators; of one annotator only the others are shown."""
    annotators = counts.annotators if counts.annotators > 1 else 0
    numbers = (("l", counts.labels), ("n", counts.notes), ("#", counts.tags), ("@", annotators))
    text = Text(no_wrap=True)
    for sign, number in numbers:
        if number:
            text.append(" " if text else "").append(sign, "dim").append(str(number))
    return text


def problem_name(row: TraceRow) -> str:
    """Return the key of the problem in its source, or the beginning of its id."""
    return one_line(without_model(row.key, row.model), 60) or row.problem_id[:8]


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


def folded(row: TraceRow, index: int, total: str, text: TraceText | None = None) -> Text:
    """Return the line that replaces the list on a narrow terminal: the position, and the chain.

    With ``text``, it has gold and answer, and a second line has the statement: on a short terminal.
    """
    line = Text.assemble(
        (f"{index + 1:,}/{total}" if index >= 0 else f"-/{total}", "bold"),
        "  ",
        verdict_mark(row.verdict),
        " ",
        decision_mark(row.decision, disputed=row.disputed),
        f" {problem_name(row)}",
        (f" {row.id[:8]}", "dim"),
        Text("") if text is None else Text("  ").append_text(_answers(row, text)),
        f"  {one_line(row.model, 28)}  {short_count(row.chars)}",
        (f" {state(row)}" if state(row) else "", "yellow"),
        "  ",
        moves(row.moves),
        no_wrap=True,
        overflow="ellipsis",
    )
    return line if text is None else line.append("\n").append_text(rendered_line(question_of(text)))


def title(row: TraceRow, text: TraceText) -> Text:
    """Return the title of a chain: problem, gold answer, answer and verdict."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(problem_name(row), "bold").append("  ").append_text(_answers(row, text)).append(" ")
    line.append_text(verdict_mark(row.verdict))
    line.append(f" {row.verdict or 'not verified'}", VERDICTS.get(row.verdict, VERDICTS[None])[1])
    return line


def _answers(row: TraceRow, text: TraceText) -> Text:
    gold = one_line(text.gold, 40) if text.gold is not None else "none known"
    answer = one_line(row.answer, 40) if row.answer is not None else "none"
    return Text.assemble(("gold ", "dim"), gold, (" · answer ", "dim"), answer)


def question_of(text: TraceText) -> str:
    """Return the statement; if the trace answers a conversation, with all of its messages below."""
    if not text.context:
        return text.statement
    return f"({len(text.context)} messages: i shows them) {text.statement}\n\n{text.asked}"


def origin(row: TraceRow, text: TraceText | None = None, fit: str = "") -> Text:
    """Return a line on a chain: id, model, length, how it fits the student, synthesis, source and parent.

    With ``text``, it says if the kinds of the stored moves are those of the rules.
    """
    parts = [row.id[:8], one_line(row.model, 40), f"{short_count(row.chars)} chars"]
    if row.tokens is not None:
        parts.append(f"{row.tokens:,} tok")
    if state(row):
        parts.append({"loop": "looping", "cut": "cut off"}[state(row)])
    if text is not None and text.segments is not None and text.kinds_by == "rules":
        parts.append("moves by rules")
    parts += [*filter(None, [fit]), row.synthesis, one_line(row.source, 30)]
    if row.parent_id:
        parts.append(f"edited from {row.parent_id[:8]}")
    return Text(" · ".join(parts), "dim", no_wrap=True, overflow="ellipsis")


def decided(records: Sequence[Annotation], view: View) -> Text:
    """Return the decision on a trace and who decided what; under the policy ``own``, only what the person decided."""
    found, votes = view.decision(records), [vote for vote in votes_in(records) if vote.decision is not None]
    own = [vote for vote in votes if vote.annotator == view.me]
    settled = adjudications_in(records)
    shown, hidden = (own, len(votes) - len(own)) if view.policy == "own" else (votes, 0)
    last = {(record.kind, record.annotator): record for record in records}
    line = Text()
    if found is not None:
        line.append(PAST_TENSE.get(found, visible(found)), DECISIONS.get(found, DECISIONS[None])[1])
    else:
        line.append("disputed" if len(shown) > 1 else "to do", "bold")
    if found is not None and len(shown) == 1 and not (settled and view.policy != "own"):
        record = last["decision", shown[0].annotator]
        line.append(f" by {one_line(record.annotator, 20)} {clock(record.created_at)}", "dim")
    elif settled and view.policy != "own":
        for record in settled:
            word = "adjudicated" if found is not None else f"adjudicated: {PAST_TENSE.get(record.value, '')}"
            line.append(f" {word} by {one_line(record.annotator, 20)} {clock(record.created_at)}", "dim")
    elif len(shown) > 1:
        line.append(f" by {'all' if view.policy == 'adjudicated' else 'majority'}" if found else "", "dim")
    if len(shown) > 1 or (shown and settled and view.policy != "own"):
        each = ", ".join(f"{one_line(vote.annotator, 20)} {PAST_TENSE[vote.decision or '']}" for vote in shown)
        line.append(f" · {each}", "dim")
    if shown and not own and view.me:
        line.append(" · not by you")
    if hidden:
        line.append(f" · {hidden} other{'s' if hidden > 1 else ''} decided", "dim")
    ratings = {vote.annotator: vote.rating for vote in votes_in(records) if vote.rating is not None}
    if view.policy == "own":
        ratings = {name: rating for name, rating in ratings.items() if name == view.me}
    if ratings:
        line.append(f" · rated {fmean(ratings.values()):.3g}/5" + (f" by {len(ratings)}" if len(ratings) > 1 else ""))
    return line


def remarks(records: Sequence[Annotation], view: View) -> Text:
    """Return the annotations of a trace in one line: decisions, rating, tags, spans, note."""
    line = Text(no_wrap=True, overflow="ellipsis").append_text(decided(records, view))
    last = {record.kind: record for record in records}
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
    if moved := corrections.latest(records):
        line.append(f" · {len(moved)} move{'s' if len(moved) > 1 else ''} corrected")
    for verdict in latest(records):
        found = (f"✗ step {verdict.step}", "bold red") if verdict.step else ("✓ no wrong step", "green")
        line.append(" · ").append(*found).append(f" {one_line(who(verdict), 24)}", "dim")
    if note := last.get("note"):
        line.append(f" · “{one_line(note.value, 120)}”", "italic")
    if edits := [record for record in records if record.kind == "edit"]:
        line.append(f" · edited into {edits[-1].value[:8]}", "dim")
    return line


def confirmation(
    record: Annotation,
    row: TraceRow | None,
    done: str = "saved",
    *,
    number: int = 1,
    note: str = "",
    before: Sequence[Annotation] = (),
) -> Text:
    """Return the message that an annotation, the first of ``number``, is saved or undone, with annotator and time.

    Those saved ``before`` it are named first.
    """
    done_with = ", ".join([*map(what, before), what(record, number)])
    more = f"; {visible(note)}" if note else ""
    of = f"{problem_name(row)} {one_line(row.model, 24)}" if row else record.trace_id[:8]
    return Text.assemble(
        (f"{done} ", "green"),
        f"{clock(record.created_at)} {one_line(record.annotator, 20)}: {done_with}{more} · {of}",
        no_wrap=True,
        overflow="ellipsis",
    )


def number_of(count: int, *, exact: bool) -> str:
    """Format a number of traces; a plus marks a lower bound."""
    return f"{count:,}" if exact else f"{count:,}+"


def heading(progress: Progress, width: int) -> str:
    """Return progress and pace, shortened to ``width`` cells."""
    undone = progress.total - progress.decided
    accepted, rejected, skipped, todo, total = (
        number_of(number, exact=progress.exact)
        for number in (*(progress.by_decision.get(one, 0) for one in DECISIONS if one), undone, progress.total)
    )
    pace = ""
    if progress.per_hour is not None:
        left = undone / progress.per_hour
        ends = f", {left * 60:.0f} min left" if left < 1 else f", {left:.1f} h left"
        pace = f" · {progress.per_hour:,.0f}/h" + (ends if undone and progress.exact else "")
    today = f" · {progress.today:,} today" if progress.today else ""
    skip = f" · {skipped} skipped" if progress.by_decision.get("skip") else ""
    traces = f"{total} trace{'' if progress.total == 1 else 's'}"
    long = f"{traces} · {accepted} accepted · {rejected} rejected{skip}"
    short = f"{traces} · A {accepted} R {rejected} S {skipped}"
    ending = f" · {todo} to do" + (f" · {progress.label}" if progress.label else "")
    candidates = (
        long + ending + today + pace,
        long + ending + pace,
        short + ending + pace,
        long + ending,
        short + ending,
        f"A {accepted} R {rejected}{ending}",
    )
    return next((line for line in candidates if len(line) <= width), candidates[-1])
