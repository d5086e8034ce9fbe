"""Annotating from the keyboard: a key means the trace at hand when it is pressed, and is confirmed once it is saved."""

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
from screens.base.screen import LabScreen
from screens.traces.text import confirmation, what
from store import annotations as annotation_log
from store import traces
from store.connection import Store
from store.filters import TraceQuery
from store.records import Annotation, TraceRow

Result = TypeVar("Result")

EVERYTHING = TraceQuery()
ANNOTATION_BINDINGS: list[BindingType] = [
    Binding("a", "annotate('decision', 'accept')", "Accept",
            tooltip="Accept the trace and go on to the next without a decision"),
    Binding("x", "annotate('decision', 'reject')", "Reject", tooltip="Reject the trace and go on"),
    Binding("s", "annotate('decision', 'skip')", "Skip", tooltip="Leave the trace undecided on purpose and go on"),
    Binding("t", "annotate('tags')", "Tags", tooltip="Give and take the trace's tags"),
    Binding("m", "annotate('note')", "Note", tooltip="Write a note on the trace"),
    *(
        Binding(stars, f"annotate('rating', '{stars}')", f"Rate {stars}", show=False,
                tooltip=f"Rate the trace {stars} of 5")
        for stars in "012345"
    ),
    Binding("u", "annotate('undo')", "Undo", tooltip="Take back your last annotation, a bulk decision included"),
]  # fmt: skip
"""The keys of a screen whose ``action_annotate`` calls :meth:`Annotator.perform`."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a key means: an annotation of a trace, and the list that the trace was in."""

    trace_id: str
    kind: str
    value: str = ""
    span: tuple[int, int] | None = None
    query: TraceQuery = EVERYTHING


@dataclass(frozen=True, slots=True)
class Written:
    """An action that is saved.

    Attributes:
        act: the action.
        record: the annotation; None for an undo that found nothing to take back.
        row: the trace as it is now.
        next_id: the trace to continue with after a decision.
        undone: the annotation that an undo took back.
        touched: the traces that an undo concerned.
    """

    act: Action
    record: Annotation | None
    row: TraceRow
    next_id: str | None = None
    undone: Annotation | None = None
    touched: Sequence[str] = ()

    @property
    def left(self) -> str | None:
        """The id of the trace that an undone edit leaves in the lab, with the annotations it got meanwhile."""
        return self.undone.value if self.undone is not None and self.undone.kind == "edit" else None


class Writer:
    """A thread that writes in the order in which it is asked to.

    Its connection also notices what others write: SQLite does not count a connection's own changes.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="annotations")
        self._version: int | None = None

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``work`` after everything that was asked for before, even if the caller is cancelled meanwhile."""
        return await self.asked(work, *arguments)

    def asked(self, work: Callable[..., Result], *arguments: Any) -> asyncio.Future[Result]:
        """The same from a plain function: ``work`` is in the queue when this returns."""

        def explained() -> Result:
            with self.store.explained():
                return work(*arguments)

        return asyncio.shield(asyncio.wrap_future(self._pool.submit(explained)))

    def others_wrote(self) -> bool:
        """Whether another connection has written since the last call (for ``do``)."""
        before, self._version = self._version, self.store.data_version()
        return before is not None and before != self._version

    async def close(self) -> None:
        """Write what is waiting, then end the thread."""
        await asyncio.to_thread(self._pool.shutdown)


def write(store: Store, annotator: str, act: Action) -> Written:
    """Record an action. The next trace is chosen first, while this one still has its place in the list.

    Raises:
        MissingError: there is no such trace any more.
    """
    db = store.db
    if act.kind == "undo":
        return _undo(store, annotator, act)
    following = traces.next_undecided(db, act.query, act.trace_id) if act.kind == "decision" else None
    record = annotation_log.annotate(db, act.trace_id, act.kind, act.value, annotator=annotator, span=act.span)
    return Written(act, record, traces.get(db, act.trace_id), following)


