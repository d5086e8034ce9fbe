"""A selection in a thought, by moves or by characters: its keys, the steps of its end, and marks with one key.

A digit gives the selection a label of the lab; a capital letter corrects the kind of the selected moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.binding import BindingType

from o1lab.chains.segmentation.moves import MoveKind
from o1lab.format import counted
from o1lab.text import one_line
from o1lab.widgets.keys import Binding
from o1lab.widgets.reader.document import LabelKey, Outline, Segment
from o1lab.widgets.sections import Section

_WORD = re.compile(r"(?<=\s)\S")
_FAR = 1000  # code points: the maximum length of a step back by a word

SELECTING: list[BindingType] = [
    Binding("v", "select", "Select", tooltip="Begin to select text; enter takes it"),
    Binding("J,shift+down", "select_moves(1)", "Select next move", show=False, tooltip="Select it and the next"),
    Binding("K,shift+up", "select_moves(-1)", "Select previous move", show=False,
            tooltip="Select it and the previous one"),
    Binding("enter", "take_selection", "Take selection", tooltip="Take the selected text"),
    Binding("escape", "cancel", "Cancel", id="cancel_selection", tooltip="End selecting"),
    Binding("h,left", "move_end('left')", "Left", show=False, tooltip="Move the end of the selection left"),
    Binding("l,right", "move_end('right')", "Right", show=False, tooltip="Move the end of the selection right"),
    Binding("w", "move_end('word')", "Next word", show=False, tooltip="Move the end to the next word"),
    Binding("0", "move_end('start')", "Line start", show=False, tooltip="Move the end to the start of the line"),
    Binding("$", "move_end('end')", "Line end", show=False, tooltip="Move the end to the end of the line"),
    Binding("o", "swap_ends", "Other end", show=False, tooltip="Move the other end of the selection"),
]  # fmt: skip
"""The keys of a selection."""

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

Step = Literal["left", "right", "up", "down", "word", "back", "start", "end"]


@dataclass(frozen=True, slots=True)
class Selecting:
    """A selection. ``anchor`` and ``end`` are indices of moves or code points, both included."""

    by: Literal["moves", "chars"]
    anchor: int
    end: int

    @classmethod
    def after(cls, selecting: Selecting | None, outline: Outline, current: int, place: int) -> Selecting | None:
        """Return what follows a selection when the key is pressed again: by moves, by characters, none.

        Args:
            selecting: The selection, None for none.
            outline: The moves; without moves the first selection is by characters.
            current: The current move.
            place: The code point at which a selection by characters begins without moves.
        """
        if selecting is None:
            return cls("moves", current, current) if outline else cls("chars", place, place)
        if selecting.by == "chars":
            return None
        at = outline[selecting.end].start
        return cls("chars", at, at)

    def moves(self, outline: Outline) -> list[Segment]:
        """Return the moves of a selection by moves; none of one by characters."""
        low, high = sorted((self.anchor, self.end))
        return outline[low : high + 1] if self.by == "moves" else []

    def span(self, outline: Outline) -> tuple[int, int]:
        """Return (start, end) of the selection in code points of the thought."""
        low, high = sorted((self.anchor, self.end))
        return (outline[low].start, outline[high].end) if self.by == "moves" else (low, high + 1)

    def to(self, end: int) -> Selecting:
        """Return the selection with another end."""
        return Selecting(self.by, self.anchor, end)

    def swapped(self) -> Selecting:
        """Return the selection with anchor and end swapped."""
        return Selecting(self.by, self.end, self.anchor)


def stepped(at: int, step: Step, section: Section) -> int:
    """Return the code point after a step from code point ``at`` of a section, within its text."""
    text = section.text
    line = text.line_of(at)
    start, stop = text.span(line)
    match step:
        case "up" | "down":
            row = section.row_of(line) + (1 if step == "down" else -1)
            if 0 <= row < section.rows:
                at = text.offset_at(section.line_at(row), text.cell_of(at))
        case "word":
            found = _WORD.search(text.text, at + 1)
            at = found.start() if found else len(text.text) - 1
        case "back":
            first = max(at - _FAR, 0)
            before = text.text[first:at].rstrip()
            at = first + max(before.rfind(" "), before.rfind("\n"), -1) + 1
        case "left":
            at = text.whole(at)[0] - 1
        case "right":
            at = text.whole(at)[1]
        case "start":
            at = start
        case "end":
            at = stop - 1
    return max(min(at, len(text.text) - 1), 0)


def selection_line(span: tuple[int, int], moves: int, *, kinds: str, enter: str, width: int) -> str:
    """Say what is selected and what the keys do to it, in fewer words on 80 columns.

    Args:
        span: The characters.
        moves: The number of moves; 0 if the selection is made by characters.
        kinds: The letters that correct kinds of moves; empty if none do.
        enter: What enter does.
        width: The width of the line.
    """
    chars, is_wide = counted(span[1] - span[0], "char"), width >= 100
    enter = f"{'enter' if is_wide else '⏎'} {enter} · esc"
    if not moves:
        keys = "h j k l w b" if is_wide else "hjklwb"
        return f"SELECT {chars} · {keys} move the end · o other end · {enter}"
    what = counted(moves, "move") + (f", {chars}" if is_wide else "") + (f" · {kinds} kind" if kinds else "")
    return f"SELECT {what} · {'j k' if is_wide else 'jk'} more · v {'by characters' if is_wide else 'chars'} · {enter}"


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
