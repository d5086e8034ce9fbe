"""What is done to all traces of a filter at once: a bulk decision, a random queue, a dataset, an export."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType

from o1lab.ingest.annotations import export_annotations
from o1lab.text import one_line
from o1lab.widgets.dialogs import PreviewDialog, PromptDialog
from screens.base.messages import OpenTraining
from screens.traces.annotate import AnnotatingScreen
from screens.traces.dialogs import BulkDialog, Chosen, DatasetDialog
from screens.traces.text import SAID
from store import annotations as annotation_log
from store import datasets, traces
from store.connection import Store
from store.query import Condition, TraceQuery, parse_query
from store.records import Dataset, TraceRow

QUEUE = 20
_SAMPLE = 200


class SetsScreen(AnnotatingScreen):
    """The actions on the whole list; ``query_now`` is the filter they mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "dataset", "Dataset", tooltip="Make a named, hashed dataset of what was accepted"),
        Binding("D", "bulk", "Decide all", show=False, tooltip="One decision for every trace of the filter"),
        Binding("Q", "queue", "Random queue", show=False, tooltip="Work through n traces of the filter, by chance"),
        Binding("W", "export", "Export annotations", show=False, tooltip="Write all annotations as JSONL"),
    ]

    query_now: TraceQuery

    def apply(self, query: TraceQuery, trace_id: str | None = None) -> None:
        """List the traces of ``query``."""
        raise NotImplementedError

    @work
    async def action_bulk(self) -> None:
        """Decide on every trace of the filter, after a look at which ones they are."""
        query = self.query_now
        try:
            chosen = await self.in_thread(look_at, self.context.store, query)
            if not chosen.total:
                self.say("This filter finds no trace to decide on.")
                return
            decision = await self.app.push_screen_wait(BulkDialog(chosen, query.source))
            if decision is None:
                return
            self.say(f"deciding on {chosen.total:,} traces …")
            _, number = await self.writer.do(decide_all, self.context.store, query, decision, self.context.annotator)
        except Exception as error:
            self.report(error)
            return
        self.say(
            Text(f"saved: {number:,} traces {SAID[decision]} by {self.context.annotator}; u takes it back", "green")
        )
        self.apply(query, self.target())

    @work
    async def action_queue(self) -> None:
        """Draw a number of traces of the filter by chance and work through them."""
        typed = await self.app.push_screen_wait(
            PromptDialog("How many traces, drawn by chance from this filter?", value=str(QUEUE))
        )
        if typed is None:
            return
        if not typed.strip().isdecimal() or not int(typed):
            self.say(f"A queue needs a number of traces, not '{one_line(typed, 20)}'.")
            return
        query = replace(self.query_now, ids=None)
        try:
            drawn = await self.in_thread(draw, self.context.store, query, int(typed))
        except Exception as error:
            self.report(error)
            return
        self.apply(replace(query, ids=tuple(drawn)))
        self.say(f"a queue of {len(drawn):,} traces drawn by chance; esc on the list leaves it")

    @work
    async def action_dataset(self) -> None:
        """Name what was accepted: an immutable dataset with a hash of its content."""
        query = accepted(self.query_now)
        try:
            chosen = await self.in_thread(look_at, self.context.store, query)
            if not chosen.total:
                self.say("Nothing is accepted in this filter yet: accept some traces with a first.")
                return
            wanted = await self.app.push_screen_wait(DatasetDialog(chosen, query.source))
            if wanted is None:
                return
            name, phase = wanted
            made = await self.writer.do(make_dataset, self.context.store, name, query, phase)
        except Exception as error:
            self.report(error)
            return
        self.say(Text(f"dataset {made.name}: {made.rows:,} rows, hash {made.hash}", "green"))
        if await self.app.push_screen_wait(
            PreviewDialog(f"Dataset {one_line(made.name, 40)}", _described(made), action="Train a student on it")
        ):
            self.post_message(OpenTraining(made.name))

    @work
    async def action_export(self) -> None:
        """Write every annotation of the lab, undos included, as JSONL."""
        try:
            path, number = await self.writer.do(export_annotations, self.context.store, self.context.lab.exports)
        except Exception as error:
            self.report(error)
            return
        self.say(f"wrote {number:,} annotations to {path}")


def accepted(query: TraceQuery) -> TraceQuery:
    """The filter, narrowed to what was accepted unless it already asks for a decision."""
    if any(condition.field == "decision" for condition in query.conditions):
        source = query.source
        narrowed = query
    else:
        source = f"{query.source} decision:accept".strip()
        narrowed = replace(query, conditions=(*query.conditions, Condition("decision", ":", "accept")))
    if query.ids is not None:
        source = f"{source} (of a queue of {len(query.ids)} drawn by chance)"
    return replace(narrowed, source=source)


def look_at(store: Store, query: TraceQuery) -> Chosen:
    """What a filter chooses, counted (for a thread)."""
    db = store.db
    sample: list[TraceRow] = traces.page(db, query, limit=_SAMPLE)
    complete = traces.count(db, query.narrowed(*parse_query("complete:no").conditions))
    looping = traces.count(db, query.narrowed(*parse_query("looping:yes").conditions))
    return Chosen(
        sum((verdicts := traces.counts(db, query, "verdict")).values()),
        verdicts,
        traces.counts(db, query, "model"),
        traces.counts(db, query, "decision"),
        complete,
        looping,
        tuple(sample),
    )


def decide_all(store: Store, query: TraceQuery, decision: str, annotator: str) -> tuple[str, int]:
    """One decision for every trace of the filter (for the writer's thread)."""
    return annotation_log.decide_all(store.db, query, decision, annotator=annotator)


def draw(store: Store, query: TraceQuery, number: int) -> list[str]:
    """Ids drawn by chance (for a thread)."""
    return traces.random_ids(store.db, query, number)


def make_dataset(store: Store, name: str, query: TraceQuery, phase: int) -> Dataset:
    """Snapshot what the filter chooses (for the writer's thread)."""
    return datasets.create(store.db, name, query, phase=phase)


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
