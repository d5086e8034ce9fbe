"""Draws plots as SVG without a library. The file has no scripts or references, and all text is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from rich.cells import cell_len

from o1lab.evaluate.report.cells import ends
from o1lab.evaluate.report.plots import (
    Histogram,
    Lengths,
    PlotData,
    Point,
    Scatter,
    SizeCurve,
    log_share,
    log_ticks,
    mark_colours,
    short,
)
from o1lab.evaluate.report.render import fold
from o1lab.text import one_line

WIDTH = 760
_LEFT, _RIGHT = 64, 24
_AREA = 320  # height of a scatter plot
_STRIP = 64  # height of each half of a histogram
_BETWEEN = 26  # space between histograms
_LINE = 18  # line height of text
_PER_LETTER = 6.6  # average width of a letter at 12 px
# The palette of Okabe and Ito, safe for colour blindness; published points are grey and hollow.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_GREY = "#666666"
_INK = "#111111"
_KINDS = {"right": "#0072b2", "wrong": "#d55e00", "cut off": "#999999"}
_NONCHARACTERS = str.maketrans(dict.fromkeys((0xFFFE, 0xFFFF), "\ufffd"))  # not allowed in XML

Box = tuple[float, float, float, float]


@dataclass
class Page:
    """The elements of an SVG document, and the position below them."""

    y: float = 28
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, **style: str) -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{_attributes(style)}>{safe(words)}</text>')

    def line(self, begin: tuple[float, float], end: tuple[float, float], **style: str) -> None:
        (x1, y1), (x2, y2) = begin, end
        place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.parts.append(f"<line {place}{_attributes(style)}/>")

    def polyline(self, places: Iterable[tuple[float, float]], colour: str, **style: str) -> None:
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        self.parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}"{_attributes(style)}/>')

    def circle(self, x: float, y: float, radius: float, about: str = "", **style: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"{_attributes(style)}>{about}</circle>')

    def mark(self, x: float, y: float, colour: str, *, hollow: bool, about: str = "") -> None:
        """Add the mark of a model: a dot, or a hollow diamond for a published one."""
        if not hollow:
            self.circle(x, y, 4.5, about, fill=colour)
            return
        corners = f"{x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 5:.1f},{y:.1f}"
        self.parts.append(f'<polygon points="{corners}" fill="#ffffff" stroke="{colour}">{about}</polygon>')

    def words(self, words: str, *, size: int = 12, **style: str) -> None:
        """Add wrapped text across the page, below everything else."""
        for line in fold(words, int((WIDTH - 2 * _RIGHT) / (_PER_LETTER * size / 12))):
            self.text(_RIGHT, self.y, line, font_size=str(size), **style)
            self.y += _LINE * size / 12

    def document(self, title: str, width: int, height: int) -> str:
        """Return the elements as an SVG document."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{_INK}" role="img">'
        )
        ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
        return "\n".join([head, f"<title>{safe(title)}</title>", ground, *self.parts, "</svg>\n"])


def svg(plot: PlotData) -> str:
    """Return the plot as an SVG document, with its panels below each other."""
    page = Page()
    page.words(plot.title, size=16, font_weight="bold")
    if not plot.panels:
        page.words("No data yet.")
    for panel in plot.panels:
        page.y += 10
        page.words(panel.title, size=13, font_weight="bold")
        if isinstance(panel, Scatter):
            _scatter(page, panel)
        elif isinstance(panel, SizeCurve):
            _size_curve(page, panel)
        else:
            _histogram(page, panel)
    page.y += 8
    for note in plot.notes:
        page.words(note, size=11, fill="#444444")
    return page.document(plot.title, WIDTH, math.ceil(page.y + 4))


def safe(words: str) -> str:
    """Escape text for XML elements and attributes, with control characters made visible."""
    return escape(one_line(words, 400).translate(_NONCHARACTERS), quote=True)


# Accuracy against tokens.


