"""How a move is marked: a letter always, a colour where there are sixteen of them."""

from __future__ import annotations

from rich.style import Style

from o1lab.chains.moves import MOVE_OF_LETTER, MoveKind

# Bold and the letters carry the meaning; colours come from the terminal's own sixteen.
_STYLES = {
    MoveKind.UNDERSTAND: Style(color="blue"),
    MoveKind.PLAN: Style(color="cyan"),
    MoveKind.COMPUTE: Style(color="white"),
    MoveKind.REFLECT: Style(color="yellow", bold=True),
    MoveKind.BACKTRACK: Style(color="red", bold=True),
    MoveKind.VERIFY: Style(color="green"),
    MoveKind.CONCLUDE: Style(color="magenta", bold=True),
}


def name_of(kind: str) -> str:
    """The name of a kind given by name or letter; a kind nobody knows stays as it is."""
    return str(MOVE_OF_LETTER.get(kind, kind))


def letter_of(kind: str) -> str:
    """The letter of a kind given by name or letter; `?` for a kind nobody knows."""
    try:
        return MoveKind(name_of(kind)).letter
    except ValueError:
        return "?"


def style_of(kind: str) -> Style:
    """The style of a kind's letter."""
    try:
        return _STYLES[MoveKind(name_of(kind))]
    except ValueError:
        return Style.null()
