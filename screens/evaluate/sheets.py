"""The tables and plots of the Evaluate screen: panes that show one of several sheets and write it to a file."""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from o1lab.evaluate.report import plot_text, render
from o1lab.evaluate.report.cells import Table
from o1lab.evaluate.report.plots import PlotData, Scatter, right_wrong_plot, tokens_plot
from o1lab.evaluate.report.profile import profile_table
from o1lab.evaluate.report.selection import EvaluationResult, choose
from o1lab.evaluate.report.tables import accuracy_table, change_table, plain_table
from o1lab.text import one_line
from o1lab.widgets.keys import Binding
from o1lab.widgets.text_pane import TextPane
from screens.base.context import LabContext
from screens.base.dialogs import export_file
from screens.base.screen import ScreenPart, task
from store.sqlite import Database

Sheet = TypeVar("Sheet")


class SheetsPane(Vertical, ScreenPart, Generic[Sheet]):
    """Shows one sheet at a time, as wide as the terminal, made in a thread from the current results.

    A subclass declares its sheets in ``TITLES`` and its file endings in ``FORMATS``, and implements ``make``,
    ``as_text``, ``as_file`` and ``has_own``.
    """

    TITLES: ClassVar[Mapping[str, str]]
    FORMATS: ClassVar[Mapping[str, str]]
    NOUN: ClassVar[str]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "turn(1)", "Next", id="step_1", tooltip="Show the next sheet"),
        Binding("p", "turn(-1)", "Previous", id="step_-1", show=False, tooltip="Show the previous sheet"),
        Binding("E", "export", "Export", tooltip="Write this to a file; the ending selects the format"),
        Binding("asterisk", "all", "All evaluations", show=False, key_display="*",
                tooltip="Show all evaluations, not only marked ones"),
    ]  # fmt: skip

    class AllWanted(Message):
        """Show all evaluations, not only marked ones."""

    def __init__(self, context: LabContext, *, id: str) -> None:
        super().__init__(id=id)
        self.context = context
        self.which = next(iter(self.TITLES))
        self.ids: tuple[str, ...] = ()
        """The evaluations to show; if empty, the latest of each model and suite."""
        self.sheet: Sheet | None = None

    @abstractmethod
    def make(self, db: Database, which: str, chosen: Sequence[EvaluationResult]) -> Sheet:
        """Make a sheet of these evaluations. Runs in a thread."""

    @abstractmethod
    def as_text(self, sheet: Sheet, width: int, height: int) -> Text:
        """Draw the sheet at a width in cells; it may be higher than the screen."""

    @abstractmethod
    def as_file(self, sheet: Sheet, form: str) -> str:
        """Return the content of a file of this format."""

    @abstractmethod
    def has_own(self, sheet: Sheet) -> bool:
        """Whether the sheet contains an evaluation of the lab."""

    def compose(self) -> ComposeResult:
        yield Static(classes="sheets-strip", markup=False)
        yield TextPane(self.NOUN, id=f"{self.id}-text")

    def on_mount(self) -> None:
        self._draw_strip()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._draw)  # the width of the text is known after the layout

    def show_ids(self, ids: Sequence[str] = ()) -> None:
        """Show these evaluations and read them again."""
        self.ids = tuple(ids)
        self.read()

    def action_turn(self, by: int) -> None:
        """Show the next sheet; the first follows the last."""
        names = list(self.TITLES)
        self.which, self.sheet = names[(names.index(self.which) + by) % len(names)], None
        self.query_one(TextPane).scroll_home(animate=False)
        self.read()

    def action_all(self) -> None:
        """Show all evaluations."""
        self.post_message(self.AllWanted())

    @task(exclusive=True, group="read")
    async def read(self) -> None:
        """Make the sheet from the current results."""
        self._draw_strip()
        if self.sheet is None:
            self.query_one(TextPane).show(Text("Loading …", "dim"))
        sheet = await self.lab_screen.read(self._made, self.which, self.ids)
        self.sheet = sheet
        self._draw()

    def _made(self, db: Database, which: str, ids: Sequence[str]) -> Sheet:
        return self.make(db, which, choose(db, ids))

    def _draw_strip(self) -> None:
        text = Text(" ").join(
            Text(f"[{title}]" if which == self.which else f" {title} ", "bold" if which == self.which else "dim")
            for which, title in self.TITLES.items()
        )
        if self.ids:
            text.append(f"   only {', '.join(one_line(one, 8) for one in self.ids)} (* shows all)", "yellow")
        self.query_one(".sheets-strip", Static).update(text)

    def _draw(self) -> None:
        region = self.query_one(TextPane).scrollable_content_region
        if self.sheet is None or region.width < 20:  # before the first layout the width is not known
            return
        text = Text()
        if not self.has_own(self.sheet):
            text.append(f"None of your evaluations is in this {self.NOUN} yet.\n", "bold")
            text.append("Press ctrl+n to set one up.\n\n")
        self.query_one(TextPane).show(text.append_text(self.as_text(self.sheet, region.width, region.height)))

    @work(exclusive=True, group="write")
    async def action_export(self) -> None:
        """Write this sheet to a file."""
        if self.sheet is not None:
            await self._write(self.sheet, self.which)

    @task(exclusive=True, group="write")
    async def export(self, which: str, ids: Sequence[str]) -> None:
        """Write a sheet of these evaluations, or of all, to a file; it need not be the one shown."""
        sheet = await self.lab_screen.read(self._made, which, ids)
        await self._write(sheet, which)

    async def _write(self, sheet: Sheet, which: str) -> None:
        names = [f"{self.NOUN}-{which}{suffix}" for suffix in self.FORMATS]
        await export_file(self.lab_screen, self.NOUN, names, self.FORMATS, lambda form: self.as_file(sheet, form))


