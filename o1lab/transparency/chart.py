"""A bar chart of works: one bar each, with the points of every dimension in turn."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from o1lab.text import one_line
from o1lab.transparency.framework import Framework
from o1lab.transparency.scores import ScoredWork

_FILLS = (("█", "cyan"), ("▓", "green"), ("▒", "yellow"), ("░", "magenta"))
"""A letter and a colour for each dimension in turn: letters alone tell them apart."""


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
