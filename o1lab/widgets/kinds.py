"""The mark of each kind of move: a letter, and a style for terminals with colours."""

from __future__ import annotations

from rich.style import Style

from o1lab.chains.moves import MOVE_OF_LETTER, MoveKind

# Letters and bold carry the meaning; the colours are among the terminal's sixteen.
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
    """Return the name of a kind given by name or letter; an unknown kind is returned unchanged."""
    return str(MOVE_OF_LETTER.get(kind, kind))


def letter_of(kind: str) -> str:
    """Return the letter of a kind given by name or letter; `?` for an unknown kind."""
    try:
        return MoveKind(name_of(kind)).letter
    except ValueError:
        return "?"


def style_of(kind: str) -> Style:
    """Return the style of the letter of a kind."""
    try:
        return _STYLES[MoveKind(name_of(kind))]
    except ValueError:
        return Style.null()