def _undo(store: Store, annotator: str, act: Action) -> Written:
    record = annotation_log.undo(store.db, annotator=annotator)
    if record is None or record.target is None:
        return Written(act, None, traces.get(store.db, act.trace_id))
    undone = annotation_log.get(store.db, record.target)
    touched = annotation_log.concerned(store.db, record.target)
    return Written(act, record, traces.get(store.db, record.trace_id), None, undone, touched)


class Annotator(Static):
    """Annotates the trace at hand, and is the line at the foot of the screen that confirms it."""

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
            context: the lab.
            target: the id of the trace that a key means now.
            writer: the thread that writes; it stays open. Without one the line has its own.
            query: the list that the trace is in.
            record: saves an action (in the writer's thread), :func:`write` by default.
            keep: keeps the kind and value of a key until the trace it means has loaded; False if none is loading.
        """
        super().__init__(id="said", markup=False)
        self.context = context
        self.writer = writer or Writer(context.store)
        self._owns_writer = writer is None
        self._target = target
        self._query = query
        self._record = record or self._write
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
        """Show a line."""
        self.update(message if isinstance(message, Text) else Text(visible(message)))

    def perform(self, action: str, value: str = "") -> None:
        """Do what a key of ``ANNOTATION_BINDINGS`` means."""
        if action == "tags":
            self._edit_tags()
        elif action == "note":
            self._write_note()
        else:
            self.annotate(action, value)

    def annotate(
        self, kind: str, value: str = "", *, span: tuple[int, int] | None = None, of: str | None = None
    ) -> None:
        """Queue an annotation of the trace at hand, or of the trace ``of``.

        The same annotation asked for again while it is being written (a key that repeats) is recorded once.
        """
        trace_id = of or self._target()
        if trace_id is None:
            if not self._keep(kind, value):
                self.say("No trace is shown here, so nothing was recorded.")
            return
        act = Action(trace_id, kind, value, span, self._query())
        if kind != "undo" and self._waiting and self._waiting[-1] == act:
            return
        self._waiting.append(act)
        self._confirm(act, self.writer.asked(self._record, act))

    @work
    async def label(self, event: ChainReader.SpanSelected, trace_id: str) -> None:
        """Ask for the label of a selected span of the trace, and record it."""
        store = self.context.store
        labels = await self.lab_screen.in_thread(lambda: annotation_log.span_labels(store.db))
        label = await self.app.push_screen_wait(
            PromptDialog(f"Label of characters {event.start} to {event.end}", completions=labels)
        )
        if label and label.strip():
            self.annotate("span", label.strip(), span=(event.start, event.end), of=trace_id)
            event.reader.clear_selection()

    def _write(self, act: Action) -> Written:
        return write(self.context.store, self.context.annotator, act)

    @work
    async def _confirm(self, act: Action, written: asyncio.Future[Written]) -> None:
        try:
            done = await written
        except Exception as error:
            self.say(Text(f"NOT saved: {_described(act)}", "bold red"))
            self.lab_screen.report(error)
            return
        finally:
            self._waiting.remove(act)
        if not self.lab_screen.closing:
            self.say(_confirmation(done))
            self.post_message(self.Saved(done))

    @work
    async def _edit_tags(self) -> None:
        """Edit the trace's tags as one line."""
        store, trace_id = self.context.store, self._target()
        if trace_id is None:
            return
        own, known = await self.lab_screen.in_thread(
            lambda: (annotation_log.tags_of(store.db, trace_id), [tag for tag, _ in annotation_log.tags(store.db)])
        )
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
        wanted = list(dict.fromkeys(tag for part in line.split(",") if (tag := " ".join(part.split()))))
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


def _described(act: Action) -> str:
    return what(Annotation("", act.trace_id, act.kind, act.value, act.span, None, None, "", ""))


def _confirmation(done: Written) -> Text:
    if done.record is None:
        return Text("You have nothing to take back.")
    if done.act.kind != "undo":
        return confirmation(done.record, done.row)
    if done.undone is None:
        return Text(f"took back one decision on {len(done.touched):,} traces", "green")
    if done.left is not None:
        return Text.assemble(
            ("took back the edit", "green"), f"; its text stays as trace {done.left[:8]}: x rejects it"
        )
    return confirmation(done.undone, done.row, "took back")