@dataclass(frozen=True)
class _Axes:
    """Maps tokens and percentages to positions on the page."""

    top: float
    bottom: float
    tokens: tuple[float, float]
    percent: tuple[float, float]

    def x(self, tokens: float) -> float:
        return _LEFT + log_share(tokens, self.tokens) * (WIDTH - _LEFT - _RIGHT)

    def y(self, percent: float) -> float:
        low, high = self.percent
        return self.bottom - (percent - low) / (high - low) * (self.bottom - self.top)


def _scatter(page: Page, panel: Scatter) -> None:
    axes = _draw_axes(page, panel)
    colours = mark_colours(panel.points, _COLOURS, _GREY)
    boxes = _covered(axes, panel)
    for line in panel.lines:
        places = [(axes.x(tokens), axes.y(share)) for _, tokens, share in line.steps]
        colour = colours.get(line.mark, _GREY)
        page.polyline(places, colour, stroke_dasharray="5 3")
        for (k, *_), (x, y) in zip(line.steps[1:], places[1:], strict=True):
            page.circle(x, y, 2.5, fill=colour)
            _label(page, (x, y), f"maj@{k}", boxes, size=10, fill=colour)
    for point in panel.points:
        _point(page, axes, point, colours[point.mark])
    for point in panel.points:
        where = axes.x(point.tokens), axes.y(point.accuracy)
        _label(page, where, point.mark, boxes, size=12, fill=colours[point.mark], font_weight="bold")
    page.y = axes.bottom + 58
    _legend(page, panel, colours)


def _draw_axes(page: Page, panel: Scatter | SizeCurve) -> _Axes:
    """Draw the axes of a panel with their grid, and return them."""
    low, high, step = panel.y_bounds()
    page.text(_RIGHT, page.y - 2, panel.y_title, font_size="11", fill="#444444")
    axes = _Axes(page.y + 10, page.y + 10 + _AREA, panel.x_bounds(), (low, high))
    for percent in range(low, high + 1, step):
        page.line((_LEFT, axes.y(percent)), (WIDTH - _RIGHT, axes.y(percent)), stroke="#e5e5e5")
        page.text(_LEFT - 8, axes.y(percent) + 4, f"{percent}", text_anchor="end")
    _x_axis(page, axes, panel.x_title)
    return axes


# Accuracy against size.


def _size_curve(page: Page, panel: SizeCurve) -> None:
    axes = _draw_axes(page, panel)
    for level in panel.levels:
        y = axes.y(level.accuracy)
        page.line((_LEFT, y), (WIDTH - _RIGHT, y), stroke=_GREY, stroke_dasharray="6 4")
        page.text(WIDTH - _RIGHT, y - 4, f"{level.label}: {level.accuracy:.1f}", text_anchor="end", fill=_GREY)
    colour = _COLOURS[0]
    places = [(axes.x(one.size), axes.y(one.accuracy)) for one in panel.points]
    page.polyline(places, colour, stroke_width="1.5")
    for one, (x, _) in zip(panel.points, places, strict=True):
        _point(page, axes, Point("", f"{one.size:,} chains", one.size, one.accuracy, one.interval), colour)
        for value in one.each:
            page.circle(x, axes.y(value), 2.5, fill="#ffffff", stroke=colour)
    page.y = axes.bottom + 58
    for one in panel.points:
        page.text(_LEFT, page.y, f"{one.size:,}", text_anchor="end")
        page.text(_LEFT + 60, page.y, f"{one.accuracy:.1f}", text_anchor="end")
        page.text(_LEFT + 70, page.y, ends(one.interval), fill="#444444")
        page.text(_LEFT + 180, page.y, ", ".join(f"{value:.1f}" for value in one.each), fill="#444444")
        page.y += _LINE


