"""Small dialogs for the keyboard: confirm, ask for one line, preview; and the empty state of a screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.containers import Vertical
from textual.screen import ModalScreen


class EmptyState(Vertical):
    """What a screen without content shows: what is missing and the next action, with its key."""

    def __init__(self, title: str, next_action: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)

    def set(self, title: str, next_action: str = "") -> None: ...


class ConfirmDialog(ModalScreen[bool]):
    """A yes/no question. y or enter on yes: True; n or escape: False. ``danger`` puts the focus on no."""

    def __init__(
        self, question: str, detail: str = "", *, yes: str = "Yes", no: str = "No", danger: bool = False
    ) -> None:
        super().__init__()


class PromptDialog(ModalScreen[str | None]):
    """Asks for one line; enter gives it, escape None. ``completions`` are offered under the line (tab or
    down takes one); ``multiple`` completes the last of several words separated by commas."""

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        placeholder: str = "",
        completions: Sequence[str] = (),
        multiple: bool = False,
    ) -> None:
        super().__init__()


class PreviewDialog(ModalScreen[bool]):
    """A scrolling text of any length; enter (if ``action`` is given) True, escape or q False.

    ``body`` is untrusted unless it is a Text: it is shown literally.
    """

    def __init__(self, title: str, body: str | Text, *, action: str = "") -> None:
        super().__init__()
