"""What the Traces screen reads from the store. Plain functions: they run in a thread, on its own connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from o1lab.chains.moves import Move, segment
from o1lab.ingest.measuring import moves_of
from o1lab.widgets.document import ReaderDocument, Segment, Span
from store import annotations as annotation_log
from store import datasets, traces
from store.annotations import Progress
from store.connection import Store
from store.filters import TraceQuery
from store.records import Annotation, TraceRow, TraceText


@dataclass(frozen=True, slots=True)
class Chain:
    """Everything the reader shows of one trace."""

    row: TraceRow
    text: TraceText
    document: ReaderDocument
    records: tuple[Annotation, ...]


def read_chain(store: Store, trace_id: str) -> Chain:
    """One trace with its moves and annotations.

    Raises:
        MissingError: there is no such trace.
    """
    row = traces.get(store.db, trace_id)
    text = traces.text(store.db, row.id)
    records = tuple(annotation_log.of_trace(store.db, row.id))
    return Chain(row, text, document_of(text.thought, text.solution, records, moves_of(text)), records)


def document_of(
    thought: str, solution: str, records: tuple[Annotation, ...] = (), moves: Sequence[Move] | None = None
) -> ReaderDocument:
    """A response to read.

    The solution of a response without a thought is shown as its thought, so that it has moves and can be labelled.
    ``moves`` are the stored ones; None segments the text.
    """
    text, answer = (thought, solution) if thought else (solution, "")
    found = segment(text) if moves is None else moves
    segments = tuple(Segment(str(move.kind), move.start, move.end) for move in found)
    return ReaderDocument(text, answer, segments, spans_of(records))


def spans_of(records: tuple[Annotation, ...]) -> tuple[Span, ...]:
    """The labelled stretches among ``records``."""
    return tuple(Span(*record.span, record.value) for record in records if record.span)


def progress_of(store: Store, query: TraceQuery, annotator: str) -> Progress:
    """Progress through the filter, whatever it asks of the decision: else `decision:none` would never advance."""
    kept = tuple(condition for condition in query.conditions if condition.field != "decision")
    return annotation_log.progress(store.db, replace(query, conditions=kept), annotator=annotator)


def field_values(store: Store) -> dict[str, list[str]]:
    """The values of this lab that a filter is completed with, by field."""
    everything = TraceQuery()
    return {
        **{name: sorted(traces.counts(store.db, everything, name)) for name in ("model", "source", "synthesis")},
        "tag": [tag for tag, _ in annotation_log.tags(store.db)],
        "dataset": [dataset.name for dataset in datasets.all_datasets(store.db)],
    }
