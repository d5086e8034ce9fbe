"""What the tables and the plots of the Evaluate screen share: one sheet of several at a time, to read and to write."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar, cast

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from o1lab.errors import LabError, UsageError
from o1lab.evaluate.report.selection import EvaluationResult, choose
from o1lab.files import atomic_write
from o1lab.paths import Lab
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import ConfirmDialog, PromptDialog
from o1lab.widgets.text_pane import TextPane
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from store.sqlite import Database

Sheet = TypeVar("Sheet")


class SheetsPane(Vertical, Generic[Sheet]):
    """One sheet at a time, as wide as the terminal, made in a thread of what there is now.

    A pane names its sheets in ``TITLES`` and the endings it writes in ``FORMATS``, and says in ``make``, ``drawn``,
    ``written`` and ``holds_own`` what they are.
    """

    TITLES: ClassVar[Mapping[str, str]]
    FORMATS: ClassVar[Mapping[str, str]]
    NOUN: ClassVar[str]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "turn(1)", "Next", tooltip="The next of these sheets"),
        Binding("N", "turn(-1)", "Previous", show=False),
        Binding("w", "write", "Write", tooltip="Write this to a file; its ending says in which form"),
        Binding("u", "all", "All evaluations", show=False, tooltip="Not only those that are marked"),
    ]

    class AllWanted(Message):
        """No longer only those that are marked."""

    def __init__(self, context: LabContext, *, id: str) -> None:
        super().__init__(id=id)
        self.context = context
        self.which = next(iter(self.TITLES))
        self.ids: tuple[str, ...] = ()
        """Only these evaluations; of each model and suite the latest where it is empty."""
        self.sheet: Sheet | None = None

    @abstractmethod
    def make(self, which: str, chosen: Sequence[EvaluationResult]) -> Sheet:
        """A sheet of these evaluations (in a thread)."""

    @abstractmethod
    def drawn(self, sheet: Sheet, width: int, height: int) -> Text:
        """The sheet at a width in cells; it may be longer than the screen."""

    @abstractmethod
    def written(self, sheet: Sheet, form: str) -> str:
        """The sheet as a file of this form."""

    @abstractmethod
    def holds_own(self, sheet: Sheet) -> bool:
        """Whether an evaluation of the lab is in it."""

    @property
    def lab_screen(self) -> LabScreen:
        return cast(LabScreen, self.screen)

    def compose(self) -> ComposeResult:
        yield Static(classes="sheets-strip", markup=False)
        yield TextPane(self.NOUN, id=f"{self.id}-text")

    def on_mount(self) -> None:
        self._draw_strip()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._draw)  # the text's own width is known after the layout

    def show_ids(self, ids: Sequence[str] = ()) -> None:
        """Only these evaluations from now on, read again."""
        self.ids = tuple(ids)
        self.read()

    def action_turn(self, by: int) -> None:
        """The next sheet; over the end to the first."""
        names = list(self.TITLES)
        self.which, self.sheet = names[(names.index(self.which) + by) % len(names)], None
        self.query_one(TextPane).scroll_home(animate=False)
        self.read()

    def action_all(self) -> None:
        """Every evaluation again."""
        self.post_message(self.AllWanted())

    @work(exclusive=True, group="read")
    async def read(self) -> None:
        """Make the sheet of what there is now."""
        self._draw_strip()
        if self.sheet is None:
            self.query_one(TextPane).show(Text("being made …", "dim"))
        try:
            sheet = await self.lab_screen.read(self._made, self.which, self.ids)
        except Exception as error:
            self.lab_screen.report(error)
            return
        self.sheet = sheet
        self._draw()

    def _made(self, db: Database, which: str, ids: Sequence[str]) -> Sheet:
        return self.make(which, choose(db, ids))

    def _draw_strip(self) -> None:
        text = Text(" ").join(
            Text(f"[{title}]" if which == self.which else f" {title} ", "bold" if which == self.which else "dim")
            for which, title in self.TITLES.items()
        )
        if self.ids:
            text.append(f"   only {', '.join(one_line(one, 8) for one in self.ids)} (u: all)", "yellow")
        self.query_one(".sheets-strip", Static).update(text)

    def _draw(self) -> None:
        region = self.query_one(TextPane).scrollable_content_region
        if self.sheet is None or region.width < 20:  # before the first layout there is no width to fill
            return
        text = Text()
        if not self.holds_own(self.sheet):
            text.append(f"None of your evaluations is in this {self.NOUN} yet.\n", "bold")
            text.append("Press 1 and then a to set one up.\n\n")
        self.query_one(TextPane).show(text.append_text(self.drawn(self.sheet, region.width, region.height)))

    @work(exclusive=True, group="write")
    async def action_write(self) -> None:
        """Write this sheet to a file."""
        if self.sheet is not None:
            await self._write(self.sheet, self.which)

    @work(exclusive=True, group="write")
    async def export(self, which: str, ids: Sequence[str]) -> None:
        """Write a sheet of these evaluations, or of all, to a file; another may be in sight."""
        try:
            sheet = await self.lab_screen.read(self._made, which, ids)
        except Exception as error:
            self.lab_screen.report(error)
            return
        await self._write(sheet, which)

    async def _write(self, sheet: Sheet, which: str) -> None:
        names = [f"{self.NOUN}-{which}{suffix}" for suffix in self.FORMATS]
        typed = await self.app.push_screen_wait(
            PromptDialog(f"Write the {self.NOUN} to ({' '.join(self.FORMATS)})", value=names[0], completions=names)
        )
        if typed and typed.strip():
            path = place(self.context.lab, typed)
            await write_file(self.lab_screen, path, self.FORMATS, lambda form: self.written(sheet, form))


async def write_file(screen: LabScreen, path: Path, forms: Mapping[str, str], made: Callable[[str], str]) -> None:
    """Write a file in the form its ending says (``made`` makes it), never over another unasked; say where it is."""
    form = forms.get(path.suffix.casefold())
    if form is None:
        screen.report(UsageError(f"'{path.name}' does not say in which form.", f"End it with {' or '.join(forms)}."))
        return
    there = await screen.in_thread(path.exists)
    if there and not await screen.app.push_screen_wait(
        ConfirmDialog(f"{visible(path.name)} is there already. Replace it?", str(path), yes="Replace", danger=True)
    ):
        return
    try:
        await screen.in_thread(_write, path, made(form))
    except Exception as error:
        screen.report(error)
        return
    screen.app.notify(visible(f"written to {path}"), markup=False, timeout=8)


def place(lab: Lab, typed: str) -> Path:
    """Where a file goes: into the lab's exports unless a whole path is given."""
    path = Path(typed.strip()).expanduser()
    return path if path.is_absolute() else lab.exports / path


def _write(path: Path, text: str) -> None:
    try:
        with atomic_write(path, durable=False) as file:
            file.write(text)
    except OSError as error:
        raise LabError(f"Cannot write {path}: {error.strerror}.", "Choose another place.") from error
