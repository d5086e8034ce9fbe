"""The base of the screens where a person judges answers blind: one at a time, without model, scores or run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.text import visible
from o1lab.widgets.dialogs import ConfirmDialog
from o1lab.widgets.keys import Binding, stepping
from o1lab.widgets.line_view import LineView
from o1lab.widgets.sections import Section
from screens.base.context import LabContext
from screens.base.screen import LabScreen, task
from screens.base.writer import Writer
from store.evaluations import Turn
from store.sqlite import Database


class BlindSheet(Protocol):
    """What a person judges, in order, and what is judged already."""

    @property
    def order(self) -> Sequence[Any]: ...
    @property
    def done(self) -> int: ...
    @property
    def next_at(self) -> int | None:
        """The position of the first one without a judgement."""


SheetT = TypeVar("SheetT", bound=BlindSheet)
ShownT = TypeVar("ShownT")


def judging_keys(noun: str, judgement: str) -> list[BindingType]:
    """Return the keys that all these screens have, for samples or prompts with marks, labels or votes."""
    return [
        Binding("p", "step(-1)", "Previous", tooltip=f"The previous {noun}, to read it or to change its {judgement}"),
        Binding("n", "step(1)", "Next", show=False, tooltip=f"The next {noun}"),
        *stepping(noun),
        Binding("u", "undo", "Undo", tooltip=f"Undo your last {judgement}"),
    ]


class BlindScreen(LabScreen, Generic[SheetT, ShownT]):
    """Question, answer, a line for the judgement and one for messages; the results in their place when all is judged.

    Each judgement is committed before the next sample is shown. Keys are ignored while one is being written: they were
    meant for the sample that is shown.

    Attributes:
        NOUN: What is judged.
        DONE: What has happened to a judged one.
        JUDGEMENT: What a judgement is called: a mark, a label or a vote.
        UNDONE: The message after an undo.
        busy: A judgement is being written or a sample read.
        sheet: All samples, as last read.
        at: The position of the sample.
        shown: The sample; None while the results are shown.
        unblinded: Whether the results, which name the models, may be shown without a question; later judgements are not
            blind.
    """

    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate_samples.tcss"]
    NOUN: ClassVar[str] = "sample"
    DONE: ClassVar[str]
    JUDGEMENT: ClassVar[str]
    UNDONE: ClassVar[str]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.writer = Writer(context.store)
        self.busy = True
        self.sheet: SheetT | None = None
        self.at = 0
        self.shown: ShownT | None = None
        self.unblinded = False

    # What a subclass implements. Functions with a database are called in the writer's thread.

    @abstractmethod
    def read_at(self, db: Database, at: int | None) -> tuple[SheetT, ShownT | None, int]:
        """Read the sheet and the sample at a position, or the first one without a judgement; None if there is none."""

    @abstractmethod
    def undo_last(self, db: Database) -> tuple[bool, int | None]:
        """Undo the last judgement.

        Returns:
            Whether there was one, and the position of its sample; None if the sample is not in this list any more.
        """

    @abstractmethod
    async def draw_sample(self, sheet: SheetT, shown: ShownT) -> None:
        """Draw the sample and the line of the judgement."""

    @abstractmethod
    async def draw_end(self) -> None:
        """Draw what is shown when all samples are judged."""

    async def draw_results(self) -> None:
        """Draw the results, which a person asked for."""
        await self.draw_end()

    @property
    def asks_for_results(self) -> bool:
        """Whether to ask before the results are shown."""
        return not self.unblinded

    # Common to all.

    def compose_body(self) -> ComposeResult:
        yield Static(id="blind-question", markup=False)
        yield from self.compose_answer()
        with VerticalScroll(id="blind-results", can_focus=False):
            yield Static(markup=False)
        yield Static(id="blind-judgement", markup=False)
        yield Static(id="blind-message", markup=False)

    def compose_answer(self) -> ComposeResult:
        """Yield the widget of the answer."""
        yield LineView(id="blind-answer")

    def on_mount(self) -> None:
        self.focus_answer()
        self.go(None)

    def focus_answer(self) -> None:
        """Give the answer the focus, so that keys scroll it."""
        self.query_one(LineView).focus()

    async def on_unmount(self) -> None:
        await self.writer.close()

    @task(group="blind")
    async def go(self, at: int | None) -> None:
        """Show the sample at a position, or the first one without a judgement."""
        await self._go(at)

    async def _go(self, at: int | None) -> None:
        self.busy = True
        try:
            found = await self.writer.do(lambda: self.read_at(self.context.store.db, at))
            if self.closing:
                return
            self.sheet, self.shown, self.at = found
            self.show_progress()
            if self.shown is not None:
                self.remove_class("-over")
                await self.draw_sample(self.sheet, self.shown)
            else:
                await self.draw_end()
        finally:
            self.busy = False
        self.refresh_bindings()

    def save(self, message: str, write: Callable[..., object], *arguments: Any, **options: Any) -> None:
        """Write a judgement with ``write(db, *arguments, **options)``, say ``message``, and show the next sample."""
        if not self.busy:
            self.busy = True
            self._save(message, lambda: write(self.context.store.db, *arguments, **options))

    @task(group="blind")
    async def _save(self, message: str, write: Callable[[], object]) -> None:
        try:
            await self.writer.do(write)
        except Exception:
            self.busy = False
            self.say("NOT saved.")
            raise
        if not self.closing:
            self.say(message)
            await self._go(None)

    @task(group="blind")
    async def action_undo(self) -> None:
        """Undo the last judgement and show its sample."""
        if self.busy or self.sheet is None:
            return
        self.busy = True
        try:
            undone, at = await self.writer.do(lambda: self.undo_last(self.context.store.db))
        finally:
            self.busy = False
        if self.closing:
            return
        if not undone:
            self.say(f"You have no {self.JUDGEMENT} here to undo.")
        elif at is None:
            self.say(f"Your last {self.JUDGEMENT} is removed; its {self.NOUN} is not in this list any more.")
            await self._go(None)
        else:
            self.say(self.UNDONE)
            await self._go(at)

    def action_step(self, by: int) -> None:
        """Show the next or previous sample, judged or not."""
        if self.busy or self.sheet is None:
            return
        total = len(self.sheet.order)
        at = self.at + by if self.shown is not None else total - 1
        if 0 <= at < total:
            self.busy = True  # a second key must not start another step
            self.go(at)
        else:
            self.say(f"This is the {'first' if by < 0 else 'last'} {self.NOUN}.")

    @task(group="blind", dialog=True)
    async def action_results(self) -> None:
        """Show the results. Ask first while samples are not judged: later judgements would not be blind."""
        if self.busy:
            return
        question = f"Show the results before all {self.NOUN}s are {self.DONE}?"
        words = f"They name the models, so later {self.JUDGEMENT}s are not blind."
        if not self.asks_for_results or await self.app.push_screen_wait(ConfirmDialog(question, words, danger=True)):
            self.busy = True
            try:
                await self.draw_results()
                self.unblinded = True
            finally:
                self.busy = False
            self.refresh_bindings()

    def show_progress(self) -> None:
        """Show in the heading how much is judged, and the position."""
        if self.sheet is not None:
            place = f" · {self.NOUN} {self.at + 1:,}" if self.shown is not None else ""
            self.set_heading(f"{self.sheet.done:,} of {len(self.sheet.order):,} {self.DONE}{place}")

    def show_turns(
        self, question: str, turns: Sequence[Turn], *, gold: str | None = None, thoughts: bool = False
    ) -> None:
        """Show a question and the turns, with the gold answer if given, and with the thoughts if ``thoughts``."""
        self.query_one("#blind-question", Static).update(Text(visible(question)))
        parts = [] if gold is None else [("gold", gold)]
        for number, turn in enumerate(turns):
            if number:
                parts.append(("user", turn.user))
            if thoughts and turn.thought:
                parts.append(("thought", turn.thought))
            parts.append(("answer" if len(turns) == 1 else f"answer {number + 1}", turn.answer or "(empty)"))
        view = self.query_one(LineView)
        view.show_sections([Section(view.laid_out(f"{body}\n"), header) for header, body in parts])

    def show_judgement(self, text: Text) -> None:
        """Show the line of the judgement."""
        self.query_one("#blind-judgement", Static).update(text)

    def show_results(self, text: Text) -> None:
        """Show the results instead of a sample, with the keys that work there."""
        self.shown = None
        self.show_progress()
        self.add_class("-over")
        if self.sheet is not None and self.sheet.order:
            keys = f"p goes back to the last {self.NOUN}, u undoes your last {self.JUDGEMENT}, escape leaves."
            text.append(f"\n\n{keys}", "dim")
        self.query_one("#blind-results Static", Static).update(text)

    def say(self, message: str) -> None:
        """Show a line at the bottom."""
        self.query_one("#blind-message", Static).update(Text(visible(message)))
