"""The view of a training run: heading, curves, figures, answers to the probes, and the log."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from o1lab.text import visible
from o1lab.widgets.line_view import LineView
from o1lab.widgets.plot_style import CurveStyles
from o1lab.widgets.text_pane import TallText, TextPane
from screens.jobs.lists import JobView
from screens.train import text as train_text
from screens.train.curves import Curves
from screens.train.poller import Detail

# Seconds between two updates of an active run's log: laying it out costs more than drawing the curve.
LOG_S = 3.0
_MOST_ROWS = 5000


class RunView(JobView[Detail]):
    """The selected run."""

    def __init__(self, styles: CurveStyles, *, id: str) -> None:
        super().__init__(id=id)
        self.curves = Curves(train_text.METRICS, styles, id="curve")
        self._log_due: tuple[str, str, int] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="run-head", markup=False)
        yield TallText(id="run-notice", markup=False)
        yield Static(id="panes", markup=False)
        yield self.curves
        yield Static(id="figures", markup=False)
        with Horizontal(id="probes-and-log"):
            yield TextPane("answers to the probes", id="probes")
            yield LogPane("log", id="log")

    def show(self, detail: Detail) -> None:
        """Show everything about a run except its curve."""
        self._update("#run-head", train_text.header(detail))
        notice = train_text.notice(detail)
        self._update("#run-notice", notice, layout=True)
        self.query_one("#run-notice").display = bool(notice)
        self._update("#figures", train_text.figures(detail.last))
        self.curves.offer(train_text.metrics_of(detail.last))
        self.query_one("#probes", TextPane).show(train_text.answers(detail))
        due = (detail.line.id, detail.line.state, int(time.monotonic() / LOG_S))
        if due != self._log_due or not detail.line.active:
            self._log_due = due
            self.query_one(LogPane).show(detail.log)

    def _update(self, selector: str, text: Text, *, layout: bool = False) -> None:
        static = self.query_one(selector, Static)
        if static.content != text:
            static.update(text, layout=layout)


class LogPane(LineView):
    """The end of a log that grows. Only new lines are laid out; the view stays at the end unless it was scrolled up."""

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = title
        self._lines: tuple[str, ...] = ()
        self._at_end = True

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._at_end = self.scroll_offset.y >= self.max_scroll_y

    def on_resize(self, event: events.Resize) -> None:
        if self._at_end:
            self.call_after_refresh(self.scroll_end, animate=False)

    def show(self, lines: tuple[str, ...]) -> None:
        """Show the last lines of the log, with their control characters made visible."""
        if lines == self._lines:
            return
        at_end = self._at_end  # set_text scrolls to the top
        known = overlap(self._lines, lines)
        text = visible("\n".join(lines[known:]))
        self._lines = lines
        if known and self.rows < _MOST_ROWS:
            self.extend(0, "\n" + text if text else "")
        else:
            self.set_text(visible("\n".join(lines)))
        if at_end:
            self._at_end = True
            self.scroll_end(animate=False, immediate=True)


def overlap(before: Sequence[str], now: Sequence[str]) -> int:
    """Count the first lines of ``now`` that are the last of ``before``."""
    return next(
        (count for count in range(min(len(before), len(now)), 0, -1) if before[-count:] == now[:count]),
        0,
    )
