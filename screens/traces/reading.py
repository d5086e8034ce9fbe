"""The queries of the Traces screen, for ``LabScreen.read``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from o1lab.chains.moves import Move, segment
from o1lab.ingest.measuring import moves_of
from o1lab.widgets.document import ReaderDocument, Segment, Span
from store import annotations as annotation_log
from store import datasets, traces
from store.annotations import Progress
from store.filters import TraceQuery
from store.records import Annotation, TraceRow, TraceText
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Chain:
    """A trace with its texts, document and annotations."""

    row: TraceRow
    text: TraceText
    document: ReaderDocument
    records: tuple[Annotation, ...]


def read_chain(db: Database, trace_id: str) -> Chain:
    """Read a trace with its moves and annotations.

    Raises:
        MissingError: There is no such trace.
    """
    row = traces.get(db, trace_id)
    text = traces.text(db, row.id)
    records = tuple(annotation_log.of_trace(db, row.id))
    return Chain(row, text, document_of(text.thought, text.solution, records, moves_of(text)), records)


def document_of(
    thought: str, solution: str, records: tuple[Annotation, ...] = (), moves: Sequence[Move] | None = None
) -> ReaderDocument:
    """Make the document of a response.

    The solution of a response without a thought is shown as its thought, so that it has moves and can be labelled.

    Args:
        thought: The thought.
        solution: The solution.
        records: Annotations, for the spans.
        moves: The stored moves; None segments the text.
    """
    text, answer = (thought, solution) if thought else (solution, "")
    found = segment(text) if moves is None else moves
    segments = tuple(Segment(str(move.kind), move.start, move.end) for move in found)
    return ReaderDocument(text, answer, segments, spans_of(records))


def question_of(text: TraceText) -> str:
    """Return the statement; if the trace answers a conversation, with all of its messages below."""
    if not text.context:
        return text.statement
    return f"({len(text.context)} messages: i shows them) {text.statement}\n\n{text.asked}"


def spans_of(records: tuple[Annotation, ...]) -> tuple[Span, ...]:
    """Return the labelled spans among ``records``."""
    return tuple(Span(*record.span, record.value) for record in records if record.span)


def progress_of(db: Database, query: TraceQuery, annotator: str) -> Progress:
    """Count the progress through a filter without its conditions on the decision, which change during the work."""
    kept = tuple(condition for condition in query.conditions if condition.field != "decision")
    return annotation_log.progress(db, replace(query, conditions=kept), annotator=annotator)


def field_values(db: Database) -> dict[str, list[str]]:
    """Return the values in this lab for the completion of filters, by field."""
    everything = TraceQuery()
    return {
        **{name: sorted(traces.counts(db, everything, name)) for name in ("model", "source", "synthesis")},
        "tag": [tag for tag, _ in annotation_log.tags(db)],
        "dataset": [dataset.name for dataset in datasets.all_datasets(db)],
    }
