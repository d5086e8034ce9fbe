"""The curves of a run and of those marked: one metric, or several at once, with one letter for each run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from textual import on
from textual.app import ComposeResult
from textual.containers import Container

from o1lab.widgets.loss_plot import LossPlot
from o1lab.widgets.plot_style import X_AXES, CurveStyles
from screens.train.poller import Points, View

_PLOTS = 8
"""The largest number of plots in a grid."""


class Curves(Container):
    """A plot of one metric, or a grid of plots of several. They share letters, colours and the range of the x axis.

    Args:
        metrics: The titles of the metrics by their names.
        styles: The letters and colours of the runs.
        id: The widget's id.
    """

    DEFAULT_CSS = """
    Curves {
        layout: vertical;
        &.-several { layout: grid; grid-size: 2; grid-rows: 1fr; grid-gutter: 0 1; }
    }
    """

    def __init__(self, metrics: Mapping[str, str], styles: CurveStyles, *, id: str) -> None:
        super().__init__(id=id)
        self._metrics = metrics
        self._styles = styles
        self.metric = next(iter(metrics))
        self.x = "steps"
        self.several = False
        self._grid: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        yield LossPlot(self._metrics[self.metric], styles=self._styles)

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics that are drawn, each in its plot."""
        return self._grid if self.several else (self.metric,)

    @property
    def names(self) -> list[str]:
        """The runs whose curves are drawn."""
        return list(dict.fromkeys(name for plot in self._plots for name in plot.names))

    @property
    def _plots(self) -> list[LossPlot]:
        return list(self.query(LossPlot))

    def draw(self, points: Points, view: View) -> bool:
        """Draw new points that were read for ``view``; returns False if the points before them are needed."""
        if view.x != self.x or points.metric not in self.shown or len(self._plots) != len(self.shown):
            return True  # they were read for what was shown before
        plot = self._plots[self.shown.index(points.metric)]
        if points.replaces:
            plot.set_series(points.run_id, points.xs, points.values)
        elif points.run_id in plot.names:
            plot.extend(points.run_id, points.xs, points.values)
        else:
            return False
        return True

    def keep(self, names: Collection[str]) -> None:
        """Remove the curves of all other runs."""
        for plot in self._plots:
            for name in plot.names:
                if name not in names:
                    plot.remove_series(name)

    def offer(self, metrics: Mapping[str, str]) -> None:
        """Choose from these metrics from now on; a grid keeps its plots until it is left."""
        self._metrics = metrics
        if self.metric not in metrics:
            self.metric = next(iter(metrics))
            self._redraw()

    def step_metric(self, by: int) -> None:
        """Draw the next or the previous metric over the same range."""
        names = list(self._metrics)
        self.metric = names[(names.index(self.metric) + by) % len(names)]
        self._redraw()

    def _redraw(self) -> None:
        """Let the one plot draw the chosen metric."""
        if not self.several:
            plot = self._plots[0]
            plot.clear(keep_view=True)
            plot.set_y_label(self._metrics[self.metric])

    def step_x(self) -> str:
        """Draw over the next of steps, tokens and time, and return which."""
        axes = list(X_AXES)
        self.x = axes[(axes.index(self.x) + 1) % len(axes)]
        for plot in self._plots:
            plot.set_x(self.x)
        return self.x

    async def toggle_several(self) -> None:
        """Draw several metrics at once, or only one."""
        focused = any(plot.has_focus for plot in self._plots)
        view = self._plots[0].view
        self.several = not self.several
        self._grid = tuple(self._metrics)[:_PLOTS]
        self.set_class(self.several, "-several")
        await self.remove_children()
        plots = [LossPlot(self._metrics[name], styles=self._styles) for name in self.shown]
        await self.mount_all(plots)
        for plot in plots:
            plot.set_x(self.x)
            plot.set_view(view)
        if focused:
            plots[0].focus()

    @on(LossPlot.ViewChanged)
    def _share_view(self, event: LossPlot.ViewChanged) -> None:
        event.stop()
        for plot in self._plots:
            if plot is not event.plot:
                plot.set_view(event.plot.view)
