"""A sample as text: its row in the list, its heading in the reader, its scores and annotations."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from o1lab.evaluate.items import adapted_line, sample_name
from o1lab.evaluate.sample_traces import as_trace
from o1lab.text import one_line, visible
from o1lab.widgets.columns import Column, Page, Row
from o1lab.widgets.reader.document import ReaderDocument
from screens.traces.reading import document_of
from store import annotations as annotation_log
from store import evaluations, labels, ratings, sample_list
from store.decisions import View, view_of
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, Tally
from store.filters import SampleQuery
from store.records import Annotation
from store.sample_list import SampleRow
from store.sqlite import Database

# Every outcome has its own character as well as a colour.
SIGNS = {
    "correct": ("✓", "green"),
    "incorrect": ("✗", "red"),
    "incomplete": ("…", "yellow"),
    "unextracted": ("∅", "magenta"),
    "unscored": ("?", "cyan"),
    "failed": ("!", "bold red"),
}
COLUMNS = (
    Column("outcome", "", 1),
    Column("item", "item", 12, flex=1),
    Column("question", "question", 16, flex=3),
    Column("gold", "gold", 7, flex=1, priority=2),
    Column("answer", "answer", 7, flex=1, priority=1),
    Column("tokens", "tokens", 6, justify="right"),
    Column("labelled", "", 1, priority=3),
    Column("reason", "reason", 16, flex=2, priority=4),
)


@dataclass(frozen=True, slots=True)
class WholeSample:
    """Everything the reader shows of a sample. ``trace_id`` is the trace it is, or would become."""

    seq: int
    evaluation: Evaluation
    item: ItemRow
    sample: NewSample
    scores: tuple[NewScore, ...]
    labelled: bool
    trace_id: str | None
    records: tuple[Annotation, ...]
    view: View
    documents: tuple[ReaderDocument, ...]
    """Each turn for the reader. Only the last one has labelled spans, as a trace keeps only that one."""

    def outcome(self, scorer: str) -> str:
        """Return its outcome by a scorer."""
        if self.sample.state != "complete":
            return self.sample.state
        score = self.score(scorer)
        return "unscored" if score is None else score.outcome

    def score(self, scorer: str) -> NewScore | None:
        """Return its score by a scorer, if there is one."""
        return next((score for score in self.scores if score.scorer == scorer), None)


def read_sample(db: Database, seq: int) -> WholeSample:
    """Read a sample with everything that is known about it.

    Raises:
        NotFoundError: The sample is gone.
    """
    evaluation_id, sample = evaluations.sample(db, seq)
    evaluation = evaluations.get(db, evaluation_id)
    item = evaluations.item(db, evaluation_id, sample.item)
    trace_id = ratings.trace_of(db, seq)
    records = () if trace_id is None else tuple(annotation_log.of_trace(db, trace_id))
    holds = bool(sample.turns) and bool(sample.turns[-1].thought or sample.turns[-1].answer)
    becomes = as_trace(evaluation, item, sample).id if holds else None
    scores = tuple(evaluations.scores_of(db, seq))
    last = len(sample.turns) - 1
    offered = labels.every(db)
    documents = tuple(
        document_of(turn.thought, turn.answer, records if at == last else (), offered=offered)
        for at, turn in enumerate(sample.turns)
    )
    return WholeSample(
        seq,
        evaluation,
        item,
        sample,
        scores,
        trace_id is not None,
        trace_id or becomes,
        records,
        view_of(db),
        documents,
    )


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of samples: its evaluation, scorer and filter."""

    evaluation_id: str
    scorer: str
    query: SampleQuery = sample_list.EVERYTHING

    def page(self, db: Database, offset: int, limit: int) -> Page:
        """Read a page of the list."""
        rows, total = sample_list.page(db, self.evaluation_id, self.scorer, self.query, limit=limit, offset=offset)
        return Page([table_row(row) for row in rows], total)


def mark(outcome: str, words: str = "") -> Text:
    """Return the sign of an outcome, with words after it in the same style."""
    sign, style = SIGNS.get(outcome, ("?", ""))
    return Text(f"{sign} {words}".rstrip(), style)


def table_row(row: SampleRow) -> Row:
    """Make the row of a sample."""
    cells: dict[str, str | Text] = {
        "outcome": mark(row.outcome),
        "item": sample_name(row.item, row.sample),
        "question": one_line(row.question, 300),
        "gold": one_line(", ".join(row.gold), 60) or "-",
        "answer": "-" if row.answer is None else one_line(row.answer, 60),
        "tokens": f"{row.output_tokens:,}",
        "labelled": Text("L" if row.trace_id else "", "bold"),
        "reason": one_line(row.reason, 120),
    }
    return Row(row.seq, cells, row)


def graded(value: float | None) -> str:
    """Format the value of a score; empty if it is only right or wrong."""
    return "" if value is None or value in (0, 1) else f" {value:.2f}"


