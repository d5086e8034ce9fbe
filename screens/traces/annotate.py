"""Annotating from the keyboard: a key's trace is fixed when it is pressed; its word is on the disk before it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from rich.text import Text
from textual import work
from textual.binding import Binding, BindingType

from o1lab.widgets.chain_reader import ChainReader
from o1lab.widgets.dialogs import PromptDialog
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.traces.text import confirmation, what
from store import annotations as annotation_log
from store import traces
from store.connection import Store
from store.query import TraceQuery
from store.records import Annotation, TraceRow

Result = TypeVar("Result")


EVERYTHING = TraceQuery()


@dataclass(frozen=True, slots=True)
class Action:
    """One key's meaning: what is to be said of which trace, and the list it was said in."""

    trace_id: str
    kind: str
    value: str = ""
    span: tuple[int, int] | None = None
    query: TraceQuery = EVERYTHING


@dataclass(frozen=True, slots=True)
class Written:
    """An act that is on the disk. ``record`` is None for an undo that found nothing to take back.

    ``row`` is the trace as it is now, ``next_id`` the trace to go on with (after a decision), ``undone`` what an
    undo took back and ``touched`` the traces it concerned. An undone edit leaves its trace in the lab, as whatever
    was said of it meanwhile does not vanish either: ``left`` is its id.
    """

    act: Action
    record: Annotation | None
    row: TraceRow
    next_id: str | None = None
    undone: Annotation | None = None
    touched: Sequence[str] = ()

    @property
    def left(self) -> str | None:
        return self.undone.value if self.undone is not None and self.undone.kind == "edit" else None


class Writer:
    """A thread that writes one thing after another, in the order they were asked for.

    Its connection also notices what others write: SQLite does not count a connection's own changes.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="annotations")
        self._version: int | None = None

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``work`` after all that was asked for before; it happens even if nobody waits any more."""
        return await self.asked(work, *arguments)

    def asked(self, work: Callable[..., Result], *arguments: Any) -> asyncio.Future[Result]:
        """The same from a plain function: by the time this returns the work has its place in the queue."""

        def explained() -> Result:
            with self.store.explained():
                return work(*arguments)

        return asyncio.shield(asyncio.wrap_future(self._pool.submit(explained)))

    def others_wrote(self) -> bool:
        """Whether another connection has written since this was last asked (for ``do``)."""
        before, self._version = self._version, self.store.data_version()
        return before is not None and before != self._version

    async def close(self) -> None:
        """Write what is waiting, then end the thread."""
        await asyncio.to_thread(self._pool.shutdown)


def write(store: Store, annotator: str, act: Action) -> Written:
    """Record ``act``. The next trace is chosen before, while this one still has its place in the list.

    Raises:
        MissingError: the trace is gone.
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


class AnnotatingScreen(LabScreen):
    """A screen whose keys say something of the trace at hand.

    Subclasses tell which trace that is (``target``), what list it is in (``list_query``) and what follows from an
    annotation (``on_done``); ``say`` shows a line.
    """

    DECIDE: ClassVar[Binding.Group] = Binding.Group("Decide")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('accept')", "Accept", tooltip="Accept the trace and go on to the next without a decision"),
        Binding("x", "decide('reject')", "Reject", tooltip="Reject the trace and go on"),
        Binding("s", "decide('skip')", "Skip", tooltip="Leave the trace undecided on purpose and go on"),
        Binding("t", "tags", "Tags", tooltip="Give and take the trace's tags"),
        Binding("m", "note", "Note", tooltip="Write a note on the trace"),
        *(
            Binding(str(stars), f"rate({stars})", f"Rate {stars}", show=False, tooltip=f"Rate the trace {stars} of 5")
            for stars in range(6)
        ),
        Binding("u", "undo", "Undo", tooltip="Take back your last annotation, a bulk decision included"),
    ]

    def __init__(self, context: LabContext, writer: Writer | None = None) -> None:
        super().__init__(context)
        self.writer = writer or Writer(context.store)
        self._waiting: list[Action] = []

    def target(self) -> str | None:
        """The id of the trace that a key means now."""
        raise NotImplementedError

    def hold(self, kind: str, value: str) -> bool:
        """Keep what a key said until the trace it means has come; False if none is on its way."""
        return False

    def list_query(self) -> TraceQuery:
        """The list the trace stands in."""
        return TraceQuery()

    async def on_done(self, done: Written) -> None:
        """An annotation is on the disk."""

    def say(self, message: str | Text) -> None:
        """Show a line."""
        raise NotImplementedError

    def annotate(
        self, kind: str, value: str = "", *, span: tuple[int, int] | None = None, of: str | None = None
    ) -> None:
        """Queue one annotation of the trace at hand (or of ``of``).

        The very same thing asked for again while it is still being written (a key that repeats) is the same thing.
        """
        trace_id = of or self.target()
        if trace_id is None:
            if not self.hold(kind, value):
                self.say("No trace is shown here, so nothing was recorded.")
            return
        act = Action(trace_id, kind, value, span, self.list_query())
        if kind != "undo" and self._waiting and self._waiting[-1] == act:
            return
        self._waiting.append(act)
        self._confirm(act, self.writer.asked(self.record, act))

    def record(self, act: Action) -> Written:
        """Write an act down (for the writer's thread)."""
        return write(self.context.store, self.context.annotator, act)

    @work
    async def _confirm(self, act: Action, written: asyncio.Future[Written]) -> None:
        try:
            done = await written
        except Exception as error:
            self.say(Text(f"NOT saved: {what_act(act)}", "bold red"))
            self.report(error)
            return
        finally:
            self._waiting.remove(act)
        if not self.closing:
            self.say(_word(done))
            await self.on_done(done)

    def action_decide(self, decision: str) -> None:
        self.annotate("decision", decision)

    def action_rate(self, stars: int) -> None:
        self.annotate("rating", str(stars))

    def action_undo(self) -> None:
        self.annotate("undo")

    @work
    async def action_tags(self) -> None:
        """Edit the trace's tags as one line."""
        if (trace_id := self.target()) is None:
            return
        own, known = await self.in_thread(_tags, self.context.store, trace_id)
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
    async def action_note(self) -> None:
        """Write a note."""
        if (trace_id := self.target()) is None:
            return
        note = await self.app.push_screen_wait(PromptDialog("Note on this trace"))
        if note and note.strip():
            self.annotate("note", note.strip(), of=trace_id)

    @work
    async def on_chain_reader_span_selected(self, event: ChainReader.SpanSelected) -> None:
        """Label what was selected."""
        trace_id = self.trace_in(event.reader)
        if trace_id is None:
            return
        labels = await self.in_thread(_span_labels, self.context.store)
        label = await self.app.push_screen_wait(
            PromptDialog(f"Label of characters {event.start} to {event.end}", completions=labels)
        )
        if label and label.strip():
            self.annotate("span", label.strip(), span=(event.start, event.end), of=trace_id)
            event.reader.clear_selection()

    def trace_in(self, reader: ChainReader) -> str | None:
        """The id of the trace that ``reader`` shows."""
        return self.target()


def what_act(act: Action) -> str:
    """An act in a few words."""
    return what(Annotation("", act.trace_id, act.kind, act.value, act.span, None, None, "", ""))


def _word(done: Written) -> Text:
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


def _tags(store: Store, trace_id: str) -> tuple[list[str], list[str]]:
    return annotation_log.tags_of(store.db, trace_id), [tag for tag, _ in annotation_log.tags(store.db)]


def _span_labels(store: Store) -> list[str]:
    return annotation_log.span_labels(store.db)
