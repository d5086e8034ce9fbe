"""The loss curve of a run as SVG."""

from __future__ import annotations

import html
import math
from pathlib import Path

from o1lab.train.metrics_reader import Metrics

_WIDTH, _HEIGHT, _MARGIN = 720, 240, 48
_POINTS = 400


def losses(path: Path) -> list[tuple[int, float]]:
    """Return the finite losses of a metrics.jsonl as (step, loss); an empty list if the file is missing."""
    metrics = Metrics(path)
    metrics.poll()
    found = zip(metrics.steps, metrics.column("loss"), strict=True)
    return [(int(step), loss) for step, loss in found if math.isfinite(loss)]


def loss_svg(points: list[tuple[int, float]], title: str) -> str:
    """Draw losses against steps; of many points, one in every few is drawn."""
    every = max(len(points) // _POINTS, 1)
    shown = [*points[::every], points[-1]] if every > 1 else points
    last, high = max(step for step, _ in shown) or 1, max(loss for _, loss in shown) or 1.0

    def place(step: int, loss: float) -> str:
        x = _MARGIN + step / last * (_WIDTH - _MARGIN - 12)
        return f"{x:.1f},{_HEIGHT - 28 - loss / high * (_HEIGHT - 56):.1f}"

    line = " ".join(place(step, loss) for step, loss in shown)
    left, right = place(0, 0), place(last, 0)
    texts = (
        (_MARGIN, 16, "start", title), (_MARGIN - 6, 32, "end", f"{high:.3g}"), (_MARGIN - 6, _HEIGHT - 28, "end", "0"),
        (_MARGIN, _HEIGHT - 8, "start", "step 0"), (_WIDTH - 12, _HEIGHT - 8, "end", f"{last:,}"),
    )  # fmt: skip
    words = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>' for x, y, anchor, text in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#111111"><title>{html.escape(title)}</title>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{words}'
        f'<polyline points="{left} {right}" fill="none" stroke="#999999"/>'
        f'<polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="1.5"/></svg>\n'
    )
