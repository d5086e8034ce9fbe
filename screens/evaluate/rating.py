"""Rating with marks from 0 to 100, blind and shuffled; each mark is committed before the next sample is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import BindingType

from o1lab.errors import UsageError
from o1lab.evaluate.rating import sheets
from o1lab.evaluate.rating.sheets import BlindSample, RatingResults, Sheet
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import PromptDialog
from o1lab.widgets.keys import Binding
from screens.base.context import LabContext
from screens.base.screen import task
from screens.evaluate.blind import BlindScreen, judging_keys
from store import ratings
from store.connection import Store
from store.sqlite import Database

_LONGEST = 5  # characters of a mark: 87.25


class RatingScreen(BlindScreen[Sheet, BlindSample]):
    """Shows the samples to mark one by one."""

    TITLE = "RATE"
    DONE = "marked"
    JUDGEMENT = "mark"
    UNDONE = "Your mark is removed: type another one, or press n for the next sample."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "save", "Save", tooltip="Save the typed mark and show the next sample"),
        Binding("backspace", "rub_out", "Delete", show=False, tooltip="Delete the last digit, or the mark"),
        *judging_keys("sample", "mark"),
        Binding("f", "thought", "Thought", tooltip="Show the thought as well, or hide it"),
        Binding("m", "note", "Note", tooltip="Add a note to the mark"),
        Binding("number_sign", "results", "Results", key_display="#",
                tooltip="Show means and agreement; asks first while samples are unmarked"),
        Binding("escape", "back", "Leave", tooltip="Leave; every mark is saved, and rating resumes here"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, evaluation_ids: Sequence[str]) -> None:
        super().__init__(context)
        self.ids = list(evaluation_ids)
        self.typed = ""
        self.note = ""
        self.with_thought = False

    def read_at(self, db: Database, at: int | None) -> tuple[Sheet, BlindSample | None, int]:
        sheet = sheets.sheet(db, self.ids, self.context.annotator)
        place = sheet.next_at if at is None else at
        return sheet, None if place is None else sheets.read(db, sheet, place), place or 0

    def undo_last(self, db: Database) -> tuple[bool, int | None]:
        seq = ratings.last_marked(db, self.ids, self.context.annotator)
        if seq is None:
            return False, None
        ratings.rate(db, seq, None, annotator=self.context.annotator)
        sheet = sheets.sheet(db, self.ids, self.context.annotator)  # samples may have been added
        return True, next((at for at, (_, one) in enumerate(sheet.order) if one == seq), None)

    # Drawing.

    async def draw_sample(self, sheet: Sheet, shown: BlindSample) -> None:
        self.typed, self.note = "", ""
        self.show_turns(shown.question, shown.turns, thoughts=self.with_thought)
        self._draw_mark()

    async def draw_end(self) -> None:
        """Show the results, or the progress while annotators who started have not finished."""
        await self._draw_finished(asked_for=False)

    async def draw_results(self) -> None:
        await self._draw_finished(asked_for=True)

    async def _draw_finished(self, *, asked_for: bool) -> None:
        found = await self.writer.do(finish, self.context.store, self.ids, asked_for)
        if self.closing:
            return
        self.typed, self.note = "", ""
        self.unblinded = self.unblinded or found.finished
        self.show_results(results_text(found) if found.finished or asked_for else progress_text(found))
        self._draw_mark()

    def _draw_mark(self) -> None:
        text = Text("mark 0 to 100: ")
        text.append(self.typed or "_", "reverse")
        if self.shown is not None and (mark := self.shown.mark) is not None:
            text.append(f"   your mark: {mark.value:g}", "dim")
            text.append(f" “{one_line(mark.note, 40)}”" if mark.note else "", "dim")
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
        """Save the mark."""
        if self.shown is None or self.busy:
            return
        try:
            value = sheets.parse_mark(self.typed)
        except UsageError as error:
            self.say(error.hint if self.typed else "Type a mark first: a number from 0 to 100.")
            self.typed = ""
            self._draw_mark()
            return
        who, seq = self.context.annotator, self.shown.seq
        self.save(f"saved: {value:g}; u undoes it", ratings.rate, seq, value, annotator=who, note=self.note)

    def action_thought(self) -> None:
        """Show the thought as well, or hide it."""
        self.with_thought = not self.with_thought
        if self.shown is not None:
            self.show_turns(self.shown.question, self.shown.turns, thoughts=self.with_thought)

    @task(group="rating-note", dialog=True)
    async def action_note(self) -> None:
        """Ask for a note to save with the mark."""
        note = await self.app.push_screen_wait(PromptDialog("Note on this answer", value=self.note))
        if note is not None:
            self.note = note.strip()
            self._draw_mark()


def results_text(found: RatingResults) -> Text:
    """Format the results of the marks."""
    text = Text()
    if not found.total:
        return text.append("There is nothing to mark: no sample of these evaluations has an answer.")
    text.append("\n".join(visible(line) for line in sheets.as_lines(found)))
    return text.append(f"\n\nThe mean marks are stored with the other scores as {sheets.human_label()}.", "dim")


def progress_text(found: RatingResults) -> Text:
    """Format the progress of the annotators, without naming a model."""
    text = Text()
    if not found.total:
        return results_text(found)
    text.append("You have marked everything.\n\n", "bold")
    for name, done in found.progress.items():
        text.append(f"{one_line(name, 40)}: {done:,} of {found.total:,}\n")
    return text.append("\nThe results are shown when everyone has finished; # shows them now.", "dim")


def finish(store: Store, ids: Sequence[str], asked_for: bool) -> RatingResults:
    """Read the results of the marks. Call it in the writer's thread.

    The mean marks are stored with the other scores when every annotator who started has finished, or on request:
    means of an unfinished sheet are not final.
    """
    found = sheets.results(store.db, ids)
    if found.finished or asked_for:
        sheets.write_scores(store.db, ids)
    return found
