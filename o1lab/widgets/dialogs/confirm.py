"""A yes/no question."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from o1lab.text import visible
from o1lab.widgets.dialogs.dialog import Dialog


class ConfirmDialog(Dialog[bool]):
    """Asks a yes/no question. y: True; n or escape: False; enter presses the focused button.

    The focus is on "yes" first, or on "no" with ``danger``.
    """

    DEFAULT_CSS = """
    ConfirmDialog {
        .dialog { max-width: 72; }
        .dialog--question { text-style: bold; }
        VerticalScroll { height: auto; max-height: 12; }
        Horizontal { height: auto; margin-top: 1; align-horizontal: center; }
        Button { margin: 0 1; }
        Button:focus { text-style: bold reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
        Binding("left,h", "app.focus_previous", "Previous", show=False),
        Binding("right,l", "app.focus_next", "Next", show=False),
    ]

    def __init__(
        self, question: str, detail: str | Text = "", *, yes: str = "Yes", no: str = "No", danger: bool = False
    ) -> None:
        super().__init__()
        self._question, self._danger = question, danger
        self._detail = detail if isinstance(detail, Text) else visible(detail)
        self._labels = (yes, no)

    def compose_dialog(self) -> ComposeResult:
        yield Static(visible(self._question), markup=False, classes="dialog--question")
        if self._detail:
            with VerticalScroll(can_focus=False):
                yield Static(self._detail, markup=False)
        with Horizontal():
            for id_, key, label in zip(("yes", "no"), "yn", self._labels, strict=True):
                yield Button(Content(f"{visible(label)} ({key})"), id=id_, compact=True)

    def on_mount(self) -> None:
        self.query_one("#no" if self._danger else "#yes").focus()

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")
