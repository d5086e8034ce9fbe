"""Reduce a curve of any number of points to what a terminal can draw, without losing spikes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Values = Sequence[float] | array[float]  # array takes no subscript at run time before 3.12


@dataclass(frozen=True)
class Series:
    """A curve to draw: finite ``x`` and ``y`` of equal length, and the x values (``gaps``) where y was not finite."""

    x: Floats
    y: Floats
    gaps: Floats = field(repr=False)


def series(
    steps: Values,
    values: Values,
    *,
    columns: int,
    x_range: tuple[float, float] | None = None,
    log: bool = False,
) -> Series:
    """Prepare a curve for drawing: select a range, and reduce it to about two points per column.

    Args:
        steps: ascending x values.
        values: y values, the same number; NaN and infinities are omitted and reported as ``gaps``.
        columns: number of pixel columns to draw in.
        x_range: the lowest and highest x to show, both included; None for the whole curve.
        log: whether the y axis is logarithmic; values that are not positive then become gaps.
    """
    import numpy as np

    x, y = _as_array(steps), _as_array(values)
    length = min(len(x), len(y))
    x, y = x[:length], y[:length]
    if x_range is not None:
        first = int(np.searchsorted(x, x_range[0], "left"))
        last = int(np.searchsorted(x, x_range[1], "right"))
        x, y = x[first:last], y[first:last]
    good = np.isfinite(y)
    if log:
        good &= np.where(good, y, 0.0) > 0.0
    gaps = x[~good]
    x, y = downsample(x[good], y[good], columns)
    return Series(x, y, gaps)


def downsample(x: Floats, y: Floats, columns: int) -> tuple[Floats, Floats]:
    """Keep the lowest and the highest point of each column, in their order, and the first and the last point.

    Args:
        x, y: finite values of equal length; x is ascending.
        columns: number of columns.

    Returns:
        x and y of about ``2 * columns`` points.
    """
    import numpy as np

    count = len(x)
    columns = max(columns, 1)
    if count <= 2 * columns:
        return x, y
    edges = np.linspace(x[0], x[-1], columns + 1)[1:-1]
    starts = np.unique(np.concatenate(([0], np.searchsorted(x, edges, "left"))))
    starts = starts[starts < count]
    ends = np.append(starts[1:], count)
    lows = np.minimum.reduceat(y, starts)
    highs = np.maximum.reduceat(y, starts)
    bucket = np.repeat(np.arange(len(starts)), ends - starts)
    index = np.arange(count)
    first_low = np.minimum.reduceat(np.where(y == lows[bucket], index, count), starts)
    first_high = np.minimum.reduceat(np.where(y == highs[bucket], index, count), starts)
    kept = np.unique(np.concatenate((first_low, first_high, [0, count - 1])))
    return x[kept], y[kept]


def _as_array(values: Values | Floats) -> Floats:
    """Copy values to a float array, so that the reader's buffer may grow meanwhile."""
    import numpy as np

    return np.array(values, dtype=np.float64)
