"""Actions on all traces of a filter: a bulk decision, a random queue, a dataset, an export."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from rich.text import Text
from textual.binding import BindingType

from o1lab.distill.datasets.building import Created
from o1lab.format import counted
from o1lab.ingest.annotation_text import PAST_TENSE
from o1lab.ingest.annotations import export_annotations
from o1lab.text import one_line
from o1lab.widgets.dialogs import PromptDialog
from o1lab.widgets.keys import Binding
from screens.base.screen import LabScreen
from screens.forms.dataset import make_dataset
from screens.traces.annotate import Annotator
from screens.traces.dialogs import BulkDialog, Chosen, rows, summary
from store import annotations as annotation_log
from store import traces
from store.filters import Condition, TraceQuery
from store.sqlite import Database

QUEUE = 20
_SAMPLE = 200
_INCOMPLETE = Condition("complete", ("no",))
_LOOPING = Condition("looping", ("yes",))
_DECIDED = Condition("mine", ("none",), negated=True)


SET_BINDINGS: list[BindingType] = [
    Binding("d", "dataset", "Dataset", tooltip="Make a named, hashed dataset of traces of the filter"),
    Binding("asterisk", "bulk", "Decide all", show=False, key_display="*",
            tooltip="One decision for every trace of the filter"),
    Binding("Q", "queue", "Random queue", show=False, tooltip="Work through random traces of the filter"),
    Binding("E", "export", "Export annotations", show=False, tooltip="Write all annotations as JSONL"),
]  # fmt: skip
"""The keys of a screen that has :class:`SetActions`."""


class SetActions:
    """The actions, with their dialogs and messages. Call the methods from a worker, which reports their errors."""

    def __init__(self, screen: LabScreen, annotator: Annotator) -> None:
        """Create the actions.

        Args:
            screen: Opens the dialogs.
            annotator: Writes, and shows the messages.
        """
        self.screen = screen
        self.annotator = annotator
        self.context = annotator.context

    async def decide(self, query: TraceQuery) -> bool:
        """Make one decision on all traces of the filter, after a preview.

        Returns:
            Whether a decision was recorded.
        """
        store, annotator = self.context.store, self.context.annotator
        say = self.annotator.say
        chosen = await self.screen.read(choose, query)
        if not chosen.total:
            say("No trace matches this filter.")
            return False
        decision = await self.screen.app.push_screen_wait(BulkDialog(chosen, query.source))
        if decision is None:
            return False
        say(f"deciding on {counted(chosen.total, 'trace')} …")
        _, number = await self.annotator.writer.do(
            lambda: annotation_log.decide_all(store.db, query, decision, annotator=annotator)
        )
        say(Text(f"saved: {counted(number, 'trace')} {PAST_TENSE[decision]} by {annotator}; u undoes it", "green"))
        return True

    async def draw(self, query: TraceQuery) -> TraceQuery | None:
        """Ask for a number and draw that many traces of the filter at random.

        Returns:
            The filter limited to the queue; None if the dialog was cancelled.
        """
        typed = await self.screen.app.push_screen_wait(
            PromptDialog("How many random traces of this filter?", value=str(QUEUE))
        )
        if typed is None:
            return None
        if not typed.strip().isdecimal() or not int(typed):
            self.annotator.say(f"A queue needs a number of traces, not '{one_line(typed, 20)}'.")
            return None
        query = replace(query, ids=None)
        drawn = await self.screen.read(traces.random_ids, query, int(typed))
        self.annotator.say(f"a queue of {counted(len(drawn), 'random trace')}; esc on the list leaves it")
        return replace(query, ids=tuple(drawn))

    async def make_dataset(self, query: TraceQuery) -> None:
        """Make a dataset of traces of the filter: of the accepted ones, or as the form says."""
        say = self.annotator.say
        chosen = await self.screen.read(choose, query)
        if not chosen.total:
            say("No trace matches this filter.")
            return
        about = Text("\nthe traces of the filter\n", "bold").append_text(summary(chosen, query.source))
        await make_dataset(
            self.screen,
            query,
            title=f"A dataset from {counted(chosen.total, 'trace')}",
            name=f"set-{datetime.now().astimezone():%m%d-%H%M}",
            about=about.append("\n\n").append_text(rows(chosen)),
            created=self._say_created,
        )

    def _say_created(self, made: Created) -> None:
        one = made.dataset
        words = f"dataset {one_line(one.name, 40)}: {counted(one.rows, 'row')}, hash {one.hash}"
        self.annotator.say(Text(words, "green"))

    async def export(self) -> None:
        """Write all annotations of the lab, undos included, as JSONL."""
        exports = self.context.lab.exports
        path, number = await self.annotator.writer.do(export_annotations, self.context.store, exports)
        self.annotator.say(f"wrote {counted(number, 'annotation')} to {path}")


def choose(db: Database, query: TraceQuery) -> Chosen:
    """Read the counts and the first rows of a filter."""
    verdicts = traces.counts(db, query, "verdict")
    return Chosen(
        sum(verdicts.values()),
        verdicts,
        traces.counts(db, query, "model"),
        traces.counts(db, query, "decision"),
        traces.count(db, query.narrowed(_INCOMPLETE)),
        traces.count(db, query.narrowed(_LOOPING)),
        traces.count(db, query.narrowed(_DECIDED)),
        tuple(traces.page(db, query, limit=_SAMPLE)),
    )
