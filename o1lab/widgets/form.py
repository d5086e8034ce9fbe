"""The fields of a form, each with an editor, its help on the right and its error below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Label, Select, Static, TextArea

from o1lab.text import visible
from o1lab.widgets.line_input import LineInput, PlainArea
from o1lab.widgets.text_pane import TallText

Kind = Literal["line", "choice", "lines"]


@dataclass(frozen=True)
class Field:
    """One field of a form.

    Attributes:
        name: Its name, also in the widget's id.
        kind: The kind of its editor: one line of text, a choice, or several lines.
        help: A sentence or two.
        default: The initial text if nothing else is known.
        choices: (text shown, value as text) of each choice.
        suggestions: Completions of a line of text.
        placeholder: Shown while it is empty.
    """

    name: str
    kind: Kind
    help: str
    default: str
    choices: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[str, ...] = ()
    placeholder: str = ""

    @property
    def has_empty_choice(self) -> bool:
        return any(not value for _, value in self.choices)


class FieldRow(Vertical):
    """A field: its name, its editor, its help on a wide terminal, and its error below."""

    DEFAULT_CSS = """
    FieldRow {
        height: auto;
        .field { height: auto; }
        .name { width: 22; color: $text-muted; padding-left: 2; }
        .editor { width: 1fr; max-width: 56; height: 1; }
        TextArea.editor { height: 4; max-width: 100; }
        .aside {
            display: none; width: 1fr; height: 1; padding-left: 2; color: $text-muted;
            text-wrap: nowrap; text-overflow: ellipsis;
        }
        .fault { height: auto; padding-left: 22; color: $text-error; }
        &.-marked .name { padding-left: 0; color: $text-accent; }
        &:focus-within { height: auto; }
        &:focus-within .name { color: $text; text-style: bold; }
    }
    """  # Textual updates the styles below a row when the focus moves because a rule is about the row itself

    def __init__(self, field: Field, text: str) -> None:
        super().__init__(id=f"row-{field.name}")
        self.field = field
        self._text = text
        self._fault: TallText | None = None

    def compose(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label(self.field.name.replace("_", " "), classes="name", markup=False)
            yield self._editor()
            yield Static(self.field.help, classes="aside", markup=False)

    def _editor(self) -> Widget:
        field, text = self.field, self._text
        if field.kind == "choice":
            choices = list(field.choices)
            if text and text not in (value for _, value in choices):
                choices.append((visible(text), text))  # from another machine or lab: the form's validation decides
            return Select(
                [(Text(shown), value) for shown, value in choices],
                value=text if text or field.has_empty_choice else Select.NULL,
                allow_blank=not text and not field.has_empty_choice,
                prompt="choose one",
                compact=True,
                classes="editor",
            )
        if field.kind == "lines":
            return PlainArea(text, compact=True, classes="editor", tab_behavior="focus")
        suggester = SuggestFromList(field.suggestions, case_sensitive=False) if field.suggestions else None
        return LineInput(
            text,
            placeholder=field.placeholder,
            compact=True,
            classes="editor",
            suggester=suggester,
            select_on_focus=False,
        )

    @property
    def editor(self) -> Widget:
        return self.query_one(".editor")

    @property
    def text(self) -> str:
        """The current text of the field."""
        editor = self.editor
        if isinstance(editor, Select):
            return "" if editor.value is Select.NULL else str(editor.value)
        return editor.text if isinstance(editor, TextArea) else editor.value if isinstance(editor, Input) else ""

    @property
    def changed(self) -> bool:
        """Whether the text differs from the initial one."""
        return self.text != self._text

    def set_text(self, text: str) -> None:
        editor = self.editor
        if isinstance(editor, Select):
            editor.value = text if text in (value for _, value in self.field.choices) else Select.NULL
        elif isinstance(editor, TextArea):
            editor.text = text
        elif isinstance(editor, Input):
            editor.value = text

    def mark(self, marked: bool) -> None:
        """Put a dot before the name, or remove it."""
        if marked != self.has_class("-marked"):
            self.set_class(marked, "-marked")
            self.query_one(".name", Label).update(("• " if marked else "") + self.field.name.replace("_", " "))

    def show_fault(self, fault: str) -> None:
        """Show an error below the field; an empty string removes it."""
        if not fault:
            if self._fault is not None:
                self._fault.remove()
                self._fault = None
            return
        text = f"✗ {visible(fault)}"
        if self._fault is None:
            self._fault = TallText(text, classes="fault", markup=False)
            self.mount(self._fault)
        elif text != self._fault.content:
            self._fault.update(text)
        if self.has_focus_within:  # the sentence is below the field, and may be below the screen
            self.call_after_refresh(self.scroll_visible, animate=False)
