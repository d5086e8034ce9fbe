"""A dialog that shows a text of any length."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from o1lab.widgets.dialogs.dialog import Dialog
from o1lab.widgets.line_view import LineView


class PreviewDialog(Dialog[bool]):
    """Shows a text. Enter returns True if there is an ``action``; escape or q returns False.

    A string is made safe with ``visible``; the content of a Text must be safe already.
    """

    DEFAULT_CSS = """
    PreviewDialog {
        .dialog { height: 90%; max-width: 100%; }
        LineView, VerticalScroll { height: 1fr; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "answer(True)", "Do it"),
        Binding("escape,q", "answer(False)", "Close"),
        Binding("j", "scroll_body(1)", "Down", show=False),
        Binding("k", "scroll_body(-1)", "Up", show=False),
    ]

    def __init__(self, title: str, body: str | Text, *, action: str = "") -> None:
        super().__init__(title, f"enter {action} · esc close" if action else "esc close")
        self._body, self._action = body, action

    def compose_dialog(self) -> ComposeResult:
        if isinstance(self._body, Text):
            with VerticalScroll():
                yield Static(self._body, markup=False)
        else:
            yield LineView()

    def on_mount(self) -> None:
        body = self._scroller
        body.focus()
        if isinstance(body, LineView) and isinstance(self._body, str):
            body.set_text(self._body)

    @property
    def _scroller(self) -> Widget:
        return self.query_one(LineView if isinstance(self._body, str) else VerticalScroll)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (action == "answer" and parameters == (True,) and not self._action)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def action_scroll_body(self, rows: int) -> None:
        self._scroller.scroll_relative(y=rows, animate=False)
