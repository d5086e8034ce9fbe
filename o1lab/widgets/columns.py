"""Columns and rows of a `PagedTable`: how they share a width, and how one row is drawn into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from o1lab.text import one_line

RowKey = str | int
GAP = 1
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        key: The key of its cells in a row.
        width: Minimum width in cells.
        flex: Its share of the width that is left over; 0 for a fixed width.
        priority: In a table that is too narrow, columns with the highest priority are hidden first; 0 is never hidden.
    """

    key: str
    title: str
    width: int
    flex: int = 0
    priority: int = 0
    justify: Literal["left", "right"] = "left"


@dataclass(frozen=True, slots=True)
class Row:
    """A row: ``cells`` by column key (strings are made safe, a Text is drawn unchanged), ``data`` is any object."""

    key: RowKey
    cells: Mapping[str, str | Text]
    data: object = None


@dataclass(frozen=True, slots=True)
class Page:
    """The result of a fetch: the rows [offset, offset + limit), and the total number of rows."""

    rows: Sequence[Row] = field(default=())
    total: int = 0


def share_width(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into ``width`` cells, in order, each with its width.

    At equal priority the rightmost column is hidden first.
    """
    kept = list(columns)

    def needed() -> int:
        return sum(column.width for column in kept) + GAP * max(len(kept) - 1, 0)

    for column in sorted(columns, key=lambda column: column.priority, reverse=True):
        if needed() <= width or column.priority == 0:
            break
        last = max(at for at, other in enumerate(kept) if other.priority == column.priority)
        del kept[last]
    left_over = max(width - needed(), 0)
    flex = sum(column.flex for column in kept)
    widths = []
    for column in kept:
        extra = left_over * column.flex // flex if flex else 0
        left_over, flex = left_over - extra, flex - column.flex
        widths.append((column, column.width + extra))
    return widths


def draw_row(
    layout: Sequence[tuple[Column, int]], cell: Callable[[Column], str | Text], style: Style, console: Console
) -> list[Segment]:
    """Return the segments of one row; ``cell`` returns the content of a column."""
    segments: list[Segment] = []
    for at, (column, width) in enumerate(layout):
        if at:
            segments.append(Segment(" " * GAP, style))
        content = cell(column)
        if isinstance(content, Text):
            text = content.copy()
            text.truncate(width, overflow="ellipsis")
            # Rich does not apply the style of a text itself when it renders it.
            own = style + console.get_style(text.style, default=Style.null())
            drawn = list(Segment.apply_style(text.render(console), own))
            pad = width - sum(segment.cell_length for segment in drawn)
        else:
            fitted = _fit(one_line(content, width), width)
            drawn = [Segment(fitted, style)]
            pad = width - cell_len(fitted)
        space = [Segment(" " * pad, style)] if pad > 0 else []
        segments += [*space, *drawn] if column.justify == "right" else [*drawn, *space]
    return segments


def _fit(text: str, width: int) -> str:
    """Return ``text`` cut to ``width`` cells, with an ellipsis."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…"
