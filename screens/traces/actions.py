"""Annotations that keys make, and the confirmation once they are saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from o1lab.format import counted
from o1lab.ingest.annotation_text import what
from screens.traces.text import NOTHING, confirmation
from store.annotations import Counts
from store.filters import TraceQuery
from store.records import Annotation, TraceRow

EVERYTHING = TraceQuery()
Span = tuple[int, int]
Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """The annotation that a key makes, and the list that the trace was in.

    Attributes:
        trace_id: The trace.
        kind: The kind of the annotation; ``undo`` undoes ``value``, or the last one if that is empty.
        value: Its value.
        span: The span, for an annotation of one.
        query: The list that the trace was in.
        moves: The spans of several moves that are annotated at once.
    """

    trace_id: str
    kind: str
    value: str = ""
    span: tuple[int, int] | None = None
    query: TraceQuery = EVERYTHING
    moves: Spans = ()

    @property
    def described(self) -> str:
        """The annotation in a few words."""
        span = self.moves[0] if self.moves else self.span
        record = Annotation("", self.trace_id, self.kind, self.value, span, None, None, "", "")
        return what(record, max(len(self.moves), 1))


@dataclass(frozen=True, slots=True)
class Written:
    """A saved action.

    Attributes:
        act: The action.
        record: The annotation; None for an undo without anything to undo.
        row: The trace after the action.
        next_id: The trace to continue with after a decision.
        undone: The annotation that was undone, or the first of several of one trace.
        number: The number of annotations that were saved or undone.
        touched: The ids of the traces that an undo changed.
        note: A further sentence of the confirmation.
        before: The annotations that were saved before it by the same dialog, which are confirmed with it.
        counts: The numbers of annotations on the trace after the action.
    """

    act: Action
    record: Annotation | None
    row: TraceRow
    next_id: str | None = None
    undone: Annotation | None = None
    number: int = 1
    touched: Sequence[str] = ()
    note: str = ""
    before: Sequence[Annotation] = ()
    counts: Counts = NOTHING

    @property
    def left(self) -> str | None:
        """The id of the trace that was made by an undone edit; it stays in the lab with its annotations."""
        return self.undone.value if self.undone is not None and self.undone.kind == "edit" else None

    def noting(self, note: str) -> Written:
        """Return the same with one more note."""
        return replace(self, note="; ".join(filter(None, (self.note, note))))

    @property
    def confirmation(self) -> Text:
        """The message that it is saved."""
        if self.record is None:
            return Text("There is nothing to undo.")
        if self.act.kind != "undo":
            return confirmation(self.record, self.row, number=self.number, note=self.note, before=self.before)
        if self.undone is None:
            return Text(f"undid one decision on {counted(len(self.touched), 'trace')}", "green")
        if self.left is not None:
            kept = f"; its text is kept as trace {self.left[:8]}: x rejects it"
            return Text.assemble(("undid the edit", "green"), kept)
        return confirmation(self.undone, self.row, "undid", number=self.number)
