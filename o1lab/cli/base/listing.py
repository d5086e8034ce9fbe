"""The output of every verb that lists things: a table for people, one JSON object or CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.cli.base.busy import clear
from o1lab.cli.base.output import Format, emit, invocation, print_json, wants_json
from o1lab.format import aligned
from o1lab.text import visible

Item = Mapping[str, Any]
_MIN_WIDTH = 60


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        header: its heading.
        cell: the key of an item, or a function from an item to the text of its cell.
        right: whether it is aligned to the right, as numbers are.
        optional: whether it is left out if each cell is empty.
    """

    header: str
    cell: str | Callable[[Item], str]
    right: bool = False
    optional: bool = False

    def text(self, item: Item) -> str:
        """Return the cell of an item as one line."""
        if not isinstance(self.cell, str):
            return self.cell(item)
        value = item[self.cell]
        return "-" if value is None else f"{value:,}" if isinstance(value, int) else " ".join(str(value).split())


def emit_list(
    items: Sequence[Item],
    columns: Sequence[Column],
    *,
    total: int | None = None,
    empty: str = "",
    more: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Print a list.

    JSON and CSV hold every key of the items; CSV shows control characters as symbols. A table holds the columns; on a
    terminal its lines are cut to the width.

    Args:
        items: the JSON of each thing that is listed.
        columns: the columns of the table.
        total: how many things match, if the list may be only a part of them.
        empty: the text in place of an empty table, if nothing matches.
        more: further keys of the JSON object.
        notes: lines below the table.
    """
    form = invocation().form
    if form is Format.CSV and not wants_json():
        clear()
        sys.stdout.write(visible(_csv(items)))
        sys.stdout.flush()
        return
    lines = _table(items, columns) if items else []
    if empty and not items and not total:
        lines = [empty]
    elif total is not None:
        lines.append(f"{len(items):,} of {total:,}")
    data = {"items": items, "total": len(items) if total is None else total} | dict(more or {})
    if form is Format.JSON:
        print_json(data)
    else:
        emit(data, text=[*lines, *notes])


def _table(items: Sequence[Item], columns: Sequence[Column]) -> list[str]:
    shown = [(column, [column.text(item) for item in items]) for column in columns]
    shown = [(column, cells) for column, cells in shown if any(cells) or not column.optional]
    table = zip(*([column.header.upper(), *cells] for column, cells in shown), strict=True)
    lines = aligned([*table], right=[number for number, (column, _) in enumerate(shown) if column.right])
    if not sys.stdout.isatty():
        return lines
    from rich.cells import cell_len, set_cell_size

    width = max(shutil.get_terminal_size().columns, _MIN_WIDTH)
    return [line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…" for line in lines]


def _csv(items: Sequence[Item]) -> str:
    """Return the items as CSV; nested values are JSON. The first line names the keys."""
    keys = list(dict.fromkeys(key for item in items for key in item))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(keys)
    writer.writerows([_field(item.get(key)) for key in keys] for item in items)
    return text.getvalue()


def _field(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, tuple, dict, bool)) else value
