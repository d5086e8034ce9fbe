"""The labels of the lab in a dialog: each key changes one, and the list shows what is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import PromptDialog
from o1lab.widgets.dialogs.dialog import Dialog
from o1lab.widgets.keys import Binding
from screens.base.context import LabContext
from screens.base.screen import ERRORS, task, words_of
from screens.base.writer import Writer
from store import labels
from store.labels import COLOURS, Label, Snapshot, Use
from store.sqlite import Database

Result = TypeVar("Result")


class LabelsDialog(Dialog[None]):
    """Lists the labels of the lab and changes them."""

    DEFAULT_CSS = """
    LabelsDialog {
        .dialog { max-width: 76; }
        OptionList { height: auto; max-height: 14; border: none; background: transparent; padding: 0; }
        #labels-message { height: auto; }
    }
    """
    FOOTER = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n,insert", "add_label", "New", key_display="^n", tooltip="Add a label with the first free digit"),
        Binding("e", "rename_label", "Rename", tooltip="Rename the label; its spans follow"),
        *(
            Binding(str(digit), f"label_digit({digit})", "Digit", show=digit == 1,
                    key_display="0-9" if digit == 1 else None,
                    tooltip=f"Give the label the digit {digit}" if digit else "Take the label's digit away")
            for digit in (*range(1, 10), 0)
        ),
        Binding("o", "label_colour", "Colour", tooltip="Give the label the next colour"),
        Binding("D", "remove_label", "Remove", tooltip="Remove the label from the lab; its spans keep it"),
        Binding("u", "undo_label", "Undo", tooltip="Undo the last change that was made here"),
        Binding("escape,q", "cancel", "Close", tooltip="Close the labels; what was changed is saved"),
    ]  # fmt: skip

    def __init__(self, context: LabContext, writer: Writer) -> None:
        super().__init__("Labels of this lab")
        self.context = context
        self.writer = writer
        self.shown: list[Label] = []
        self._uses: dict[str, Use] = {}
        self._changes: list[tuple[Snapshot, Snapshot]] = []

    def compose_dialog(self) -> ComposeResult:
        yield OptionList(markup=False, compact=True)
        yield Static(id="labels-message", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self.load_labels()

    @task(group="labels")
    async def load_labels(self) -> None:
        """Read and show the labels."""
        await self._show("")

    async def _show(self, said: str, name: str = "") -> None:
        """Show the labels as they are saved, the one with this name under the cursor, and a message."""
        db = self.context.store
        self.shown, self._uses = await self.writer.do(lambda: (labels.every(db.db), labels.uses(db.db)))
        options = self.query_one(OptionList)
        at = next((at for at, one in enumerate(self.shown) if one.name == name), options.highlighted or 0)
        options.clear_options()
        options.add_options(Option(self._line(one)) for one in self.shown)
        if self.shown:
            options.highlighted = min(at, len(self.shown) - 1)
        else:
            options.add_option(Option(Text("The lab has no labels. ctrl+n adds one.", "dim"), disabled=True))
        self.query_one("#labels-message", Static).update(Text(visible(said)))

    def _line(self, label: Label) -> Text:
        spans = self._uses.get(label.name, Use()).spans
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{label.digit or ' '}  ", "bold").append(one_line(label.name, 40), Style(color=label.colour))
        return line.append(f"  {label.colour} · {spans:,} span{'' if spans == 1 else 's'}", "dim")

    @property
    def current(self) -> Label | None:
        """The label under the cursor."""
        at = self.query_one(OptionList).highlighted
        return self.shown[at] if at is not None and at < len(self.shown) else None

    async def _change(self, change: Callable[[Database], Label], say: Callable[[Label], str]) -> None:
        """Change the labels, then show them and a message on what is saved; or show what is wrong."""
        db = self.context.store

        def changed() -> tuple[Label, tuple[Snapshot, Snapshot]]:
            with db.db.atomic():
                before = labels.snapshot(db.db)
                made = change(db.db)
                return made, (before, labels.snapshot(db.db))

        try:
            made, states = await self.writer.do(changed)
        except ERRORS as error:
            await self._show(f"NOT saved: {words_of(error)}")
            return
        self._changes.append(states)
        await self._show(f"saved: {say(made)}", made.name)

    @task(group="labels", dialog=True)
    async def action_add_label(self) -> None:
        """Ask for the name of a new label, and add it."""
        name = await self.app.push_screen_wait(PromptDialog("Name of the new label", placeholder="lucky guess"))
        if name is not None:
            await self._change(lambda db: labels.add(db, name.strip()), _with_digit)

    @task(group="labels", dialog=True)
    async def action_rename_label(self) -> None:
        """Ask for another name of the label, and rename it."""
        if (label := self.current) is not None:
            new = await self.app.push_screen_wait(PromptDialog("New name of the label", value=label.name))
            if new is not None and new.strip() != label.name:
                await self._change(
                    lambda db: labels.rename(db, label.name, new.strip()), lambda made: f"{label.name} is {made.name}"
                )

    @task(group="labels")
    async def action_label_digit(self, digit: int) -> None:
        """Give the label a digit; a label that had it gets this one's."""
        if (label := self.current) is not None:
            others: list[Label] = []

            def change(db: Database) -> Label:
                made, other = labels.set_digit(db, label.name, digit or None)
                others.extend([other] if other else [])
                return made

            await self._change(change, lambda made: "; ".join(_with_digit(one) for one in (made, *others)))

    @task(group="labels")
    async def action_label_colour(self) -> None:
        """Give the label the next colour."""
        if (label := self.current) is not None:
            following = COLOURS[(COLOURS.index(label.colour) + 1) % len(COLOURS)]
            await self._change(
                lambda db: labels.recolour(db, label.name, following), lambda made: f"{made.name} is {made.colour}"
            )

    @task(group="labels")
    async def action_remove_label(self) -> None:
        """Remove the label from the lab."""
        if (label := self.current) is not None:
            spans = self._uses.get(label.name, Use()).spans
            keep = f"; {spans:,} span{' keeps' if spans == 1 else 's keep'} it" if spans else ""
            await self._change(lambda db: labels.remove(db, label.name), lambda made: f"{made.name} is removed{keep}")

    @task(group="labels")
    async def action_undo_label(self) -> None:
        """Undo the last change that was made in this dialog."""
        if not self._changes:
            await self._show("There is nothing to undo here.")
            return
        before, after = self._changes[-1]
        db = self.context.store
        done = await self.writer.do(lambda: labels.restore(db.db, before, after))
        self._changes.pop()  # now: after an error it can be undone again
        await self._show("undone" if done else "NOT undone: somebody else changed the labels since.")


def _with_digit(label: Label) -> str:
    return f"{label.name} has the digit {label.digit}" if label.digit else f"{label.name} has no digit"
