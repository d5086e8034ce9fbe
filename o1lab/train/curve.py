"""From a hundred thousand points to what a terminal can draw, without losing a spike."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Values = Sequence[float] | array[float]  # array takes no subscript at run time before 3.12


@dataclass(frozen=True)
class Series:
    """A curve ready to draw: finite ``x`` and ``y`` of equal length, and where ``y`` was not a number."""

    x: Floats
    y: Floats
    gaps: Floats = field(repr=False)


def series(
    steps: Values,
    values: Values,
    *,
    columns: int,
    x_range: tuple[float, float] | None = None,
    smoothing: float = 0.0,
    log: bool = False,
) -> Series:
    """The part of a curve that lies in ``x_range``, smoothed if asked, as about two points a column.

    Args:
        steps: ascending x values.
        values: y values, as many; NaN and infinities are left out and reported as ``gaps`` (their x).
        columns: how many columns of pixels there are to draw in.
        x_range: the lowest and highest x to show, both included; the whole curve when None.
        smoothing: weight of the past in the exponential moving average, 0 (none) to below 1.
        log: for a logarithmic y axis: values that are not positive are left out as gaps.
    """
    import numpy as np

    x, y = as_array(steps), as_array(values)
    length = min(len(x), len(y))
    x, y = x[:length], y[:length]
    if smoothing:
        y = ema(y, smoothing)
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
    """At most two points a column, the lowest and the highest in it, in the order they came.

    The first and the last point stay. Finite input; about ``2 * columns`` points come out.
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


def ema(values: Values | Floats, weight: float) -> Floats:
    """Exponential moving average, corrected at the start as in Adam (Kingma & Ba 2015, section 3).

    ``weight``: share of the past, 0 to below 1. Values that are not finite stay as they are and do not spread.
    """
    import numpy as np

    y = as_array(values)
    good = np.isfinite(y)
    smooth = y.copy()
    finite = y[good]
    if weight <= 0.0 or not len(finite):
        return smooth
    sums = accumulate(finite.tolist(), lambda past, value: weight * past + (1.0 - weight) * value, initial=0.0)
    total = np.fromiter(sums, np.float64, len(finite) + 1)[1:]
    smooth[good] = total / (1.0 - weight ** np.arange(1, len(finite) + 1))
    return smooth


def as_array(values: Values | Floats) -> Floats:
    """Values as a float array, copied, so that the reader's buffer may grow meanwhile."""
    import numpy as np

    return np.array(values, dtype=np.float64)