MAKERS: Mapping[str, Callable[[Sequence[EvaluationResult]], Table]] = {
    "1": accuracy_table,
    "2": change_table,
    "plain": plain_table,
}


class TablesPane(SheetsPane[Table]):
    """The paper's two tables with your models below, a plain list of evaluations, and how the models behave."""

    TITLES: ClassVar[dict[str, str]] = {
        "1": "Table 1: accuracy",
        "2": "Table 2: generalization",
        "plain": "Plain list",
        "profile": "Behaviour",
    }
    FORMATS: ClassVar[dict[str, str]] = {
        ".md": "md",
        ".tex": "latex",
        ".csv": "csv",
        ".json": "json",
        ".txt": "terminal",
    }
    NOUN = "table"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "copy", "Copy", tooltip="Copy this table as Markdown")]

    def make(self, db: Database, which: str, chosen: Sequence[EvaluationResult]) -> Table:
        if which != "profile":
            return MAKERS[which](chosen)
        screen = self.lab_screen

        def go_on(_identity: str, _done: int) -> None:
            if screen.closing:
                raise asyncio.CancelledError

        return profile_table(db, chosen, progress=go_on)

    def as_text(self, sheet: Table, width: int, height: int) -> Text:
        return render.terminal(sheet, width)

    def as_file(self, sheet: Table, form: str) -> str:
        return render.RENDERERS[form](sheet)

    def has_own(self, sheet: Table) -> bool:
        return any(not row.published for section in sheet.sections for row in section.rows)

    def action_copy(self) -> None:
        """Copy the table as Markdown."""
        if self.sheet is not None:
            self.app.copy_to_clipboard(render.markdown(self.sheet))
            self.app.notify("Copied as Markdown.", markup=False)


_FRAME = 10  # rows of a panel around the plot: titles, axis, a short legend
_LOWEST, _HIGHEST = 8, 24


class PlotsPane(SheetsPane[PlotData]):
    """Accuracy against tokens, and the lengths of right and wrong answers. Letters mark the models."""

    TITLES: ClassVar[dict[str, str]] = {"tokens": "Accuracy and tokens", "right-wrong": "Right and wrong"}
    FORMATS: ClassVar[dict[str, str]] = {".svg": "svg", ".json": "json", ".txt": "txt"}
    NOUN = "plot"

    def make(self, db: Database, which: str, chosen: Sequence[EvaluationResult]) -> PlotData:
        return tokens_plot(chosen) if which == "tokens" else right_wrong_plot(chosen)

    def as_text(self, sheet: PlotData, width: int, height: int) -> Text:
        return plot_text.text(sheet, width, min(max(height - _FRAME, _LOWEST), _HIGHEST))

    def as_file(self, sheet: PlotData, form: str) -> str:
        if form == "svg":
            from o1lab.evaluate.report import plot_svg

            return plot_svg.svg(sheet)
        if form == "json":
            return json.dumps(sheet.as_json(), ensure_ascii=False, indent=2) + "\n"
        return plot_text.text(sheet).plain + "\n"

    def has_own(self, sheet: PlotData) -> bool:
        return any(
            not isinstance(panel, Scatter) or any(not point.published for point in panel.points)
            for panel in sheet.panels
        )
