"""Annotating from the keyboard: a key applies to the trace under the cursor, and is confirmed once it is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from o1lab.text import visible
from o1lab.widgets.chain_reader import ChainReader
from o1lab.widgets.dialogs import PromptDialog
from screens.base.context import LabContext
from screens.base.screen import LabScreen, reported
from screens.traces.text import confirmation, what
from store import annotations as annotation_log
from store import traces
from store.connection import Store
from store.filters import TraceQuery
from store.records import Annotation, TraceRow
from store.sqlite import Database

Result = TypeVar("Result")

EVERYTHING = TraceQuery()
ANNOTATION_BINDINGS: list[BindingType] = [
    Binding("a", "annotate('decision', 'accept')", "Accept",
            tooltip="Accept the trace and go to the next one without a decision"),
    Binding("x", "annotate('decision', 'reject')", "Reject", tooltip="Reject the trace and go to the next one"),
    Binding("s", "annotate('decision', 'skip')", "Skip", tooltip="Skip the trace and go to the next one"),
    Binding("t", "annotate('tags')", "Tags", tooltip="Edit the trace's tags"),
    Binding("m", "annotate('note')", "Note", tooltip="Write a note on the trace"),
    *(
        Binding(stars, f"annotate('rating', '{stars}')", f"Rate {stars}", show=False,
                tooltip=f"Rate the trace {stars} of 5")
        for stars in "012345"
    ),
    Binding("u", "annotate('undo')", "Undo", tooltip="Undo your last annotation or bulk decision"),
]  # fmt: skip
"""The keys of a screen whose ``action_annotate`` calls :meth:`Annotator.perform`."""


@dataclass(frozen=True, slots=True)
class Action:
    """The annotation that a key makes, and the list that the trace was in."""

    trace_id: str
    kind: str
    value: str = ""
    span: tuple[int, int] | None = None
    query: TraceQuery = EVERYTHING


@dataclass(frozen=True, slots=True)
class Written:
    """A saved action.

    Attributes:
        act: The action.
        record: The annotation; None for an undo without anything to undo.
        row: The trace after the action.
        next_id: The trace to continue with after a decision.
        undone: The annotation that was undone.
        touched: The ids of the traces that an undo changed.
    """

    act: Action
    record: Annotation | None
    row: TraceRow
    next_id: str | None = None
    undone: Annotation | None = None
    touched: Sequence[str] = ()

    @property
    def left(self) -> str | None:
        """The id of the trace that was made by an undone edit; it stays in the lab with its annotations."""
        return self.undone.value if self.undone is not None and self.undone.kind == "edit" else None


class Writer:
    """A thread that writes to the store, in the order of the calls.

    Its connection also detects the writes of others, since SQLite does not count a connection's own changes.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="annotations")
        self._version: int | None = None

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``work`` after all earlier work, even if the caller is cancelled in the meantime."""
        return await self.submit(work, *arguments)

    def submit(self, work: Callable[..., Result], *arguments: Any) -> asyncio.Future[Result]:
        """Queue ``work`` and return its future."""

        def explained() -> Result:
            with self.store.explained():
                return work(*arguments)

        return asyncio.shield(asyncio.wrap_future(self._pool.submit(explained)))

    def others_wrote(self) -> bool:
        """Whether another connection has written since the last call. Call it with ``do``."""
        before, self._version = self._version, self.store.data_version()
        return before is not None and before != self._version

    async def close(self) -> None:
        """Finish the queued work, then end the thread."""
        await asyncio.to_thread(self._pool.shutdown)


def write(db: Database, annotator: str, action: Action) -> Written:
    """Save an action. The next trace is looked up first, before this one can leave the list.

    Raises:
        MissingError: The trace does not exist.
    """
    if action.kind == "undo":
        return _undo(db, annotator, action)
    trace_id = action.trace_id
    following = traces.next_undecided(db, action.query, trace_id) if action.kind == "decision" else None
    record = annotation_log.annotate(db, trace_id, action.kind, action.value, annotator=annotator, span=action.span)
    return Written(action, record, traces.get(db, trace_id), following)


def _undo(db: Database, annotator: str, action: Action) -> Written:
    record = annotation_log.undo(db, annotator=annotator)
    if record is None or record.target is None:
        return Written(action, None, traces.get(db, action.trace_id))
    undone = annotation_log.get(db, record.target)
    touched = annotation_log.traces_of(db, record.target)
    return Written(action, record, traces.get(db, record.trace_id), None, undone, touched)


class Annotator(Static):
    """Annotates the trace under the cursor; the line at the bottom of the screen that confirms it."""

    class Saved(Message):
        """An annotation is saved."""

        def __init__(self, written: Written) -> None:
            super().__init__()
            self.written = written

    def __init__(
        self,
        context: LabContext,
        target: Callable[[], str | None],
        *,
        writer: Writer | None = None,
        query: Callable[[], TraceQuery] = TraceQuery,
        record: Callable[[Action], Written] | None = None,
        keep: Callable[[str, str], bool] | None = None,
    ) -> None:
        """Create the line.

        Args:
            context: The lab.
            target: Returns the id of the trace that a key applies to.
            writer: The thread that writes, which is left open; None creates one.
            query: Returns the list that the trace is in.
            record: Saves an action in the writer's thread; :func:`write` by default.
            keep: Keeps the kind and value of a key until its trace has loaded; False if none is loading.
        """
        super().__init__(id="said", markup=False)
        self.context = context
        self.writer = writer or Writer(context.store)
        self._owns_writer = writer is None
        self._target = target
        self._query = query
        self._record = record or (lambda action: write(context.store.db, context.annotator, action))
        self._keep = keep or (lambda kind, value: False)
        self._waiting: list[Action] = []

    @property
    def busy(self) -> bool:
        """Whether an annotation is being written."""
        return bool(self._waiting)

    @property
    def lab_screen(self) -> LabScreen:
        return cast(LabScreen, self.screen)

    async def on_unmount(self) -> None:
        if self._owns_writer:
            await self.writer.close()

    def say(self, message: str | Text) -> None:
        """Show a message."""
        self.update(message if isinstance(message, Text) else Text(visible(message)))

    def perform(self, action: str, value: str = "") -> None:
        """Run the action of a key of ``ANNOTATION_BINDINGS``."""
        if action == "tags":
            self._edit_tags()
        elif action == "note":
            self._write_note()
        else:
            self.annotate(action, value)

    def annotate(
        self, kind: str, value: str = "", *, span: tuple[int, int] | None = None, of: str | None = None
    ) -> None:
        """Queue an annotation of the trace under the cursor, or of the trace ``of``.

        If the same annotation is requested again while it is being written (a repeating key), it is recorded once.
        """
        trace_id = of or self._target()
        if trace_id is None:
            if not self._keep(kind, value):
                self.say("No trace is shown, so nothing was recorded.")
            return
        action = Action(trace_id, kind, value, span, self._query())
        if kind != "undo" and self._waiting and self._waiting[-1] == action:
            return
        self._waiting.append(action)
        self._confirm(action, self.writer.submit(self._record, action))

    @work
    @reported
    async def label(self, event: ChainReader.SpanSelected, trace_id: str) -> None:
        """Ask for the label of a selected span of the trace, and record it."""
        labels = await self.lab_screen.read(annotation_log.span_labels)
        label = await self.app.push_screen_wait(
            PromptDialog(f"Label of characters {event.start} to {event.end}", completions=labels)
        )
        if label and label.strip():
            self.annotate("span", label.strip(), span=(event.start, event.end), of=trace_id)
            event.reader.clear_selection()

    @work
    async def _confirm(self, action: Action, written: asyncio.Future[Written]) -> None:
        try:
            done = await written
        except Exception as error:
            self.say(Text(f"NOT saved: {_described(action)}", "bold red"))
            self.lab_screen.report(error)
            return
        finally:
            self._waiting.remove(action)
        if not self.lab_screen.closing:
            self.say(_confirmation(done))
            self.post_message(self.Saved(done))

    @work
    @reported
    async def _edit_tags(self) -> None:
        """Edit the trace's tags as one line."""
        if (trace_id := self._target()) is None:
            return
        own = await self.lab_screen.read(annotation_log.tags_of, trace_id)
        known = [tag for tag, _ in await self.lab_screen.read(annotation_log.tags)]
        line = await self.app.push_screen_wait(
            PromptDialog(
                "Tags, separated by commas",
                value=", ".join(own) + (", " if own else ""),
                placeholder="careful, wrong carry",
                completions=known,
                multiple=True,
            )
        )
        if line is None:
            return
        same = {" ".join(tag.split()): tag for tag in own}  # a tag of an imported record may have odd spaces
        typed = (" ".join(part.split()) for part in line.split(","))
        wanted = list(dict.fromkeys(same.get(tag, tag) for tag in typed if tag))
        for tag in wanted:
            if tag not in own:
                self.annotate("tag", tag, of=trace_id)
        for tag in own:
            if tag not in wanted:
                self.annotate("untag", tag, of=trace_id)

    @work
    async def _write_note(self) -> None:
        """Write a note."""
        if (trace_id := self._target()) is None:
            return
        note = await self.app.push_screen_wait(PromptDialog("Note on this trace"))
        if note and note.strip():
            self.annotate("note", note.strip(), of=trace_id)


def _described(action: Action) -> str:
    return what(Annotation("", action.trace_id, action.kind, action.value, action.span, None, None, "", ""))


def _confirmation(done: Written) -> Text:
    if done.record is None:
        return Text("There is nothing to undo.")
    if done.act.kind != "undo":
        return confirmation(done.record, done.row)
    if done.undone is None:
        return Text(f"undid one decision on {len(done.touched):,} traces", "green")
    if done.left is not None:
        return Text.assemble(("undid the edit", "green"), f"; its text is kept as trace {done.left[:8]}: x rejects it")
    return confirmation(done.undone, done.row, "undid")
