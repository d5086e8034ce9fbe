"""What every form is: fields under headings, help and faults beside them, a draft that outlives a visit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Select, Static, TextArea

from o1lab.widgets.form import Field, FieldRow
from o1lab.widgets.line_input import caught_up
from screens.base.context import LabContext
from screens.base.screen import LabScreen

Settings = TypeVar("Settings")


class FormScreen(LabScreen, Generic[Settings]):
    """A form that makes ``Settings`` out of texts.

    A form names its ``SECTIONS`` and its button's ``GO``, binds ``ctrl+r`` to ``go`` and adds ``KEYS``, and says in
    ``look``, ``judge``, ``first_field`` and ``action_go`` what it is about; ``is_relevant``, ``drawn`` and ``edited``
    where it needs to.
    """

    DEFAULT_CSS = """
    FormScreen {
        #fields { height: 1fr; padding: 0 1; }
        .section { text-style: bold; margin-top: 1; }
        #go { margin: 1 2; }
        #field-help { height: 3; padding: 0 1; border-top: solid $panel; }
        &.-wide .aside { display: block; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    KEYS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("tab", "app.focus_next", "Next field"),
        Binding("shift+tab", "app.focus_previous", "Previous field", show=False),
    ]
    SECTIONS: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]]
    """Headings, and the names of the fields under each."""
    GO: ClassVar[str]

    def __init__(
        self, context: LabContext, values: dict[str, Any], *, launched: Callable[[str], None], draft: dict[str, str]
    ) -> None:
        """``values``: settings to begin with; ``launched`` gets the id of what came of the form; ``draft``: texts of
        an earlier visit, kept up to date here."""
        super().__init__(context)
        self.values = values
        self.launched = launched
        self.draft = draft
        self.touched: set[str] = set()

    # What a form says of itself.

    @abstractmethod
    async def look(self) -> tuple[Mapping[str, Field], Mapping[str, str]]:
        """The fields by name, and the texts that some begin with; the others begin with their default.

        What it raises is reported, and the form stays empty.
        """

    @abstractmethod
    def judge(self, texts: Mapping[str, str]) -> tuple[Settings | None, dict[str, str]]:
        """The settings that the texts make, or what is wrong with which field."""

    @abstractmethod
    def first_field(self) -> str:
        """The field to begin with, once what there is has been looked at."""

    @abstractmethod
    def action_go(self) -> Any:
        """What comes of the form."""

    def is_relevant(self, name: str, texts: Mapping[str, str]) -> bool:
        """Whether a field means something beside what the others say; else it is not shown."""
        return True

    def drawn(self) -> None:
        """The fields stand."""

    def edited(self) -> None:
        """A field changed."""

    # What all forms do.

    def compose_body(self) -> ComposeResult:
        yield VerticalScroll(id="fields", can_focus=False)
        yield Static(id="field-help", markup=False)

    def on_mount(self) -> None:
        self.fill()

    @work(exclusive=True, group="fill")
    async def fill(self) -> None:
        """Read what there is to choose from, and draw the form."""
        try:
            fields, texts = await self.look()
        except Exception as error:
            self.report(error)
            return
        begun = {name: self.draft.get(name, texts.get(name, fields[name].default)) for name in fields}
        rows: list[Widget] = []
        for title, names in self.SECTIONS:
            rows.append(Label(title, classes="section", markup=False))
            for name in names:
                row = FieldRow(fields[name], begun[name])
                row.display = self.is_relevant(name, begun)
                rows.append(row)
        rows.append(Button(self.GO, id="go", compact=True))
        body = self.query_one("#fields")
        await body.remove_children()
        await body.mount_all(rows)
        try:
            self.row(self.first_field()).editor.focus()
        except NoMatches:
            return  # closed meanwhile: widgets go before workers do
        self.drawn()

    def row(self, name: str) -> FieldRow:
        """A field by its name."""
        return self.query_one(f"#row-{name}", FieldRow)

    def texts(self) -> dict[str, str]:
        """What stands in every field."""
        return {row.field.name: row.text for row in self.query(FieldRow)}

    async def finished(self) -> Settings | None:
        """The settings once every key has been taken; where something is wrong, its field has the focus."""
        if self.focused is not None:
            await caught_up(self.focused)
        return self._judge(all_fields=True) if self._stands else None

    def done(self, identity: str) -> None:
        """The form has become ``identity``: nothing of it is kept."""
        self.draft.clear()
        self.app.pop_screen()
        self.launched(identity)

    @property
    def _stands(self) -> bool:
        """Whether the form is drawn to its end."""
        return bool(self.query("#go"))

    def _judge(self, *, all_fields: bool = False) -> Settings | None:
        texts = self.texts()
        self.draft.clear()
        self.draft.update(texts)
        settings, faults = self.judge(texts)
        for row in self.query(FieldRow):
            row.display = self.is_relevant(row.field.name, texts)
            shown = all_fields or row.field.name in self.touched
            row.show_fault(faults.get(row.field.name, "") if shown else "")
        if all_fields and faults:
            self.row(next(iter(faults))).editor.focus()
        return settings

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Select.Changed)
    def _changed(self, event: Input.Changed | TextArea.Changed | Select.Changed) -> None:
        row = next((node for node in event.control.ancestors if isinstance(node, FieldRow)), None)
        if row is None or not self._stands:
            return
        if row.changed:
            self.touched.add(row.field.name)
        if self.touched:
            self._judge()
            self.edited()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        row = next((node for node in event.widget.ancestors_with_self if isinstance(node, FieldRow)), None)
        if row is not None:
            field = row.field
            default = f"  (default {field.default})" if field.default and field.kind != "lines" else ""
            more = f"  {field.more}" if field.more else ""
            name = field.name.replace("_", " ")
            text = Text.assemble((name, "bold"), f"  {field.help}{more}", (default, "dim"))
            self.query_one("#field-help", Static).update(text)

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#go")
    async def _go(self) -> None:
        await self.run_action("go")

    def action_back(self) -> None:
        """To the list; what was typed is there again next time."""
        self.app.pop_screen()
