"""The queries of the Traces screen, for ``LabScreen.read``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from o1lab.chains.segmentation.moves import Move, segment
from o1lab.errors import LabError
from o1lab.ingest.corrections import ShownMove, corrected, unplaced
from o1lab.ingest.labelling import label_now, labeller_of
from o1lab.ingest.measuring import moves_of
from o1lab.ingest.steps import who
from o1lab.paths import Lab
from o1lab.text import one_line
from o1lab.widgets.reader.document import LabelKey, ReaderDocument, Segment, Sign, Span
from store import annotations as annotation_log
from store import decisions, labels, suitability, traces, wrong_steps
from store.annotations import Progress
from store.decisions import View, view_of
from store.filters import Condition, TraceQuery
from store.labels import Label
from store.records import Annotation, TraceRow, TraceText
from store.schema.migrations import MOVE_KINDS
from store.sqlite import Database
from store.writers import CHANGE, Writer, changes, inside, takes_over, writers_of

CORRECTED = "≠"
"""The sign of a corrected move."""
_PENDING = Condition("moves-by", ("pending",))
_DISPUTED = Condition("agreement", ("disputed",))


@dataclass(frozen=True, slots=True)
class Chain:
    """A trace with its texts, document and annotations.

    Attributes:
        fit: How suitable it is for the chosen student, in a line; empty if that is not known.
    """

    row: TraceRow
    text: TraceText
    document: ReaderDocument
    records: tuple[Annotation, ...]
    view: View
    fit: str = ""


def read_chain(db: Database, trace_id: str, lab: Lab | None = None) -> Chain:
    """Read a trace with its moves and annotations.

    Args:
        db: The database.
        trace_id: The trace.
        lab: Its lab, if the classifier of moves is to label the chain first.

    Raises:
        NotFoundError: There is no such trace.
    """
    if lab is not None:
        with suppress(LabError):  # the app has reported it; the kinds are those of the rules
            label_now(db, labeller_of(lab), trace_id)
    row = traces.get(db, trace_id)
    text = traces.text(db, row.id)
    records = tuple(annotation_log.of_trace(db, row.id))
    part = text.thought_span if text.thought else text.solution_span
    writers = () if text.outside and not text.thought else tuple(inside(writers_of(text.meta, len(text.raw)), part))
    document = document_of(text.thought, text.solution, records, moves_of(text), labels.every(db), writers=writers)
    return Chain(row, text, document, records, view_of(db), _fit(db, row.id))


def _fit(db: Database, trace_id: str) -> str:
    student = suitability.chosen(db)
    found = None if student is None else suitability.of_traces(db, [trace_id], student.model).get(trace_id)
    return "" if student is None or found is None else found.sentence(one_line(student.name, 30))


def document_of(
    thought: str,
    solution: str,
    records: Sequence[Annotation] = (),
    moves: Sequence[Move] | None = None,
    offered: Sequence[Label] = (),
    *,
    writers: Sequence[Writer] = (),
) -> ReaderDocument:
    """Make the document of a response.

    The solution of a response without a thought is shown as its thought, so that it has moves and can be labelled.

    Args:
        thought: The thought.
        solution: The solution.
        records: Annotations: spans, verdicts on steps, corrected kinds of moves.
        moves: The stored moves; None segments the text.
        offered: The labels of the lab.
        writers: Who wrote what of the text that has the moves, if several models wrote it.
    """
    text, answer = (thought, solution) if thought else (solution, "")
    found = segment(text) if moves is None else moves
    shown = corrected(found, records)
    keys = tuple(LabelKey(one.name, one.colour, one.digit) for one in offered)
    segments = tuple(Segment(move.kind, move.start, move.end) for move in shown)
    signs = (*_changes(writers, text), *_signs(records, shown))
    return ReaderDocument(text, answer, segments, _spans(records, keys), signs, keys)


def _changes(writers: Sequence[Writer], text: str) -> Iterator[Sign]:
    """Yield a sign for each place where another model continues."""
    for at, model in changes(writers, text):
        yield Sign(at, CHANGE, "bold cyan", takes_over(model))


def _spans(records: Sequence[Annotation], keys: Sequence[LabelKey]) -> tuple[Span, ...]:
    """Return the labelled spans among ``records``, marked with digit and colour of their label."""
    known = {key.name: ("*" if key.digit is None else str(key.digit), key.colour) for key in keys}
    return tuple(
        Span(*record.span, record.value, *known.get(record.value, ()))
        for record in records
        if record.span and record.kind == "span"
    )


def _signs(records: Sequence[Annotation], moves: Sequence[ShownMove]) -> tuple[Sign, ...]:
    """Return a sign for each first wrong step, each corrected move, and each correction of a move that is gone."""
    steps = [
        Sign(verdict.span[0], "✗", "bold red", f"first wrong step: {who(verdict)}")
        for verdict in wrong_steps.latest(records)
        if verdict.span is not None
    ]
    changed = [
        Sign(move.start, CORRECTED, "bold", f"corrected from {move.found}: {move.by.annotator}")
        for move in moves
        if move.by is not None and move.kind != move.found
    ]
    lost = [
        Sign(span[0], CORRECTED, "dim", f"corrected to {record.value} when the moves were others: {record.annotator}")
        for span, record in unplaced(moves, records).items()
    ]
    return (*steps, *changed, *lost)


def progress_of(db: Database, query: TraceQuery, annotator: str, at_most: int | None = None) -> Progress:
    """Count the progress through a filter without its conditions on the decision, which change during the work.

    Of traces chosen for a person, the person's own decisions are counted.
    """
    kept = tuple(condition for condition in query.conditions if condition.field not in ("decision", "mine"))
    own, wider = query.asks("mine", "assigned"), replace(query, conditions=kept)
    progress = annotation_log.progress(db, wider, annotator=annotator, at_most=at_most, own=own)
    if not progress.exact:
        return progress
    labels = (label_of(db, wider, own=own), _relabelling(db, query))
    return replace(progress, label=" · ".join(label for label in labels if label))


def _relabelling(db: Database, query: TraceQuery) -> str:
    """Return how many traces of a filter by moves the classifier has not labelled; empty for another filter."""
    if not {condition.field for condition in query.conditions} & {*MOVE_KINDS, "reflective"}:
        return ""
    pending = traces.count(db, query.narrowed(_PENDING))
    return f"moves of {pending:,} still by rules" if pending else ""


def label_of(db: Database, query: TraceQuery, *, own: bool) -> str:
    """Return whose decisions are counted, and how many traces of a filter are disputed; empty for one annotator.

    Where ``own`` decisions are counted and others decided too, it says what the column D of the list shows.
    """
    annotators, policy = decisions.annotators(db), decisions.policy_of(db)
    number = len(annotators)
    if policy == "own" or (own and not annotators.keys() - {view_of(db).me}):
        return "your decisions"
    if own:
        return f"yours; D shows {policy} of {number}"
    if number < 2:
        return ""
    disputed = traces.count(db, query.narrowed(_DISPUTED))
    return (f"{disputed:,} disputed · " if disputed else "") + f"{policy} of {number}"
