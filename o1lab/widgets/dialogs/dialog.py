"""The base of all dialogs, a framed box in the middle of the screen; a question, a text to read, numbered places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Static

from o1lab.text import one_line, visible
from o1lab.widgets.keys import Binding, KeyFooter
from o1lab.widgets.line_view import LineView

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A framed box with a title. Escape closes it with None.

    Subclasses implement ``compose_dialog``. With ``FOOTER`` the bindings are listed at the bottom of the box.
    """

    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        .dialog {
            width: 90%;
            max-width: 100;
            height: auto;
            max-height: 95%;
            padding: 0 1;
            border: round $accent;
            border-title-style: bold;
            border-title-color: $foreground;
            border-subtitle-color: $foreground;
            background: $surface;
        }
        .hint { height: auto; color: $text-muted; }
        .warning { height: auto; color: $text-warning; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "cancel", "Cancel", tooltip="Close without changing anything")
    ]
    FOOTER: ClassVar[bool] = False

    def __init__(self, title: str = "", keys: str = "") -> None:
        """Create the dialog.

        Args:
            title: Text of the upper border; control characters are made visible.
            keys: Text of the lower border, for a dialog without ``FOOTER``: its most important keys.
        """
        super().__init__()
        self._frame_texts = title, keys

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title, box.border_subtitle = (Content(one_line(text, 200)) for text in self._frame_texts)
            yield from self.compose_dialog()
            if self.FOOTER:
                yield KeyFooter(show_command_palette=False, compact=True)

    def compose_dialog(self) -> ComposeResult:
        """The widgets inside the frame."""
        yield from ()

    def action_cancel(self) -> None:
        """Close the dialog without an answer."""
        self.dismiss(None)


class ScrollingDialog(Dialog[Answer]):
    """A dialog with a ``VerticalScroll`` that is scrolled from any of its fields."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "scroll_rows(1)", "Page down", show=False, tooltip="Scroll down"),
        Binding("pageup", "scroll_rows(-1)", "Page up", show=False, tooltip="Scroll up"),
    ]

    def action_scroll_rows(self, pages: int) -> None:
        """Scroll a page."""
        scroll = self.query_one(VerticalScroll)
        scroll.scroll_page_down() if pages > 0 else scroll.scroll_page_up()


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
        Binding("y", "answer(True)", "Yes", tooltip="Answer yes"),
        Binding("n,escape", "answer(False)", "No", tooltip="Answer no"),
        Binding("left,h", "app.focus_previous", "Previous", id="button_left", show=False,
                tooltip="Go to the previous button"),
        Binding("right,l", "app.focus_next", "Next", id="button_right", show=False, tooltip="Go to the next button"),
    ]  # fmt: skip

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
        Binding("enter", "answer(True)", "Do it", id="do_it", tooltip="Do what the dialog shows"),
        Binding("escape,q", "answer(False)", "Close", id="cancel", tooltip="Close the dialog"),
        Binding("j", "scroll_body(1)", "Down", show=False, tooltip="Scroll down"),
        Binding("k", "scroll_body(-1)", "Up", show=False, tooltip="Scroll up"),
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


class GoDialog(Dialog[int]):
    """Lists numbered places; a digit chooses one, as its index from 0."""

    DEFAULT_CSS = """
    GoDialog .dialog { width: auto; min-width: 24; }
    GoDialog Static { width: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"go({number})", f"Screen {number}", show=False, tooltip=f"Go to screen {number}")
            for number in range(1, 8)
        ),
    ]

    def __init__(self, places: Sequence[str]) -> None:
        super().__init__("Go to", "esc stay")
        self.places = places

    def compose_dialog(self) -> ComposeResult:
        lines = (Text.assemble((str(number), "bold"), f"  {place}") for number, place in enumerate(self.places, 1))
        yield Static(Text("\n").join(lines), markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or parameters[0] in range(1, len(self.places) + 1)

    def action_go(self, number: int) -> None:
        """Close the dialog with the place of this number."""
        self.dismiss(number - 1)
