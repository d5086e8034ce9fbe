"""Draws plots as text. Letters mark models, so that colour is not needed; 80 columns are enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.text import Text

from o1lab.evaluate.report.cells import Interval, ends
from o1lab.evaluate.report.plots import (
    Bars,
    Histogram,
    Lengths,
    PlotData,
    Scatter,
    SizeCurve,
    log_share,
    log_ticks,
    mark_colours,
    short,
)
from o1lab.evaluate.report.render import fold
from o1lab.text import one_line

WIDTH = 80
HEIGHT = 16  # rows between the axes
_MARGIN = 6  # labels of the y axis
_BLOCKS = " ▁▂▃▄▅▆▇█"
_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")
_KINDS = {"right": "green", "wrong": "red", "cut off": "yellow"}
_NARROW = 66
_FIGURES = 42  # columns of the mark and figures of a legend
_NAME = 9  # columns of the label "cut off" and the axis


def text(plot: PlotData, width: int = WIDTH, height: int = HEIGHT) -> Text:
    """Return all panels below each other, in lines of at most ``width`` cells (at least 40)."""
    width = max(width, 40)
    out = Text(no_wrap=True)
    _lines(out, plot.title, width, "bold")
    if not plot.panels:
        _lines(out, "No data yet: o1lab eval SUITE --model MODEL", width)
    for panel in plot.panels:
        out.append("\n")
        _lines(out, panel.title, width, "bold underline")
        if isinstance(panel, Scatter):
            _scatter(out, panel, width, height)
        elif isinstance(panel, SizeCurve):
            _size_curve(out, panel, width, height)
        else:
            _histogram(out, panel, width)
    out.append("\n")
    for note in plot.notes:
        _lines(out, note, width, "dim")
    out.rstrip()
    return out


class _Canvas:
    """A grid of styled letters with the axes of a panel."""

    def __init__(self, panel: Scatter | SizeCurve, width: int, rows: int) -> None:
        self.columns, self.rows = width - _MARGIN - 1, rows
        self._panel = panel
        self._across, self._up = panel.x_bounds(), panel.y_bounds()
        self._cells: dict[tuple[int, int], tuple[str, str]] = {}

    def place(self, x: float, percent: float) -> tuple[int, int]:
        """Return (column, row) of tokens or a size, and a percentage."""
        low, high, _ = self._up
        share = (percent - low) / (high - low)
        return round(log_share(x, self._across) * (self.columns - 1)), round((1 - share) * (self.rows - 1))

    def draw_interval(self, x: float, interval: Interval, style: str) -> None:
        (column, top), (_, bottom) = (self.place(x, end) for end in reversed(interval))
        for row in range(top, bottom + 1):
            self.put(column, row, "│", style)
        if bottom > top:
            self.put(column, top, "┬", style)
            self.put(column, bottom, "┴", style)

    def put(self, column: int, row: int, letter: str, style: str = "") -> None:
        if 0 <= column < self.columns and 0 <= row < self.rows:
            self._cells[column, row] = letter, style

    def put_near(self, column: int, row: int, letter: str, style: str, taken: set[tuple[int, int]]) -> None:
        """Put a mark in its place, or in the nearest free one of its row."""
        for by in (0, 1, -1, 2, -2, 3, -3):
            at = column + by, row
            if at not in taken and 0 <= at[0] < self.columns:
                taken.add(at)
                self.put(*at, letter, style)
                return

    def line(self, row: int) -> Text:
        line = Text()
        for column in range(self.columns):
            letter, style = self._cells.get((column, row), (" ", ""))
            line.append(letter, style)
        line.rstrip()
        return line

    def draw_to(self, out: Text) -> None:
        """Add the lines of the canvas and its axes."""
        low, high, step = self._up
        labels = {self.place(self._across[0], at)[1]: f"{at}" for at in range(low, high + 1, step)}
        out.append(f"{self._panel.y_title}\n", "dim")
        for row in range(self.rows):
            out.append(labels.get(row, "").rjust(_MARGIN - 1))
            out.append(" ┤" if row in labels else " │", "dim")
            out.append_text(self.line(row)).append("\n")
        _x_axis(out, self._across, self.columns, _MARGIN, self._panel.x_title)


# Accuracy against tokens.


def _scatter(out: Text, panel: Scatter, width: int, height: int) -> None:
    canvas = _Canvas(panel, width, height)
    styles = mark_colours(panel.points, _COLOURS, "")
    for line in panel.lines:
        _draw_line(canvas, [canvas.place(tokens, share) for _, tokens, share in line.steps], styles.get(line.mark, ""))
    for point in panel.points:
        if point.interval is not None:
            canvas.draw_interval(point.tokens, point.interval, "dim" if point.published else styles[point.mark])
    taken: set[tuple[int, int]] = set()
    for point in sorted(panel.points, key=lambda one: one.published):  # your own first: they keep their places
        canvas.put_near(
            *canvas.place(point.tokens, point.accuracy), point.mark, f"bold {styles[point.mark]}".strip(), taken
        )
    canvas.draw_to(out)
    _legend(out, panel, styles, width)


# Accuracy against size.


def _size_curve(out: Text, panel: SizeCurve, width: int, height: int) -> None:
    canvas = _Canvas(panel, width, height)
    for level in panel.levels:
        _, row = canvas.place(1, level.accuracy)
        for column in range(canvas.columns):
            canvas.put(column, row, "╌", "dim")
        canvas.put(canvas.columns - 1, row, level.mark, "bold")
    means = [canvas.place(point.size, point.accuracy) for point in panel.points]
    for (x, y), (to_x, to_y) in pairwise(means):
        for column in range(x, to_x + 1):
            canvas.put(column, y + round((to_y - y) * (column - x) / max(to_x - x, 1)), "·", "cyan")
    for point, (column, row) in zip(panel.points, means, strict=True):
        canvas.draw_interval(point.size, point.interval, "cyan")
        for value in point.each:
            canvas.put(*canvas.place(point.size, value), "•", "cyan")
        canvas.put(column, row, "+", "bold cyan")
    canvas.draw_to(out)
    rows: list[tuple[str, float, Interval | None, str]] = [
        (f"{one.size:,}", one.accuracy, one.interval, ", ".join(f"{value:.1f}" for value in one.each))
        for one in panel.points
    ]
    rows += [(level.mark, level.accuracy, level.interval, one_line(level.label, 200)) for level in panel.levels]
    for name, accuracy, interval, words in rows:
        head = f"{name:>9}  {accuracy:5.1f} {ends(interval):14}"
        if cell_len(head) + 2 + cell_len(words) <= width:
            out.append(f"{head}  {words}\n")
        else:
            out.append(head.rstrip() + "\n")
            for part in fold(words, width - 11):
                out.append(" " * 11 + part + "\n")


def _draw_line(canvas: _Canvas, places: Sequence[tuple[int, int]], style: str) -> None:
    for (left, top), (right, bottom) in pairwise(places):
        steps = max(abs(right - left), abs(bottom - top), 1)
        for number in range(0, steps + 1):
            share = number / steps
            canvas.put(round(left + share * (right - left)), round(top + share * (bottom - top)), "·", style)
    for column, row in places[1:]:
        canvas.put(column, row, "+", style)


def _legend(out: Text, panel: Scatter, styles: dict[str, str], width: int) -> None:
    names = [one_line(point.name, 200) for point in panel.points]
    side_by_side = width >= _NARROW  # figures on the lines of the names, not below
    room = max(map(cell_len, names), default=0)
    room = min(room, width - _FIGURES) if side_by_side else width - 3
    for point, name in zip(panel.points, names, strict=True):
        figures = f" {point.accuracy:5.1f} {ends(point.interval):14} {point.tokens:>9,.0f} tokens"
        folded = fold(name, room)
        out.append(f" {point.mark} ", f"bold {styles[point.mark]}".strip())
        out.append(folded[0] + (" " * (room - cell_len(folded[0])) + figures if side_by_side else "") + "\n")
        for rest in [*folded[1:], *([] if side_by_side else [" ".join(figures.split())])]:
            out.append(f"   {rest}\n")
    for line in panel.lines:
        first_and_last = (line.steps[0], line.steps[-1])
        words = " to ".join(f"maj@{k} {share:.1f} at {tokens:,.0f}" for k, tokens, share in first_and_last)
        for number, part in enumerate(fold(f"{words} tokens", width - 5)):
            out.append(" " if number else f" {line.mark}", f"bold {styles.get(line.mark, '')}".strip())
            out.append(f"    {part}\n" if number else f"·+ {part}\n")


# Right and wrong.


def _histogram(out: Text, panel: Histogram, width: int) -> None:
    columns = width - _NAME - 2
    seen = [count for model in panel.models for bars in model.bars for count in _squeezed(bars, columns)]
    most = max(seen, default=1)
    for model in panel.models:
        _model(out, model, columns, most, width)
    _x_axis(out, (panel.edges[0], panel.edges[-1]), columns, _NAME, "output tokens (log)")


def _model(out: Text, model: Lengths, columns: int, most: int, width: int) -> None:
    _lines(out, f"{model.mark} {model.label}: {model.summary}", width, "bold")
    for bars in model.bars:
        if not bars.n:
            continue
        counts = _squeezed(bars, columns)
        for row in (1, 0):  # two rows give sixteen heights
            out.append((bars.kind if not row else "").rjust(_NAME - 1))
            out.append(" │", "dim")
            heights = [max(math.ceil(16 * count / most) - 8 * row, 0) if count else 0 for count in counts]
            out.append("".join(_BLOCKS[min(height, 8)] for height in heights).rstrip(), _KINDS[bars.kind])
            out.append("\n")


def _squeezed(bars: Bars, columns: int) -> list[int]:
    """Distribute the counts of the bins over ``columns`` columns; a column adds the bins that fall into it."""
    counts = [0] * columns
    for number, count in enumerate(bars.counts):
        begin = number * columns // len(bars.counts)
        end = max((number + 1) * columns // len(bars.counts), begin + 1)
        for column in range(begin, end):
            counts[column] += count
    return counts


# Shared.


def _x_axis(out: Text, bounds: tuple[float, float], columns: int, margin: int, title: str) -> None:
    rule, labels = ["─"] * columns, [" "] * (columns + margin + 2)
    free = 0
    for tick in log_ticks(*bounds):
        column = round(log_share(tick, bounds) * (columns - 1))
        name = short(tick)
        begin = min(max(column + margin + 1 - len(name) // 2, free), columns + margin + 1 - len(name))
        if begin < free:
            continue
        rule[column] = "┬"
        labels[begin : begin + len(name)] = name
        free = begin + len(name) + 1
    out.append(f"{' ' * margin}└{''.join(rule)}\n", "dim")
    out.append("".join(labels).rstrip() + "\n")
    out.append(f"{' ' * (margin + 1)}{title}\n", "dim")


def _lines(out: Text, words: str, width: int, style: str = "") -> None:
    for line in fold(words, width):
        out.append(line, style).append("\n")
