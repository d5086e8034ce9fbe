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
from screens.traces.text import SAID
from store import annotations as annotation_log
from store import datasets, traces
from store.connection import Store
from store.filters import Condition, TraceQuery
from store.records import Dataset, TraceRow

QUEUE = 20
_SAMPLE = 200
_INCOMPLETE = Condition("complete", ("no",))
_LOOPING = Condition("looping", ("yes",))
_ACCEPTED = Condition("decision", ("accept",))


class SetActions:
    """Asks, previews, acts and tells. The methods wait for dialogs, so call them from a worker."""

    def __init__(self, screen: LabScreen, annotator: Annotator) -> None:
        """Create the actions.

        Args:
            screen: where dialogs are opened and errors reported.
            annotator: writes, and tells what was done.
        """
        self.screen = screen
        self.annotator = annotator
        self.context = annotator.context

    async def decide(self, query: TraceQuery) -> bool:
        """Decide on every trace of the filter, after a preview.

        Returns:
            Whether a decision was recorded.
        """
        store, annotator = self.context.store, self.context.annotator
        say = self.annotator.say
        try:
            chosen = await self.screen.in_thread(look_at, store, query)
            if not chosen.total:
                say("This filter finds no trace to decide on.")
                return False
            decision = await self.screen.app.push_screen_wait(BulkDialog(chosen, query.source))
            if decision is None:
                return False
            say(f"deciding on {chosen.total:,} traces …")
            _, number = await self.annotator.writer.do(
                lambda: annotation_log.decide_all(store.db, query, decision, annotator=annotator)
            )
        except Exception as error:
            self.screen.report(error)
            return False
        say(Text(f"saved: {number:,} traces {SAID[decision]} by {annotator}; u takes it back", "green"))
        return True

    async def draw(self, query: TraceQuery) -> TraceQuery | None:
        """Ask for a number and draw that many traces of the filter at random.

        Returns:
            The queue; None without one.
        """
        typed = await self.screen.app.push_screen_wait(
            PromptDialog("How many traces, drawn by chance from this filter?", value=str(QUEUE))
        )
        if typed is None:
            return None
        if not typed.strip().isdecimal() or not int(typed):
            self.annotator.say(f"A queue needs a number of traces, not '{one_line(typed, 20)}'.")
            return None
        query, store = replace(query, ids=None), self.context.store
        try:
            drawn = await self.screen.in_thread(lambda: traces.random_ids(store.db, query, int(typed)))
        except Exception as error:
            self.screen.report(error)
            return None
        self.annotator.say(f"a queue of {len(drawn):,} traces drawn by chance; esc on the list leaves it")
        return replace(query, ids=tuple(drawn))

    async def make_dataset(self, query: TraceQuery) -> None:
        """Make an immutable dataset, with a hash of its content, of what was accepted in the filter."""
        query = accepted(query)
        store, say = self.context.store, self.annotator.say
        try:
            chosen = await self.screen.in_thread(look_at, store, query)
            if not chosen.total:
                say("Nothing is accepted in this filter yet: accept some traces with a first.")
                return
            wanted = await self.screen.app.push_screen_wait(DatasetDialog(chosen, query.source))
            if wanted is None:
                return
            name, phase = wanted
            made = await self.annotator.writer.do(lambda: datasets.create(store.db, name, query, phase=phase))
        except Exception as error:
            self.screen.report(error)
            return
        say(Text(f"dataset {made.name}: {made.rows:,} rows, hash {made.hash}", "green"))
        preview = PreviewDialog(f"Dataset {one_line(made.name, 40)}", _described(made), action="Train a student on it")
        if await self.screen.app.push_screen_wait(preview):
            self.screen.post_message(OpenTraining(made.name))

    async def export(self) -> None:
        """Write every annotation of the lab, undos included, as JSONL."""
        try:
            path, number = await self.annotator.writer.do(
                export_annotations, self.context.store, self.context.lab.exports
            )
        except Exception as error:
            self.screen.report(error)
            return
        self.annotator.say(f"wrote {number:,} annotations to {path}")


def accepted(query: TraceQuery) -> TraceQuery:
    """The filter, narrowed to accepted traces unless it has a condition on the decision."""
    source = query.source
    if not query.asks("decision"):
        query, source = query.narrowed(_ACCEPTED), f"{source} decision:accept".strip()
    if query.ids is not None:
        source = f"{source} (of a queue of {len(query.ids)} drawn by chance)"
    return replace(query, source=source)


def look_at(store: Store, query: TraceQuery) -> Chosen:
    """Count what a filter finds (for a thread)."""
    db = store.db
    sample: list[TraceRow] = traces.page(db, query, limit=_SAMPLE)
    verdicts = traces.counts(db, query, "verdict")
    return Chosen(
        sum(verdicts.values()),
        verdicts,
        traces.counts(db, query, "model"),
        traces.counts(db, query, "decision"),
        traces.count(db, query.narrowed(_INCOMPLETE)),
        traces.count(db, query.narrowed(_LOOPING)),
        tuple(sample),
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
        "The dataset never changes. What you decide from now on is not in it.",
    )  # fmt: skip
