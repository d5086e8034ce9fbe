"""Labelling of samples, in the transaction that makes the sample a trace, and the training behind a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType

from o1lab.errors import UsageError
from o1lab.evaluate.rating import promote
from o1lab.evaluate.report.attribution import require_run
from o1lab.evaluate.sample_traces import left_out
from o1lab.widgets.keys import Binding
from o1lab.widgets.reader.chain_reader import ChainReader
from o1lab.widgets.typed_ahead import post_held
from screens.base.context import LabContext
from screens.base.dialogs import NEAREST, nearest_chains_dialog
from screens.base.messages import OpenCompare, OpenRun, OpenTraces
from screens.base.screen import LabScreen, task
from screens.evaluate.sample_text import WholeSample, read_sample
from screens.traces.actions import Action, Written
from screens.traces.annotate import ANNOTATION_BINDINGS, Annotator
from store import annotations as annotation_log
from store import evaluations, ratings, traces
from store.connection import Store
from store.evaluations import Evaluation

if TYPE_CHECKING:
    from o1lab.evaluate.report.attribution import Attribution


SAMPLE_KEYS: list[BindingType] = [
    Binding("c", "chains", "Chains", tooltip="The training chains most similar to this sample of a student"),
    Binding("O", "run", "Run", tooltip="The training run behind this model"),
]


class LabellingScreen(LabScreen):
    """A screen that shows samples. Subclasses implement ``current_sample``, ``samples_shown`` and ``show_again``."""

    BINDINGS: ClassVar[list[BindingType]] = ANNOTATION_BINDINGS

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.attribution = AttributionActions()
        self.seqs: dict[str, int] = {}
        """The row of the sample of each trace that can be annotated."""
        self.annotator = Annotator(context, self.target, record=self._record)

    def on_unmount(self) -> None:
        self.attribution.close()

    def say(self, message: str) -> None:
        """Show a line at the bottom of the screen."""
        self.annotator.say(message)

    def current_sample(self) -> WholeSample | None:
        """Return the sample that the keys apply to."""
        raise NotImplementedError

    def samples_shown(self) -> list[WholeSample]:
        """Return all samples on the screen."""
        whole = self.current_sample()
        return [] if whole is None else [whole]

    def show_again(self, whole: WholeSample) -> None:
        """Show a sample with its current annotations, if it is still on the screen."""
        raise NotImplementedError

    def on_last_turn(self) -> bool:
        """Whether the last turn is shown: a labelled sample keeps only that one."""
        return True

    def target(self) -> str | None:
        """Return the id of the trace that the current sample is, or would become."""
        whole = self.current_sample()
        return None if whole is None else whole.trace_id

    def trace_in(self, reader: ChainReader) -> str | None:
        """Return the trace of the sample in ``reader``; None, with a message, if it cannot be labelled."""
        if self.on_last_turn():
            return self.target()
        self.say("Only the last turn is scored and can be labelled. Press > to go to it.")
        return None

    @on(Annotator.LabelsChanged)
    @task()
    async def _labels_changed(self) -> None:
        for whole in self.samples_shown():
            self.show_again(await self.read(read_sample, whole.seq))

    @on(Annotator.Saved)
    @task()
    async def _saved(self, event: Annotator.Saved) -> None:
        for whole in self.samples_shown():
            if event.written.act.trace_id == whole.trace_id:
                self.show_again(await self.read(read_sample, whole.seq))

    @on(ChainReader.SpanSelected)
    def _span_selected(self, event: ChainReader.SpanSelected) -> None:
        if (trace_id := self.trace_in(event.reader)) is not None:
            self.annotator.label(event, trace_id)

    @on(ChainReader.Marked)
    def _marked(self, event: ChainReader.Marked) -> None:
        if (trace_id := self.trace_in(event.reader)) is not None:
            whole = self.current_sample()
            self.annotator.mark(event, trace_id, whole.records if whole and whole.trace_id == trace_id else ())

    def _record(self, act: Action) -> Written:
        return write(self.context.store, self.context.annotator, act, self.seqs[act.trace_id])

    def action_annotate(self, action: str, value: str = "") -> None:
        """Annotate the current sample; undo removes your last annotation of it."""
        whole = self.current_sample()
        own = whole is not None and any(record.annotator == self.context.annotator for record in whole.records)
        # An annotation that is being written is not in the records yet.
        if action != "undo" or own or self.annotator.busy:
            self.annotator.perform(action, value)
        else:
            self.say("You have no annotation on this sample to undo.")

    def action_statement(self) -> None:
        """Show the whole question, or fold it."""
        self.toggle_class("-statement")

    @task(exclusive=True, group="attribution", dialog=True)
    async def action_chains(self) -> None:
        """List the training chains most similar to this sample."""
        if (whole := self.current_sample()) is not None:
            await self.attribution.chains(self, whole.seq)

    @task(exclusive=True, group="attribution", dialog=True)
    async def action_run(self) -> None:
        """Show the training run behind this model."""
        if (whole := self.current_sample()) is not None:
            await self.attribution.run(self, whole.evaluation)


def write(store: Store, annotator: str, act: Action, seq: int) -> Written:
    """Record an action on a sample's trace, which is created if necessary; undo removes the last annotation.

    Raises:
        NotFoundError: the sample is gone.
        UsageError: the sample has no answer, or there is nothing to undo.
    """
    db = store.db
    if act.kind != "undo":
        note = left_out(evaluations.sample(db, seq)[1]) if ratings.trace_of(db, seq) is None else ""
        record = promote.label(store, seq, act.kind, act.value, annotator=annotator, span=act.span)
        return Written(act, record, traces.get(db, record.trace_id), note=note)
    trace_id = ratings.trace_of(db, seq)
    target = act.value or None
    undone = (
        None if trace_id is None else annotation_log.undo(db, annotator=annotator, trace_id=trace_id, target=target)
    )
    if undone is None or undone.target is None or trace_id is None:
        raise UsageError("You have no annotation on this sample to undo.")
    first, *others = annotation_log.targets(db, undone.target)
    return Written(act, undone, traces.get(db, trace_id), None, first, 1 + len(others), [trace_id])


def compare_message(wholes: list[WholeSample]) -> OpenCompare:
    """Return the message that asks these models the sample's question again in Compare."""
    models = tuple(dict.fromkeys(whole.evaluation.model for whole in wholes))
    first = wholes[0].sample.turns
    return OpenCompare(models, first[0].user if first else wholes[0].item.question)


class AttributionActions:
    """Opens the training chains and the run behind a sample. Keeps the rows of the last run."""

    def __init__(self) -> None:
        self._attribution: Attribution | None = None

    async def chains(self, screen: LabScreen, seq: int) -> None:
        """List the training chains most similar to a student's sample; enter opens one in Traces."""
        from o1lab.evaluate.report.attribution import Attribution

        self._attribution = self._attribution or Attribution(screen.context.lab)
        run, near = await screen.read(self._attribution.nearest, seq, limit=NEAREST)
        picked = await screen.app.push_screen_wait(nearest_chains_dialog(run, near))
        if picked is not None:
            post_held(screen, OpenTraces(trace_id=picked))

    async def run(self, screen: LabScreen, evaluation: Evaluation) -> None:
        """Show the run behind an evaluation's model in Train."""
        post_held(screen, OpenRun(await screen.in_thread(require_run, screen.context.lab, evaluation)))

    def close(self) -> None:
        """Release the rows."""
        if self._attribution is not None:
            self._attribution.close()
