"""Actions on all traces of a filter: a bulk decision, a random queue, a dataset, an export."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text

from o1lab.ingest.annotations import export_annotations
from o1lab.text import one_line
from o1lab.widgets.dialogs import PreviewDialog, PromptDialog
from screens.base.messages import OpenTraining
from screens.base.screen import LabScreen
from screens.traces.annotate import Annotator
from screens.traces.dialogs import BulkDialog, Chosen, DatasetDialog
from screens.traces.text import PAST_TENSE
from store import annotations as annotation_log
from store import datasets, traces
from store.filters import Condition, TraceQuery
from store.records import Dataset
from store.sqlite import Database

QUEUE = 20
_SAMPLE = 200
_INCOMPLETE = Condition("complete", ("no",))
_LOOPING = Condition("looping", ("yes",))
_ACCEPTED = Condition("decision", ("accept",))


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
        say(f"deciding on {chosen.total:,} traces …")
        _, number = await self.annotator.writer.do(
            lambda: annotation_log.decide_all(store.db, query, decision, annotator=annotator)
        )
        say(Text(f"saved: {number:,} traces {PAST_TENSE[decision]} by {annotator}; u undoes it", "green"))
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
        self.annotator.say(f"a queue of {len(drawn):,} random traces; esc on the list leaves it")
        return replace(query, ids=tuple(drawn))

    async def make_dataset(self, query: TraceQuery) -> None:
        """Make a dataset of the accepted traces of the filter, after a preview."""
        query = accepted(query)
        store, say = self.context.store, self.annotator.say
        chosen = await self.screen.read(choose, query)
        if not chosen.total:
            say("No trace of this filter is accepted yet: press a to accept one.")
            return
        wanted = await self.screen.app.push_screen_wait(DatasetDialog(chosen, query.source))
        if wanted is None:
            return
        name, phase = wanted
        made = await self.annotator.writer.do(lambda: datasets.create(store.db, name, query, phase=phase))
        say(Text(f"dataset {made.name}: {made.rows:,} rows, hash {made.hash}", "green"))
        preview = PreviewDialog(f"Dataset {one_line(made.name, 40)}", _described(made), action="Train a student on it")
        if await self.screen.app.push_screen_wait(preview):
            self.screen.post_message(OpenTraining(made.name))

    async def export(self) -> None:
        """Write all annotations of the lab, undos included, as JSONL."""
        exports = self.context.lab.exports
        path, number = await self.annotator.writer.do(export_annotations, self.context.store, exports)
        self.annotator.say(f"wrote {number:,} annotations to {path}")


def accepted(query: TraceQuery) -> TraceQuery:
    """Limit a filter to accepted traces, unless it has a condition on the decision."""
    source = query.source
    if not query.asks("decision"):
        query, source = query.narrowed(_ACCEPTED), f"{source} decision:accept".strip()
    if query.ids is not None:
        source = f"{source} (a queue of {len(query.ids)} random traces)"
    return replace(query, source=source)


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
        tuple(traces.page(db, query, limit=_SAMPLE)),
    )


def _described(made: Dataset) -> Text:
    tokens = "unknown" if made.tokens is None else f"{made.tokens:,}"
    teaches = "thought and solution" if made.phase == 2 else "solution alone"
    return Text.assemble(
        ("hash    ", "dim"), (made.hash, "bold"), "\n",
        ("rows    ", "dim"), f"{made.rows:,}\n",
        ("tokens  ", "dim"), f"{tokens}\n",
        ("phase   ", "dim"), f"{made.phase}: teaches {teaches}\n",
        ("filter  ", "dim"), made.query or "everything", "\n\n",
        "The dataset never changes; later decisions are not included.",
    )  # fmt: skip
