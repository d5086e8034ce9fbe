"""The dialog of the leader key: a digit goes to a screen of the app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from o1lab.widgets.dialogs.dialog import Dialog
from o1lab.widgets.keys import Binding


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