def peek(row: SampleRow, scorer: str) -> Text:
    """Format three lines about the sample under the cursor."""
    text = Text(no_wrap=True, overflow="ellipsis").append_text(mark(row.outcome, row.outcome))
    text.append(f"  {sample_name(row.item, row.sample)}", "bold")
    text.append(f"  {scorer}: ", "dim").append(one_line(row.reason, 300) or "no reason given")
    text.append(graded(row.value))
    text.append("\ngold ", "dim").append(one_line(", ".join(row.gold), 80) or "none")
    text.append("  answer ", "dim").append("none found" if row.answer is None else one_line(row.answer, 80))
    text.append(f"  {row.output_tokens:,} tokens", "dim")
    if row.thought_tokens is not None:
        text.append(f", {row.thought_tokens:,} of them thought", "dim")
    if row.variant:
        text.append(f"  variant {one_line(row.variant, 20)}", "dim")
    text.append("\n").append(one_line(row.question, 400))
    return text


def heading(evaluation: Evaluation, scorer: str, tally: Tally | None) -> Text:
    """Format suite and model and, once counted, every outcome that occurs."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(one_line(evaluation.suite_label, 24), "bold").append(f" {one_line(evaluation.model, 28)} ")
    if tally is None:
        return text.append(f"  {one_line(scorer, 40)}", "dim")
    for outcome, number in tally.outcomes.items():
        if number:
            text.append(" ").append_text(mark(outcome, f"{number:,}"))
    total = tally.total
    share = f"  {100 * tally.outcomes['correct'] / total:.1f}% of {total:,}" if total else "  no samples yet"
    return text.append(share).append(f"  {one_line(scorer, 40)}", "dim")


# The reader.


def title(whole: WholeSample, scorer: str, *, reason: bool = False) -> Text:
    """Format outcome, item, gold and answer, which are always shown; with ``reason`` also the reason of the score."""
    score = whole.score(scorer)
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append_text(verdict(whole, scorer)).append(f" · {sample_name(whole.sample.item, whole.sample.sample)}", "bold")
    line.append(" · gold ", "dim").append(one_line(", ".join(whole.item.gold), 60) or "none")
    if score is not None:
        line.append(" · answer ", "dim").append("none found" if score.answer is None else one_line(score.answer, 60))
    why = whole.sample.reason if whole.sample.state != "complete" else score.reason if score is not None else ""
    return line.append(f" · {one_line(why, 200)}", "dim") if reason and why else line


def verdict(whole: WholeSample, scorer: str) -> Text:
    """Format the outcome with its sign."""
    outcome = whole.outcome(scorer)
    return mark(outcome, outcome)


def origin(whole: WholeSample) -> Text:
    """Format the model, the tokens and the variant of a sample."""
    one, evaluation = whole.sample, whole.evaluation
    parts = [one_line(evaluation.model, 40), evaluation.suite_label, f"{one.output_tokens:,} tok"]
    if one.thought_tokens is not None:
        parts.append(f"{one.thought_tokens:,} thought")
    parts += ["tokens estimated"] if one.estimated else []
    parts += [f"variant {one_line(whole.item.variant, 20)}"] if whole.item.variant else []
    parts += ["reused from an earlier evaluation"] if one.cached else []
    parts.append(f"trace {whole.trace_id[:8]}" if whole.labelled and whole.trace_id else "not labelled")
    return Text(" · ".join(parts), "dim", no_wrap=True, overflow="ellipsis")


def words(whole: WholeSample, scorer: str) -> Text:
    """Format one line per score, the shown scorer first, and why the response is incomplete."""
    lines = []
    if whole.sample.state != "complete":
        lines.append(
            Text.assemble((whole.sample.state, "bold yellow"), f": {one_line(whole.sample.reason, 300) or '-'}")
        )
    for score in sorted(whole.scores, key=lambda one: one.scorer != scorer):
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(one_line(score.scorer, 48), "bold" if score.scorer == scorer else "dim").append(" ")
        line.append_text(mark(score.outcome, score.outcome)).append(graded(score.value))
        line.append(f": {one_line(score.reason, 400)}" if score.reason else "")
        lines.append(line)
    return Text("\n").join(lines or [Text("not scored", "dim")])


MESSAGE_CHARS = 4000  # of one message that are shown: the widget lays out all of its text at once


def conversation(whole: WholeSample, turn: int) -> Text:
    """Format the conversation before an answer: who adapted the item, earlier turns with their answers, the question.

    Only the ends of a long message are shown; an earlier answer is shown in full as its own turn.
    """
    text = Text()
    if adapted := adapted_line(whole.item.meta):
        text.append(f"({adapted})\n", "dim")
    turns = whole.sample.turns
    if not turns:
        return text.append_text(_ends(whole.item.question))
    for earlier in turns[:turn]:
        text.append("user: ", "dim").append_text(_ends(earlier.user)).append("\nmodel: ", "dim")
        text.append_text(_ends(earlier.answer)).append("\n")
    return text.append("user: " if len(turns) > 1 else "", "dim").append_text(_ends(turns[turn].user))


def _ends(message: str) -> Text:
    """Return a whole message, or its beginning and end with the number of characters between them."""
    left_out = len(message) - MESSAGE_CHARS
    if left_out <= 0:
        return Text(visible(message))
    half = MESSAGE_CHARS // 2
    text = Text(visible(message[:half]))
    return text.append(f" ... {left_out:,} characters ... ", "dim").append(visible(message[-half:]))
