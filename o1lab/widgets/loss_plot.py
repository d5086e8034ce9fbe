"""Loss curves: several series, raw and smoothed, over steps; pan, zoom, log scale; at most 4 redraws a second."""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import Vertical


class LossPlot(Vertical):
    """Keys: h l (arrows) pan, + - zoom, 0 everything, L log scale, s smoothing.

    Series are told apart by a letter (A, B, ...) on their last point and in the legend as well as by colour.
    """

    def __init__(
        self,
        y_label: str = "loss",
        empty: str = "No steps yet.",
        *,
        smooth: float = 0.9,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)

    def set_series(self, name: str, steps: Sequence[float], values: Sequence[float]) -> None:
        """Replace (or add) a series; NaN and infinities leave a gap. Drawn within a quarter of a second."""

    def extend(self, name: str, steps: Sequence[float], values: Sequence[float]) -> None:
        """Add points to the end of a series; the series is made if there is none."""

    def remove_series(self, name: str) -> None: ...

    def clear(self) -> None: ...

    def set_y_label(self, label: str) -> None: ...

    def set_log(self, on: bool | None = None) -> None:
        """Logarithmic y axis on, off or toggled; values of 0 and below are left out of it."""

    def set_smooth(self, weight: float) -> None:
        """Weight of the exponential moving average: 0 shows raw alone, 0.9 is the default."""

    @property
    def names(self) -> list[str]:
        raise NotImplementedError
