"""The loss curve of a run as SVG."""

from __future__ import annotations

from pathlib import Path

from o1lab.evaluate.report.plot_svg import Page
from o1lab.train.runs.curve import series
from o1lab.train.runs.metrics_reader import Metrics

_WIDTH, _HEIGHT, _MARGIN = 720, 240, 48


def losses(path: Path) -> list[tuple[int, float]]:
    """Return the finite losses of a metrics.jsonl as (step, loss), as many as the plot can show, spikes included.

    Returns:
        The losses by step; an empty list if the file is missing.
    """
    metrics = Metrics(path)
    metrics.poll()
    curve = series(metrics.steps, metrics.column("loss"), columns=_WIDTH - _MARGIN)
    return [(int(step), float(loss)) for step, loss in zip(curve.x, curve.y, strict=True)]


def loss_svg(points: list[tuple[int, float]], title: str) -> str:
    """Draw losses against steps."""
    last, high = max(step for step, _ in points) or 1, max(loss for _, loss in points) or 1.0

    def place(step: int, loss: float) -> tuple[float, float]:
        return _MARGIN + step / last * (_WIDTH - _MARGIN - 12), _HEIGHT - 28 - loss / high * (_HEIGHT - 56)

    page = Page()
    page.text(_MARGIN, 16, title)
    page.text(_MARGIN - 6, 32, f"{high:.3g}", text_anchor="end")
    page.text(_MARGIN - 6, _HEIGHT - 28, "0", text_anchor="end")
    page.text(_MARGIN, _HEIGHT - 8, "step 0")
    page.text(_WIDTH - 12, _HEIGHT - 8, f"{last:,}", text_anchor="end")
    page.line(place(0, 0), place(last, 0), stroke="#999999")
    page.polyline((place(step, loss) for step, loss in points), "#1f77b4", stroke_width="1.5")
    return page.document(title, _WIDTH, _HEIGHT)