def _covered(axes: _Axes, panel: Scatter) -> list[Box]:
    """Return the boxes that labels must not cover: points, interval bars, and lines as rows of small boxes."""
    boxes: list[Box] = []
    for point in panel.points:
        x, y = axes.x(point.tokens), axes.y(point.accuracy)
        boxes.append((x - 5, y - 5, x + 5, y + 5))
        if point.interval is not None:
            low, high = point.interval
            boxes.append((x - 4, axes.y(high), x + 4, axes.y(low)))
    for line in panel.lines:
        places = [(axes.x(tokens), axes.y(share)) for _, tokens, share in line.steps]
        for (left, begin), (right, end) in pairwise(places):
            steps = max(math.ceil(math.dist((left, begin), (right, end)) / 4), 1)
            for number in range(steps + 1):
                x, y = left + (right - left) * number / steps, begin + (end - begin) * number / steps
                boxes.append((x - 2, y - 2, x + 2, y + 2))
    return boxes


def _x_axis(page: Page, axes: _Axes, title: str) -> None:
    page.line((_LEFT, axes.bottom), (WIDTH - _RIGHT, axes.bottom), stroke="#111111")
    for tick in log_ticks(*axes.tokens):
        x = axes.x(tick)
        page.line((x, axes.top), (x, axes.bottom), stroke="#f0f0f0")
        page.line((x, axes.bottom), (x, axes.bottom + 5), stroke="#111111")
        page.text(x, axes.bottom + 18, short(tick), text_anchor="middle")
    page.text((_LEFT + WIDTH - _RIGHT) / 2, axes.bottom + 34, title, text_anchor="middle", fill="#444444")


def _point(page: Page, axes: _Axes, point: Point, colour: str) -> None:
    x, y = axes.x(point.tokens), axes.y(point.accuracy)
    if point.interval is not None:
        bottom, top = (axes.y(end) for end in point.interval)
        faint = "0.45" if point.published else "1"
        for begin, end in (((x, bottom), (x, top)), ((x - 4, top), (x + 4, top)), ((x - 4, bottom), (x + 4, bottom))):
            page.line(begin, end, stroke=colour, stroke_opacity=faint)
    about = f"<title>{safe(f'{point.name}: {point.accuracy:.1f} % at {point.tokens:,.0f} tokens')}</title>"
    page.mark(x, y, colour, hollow=point.published, about=about)


def _label(page: Page, where: tuple[float, float], words: str, boxes: list[Box], *, size: int, **style: str) -> None:
    """Add a label near a point where it covers nothing; further away, with a thin line, if there is no room."""
    (x, y), wide, high = where, cell_len(words) * size * 0.68, size * 0.75
    tries = [(math.cos(angle), math.sin(angle), away) for away in (9, 16, 26, 38) for angle in _ANGLES]
    for across, down, away in tries:
        middle_x, middle_y = x + across * (away + wide / 2), y + down * (away + high / 2)
        box = (middle_x - wide / 2, middle_y - high / 2, middle_x + wide / 2, middle_y + high / 2)
        if _free(box, boxes):
            break
    boxes.append(box)
    if away > 16:
        page.line((x, y), (middle_x, middle_y + (high / 2 if middle_y < y else -high / 2)), stroke="#bbbbbb")
    halo = {"paint_order": "stroke", "stroke": "#ffffff", "stroke_width": "3"}  # keeps the label readable
    page.text(middle_x, box[3], words, text_anchor="middle", font_size=str(size), **halo, **style)


_ANGLES = tuple(math.radians(degrees) for degrees in (-45, 0, 45, 180, -135, 135, -90, 90))


def _free(box: Box, boxes: Sequence[Box]) -> bool:
    left, top, right, bottom = box
    if left < _LEFT or right > WIDTH - 4:
        return False
    return not any(left < b[2] + 1 and b[0] < right + 1 and top < b[3] + 1 and b[1] < bottom + 1 for b in boxes)


