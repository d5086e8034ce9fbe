"""Rating with marks from 0 to 100, blind and shuffled; each mark is committed before the next sample is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events, work
from textual.binding import BindingType

from o1lab.errors import UsageError
from o1lab.evaluate.rating import sheets
from o1lab.evaluate.rating.sheets import BlindSample, RatingResults, Sheet
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import PromptDialog
from o1lab.widgets.keys import Binding, stepping
from screens.base.context import LabContext
from screens.base.screen import task
from screens.evaluate.blind import BlindScreen
from store import ratings
from store.connection import Store
from store.sqlite import Database

_LONGEST = 5  # characters of a mark: 87.25


class RatingScreen(BlindScreen):
    """Shows the samples to mark one by one, without their model, scores or run."""

    TITLE = "RATE"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "save", "Save", tooltip="Save the typed mark and show the next sample"),
        Binding("backspace", "rub_out", "Delete", show=False, tooltip="Delete the last digit, or the mark"),
        Binding("p", "step(-1)", "Previous", tooltip="Previous sample, to read it or change its mark"),
        Binding("n", "step(1)", "Next", show=False, tooltip="Next sample"),
        *stepping("sample"),
        Binding("u", "undo", "Undo", tooltip="Undo your last mark"),
        Binding("f", "thought", "Thought", tooltip="Show the thought as well, or hide it"),
        Binding("m", "note", "Note", tooltip="Add a note to the mark"),
        Binding("number_sign", "results", "Results", key_display="#",
                tooltip="Show means and agreement; asks first while samples are unmarked"),
        Binding("escape", "back", "Leave", tooltip="Leave; every mark is saved, and rating resumes here"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, evaluation_ids: Sequence[str]) -> None:
        super().__init__(context)
        self.ids = list(evaluation_ids)
        self.sheet: Sheet | None = None
        self.at = 0
        self.shown: BlindSample | None = None
        self.typed = ""
        self.note = ""
        self.with_thought = False
        self._results_allowed = False  # everyone has finished, or the user asked for them

    def on_mount(self) -> None:
        self.begin()

    @work(group="rating")
    async def begin(self) -> None:
        """Read the sheet, and go to the first sample without a mark."""
        await self._go(None)

    async def _go(self, at: int | None) -> None:
        """Show the sample at a position, or the first one without a mark. The sheet is read again."""
        self.busy = True
        try:
            self.sheet, self.shown, self.at = await self.read(_read, self.ids, self.context.annotator, at)
        except Exception as error:
            self.report(error)
            return
        finally:
            self.busy = False
        self.typed, self.note = "", ""
        if self.shown is not None:
            self._draw()
        else:
            await self._show_results()
        self._draw_mark()

    # Drawing.

    def _draw(self) -> None:
        one = self.shown
        if one is None or self.sheet is None:
            return
        self.set_heading(f"{self.sheet.done:,} of {len(self.sheet.order):,} marked · {self.at + 1:,}")
        self.show_sample(one.question, one.turns, thoughts=self.with_thought)

    def _draw_mark(self) -> None:
        one = self.shown
        text = Text("mark 0 to 100: ")
        text.append(self.typed or "_", "reverse")
        if one is not None and one.mark is not None:
            text.append(f"   your mark: {one.mark.value:g}", "dim")
            text.append(f" “{one_line(one.mark.note, 40)}”" if one.mark.note else "", "dim")
        if self.note:
            text.append(f"   note “{one_line(self.note, 40)}”", "italic")
        text.append("   enter saves", "dim")
        self.show_judgement(text)

    def on_key(self, event: events.Key) -> None:
        """Add a digit to the mark."""
        if event.character and event.character in "0123456789." and self.shown is not None:
            event.stop()
            event.prevent_default()
            self.typed = (self.typed + event.character)[:_LONGEST]
            self._draw_mark()

    def action_rub_out(self) -> None:
        """Delete the last digit."""
        self.typed = self.typed[:-1]
        self._draw_mark()

    # Actions.

    def action_save(self) -> None:
        """Save the mark. Enter is ignored while a mark is being written."""
        if self.shown is None or self.busy:
            return
        try:
            value = sheets.parse_mark(self.typed)
        except UsageError as error:
            self.say(error.hint if self.typed else "Type a mark first: a number from 0 to 100.")
            self.typed = ""
            self._draw_mark()
            return
        self.busy = True
        self._save(self.shown, value, self.note)

    @work(group="rating")
    async def _save(self, one: BlindSample, value: float, note: str) -> None:
        try:
            await self.writer.do(write_mark, self.context.store, one.seq, value, self.context.annotator, note)
        except Exception as error:
            self.busy = False
            self.say("NOT saved.")
            self.report(error)
            return
        if self.closing:
            return
        self.say(f"saved: {value:g}; u undoes it")
        await self._go(None)

    @work(group="rating")
    async def action_step(self, by: int) -> None:
        """Show the next or previous sample, marked or not."""
        if self.sheet is None or self.busy:
            return
        at = self.at + by if self.shown is not None else len(self.sheet.order) - 1
        if 0 <= at < len(self.sheet.order):
            await self._go(at)
        else:
            self.say("This is the first sample." if by < 0 else "This is the last sample.")

    @work(group="rating")
    async def action_undo(self) -> None:
        """Undo the last mark and show its sample."""
        if self.sheet is None or self.busy:
            return
        self.busy = True
        try:
            seq = await self.writer.do(undo_mark, self.context.store, self.ids, self.context.annotator)
        except Exception as error:
            self.busy = False
            self.report(error)
            return
        if seq is None:
            self.busy = False
            self.say("You have no mark here to undo.")
            return
        self.say("mark removed; type another one, or press n for the next sample")
        await self._go(next((at for at, (_, one) in enumerate(self.sheet.order) if one == seq), None))

    def action_thought(self) -> None:
        """Show the thought as well, or hide it."""
        self.with_thought = not self.with_thought
        self._draw()

    @task(group="rating-note", dialog=True)
    async def action_note(self) -> None:
        """Ask for a note to save with the mark."""
        note = await self.app.push_screen_wait(PromptDialog("Note on this answer", value=self.note))
        if note is not None:
            self.note = note.strip()
            self._draw_mark()

    @task(group="rating", dialog=True)
    async def action_results(self) -> None:
        """Show means and agreement. Ask first while samples are unmarked: later marks would not be blind."""
        from o1lab.widgets.dialogs import ConfirmDialog

        if self.busy:
            return
        if not self._results_allowed:
            question = ConfirmDialog(
                "Show the results before all samples are marked?",
                "They name the models, so later marks are not blind.",
                danger=True,
            )
            if not await self.app.push_screen_wait(question):
                return
        await self._show_results(asked_for=True)

    async def _show_results(self, *, asked_for: bool = False) -> None:
        """Show the results instead of a sample, or the progress while annotators who started have not finished."""
        try:
            found = await self.writer.do(finish, self.context.store, self.ids, asked_for)
        except Exception as error:
            self.report(error)
            return
        if self.closing:
            return
        self.shown = None
        total = len(self.sheet.order) if self.sheet is not None else 0
        self.set_heading(f"{self.sheet.done if self.sheet else 0:,} of {total:,} marked")
        self._results_allowed = found.finished or asked_for
        self.show_results(results_text(found) if self._results_allowed else progress_text(found))


_KEYS = "\n\np goes back to the previous sample, u undoes the last mark, escape leaves."


def results_text(found: RatingResults) -> Text:
    """Format the results of the marks."""
    text = Text()
    if not found.total:
        return text.append("There is nothing to mark: no sample of these evaluations has an answer.")
    text.append("\n".join(visible(line) for line in sheets.as_lines(found)))
    text.append(f"\n\nThe mean marks are stored with the other scores as {sheets.human_label()}.", "dim")
    return text.append(_KEYS, "dim")


def progress_text(found: RatingResults) -> Text:
    """Format the progress of the annotators, without naming a model."""
    text = Text()
    if not found.total:
        return results_text(found)
    text.append("You have marked everything.\n\n", "bold")
    for name, done in found.progress.items():
        text.append(f"{one_line(name, 40)}: {done:,} of {found.total:,}\n")
    text.append("\nThe results are shown when everyone has finished; # shows them now.", "dim")
    return text.append(_KEYS, "dim")


def write_mark(store: Store, seq: int, value: float, annotator: str, note: str) -> None:
    """Record a mark; it is committed when this returns. Call it in the writer's thread."""
    ratings.rate(store.db, seq, value, annotator=annotator, note=note)


def undo_mark(store: Store, ids: Sequence[str], annotator: str) -> int | None:
    """Remove an annotator's last mark and return its sample, or None without one. Call it in the writer's thread."""
    seq = ratings.last_marked(store.db, ids, annotator)
    if seq is not None:
        ratings.rate(store.db, seq, None, annotator=annotator)
    return seq


def finish(store: Store, ids: Sequence[str], asked_for: bool) -> RatingResults:
    """Read the results of the marks. Call it in the writer's thread.

    The mean marks are stored with the other scores when every annotator who started has finished, or on request:
    means of an unfinished sheet are not final.
    """
    found = sheets.results(store.db, ids)
    if found.finished or asked_for:
        sheets.write_scores(store.db, ids)
    return found


def _read(db: Database, ids: Sequence[str], annotator: str, at: int | None) -> tuple[Sheet, BlindSample | None, int]:
    sheet = sheets.sheet(db, ids, annotator)
    place = sheet.next_at if at is None else at
    shown = None if place is None else sheets.read(db, sheet, place)
    return sheet, shown, place if place is not None else len(sheet.order)
