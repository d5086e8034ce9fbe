"""The leaderboard of works: a table, and a chart with one bar for each work."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from o1lab.evaluate.report.cells import Cell, Column, Section, Table, TableRow
from o1lab.text import one_line
from o1lab.transparency.framework import Framework
from o1lab.transparency.scores import ScoredWork

_FILLS = (("█", "cyan"), ("▓", "green"), ("▒", "yellow"), ("░", "magenta"))
"""A letter and a colour for each dimension in turn: letters alone tell them apart."""


def leaderboard(framework: Framework, works: Sequence[ScoredWork]) -> Table:
    """Return the table of works: the points of each dimension and the total."""
    columns = [Column(one.id, f"{one.title} /{one.points}", "count") for one in framework.dimensions]
    rows = [
        TableRow(
            work.name,
            {key: Cell(value) for key, value in {**work.scores, "total": work.total}.items()},
            published=work.published,
        )
        for work in works
    ]
    notes = [f"Published totals: {framework.source}."] if framework.published else []
    notes += [
        f"{one_line(work.name, 60)}: {work.open_items} of {len(work.items)} items have no answer; they earn nothing."
        for work in works
        if work.open_items
    ]
    return Table(
        "tti",
        framework.title,
        "work",
        (*columns, Column("total", f"Total /{framework.total}", "count")),
        (Section("Points", tuple(rows)),),
        tuple(notes),
    )


def bars(framework: Framework, works: Sequence[ScoredWork], width: int) -> Text:
    """Return one line for each work and a legend, in lines of at most ``width`` cells.

    The bar of a work with all points fills the space between its name and its total.
    """
    names = [one_line(work.name, 40) + (" (published)" if work.published else "") for work in works]
    longest = min(max(map(cell_len, names), default=0), 2 * width // 5)
    space = max(width - longest - len(str(framework.total)) - 3, 10)
    text = Text(no_wrap=True)
    for work, name in zip(works, names, strict=True):
        text.append(f"{set_cell_size(name, longest)} ")
        drawn = reached = 0
        for number, dimension in enumerate(framework.dimensions):
            letter, style = _FILLS[number % len(_FILLS)]
            reached += work.scores[dimension.id]
            end = round(space * reached / framework.total)  # rounding the sums keeps the bar's length right
            text.append(letter * (end - drawn), style)
            drawn = end
        text.append(" " * (space - drawn) + f" {work.total:>{len(str(framework.total))}}\n")
    for number, dimension in enumerate(framework.dimensions):
        letter, style = _FILLS[number % len(_FILLS)]
        text.append(letter, style).append(f" {dimension.title} /{dimension.points}  ")
    text.rstrip()
    return text