def _legend(page: Page, panel: Scatter, colours: dict[str, str]) -> None:
    room = int((WIDTH - 330) / _PER_LETTER)
    for point in panel.points:
        page.mark(_LEFT, page.y - 4, colours[point.mark], hollow=point.published)
        page.text(_LEFT + 14, page.y, point.mark, font_weight="bold", fill=colours[point.mark])
        page.text(WIDTH - 220, page.y, f"{point.accuracy:.1f}", text_anchor="end")
        page.text(WIDTH - 212, page.y, ends(point.interval), fill="#444444")
        page.text(WIDTH - _RIGHT, page.y, f"{point.tokens:,.0f} tokens", text_anchor="end")
        for line in fold(point.name, room):
            page.text(_LEFT + 30, page.y, line)
            page.y += _LINE
    for curve in panel.lines:
        colour = colours.get(curve.mark, _GREY)
        page.line((_LEFT - 8, page.y - 4), (_LEFT + 8, page.y - 4), stroke=colour, stroke_dasharray="5 3")
        page.text(_LEFT + 14, page.y, curve.mark, font_weight="bold", fill=colour)
        k, tokens, share = curve.steps[-1]
        page.text(_LEFT + 30, page.y, f"maj@k, up to maj@{k}: {share:.1f} at {tokens:,.0f} tokens")
        page.y += _LINE


# Right and wrong.


def _histogram(page: Page, panel: Histogram) -> None:
    most = max((high for model in panel.models for high in (*_heights(model)[0], *_heights(model)[1])), default=1)
    bottom = page.y + len(panel.models) * (2 * _STRIP + _BETWEEN)
    _x_axis(page, _Axes(page.y, bottom, (panel.edges[0], panel.edges[-1]), (0, 1)), "output tokens (log)")
    for model in panel.models:
        _model(page, panel, model, max(most, 1))
    page.y = bottom + 58
    x = float(_LEFT)
    for kind, colour in _KINDS.items():
        page.parts.append(f'<rect x="{x:.1f}" y="{page.y - 10:.1f}" width="10" height="10" fill="{colour}"/>')
        page.text(x + 16, page.y, kind)
        x += 90
    page.line((x, page.y - 11), (x, page.y + 1), stroke=_INK, stroke_dasharray="2 2")
    page.text(x + 8, page.y, "median")
    page.y += _LINE


def _heights(model: Lengths) -> tuple[list[int], list[int]]:
    """Return the number of right and of other answers in each bin."""
    right = [0] * len(model.bars[0].counts)
    others = list(right)
    for bars in model.bars:
        into = right if bars.kind == "right" else others
        for place, count in enumerate(bars.counts):
            into[place] += count
    return right, others


def _model(page: Page, panel: Histogram, model: Lengths, most: int) -> None:
    """Draw right answers above the line and the others below it, with the medians of right and wrong answers."""
    page.text(_LEFT, page.y + 4, model.mark, font_weight="bold")
    page.text(_LEFT + 16, page.y + 4, f"{model.label}: {model.summary}")
    axes = _Axes(page.y + 10, page.y + 10 + 2 * _STRIP, (panel.edges[0], panel.edges[-1]), (-1, 1))
    middle = axes.y(0)
    below = [0] * (len(panel.edges) - 1)
    for bars in model.bars:
        colour = _KINDS[bars.kind]
        for place, count in enumerate(bars.counts):
            if not count:
                continue
            left, right = axes.x(panel.edges[place]), axes.x(panel.edges[place + 1])
            high = max(count / most * (_STRIP - 6), 1.5)
            begin = middle - high
            if bars.kind != "right":
                begin = middle + below[place] / most * (_STRIP - 6)
                below[place] += count
            spot = f'x="{left:.1f}" y="{begin:.1f}" width="{max(right - left - 0.5, 1):.1f}" height="{high:.1f}"'
            page.parts.append(f'<rect {spot} fill="{colour}"/>')
        if bars.middle is not None and bars.kind != "cut off":
            x, away = axes.x(max(bars.middle, 1)), (-_STRIP if bars.kind == "right" else _STRIP)
            page.line((x, middle), (x, middle + away), stroke=_INK, stroke_dasharray="2 2")
    page.line((_LEFT, middle), (WIDTH - _RIGHT, middle), stroke="#888888")
    page.text(_LEFT - 8, middle - 10, "right", text_anchor="end", fill=_KINDS["right"])
    page.text(_LEFT - 8, middle + 18, "wrong", text_anchor="end", fill=_KINDS["wrong"])
    page.y += 2 * _STRIP + _BETWEEN


def _attributes(style: dict[str, str]) -> str:
    return "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
