"""Figures of a whole metrics.jsonl in little memory: the lowest and the last loss, tokens and seconds."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from o1lab.train.runs.metrics_reader import RESUMED, LineReader

_LOWS = ("loss", "eval_loss")
_LASTS = ("eval_loss", "num_tokens", "elapsed_s")


class _Low:
    """The lowest value so far, and those before it, which a resume from an earlier step brings back."""

    def __init__(self) -> None:
        self._records: list[tuple[float, float]] = []  # (step, value); each is lower than all before it

    @property
    def value(self) -> float | None:
        return self._records[-1][1] if self._records else None

    def add(self, step: float, value: float) -> None:
        if not self._records or value < self._records[-1][1]:
            self._records.append((step, value))

    def cut(self, step: float) -> None:
        while self._records and self._records[-1][0] > step:
            self._records.pop()


class MetricsSummary:
    """The figures of a metrics.jsonl, kept up to date by :meth:`poll`, without its points."""

    def __init__(self, path: Path) -> None:
        self._reader = LineReader(path)
        self._clear()

    def _clear(self) -> None:
        self._step = -math.inf
        self._lows = {name: _Low() for name in _LOWS}
        self._lasts: dict[str, tuple[float, float]] = {}

    def poll(self, until: float = math.inf) -> bool:
        """Read new lines.

        Args:
            until: when to stop, by ``time.monotonic()``; at least one block is read.

        Returns:
            Whether all lines were read.
        """
        for block in self._reader.blocks():
            if block is None:
                self._clear()
                continue
            for line in block:
                self._add(line)
            if time.monotonic() > until:
                return False
        return True

    def figures(self) -> dict[str, Any]:
        """Return the figures by the names of ``runs ls``; None for what is not known."""
        lasts = {name: found[1] for name, found in self._lasts.items()}
        return {
            "best_loss": self._lows["loss"].value,
            "eval_loss": lasts.get("eval_loss"),
            "best_eval_loss": self._lows["eval_loss"].value,
            "tokens": int(lasts["num_tokens"]) if "num_tokens" in lasts else None,
            "elapsed_s": lasts.get("elapsed_s"),
        }

    def _add(self, line: dict[str, Any]) -> None:
        if (step := finite(line.get("step"))) is None:
            return
        if line.get("event") == RESUMED or step < self._step:  # what follows replaces the later steps
            self._cut(step)
        if line.get("event") == RESUMED:
            return
        self._step = step
        for name, low in self._lows.items():
            if (value := finite(line.get(name))) is not None:
                low.add(step, value)
        for name in _LASTS:
            if (value := finite(line.get(name))) is not None:
                self._lasts[name] = (step, value)

    def _cut(self, step: float) -> None:
        self._step = min(self._step, step)
        for low in self._lows.values():
            low.cut(step)
        self._lasts = {name: found for name, found in self._lasts.items() if found[0] <= step}


def finite(value: Any) -> float | None:
    """Return a number of a line; None for other types, NaN, infinity, and integers that no float holds."""
    if type(value) not in (int, float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
