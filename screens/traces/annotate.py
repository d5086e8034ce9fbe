"""Annotating from the keyboard: a key applies to the trace under the cursor, and is confirmed once it is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rich.text import Text
from textual import work
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Static

from o1lab.ingest.annotation_text import adjudication_note
from o1lab.text import visible
from o1lab.widgets.dialogs import PromptDialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.reader.chain_reader import ChainReader
from screens.base.context import LabContext
from screens.base.screen import ScreenPart, task
from screens.base.writer import Writer
from screens.traces.actions import Action, Span, Spans, Written
from store import annotations as annotation_log
from store import decisions, traces
from store import labels as label_set
from store.decisions import ADJUDICATION
from store.filters import TraceQuery
from store.records import Annotation
from store.sqlite import Database
from store.wrong_steps import NONE, WITHDRAWN, latest

Result = TypeVar("Result")

ANNOTATED = ("decision", "rating", "tag", "label", "note", "by", "has", "wrong-step", *traces.OF_PERSONS)
"""Fields that an annotation changes, which filters and orders can use."""
DECISION_BINDINGS: list[BindingType] = [
    Binding(
        "a",
        "annotate('decision', 'accept')",
        "Accept",
        tooltip="Accept the trace and go to the next one that you have not decided on",
    ),
    Binding("x", "annotate('decision', 'reject')", "Reject", tooltip="Reject the trace and go to the next one"),
    Binding("z", "annotate('decision', 'skip')", "Skip", tooltip="Skip the trace and go to the next one"),
]
REMARK_BINDINGS: list[BindingType] = [
    *(
        Binding(stars, f"annotate('rating', '{stars}')", "Rate" if stars == "1" else f"Rate {stars}", show=stars == "1",
                key_display="0-5" if stars == "1" else None, tooltip=f"Rate the trace {stars} of 5")
        for stars in "012345"
    ),
    Binding("t", "annotate('tags')", "Tags", tooltip="Edit the trace's tags"),
    Binding("m", "annotate('note')", "Note", tooltip="Write a note on the trace"),
    Binding("L", "annotate('labels')", "Labels", show=False, tooltip="Change the labels of the lab and their digits"),
    Binding("u", "annotate('undo')", "Undo", tooltip="Undo your last annotation or bulk decision"),
]  # fmt: skip
ANNOTATION_BINDINGS = [*DECISION_BINDINGS, *REMARK_BINDINGS]
"""The keys of a screen whose ``action_annotate`` calls :meth:`Annotator.perform`."""

STEP_BINDINGS: list[BindingType] = [
    Binding("X", "judge_step('wrong')", "Wrong step", show=False,
            tooltip="The current move is the first wrong step; on your own mark: withdraw it"),
    Binding("A", "judge_step('right')", "No wrong step", show=False,
            tooltip="No move of the chain is wrong; again: withdraw it"),
]  # fmt: skip
"""The keys of a screen whose ``action_judge_step`` calls :meth:`Annotator.judge_step`."""


def write(db: Database, annotator: str, action: Action) -> Written:
    """Save an action. The next trace is looked up first, before this one can leave the list.

    Raises:
        NotFoundError: The trace does not exist.
    """
    if action.kind == "undo":
        return _undo(db, annotator, action)
    trace_id = action.trace_id
    if action.moves:
        value, moves = action.value, action.moves
        records = annotation_log.annotate_spans(db, trace_id, action.kind, value, moves, annotator=annotator)
        return Written(action, records[0], traces.get(db, trace_id), number=len(records))
    following = None
    if action.kind in ("decision", ADJUDICATION):
        disputes = action.kind == ADJUDICATION and action.query.asks("agreement")
        following = traces.next_undecided(db, action.query, trace_id, any_other=disputes)
    before = traces.get(db, trace_id)
    record = annotation_log.annotate(db, trace_id, action.kind, action.value, annotator=annotator, span=action.span)
    row = traces.get(db, trace_id)
    note = "annotators differ: disputed" if action.kind == "decision" and row.disputed else ""
    if action.kind == ADJUDICATION:
        note = adjudication_note(decisions.policy_of(db), before)
    return Written(action, record, row, following, note=note)


def _undo(db: Database, annotator: str, action: Action) -> Written:
    record = annotation_log.undo(db, annotator=annotator, target=action.value or None)
    if record is None or record.target is None:
        return Written(action, None, traces.get(db, action.trace_id))
    undone = annotation_log.targets(db, record.target)
    touched = annotation_log.traces_of(db, record.target)
    first = undone[0] if len(touched) == 1 else None
    return Written(action, record, traces.get(db, record.trace_id), None, first, len(undone), touched)


class Annotator(Static, ScreenPart):
    """Annotates the trace under the cursor; the line at the bottom of the screen that confirms it."""

    @dataclass
    class Saved(Message):
        """An annotation is saved."""

        written: Written

    class LabelsChanged(Message):
        """The labels of the lab may have changed."""

    def __init__(
        self,
        context: LabContext,
        target: Callable[[], str | None],
        *,
        writer: Writer | None = None,
        query: Callable[[], TraceQuery] = TraceQuery,
        record: Callable[[Action], Written] | None = None,
        keep: Callable[[str, str], str] = lambda _kind, _value: "No trace is shown.",
    ) -> None:
        """Create the line.

        Args:
            context: The lab.
            target: Returns the id of the trace that a key applies to.
            writer: The thread that writes, which is left open; None creates one.
            query: Returns the list that the trace is in.
            record: Saves an action in the writer's thread; :func:`write` by default.
            keep: Keeps the kind and value of a key until its trace has loaded. If none is loading, returns why there is
                no trace, for a person.
        """
        super().__init__(id="message", markup=False)
        self.context = context
        self.writer = writer or Writer(context.store)
        self._owns_writer = writer is None
        self._target = target
        self._query = query
        self._record = record or (lambda action: write(context.store.db, context.annotator, action))
        self._keep = keep
        self._waiting: list[Action] = []
        self._tagged: list[Annotation] = []  # what is recorded of the last line of tags
        self._annotated: str | None = None  # what an undo starts from when the last trace has left the list

    @property
    def busy(self) -> bool:
        """Whether an annotation is being written."""
        return bool(self._waiting)

    async def on_unmount(self) -> None:
        if self._owns_writer:
            await self.writer.close()

    def say(self, message: str | Text) -> None:
        """Show a message."""
        self.update(message if isinstance(message, Text) else Text(visible(message)))

    def perform(self, action: str, value: str = "") -> None:
        """Run the action of a key of ``ANNOTATION_BINDINGS``."""
        dialogs = {"tags": self._edit_tags, "note": self._write_note, "labels": self._edit_labels}
        dialogs[action]() if action in dialogs else self.annotate(action, value)

    def annotate(
        self, kind: str, value: str = "", *, span: Span | None = None, of: str | None = None, moves: Spans = ()
    ) -> None:
        """Queue an annotation of the trace under the cursor, or of the trace ``of``.

        If the same annotation is requested again while it is being written (a repeating key), it is recorded once.
        """
        trace_id = of or self._target() or (self._annotated if kind == "undo" else None)
        if trace_id is None:
            if why := self._keep(kind, value):
                self.say(f"Nothing was recorded. {why}")
            return
        action = Action(trace_id, kind, value, span, self._query(), moves)
        if kind != "undo" and self._waiting and self._waiting[-1] == action:
            return
        self._waiting.append(action)
        self._annotated = trace_id
        self._confirm(action, self.writer.submit(self._recorded, action))

    def judge_step(self, what: str, reader: ChainReader, trace_id: str | None, records: Sequence[Annotation]) -> None:
        """Record the annotator's verdict on the steps of a chain.

        Args:
            what: ``wrong`` (the current move is the first wrong step) or ``right``; again, it withdraws the verdict.
            reader: Shows the chain.
            trace_id: The chain; None if it is not the trace under the cursor yet.
            records: Its annotations.
        """
        move = reader.current_move
        if not reader.has_focus_within:
            self.say("Press tab to go to the chain: a verdict on its steps is given at a move.")
        elif trace_id is None or move is None:
            self.say("No move is shown, so nothing was recorded.")
        else:
            own = next((one for one in latest(records) if one.annotator == self.context.annotator), None)
            number, segment = move
            span = (segment.start, segment.end)
            if what == "right":
                withdrawn = own is not None and own.step == 0
                self.annotate("wrong_step", WITHDRAWN if withdrawn else NONE, of=trace_id)
            elif own is not None and own.step and own.span == span:
                self.annotate("wrong_step", WITHDRAWN, of=trace_id)
            else:
                self.annotate("wrong_step", str(number), span=span, of=trace_id)

    def _recorded(self, action: Action) -> Written:
        """Save an action in the writer's thread, and count the annotations of its trace."""
        done = self._record(action)
        counts = annotation_log.counts(self.context.store.db, [done.row.id])
        return replace(done, counts=counts.get(done.row.id, annotation_log.Counts()))

    def mark(self, event: ChainReader.Marked, trace_id: str | None, records: Sequence[Annotation]) -> None:
        """Give spans a label or moves another kind; a label that the annotator gave the same span is taken away.

        Its chain has these records; ``trace_id`` is None if it is not the trace under the cursor yet.
        """
        if trace_id is None:
            self.say("No trace is shown, so nothing was recorded.")
            return
        if event.kind == "move":
            self.annotate("move", event.value, of=trace_id, moves=event.spans)
            return
        for span in event.spans:
            same = ("span", event.value, span, self.context.annotator)
            own = [one for one in records if (one.kind, one.value, one.span, one.annotator) == same]
            if own:
                self.annotate("undo", own[-1].id, of=trace_id)
            else:
                self.annotate("span", event.value, span=span, of=trace_id)

    @task(dialog=True)
    async def label(self, event: ChainReader.SpanSelected, trace_id: str) -> None:
        """Ask for the label of a selected span of the trace, and record it."""
        labels = await self.lab_screen.read(label_set.known)
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
            self.say(Text(f"NOT saved: {action.described}", "bold red"))
            self.lab_screen.report(error)
            return
        finally:
            self._waiting.remove(action)
        if (record := done.record) is not None and action.kind in ("tag", "untag"):
            done = replace(done, before=tuple(one for one in self._tagged if one.trace_id == record.trace_id))
            self._tagged.append(record)
        if not self.lab_screen.closing:
            self.say(done.confirmation)
            self.post_message(self.Saved(done))

    @task(dialog=True)
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
        self._tagged = []
        for tag in wanted:
            if tag not in own:
                self.annotate("tag", tag, of=trace_id)
        for tag in own:
            if tag not in wanted:
                self.annotate("untag", tag, of=trace_id)

    @task(dialog=True)
    async def _edit_labels(self) -> None:
        """Change the labels of the lab."""
        from screens.traces.labels import LabelsDialog

        await self.app.push_screen_wait(LabelsDialog(self.context, self.writer))
        self.post_message(self.LabelsChanged())

    @task(dialog=True)
    async def _write_note(self) -> None:
        """Write a note."""
        if (trace_id := self._target()) is None:
            return
        note = await self.app.push_screen_wait(PromptDialog("Note on this trace"))
        if note and note.strip():
            self.annotate("note", note.strip(), of=trace_id)
