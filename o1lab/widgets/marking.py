"""Marks on selected moves with one key: a digit gives a label of the lab, a capital letter corrects the kind."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.binding import BindingType

from o1lab.chains.moves import MoveKind
from o1lab.text import one_line
from o1lab.widgets.document import LabelKey
from o1lab.widgets.keys import Binding

_LONGEST, _SHORTEST = 40, 3
_AROUND = 4
"""Cells around the name of a label: its digit and spaces."""
LETTERS = "".join(kind.letter for kind in MoveKind)
MARKING: list[BindingType] = [
    *(
        Binding(str(digit), f"give_label({digit})", "Label", show=digit == 1, key_display="1-9" if digit == 1 else None,
                tooltip=f"Give the selection the label with the digit {digit}, or take it away again")
        for digit in (*range(1, 10), 0)
    ),
    *(
        Binding(kind.letter, f"correct_kind('{kind}')", "Kind", show=kind == MoveKind.UNDERSTAND,
                key_display=LETTERS if kind == MoveKind.UNDERSTAND else None,
                tooltip=f"Correct the kind of the selected moves: {kind}")
        for kind in MoveKind
    ),
]  # fmt: skip
"""Keys while something is selected, of a reader that takes marks."""


def keys_line(labels: Iterable[LabelKey], width: int) -> Text:
    """Return the labels with their digits; the names are shortened so that all fit into ``width`` cells."""
    shown = sorted((one for one in labels if one.digit is not None), key=lambda one: one.digit or 0)
    if not shown:
        return Text("no label has a digit: L changes the labels", "dim")
    names = [one_line(one.name, _LONGEST) for one in shown]
    cells = [cell_len(name) for name in names]
    while sum(cells) + _AROUND * len(cells) > width and max(cells) > _SHORTEST:
        cells[cells.index(max(cells))] -= 1
    line = Text(no_wrap=True)
    for one, name, room in zip(shown, names, cells, strict=True):
        short = Text(name, Style(color=one.colour))
        short.truncate(room, overflow="ellipsis")
        line.append("  " if line else "").append(f"{one.digit} ", "bold").append_text(short)
    return line
