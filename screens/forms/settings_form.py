"""A form generated from a settings model: fields under headings, with help, errors and a persistent draft."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Select, Static, TextArea

from o1lab.serve.registry import ModelRef
from o1lab.settings import Setting, faults, settings_of, values_of
from o1lab.text import one_line
from o1lab.widgets.form import Field, FieldRow, Kind
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import caught_up
from screens.base.context import LabContext
from screens.base.screen import LabScreen, task

Settings = TypeVar("Settings", bound=BaseModel)
Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FormOptions:
    """Choices and values for a form that come from the lab and the machine, by the name of a setting.

    Attributes:
        choices: (text shown, value as text) of each choice.
        suggestions: Completions of a line of text.
        start: Initial values.
        notes: Sentences after the help.
    """

    choices: Mapping[str, Choices] = field(default_factory=dict)
    suggestions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


class SettingsForm(LabScreen, Generic[Settings]):
    """A form that edits the settings of ``MODEL``.

    A subclass sets the model and ``GO``, the label of its button, binds ``ctrl+r`` to ``go`` and adds ``KEYS``. It
    implements :meth:`read_form_options`, which returns the choices, and :meth:`action_go`.
    """

    DEFAULT_CSS = """
    SettingsForm {
        #fields { height: 1fr; padding: 0 1; }
        .section { text-style: bold; margin-top: 1; }
        #go { margin: 1 2; }
        #field-help { height: 3; padding: 0 1; border-top: solid $panel; }
        &.-wide .aside { display: block; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    KEYS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", tooltip="Leave the form; its text is kept"),
        Binding("tab", "app.focus_next", "Next field", tooltip="Go to the next field"),
        Binding("shift+tab", "app.focus_previous", "Previous field", show=False, tooltip="Go to the previous field"),
    ]
    MODEL: ClassVar[type[BaseModel]]
    GO: ClassVar[str]
    WHOLE: ClassVar[str]
    """The field that shows errors of several fields together."""

    def __init__(
        self, context: LabContext, values: dict[str, Any], *, launched: Callable[[str], None], draft: dict[str, str]
    ) -> None:
        """Create the form.

        Args:
            context: The lab.
            values: Initial settings.
            launched: Called with the id of the run or evaluation that the form has started.
            draft: The text of each field from the last time the form was open; the form updates it.
        """
        super().__init__(context)
        self.values = values
        self.launched = launched
        self.draft = draft
        self._initial: dict[str, str] = {}
        self._is_drawn = False
        self.touched: set[str] = set()

    # What a subclass implements.

    @abstractmethod
    async def read_form_options(self) -> FormOptions:
        """Return the choices. An exception is reported, and the form stays empty."""

    @abstractmethod
    def action_go(self) -> Any:
        """Act on the settings; see :meth:`finished`."""

    def first_field(self) -> str:
        """Return the name of the field that gets the focus first."""
        return self.WHOLE

    def is_relevant(self, setting: Setting, texts: Mapping[str, str]) -> bool:
        """Whether a setting is relevant, given the texts of the others; other fields are hidden."""
        return setting.relevant(texts)

    def defaults(self, texts: Mapping[str, str]) -> Mapping[str, Any]:
        """Return values of empty fields that differ from the model's defaults."""
        return {}

    def check(self, texts: Mapping[str, str]) -> Mapping[str, str]:
        """Return errors by field, in addition to those of the model."""
        return {}

    def drawn(self) -> None:
        """Called when all fields are shown."""

    def edited(self) -> None:
        """Called when a field has changed."""

    # Common to all forms.

    @property
    def settings(self) -> dict[str, Setting]:
        """The settings in the form, in order."""
        return {name: one for name, one in settings_of(self.MODEL).items() if one.display.in_form}

    def judge(self, texts: Mapping[str, str]) -> tuple[Settings | None, dict[str, str]]:
        """Parse the texts.

        Returns:
            The settings and no errors, or None and the errors by field.
        """
        values = {**self.defaults(texts), **values_of(self.MODEL, texts, self.is_relevant)}
        wrong = dict(self.check(texts))
        try:
            settings = cast(Settings, self.MODEL.model_validate(values))
        except ValidationError as error:
            return None, faults(error, self.WHOLE) | wrong
        return (None, wrong) if wrong else (settings, {})

    def compose_body(self) -> ComposeResult:
        yield VerticalScroll(id="fields", can_focus=False)
        yield Static(id="field-help", markup=False)

    def on_mount(self) -> None:
        self.fill()

    @task(exclusive=True, group="fill")
    async def fill(self) -> None:
        """Read the choices and draw the form."""
        options = await self.read_form_options()
        settings = self.settings
        initial = {name: as_field(one, options).default for name, one in settings.items()}
        start = {**options.start, **self.values}
        initial |= {name: settings[name].as_text(value) for name, value in start.items() if name in settings}
        self._initial = dict(initial)
        initial |= {name: text for name, text in self.draft.items() if name in settings}
        rows: list[Widget] = []
        headings = dict[str, Label]()
        for name, setting in settings.items():
            if setting.section not in headings:
                headings[setting.section] = Label(setting.section, classes="section", markup=False)
                headings[setting.section].display = False
                rows.append(headings[setting.section])
            row = FieldRow(as_field(setting, options), initial[name])
            row.display = self.is_relevant(setting, initial)
            headings[setting.section].display |= row.display
            rows.append(row)
        self._headings = headings
        rows.append(Button(self.GO, id="go", compact=True))
        body = self.query_one("#fields")
        await body.remove_children()
        await body.mount_all(rows)
        self._is_drawn = True
        try:
            self._mark_changes(self.texts())
            self.row(self.first_field()).editor.focus()
        except NoMatches:
            return  # closed in the meantime: widgets are removed before workers end
        self.drawn()

    def row(self, name: str) -> FieldRow:
        """Return a field by its name."""
        return self.query_one(f"#row-{name}", FieldRow)

    def texts(self) -> dict[str, str]:
        """Return the text of every field."""
        return {row.field.name: row.text for row in self.query(FieldRow)}

    async def finished(self) -> Settings | None:
        """Return the settings after all keys were handled; None on an error, whose field gets the focus."""
        if self.focused is not None:
            await caught_up(self.focused)
        return self._judge(all_fields=True) if self._is_drawn else None

    def done(self, identity: str) -> None:
        """Close the form and clear its draft: the run or evaluation ``identity`` was started."""
        self.draft.clear()
        self.app.pop_screen()
        self.launched(identity)

    def _mark_changes(self, texts: Mapping[str, str]) -> None:
        """In a form with the settings of another run, mark the fields whose values differ from that run's."""
        for name, text in texts.items():
            self.row(name).mark(bool(self.values) and text != self._initial[name])

    def _judge(self, *, all_fields: bool = False) -> Settings | None:
        texts = self.texts()
        self.draft.clear()
        if self.values or texts != self._initial:
            self.draft.update(texts)
        settings, wrong = self.judge(texts)
        self._mark_changes(texts)
        shown = set()
        for name, setting in self.settings.items():
            row = self.row(name)
            row.display = self.is_relevant(setting, texts)
            shown |= {setting.section} if row.display else set()
            row.show_fault(wrong.get(name, "") if all_fields or name in self.touched else "")
        for section, heading in self._headings.items():
            heading.display = section in shown
        if all_fields and wrong:
            self.row(next(iter(wrong))).editor.focus()
        return settings

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Select.Changed)
    def _changed(self, event: Input.Changed | TextArea.Changed | Select.Changed) -> None:
        row = next((node for node in event.control.ancestors if isinstance(node, FieldRow)), None)
        if row is None or not self._is_drawn:
            return
        if row.changed:
            self.touched.add(row.field.name)
            self._show_help(row)
        if self.touched:
            self._judge()
            self.edited()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        row = next((node for node in event.widget.ancestors_with_self if isinstance(node, FieldRow)), None)
        if row is not None:
            self._show_help(row)

    def _show_help(self, row: FieldRow) -> None:
        """Show the help of a field; of a choice whose values have meanings, that of the chosen one."""
        setting = self.settings[row.field.name]
        name = row.field.name.replace("_", " ")
        before = self._initial[row.field.name] if self.values else ""
        was = f"  (• changed; was: {one_line(before, 40)})" if before and row.text != before else ""
        words = setting.display.meanings.get(row.text, row.field.help)
        unset = f"  (default: {setting.unset})" if setting.unset else ""
        text = Text.assemble((name, "bold"), f"  {words}", (unset, "dim"), (was, "bold"))
        self.query_one("#field-help", Static).update(text)

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#go")
    async def _go(self) -> None:
        await self.run_action("go")


def as_field(setting: Setting, options: FormOptions) -> Field:
    """Return the field of a form for a setting."""
    name, display = setting.name, setting.display
    choices = options.choices.get(name, ())
    if setting.choices and not choices:
        choices = tuple((str(value), str(value)) for value in setting.choices)
    elif setting.kind is bool:
        choices = (("no", "false"), ("yes", "true"))
    if display.empty and (setting.choices or name in options.choices):
        choices = ((display.empty, ""), *choices)
    kind: Kind = "choice" if choices or name in options.choices else "lines" if setting.kind is list else "line"
    notes = [
        "One per line." if kind == "lines" else "",
        f"Type none to {display.none}." if display.none else "",
        options.notes.get(name, ""),
    ]
    help_text = " ".join([setting.help, *filter(None, notes)])
    placeholder = display.empty if setting.empty_is_value else setting.unset
    return Field(name, kind, help_text, setting.default_text, choices, options.suggestions.get(name, ()), placeholder)


def model_choices(models: Sequence[ModelRef]) -> Choices:
    """Return models of the lab as the choices of a field."""
    return tuple((f"{one_line(ref.id, 24)}  {one_line(ref.label, 40)}", ref.id) for ref in models)
