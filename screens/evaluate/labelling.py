"""Labelling a sample: what a key says of it makes a trace of it, in one transaction with the annotation."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.binding import BindingType

from o1lab.errors import UsageError
from o1lab.evaluate.rating import promote
from o1lab.widgets.chain_reader import ChainReader
from screens.base.context import LabContext
from screens.base.messages import OpenCompare
from screens.base.screen import LabScreen
from screens.evaluate.attribution import AttributionActions
from screens.evaluate.sample_text import WholeSample
from screens.traces.annotate import ANNOTATION_BINDINGS, Action, Annotator, Written
from store import annotations as annotation_log
from store import evaluations, traces
from store.connection import Store


class LabellingScreen(LabScreen):
    """A screen that shows samples. Subclasses tell which of them a key means (``at_hand``) and which turn it shows."""

    BINDINGS: ClassVar[list[BindingType]] = ANNOTATION_BINDINGS

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.leads = AttributionActions(context)
        self.seqs: dict[str, int] = {}
        """The sample of each trace that a key may mean."""
        self.annotator = Annotator(context, self.target, record=self._record)

    def on_unmount(self) -> None:
        self.leads.close()

    def say(self, message: str) -> None:
        """Show a line at the foot of the screen."""
        self.annotator.say(message)

    def at_hand(self) -> WholeSample | None:
        """The sample that a key means now."""
        raise NotImplementedError

    def on_last_turn(self) -> bool:
        """Whether the turn in sight is the last one, which is what a labelled sample keeps."""
        return True

    def target(self) -> str | None:
        """The trace that the sample at hand is, or would become."""
        whole = self.at_hand()
        return None if whole is None else whole.trace_id

    def trace_in(self, reader: ChainReader) -> str | None:
        """The trace of the sample that ``reader`` shows; None, and a line that says so, where it cannot be labelled."""
        if self.on_last_turn():
            return self.target()
        self.say("Only the last turn, the one that is scored, can be labelled: > goes to it.")
        return None

    @on(ChainReader.SpanSelected)
    def _span_selected(self, event: ChainReader.SpanSelected) -> None:
        if (trace_id := self.trace_in(event.reader)) is not None:
            self.annotator.label(event, trace_id)

    def _record(self, act: Action) -> Written:
        return write(self.context.store, self.context.annotator, act, self.seqs[act.trace_id])

    def action_annotate(self, action: str, value: str = "") -> None:
        """Annotate the sample at hand; undo takes back the last annotation of this sample."""
        whole = self.at_hand()
        own = whole is not None and any(record.annotator == self.context.annotator for record in whole.records)
        if action != "undo" or own or self.annotator.busy:  # what is being written is not among the records yet
            self.annotator.perform(action, value)
        else:
            self.say("You have no annotation on this sample to undo.")

    @work(exclusive=True, group="lead")
    async def action_chains(self) -> None:
        """The training chains most like this sample."""
        if (whole := self.at_hand()) is not None:
            await self.leads.chains(self, self, whole.seq)

    @work(exclusive=True, group="lead")
    async def action_run(self) -> None:
        """The training run behind this model."""
        if (whole := self.at_hand()) is not None:
            await self.leads.run(self, self, whole.evaluation)

    def action_back(self) -> None:
        """Back to the list."""
        self.dismiss()


def write(store: Store, annotator: str, act: Action, seq: int) -> Written:
    """Record ``act`` on a sample's trace, which comes to be with it; an undo takes back the last word on this sample.

    Raises:
        MissingError: the sample is gone.
        UsageError: nothing came of it; or there is nothing to take back.
    """
    db = store.db
    if act.kind != "undo":
        record = promote.label(store, seq, act.kind, act.value, annotator=annotator, span=act.span)
        return Written(act, record, traces.get(db, record.trace_id))
    trace_id = evaluations.trace_of(db, seq)
    undone = None if trace_id is None else annotation_log.undo(db, annotator=annotator, trace_id=trace_id)
    if undone is None or undone.target is None or trace_id is None:
        raise UsageError("You have no annotation on this sample to undo.")
    return Written(act, undone, traces.get(db, trace_id), None, annotation_log.get(db, undone.target), [trace_id])


def load(reader: ChainReader, whole: WholeSample, turn: int) -> None:
    """Show a turn of a sample, nothing where it has none."""
    reader.load(whole.documents[turn] if whole.documents else None)


def compare_message(wholes: list[WholeSample]) -> OpenCompare:
    """Ask these models the sample's question again, in Compare."""
    models = tuple(dict.fromkeys(whole.evaluation.model for whole in wholes))
    first = wholes[0].sample.turns
    return OpenCompare(models, first[0].user if first else wholes[0].item.question)
