"""Draws plots as text. Letters mark models, so that colour is not needed; 80 columns are enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.text import Text

from o1lab.evaluate.report.cells import Interval
from o1lab.evaluate.report.plots import (
    Bars,
    Histogram,
    Lengths,
    PlotData,
    Point,
    Scatter,
    SizeCurve,
    log_bounds,
    log_ticks,
    mark_colours,
    percent_bounds,
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
    """A grid of styled letters; x grows from 0 to 1 to the right, y from 0 to 1 upwards."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._cells: dict[tuple[int, int], tuple[str, str]] = {}

    def place(self, x: float, y: float) -> tuple[int, int]:
        """Return (column, row) of a point."""
        return round(x * (self.columns - 1)), round((1 - y) * (self.rows - 1))

    def put(self, column: int, row: int, letter: str, style: str = "") -> None:
        if 0 <= column < self.columns and 0 <= row < self.rows:
            self._cells[column, row] = letter, style

    def put_beside(self, column: int, row: int, letter: str, style: str, taken: set[tuple[int, int]]) -> None:
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


# Accuracy against tokens.


def _scatter(out: Text, panel: Scatter, width: int, height: int) -> None:
    seen = [point.tokens for point in panel.points] + [at for line in panel.lines for _, at, _ in line.steps]
    left, right = log_bounds(seen)
    low, high, step = percent_bounds(panel.points, panel.lines)
    canvas = _Canvas(width - _MARGIN - 1, height)

    def place(tokens: float, accuracy: float) -> tuple[int, int]:
        across = math.log(max(tokens, left) / left) / math.log(right / left)
        return canvas.place(across, (accuracy - low) / (high - low))

    styles = mark_colours(panel.points, _COLOURS, "")
    for line in panel.lines:
        _draw_line(canvas, [place(tokens, share) for _, tokens, share in line.steps], styles.get(line.mark, ""))
    for point in panel.points:
        _draw_interval(canvas, point, place, "dim" if point.published else styles[point.mark])
    taken: set[tuple[int, int]] = set()
    for point in sorted(panel.points, key=lambda one: one.published):  # your own first: they keep their places
        canvas.put_beside(*place(point.tokens, point.accuracy), point.mark, f"bold {styles[point.mark]}".strip(), taken)
    _draw(out, canvas, (low, high, step), "accuracy, %")
    _x_axis(out, (left, right), canvas.columns, _MARGIN, "average output tokens (log)")
    _legend(out, panel, styles, width)


def _draw(out: Text, canvas: _Canvas, bounds: tuple[int, int, int], title: str) -> None:
    """Add a canvas with its percentage axis."""
    low, high, step = bounds
    labels = {canvas.place(0, (at - low) / (high - low))[1]: f"{at}" for at in range(low, high + 1, step)}
    out.append(f"{title}\n", "dim")
    for row in range(canvas.rows):
        out.append(labels.get(row, "").rjust(_MARGIN - 1))
        out.append(" ┤" if row in labels else " │", "dim")
        out.append_text(canvas.line(row)).append("\n")


# Accuracy against size.


def _size_curve(out: Text, panel: SizeCurve, width: int, height: int) -> None:
    left, right = log_bounds([float(point.size) for point in panel.points])
    low, high, step = panel.bounds()
    canvas = _Canvas(width - _MARGIN - 1, height)

    def place(size: float, accuracy: float) -> tuple[int, int]:
        return canvas.place(math.log(size / left) / math.log(right / left), (accuracy - low) / (high - low))

    for level in panel.levels:
        _, row = place(left, level.accuracy)
        for column in range(canvas.columns):
            canvas.put(column, row, "╌", "dim")
        canvas.put(canvas.columns - 1, row, level.mark, "bold")
    means = [place(point.size, point.accuracy) for point in panel.points]
    for (x, y), (to_x, to_y) in pairwise(means):
        for column in range(x, to_x + 1):
            canvas.put(column, y + round((to_y - y) * (column - x) / max(to_x - x, 1)), "·", "cyan")
    for point, (column, row) in zip(panel.points, means, strict=True):
        _, top = place(point.size, point.interval[1])
        _, bottom = place(point.size, point.interval[0])
        for at in range(top, bottom + 1):
            canvas.put(column, at, "│", "cyan")
        if bottom > top:
            canvas.put(column, top, "┬", "cyan")
            canvas.put(column, bottom, "┴", "cyan")
        for value in point.each:
            canvas.put(*place(point.size, value), "•", "cyan")
        canvas.put(column, row, "+", "bold cyan")
    _draw(out, canvas, (low, high, step), panel.y_title)
    _x_axis(out, (left, right), canvas.columns, _MARGIN, panel.x_title)
    rows: list[tuple[str, float, Interval | None, str]] = [
        (f"{one.size:,}", one.accuracy, one.interval, ", ".join(f"{value:.1f}" for value in one.each))
        for one in panel.points
    ]
    rows += [(level.mark, level.accuracy, level.interval, one_line(level.label, 200)) for level in panel.levels]
    for name, accuracy, interval, words in rows:
        ends = "" if interval is None else f"[{interval[0]:.1f}, {interval[1]:.1f}]"
        head = f"{name:>9}  {accuracy:5.1f} {ends:14}"
        if cell_len(head) + 2 + cell_len(words) <= width:
            out.append(f"{head}  {words}\n")
        else:
            out.append(head.rstrip() + "\n")
            for part in fold(words, width - 11):
                out.append(" " * 11 + part + "\n")


def _draw_interval(canvas: _Canvas, point: Point, place: Callable[[float, float], tuple[int, int]], style: str) -> None:
    if point.interval is None:
        return
    (column, top), (_, bottom) = (place(point.tokens, end) for end in (point.interval[1], point.interval[0]))
    for row in range(top, bottom + 1):
        canvas.put(column, row, "│", style)
    if bottom > top:
        canvas.put(column, top, "┬", style)
        canvas.put(column, bottom, "┴", style)


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
    beside = width >= _NARROW  # figures beside the names, not below
    room = max(map(cell_len, names), default=0)
    room = min(room, width - _FIGURES) if beside else width - 3
    for point, name in zip(panel.points, names, strict=True):
        interval = "" if point.interval is None else f" [{point.interval[0]:.1f}, {point.interval[1]:.1f}]"
        figures = f" {point.accuracy:5.1f}{interval:15} {point.tokens:>9,.0f} tokens"
        folded = fold(name, room)
        out.append(f" {point.mark} ", f"bold {styles[point.mark]}".strip())
        out.append(folded[0] + (" " * (room - cell_len(folded[0])) + figures if beside else "") + "\n")
        for rest in [*folded[1:], *([] if beside else [" ".join(figures.split())])]:
            out.append(f"   {rest}\n")
    for line in panel.lines:
        ends = [line.steps[0], line.steps[-1]]
        words = " to ".join(f"maj@{k} {share:.1f} at {tokens:,.0f}" for k, tokens, share in ends)
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
    left, right = bounds
    rule, labels = ["─"] * columns, [" "] * (columns + margin + 2)
    free = 0
    for tick in log_ticks(left, right):
        column = round(math.log(tick / left) / math.log(right / left) * (columns - 1))
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
