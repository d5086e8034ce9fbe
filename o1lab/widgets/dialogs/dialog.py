"""The base of all dialogs: a framed box in the middle of the screen."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from o1lab.text import one_line
from o1lab.widgets.key_footer import KeyFooter

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
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]
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
