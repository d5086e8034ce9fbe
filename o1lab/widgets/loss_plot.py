"""Loss curves: several series, raw and smoothed, over steps; pan, zoom, log scale, a limited redraw rate."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from time import monotonic
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult, RenderResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual_plot import HiResMode, NumericAxisFormatter, PlotWidget

from o1lab.text import one_line
from o1lab.train.runs.curve import Series, series
from o1lab.widgets.keys import Binding
from o1lab.widgets.plot_style import X_AXES, CurveStyle, CurveStyles, LogFormatter, XFormatter
from o1lab.widgets.text_pane import EmptyState

REDRAWS_PER_SECOND = 4
_SHARE = 0.04  # the maximum share of a core for redraws
SMOOTH = 0.9
"""The weight of the past in the moving average."""
_FEW = 10  # points: series with this many or fewer are not smoothed


class Curve:
    """The points of one series and their exponential moving average; both are appended to."""

    def __init__(self) -> None:
        self.steps = array("d")
        self.values = array("d")
        self.smooth = array("d")
        self._weight = 0.0
        self._average = 0.0
        self._decay = 1.0

    def extend(self, steps: Sequence[float], values: Sequence[float]) -> None:
        count = min(len(steps), len(values))
        self.steps.extend(map(float, steps[:count]))
        self.values.extend(map(float, values[:count]))

    def smoothed(self, weight: float) -> array[float]:
        """Return the moving average, bias-corrected as in Adam (Kingma & Ba 2015).

        Values that are not finite are returned unchanged. Only points added since the last call are averaged.

        Args:
            weight: Weight of the past, from 0 to below 1.
        """
        if weight != self._weight:
            self.smooth, self._weight, self._average, self._decay = array("d"), weight, 0.0, 1.0
        average, decay, share = self._average, self._decay, 1 - weight
        finite, add = math.isfinite, self.smooth.append  # local names: a run may have a hundred thousand points
        for value in self.values[len(self.smooth) :]:
            if finite(value):
                average = weight * average + share * value
                decay *= weight
                add(average / (1 - decay))
            else:
                add(value)
        self._average, self._decay = average, decay
        return self.smooth


class _Plot(PlotWidget, can_focus=False, inherit_bindings=False):
    """The plot itself, which measures its rendering; the keys belong to `LossPlot`."""

    draw_seconds = 0.0

    def render(self) -> RenderResult:
        begun = monotonic()
        rendered = super().render()
        self.draw_seconds = monotonic() - begun
        return rendered


class LossPlot(Vertical, can_focus=True):
    """Keys: h l (arrows) pan, + - zoom, 0 everything, L log scale, S smoothing.

    Each series has a letter (A, B, ...) on its points and in the legend, and a colour, which it keeps. Points
    that are not finite are shown as `!` on the x axis.
    """

    VIEW = Binding.Group("Pan and zoom", compact=True)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,left", "pan(-1)", "Pan left", group=VIEW, tooltip="Show earlier steps"),
        Binding("l,right", "pan(1)", "Pan right", group=VIEW, tooltip="Show later steps"),
        Binding("+,plus,equals_sign", "zoom(0.5)", "Zoom in", key_display="+", group=VIEW,
                tooltip="Show fewer steps, larger"),
        Binding("-,minus", "zoom(2.0)", "Zoom out", key_display="-", group=VIEW, tooltip="Show more steps, smaller"),
        Binding("0", "show_all", "Show all", group=VIEW, tooltip="Show all steps"),
        Binding("L", "log", "Log scale", tooltip="Draw the values on a logarithmic or a linear scale"),
        Binding("S", "smooth", "Smoothing", tooltip="Choose how much the curves are smoothed"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    LossPlot {
        height: 1fr;
        background: $background;
        .plot--legend { height: 1; }
        EmptyState { display: none; }
        &.-empty .plot--legend, &.-empty PlotWidget { display: none; }
        &.-empty EmptyState { display: block; }
        PlotWidget { height: 1fr; }
        PlotWidget > .plot--axis { color: $foreground 50%; }
        &:focus PlotWidget > .plot--axis { color: $foreground; }
        PlotWidget > .plot--tick { color: $foreground; text-style: none; }
    }
    """

    @dataclass
    class ViewChanged(Message):
        """The keys chose another range of the x axis."""

        plot: LossPlot

    def __init__(
        self,
        y_label: str = "loss",
        *,
        styles: CurveStyles | None = None,
    ) -> None:
        super().__init__()
        self._y_label = y_label
        self._weight = SMOOTH
        self._log = False
        self._curves: dict[str, Curve] = {}
        self._view: tuple[float, float] | None = None
        self._styles = styles or CurveStyles()
        self._x = "steps"
        self._legend = Static(markup=False, classes="plot--legend")
        self._plot = _Plot(allow_pan_and_zoom=False)
        self._empty = EmptyState("No steps yet.")
        self._timer: Timer | None = None
        self._drawn_at = 0.0
        self.set_class(True, "-empty")

    def compose(self) -> ComposeResult:
        yield self._legend
        yield self._plot
        yield self._empty

    def on_mount(self) -> None:
        self._plot.margin_top = 0
        self._plot.margin_bottom = 1
        self._plot.margin_left = 8
        self._redraw_soon()

    def on_resize(self) -> None:
        self._redraw_soon()

    # Data.

    @property
    def names(self) -> list[str]:
        """The names of the series, in the order of their letters."""
        return list(self._curves)

    def set_series(self, name: str, steps: Sequence[float], values: Sequence[float]) -> None:
        """Replace or add a series; steps ascend. NaN and infinities leave a gap."""
        self._curves[name] = Curve()
        self.extend(name, steps, values)

    def extend(self, name: str, steps: Sequence[float], values: Sequence[float]) -> None:
        """Append points to a series, which is created if necessary."""
        self._curves.setdefault(name, Curve()).extend(steps, values)
        self._redraw_soon()

    def remove_series(self, name: str) -> None:
        """Remove a series, if it exists."""
        self._curves.pop(name, None)
        self._redraw_soon()

    def clear(self, *, keep_view: bool = False) -> None:
        """Remove all series, and reset the view unless it is kept."""
        self._curves.clear()
        self._view = self._view if keep_view else None
        self._redraw_soon()

    def set_y_label(self, label: str) -> None:
        """Set the label of the y axis."""
        self._y_label = label
        self._redraw_soon()

    def set_x(self, axis: str) -> None:
        """Set what the x axis shows, one of ``X_AXES``; all series are removed."""
        self._x = axis
        self.clear()

    # The view.

    def set_view(self, view: tuple[float, float] | None) -> None:
        """Show this range of the x axis; None for all."""
        self._view = view
        self._redraw_soon(at_once=True)

    @property
    def view(self) -> tuple[float, float] | None:
        """The visible range of steps; None for all."""
        return self._view

    def _range(self) -> tuple[float, float]:
        """Return the first and the last step of all series."""
        ends = [(curve.steps[0], curve.steps[-1]) for curve in self._curves.values() if curve.steps]
        if not ends:
            return 0.0, 1.0
        return min(low for low, _ in ends), max(high for _, high in ends)

    def action_pan(self, direction: int) -> None:
        if self._view is not None:
            low, high = self._range()
            left, right = self._view
            by = min(max(direction * (right - left) / 4, low - left), high - right)
            self._choose((left + by, right + by))

    def action_zoom(self, factor: float) -> None:
        low, high = self._range()
        left, right = self._view or (low, high)
        if factor < 1 and right - left < 4:
            return
        middle, half = (left + right) / 2, (right - left) / 2 * factor
        left, right = max(middle - half, low), min(middle + half, high)
        self._choose(None if (left, right) == (low, high) else (left, right))

    def action_show_all(self) -> None:
        self._choose(None)

    def _choose(self, view: tuple[float, float] | None) -> None:
        self.set_view(view)
        self.post_message(self.ViewChanged(self))

    def action_log(self) -> None:
        """Turn the logarithmic y axis on or off; it has no values of 0 and below."""
        self._log = not self._log
        self._redraw_soon(at_once=True)

    def action_smooth(self) -> None:
        """Turn the smoothing on or off."""
        self._weight = 0.0 if self._weight else SMOOTH
        self._redraw_soon(at_once=True)

    # Drawing.

    def _redraw_soon(self, *, at_once: bool = False) -> None:
        """Schedule a redraw, limited to ``REDRAWS_PER_SECOND`` and to ``_SHARE`` of a core.

        ``at_once``, for keys, skips the limits.
        """
        if not self.is_attached:
            return
        if at_once and self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._timer is None:
            pause = max(1 / REDRAWS_PER_SECOND, self._plot.draw_seconds / _SHARE)
            wait = 0.0 if at_once else self._drawn_at + pause - monotonic()
            self._timer = self.set_timer(max(wait, 0.01), self._redraw)

    def _redraw(self) -> None:
        self._timer = None
        self._drawn_at = monotonic()
        shown = [(name, curve) for name, curve in self._curves.items() if curve.steps]
        shown.sort(key=lambda one: self._style(one[0]).letter.swapcase())  # a to z come after Z
        self.set_class(not shown, "-empty")
        plot = self._plot
        plot.clear()
        if not shown:
            return
        # The width of this widget: the plot has none yet while the empty state is shown instead.
        columns = max(self.size.width - plot.margin_left, 20)
        gaps: list[float] = []
        letters: list[tuple[Series, CurveStyle]] = []
        for name, curve in shown:
            style = self._style(name)
            colour = style.colour
            smooth = self._weight > 0 and len(curve.steps) > _FEW
            raw = self._points(curve.steps, curve.values, columns)
            gaps += raw.gaps[:: max(len(raw.gaps) // columns, 1)].tolist()
            self._line(raw, f"dim {colour}" if smooth else colour)
            main = raw
            if smooth:
                main = self._points(curve.steps, curve.smoothed(self._weight), columns)
                self._line(main, f"bold {colour}")
            letters.append((main, style))
        self._mark(letters, gaps, columns)
        left, right = self._view or self._range()
        plot.set_xlimits(left, right if right > left else left + 1)
        plot.set_ylimits(None, None)
        plot.set_x_formatter(XFormatter(X_AXES[self._x]))
        plot.set_y_formatter(LogFormatter() if self._log else NumericAxisFormatter())
        self._legend.update(self._legend_text(shown), layout=False)

    def _style(self, name: str) -> CurveStyle:
        return self._styles.of(name, self._curves)

    def _points(self, steps: array[float], values: array[float], columns: int) -> Series:
        return series(steps, values, columns=columns, x_range=self._view, log=self._log)

    def _line(self, points: Series, style: str) -> None:
        if len(points.x):
            self._plot.plot(points.x, self._scaled(points), line_style=style, hires_mode=HiResMode.BRAILLE)

    def _scaled(self, points: Series) -> list[float]:
        values = points.y.tolist()
        return [log10(value) for value in values] if self._log else values

    def _mark(self, letters: list[tuple[Series, CurveStyle]], gaps: list[float], columns: int) -> None:
        """Draw the letter of each curve on its last point and, if there are several, at a second point."""
        lowest = []
        for number, (points, style) in enumerate(letters):
            if not len(points.x):
                continue
            scaled = self._scaled(points)
            lowest.append(min(scaled))
            places = {len(scaled) - 1}
            if len(letters) > 1:
                places.add(len(scaled) * (number + 1) // (len(letters) + 1))
            at = sorted(places)
            left, right = self._view or self._range()
            inside = right - 1.5 * (right - left) / columns  # the last column belongs to the frame
            self._plot.scatter(
                [min(points.x[place], inside) for place in at],
                [scaled[place] for place in at],
                marker=style.letter,
                marker_style=f"bold {style.colour}",
            )
        if gaps:
            bottom = min(lowest, default=0.0)
            self._plot.scatter(gaps, [bottom] * len(gaps), marker="!", marker_style="bold red")

    def _legend_text(self, shown: list[tuple[str, Curve]]) -> Text:
        """`loss  A 7f3a 0.011  B 51c0 0.034 · log`"""
        text = Text(f" {one_line(self._y_label, 20)}", no_wrap=True, overflow="ellipsis")
        for name, curve in shown:
            style = self._style(name)
            text.append(f"  {style.letter} ", Style(color=style.colour, bold=True))
            text.append(f"{one_line(name, 20)} {curve.values[-1]:.4g}")
        notes = ["log"] if self._log else []
        if self._weight:
            notes.append(f"smoothed {self._weight:g}")
        if self._view is not None:
            left, right = map(X_AXES[self._x], self._view)
            notes.append(f"{self._x} {left} to {right}")
        elif self._x != "steps":
            notes.append(f"over {self._x}")
        text.append("".join(f" · {note}" for note in notes), Style(dim=True))
        return text
