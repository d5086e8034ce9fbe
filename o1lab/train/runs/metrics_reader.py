"""Follow metrics.jsonl and samples.jsonl while another process appends to them.

A reader remembers its offset and parses only new lines; a partial last line is parsed when it is complete. A resumed
run writes ``{"event": "resumed", "step": N}``, which supersedes earlier lines of later steps.
"""

from __future__ import annotations

import math
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter, lt
from pathlib import Path
from typing import Any, cast

from pydantic_core import from_json

from o1lab.small_files import open_file, read_tail

RESUMED = "resumed"
# Small blocks stay in the processor's cache: 100,000 lines are parsed about twice as fast as in one block of 32 MB.
_BLOCK = 1 << 15
_TAIL_BYTES = 65_536
_PACE_BYTES = 16_384
_PACE_LINES = 20
"""Lines of metrics whose pace is taken for that of the remaining steps."""


class LineReader:
    """Reads the complete JSON lines of a growing file, each once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bad_lines = 0
        self._offset = 0
        self._inode = 0
        self._rest = b""

    def blocks(self) -> Iterator[list[dict[str, Any]] | None]:
        """Yield the new lines in blocks; ``None`` first if the file was replaced or truncated.

        A line that is not a JSON object is counted in ``bad_lines`` and skipped. A missing file has no lines.
        """
        try:
            file = open_file(self.path)
        except OSError:
            return
        with file:
            stat = os.fstat(file.fileno())
            if stat.st_size < self._offset or self._inode not in (0, stat.st_ino):
                self._offset, self._rest = 0, b""
                yield None
            self._inode = stat.st_ino
            if stat.st_size == self._offset:
                return
            file.seek(self._offset)
            while block := file.read(_BLOCK):
                self._offset += len(block)
                whole, newline, self._rest = (self._rest + block).rpartition(b"\n")
                if newline:
                    yield self._parse(whole)

    def _parse(self, block: bytes) -> list[dict[str, Any]]:
        try:  # one call for the whole block is several times faster than one per line
            found = from_json(b"[" + block.replace(b"\n", b",") + b"]", cache_strings="keys")
            if set(map(type, found)) <= {dict}:
                return cast(list[dict[str, Any]], found)
        except ValueError:
            pass
        objects = []
        for line in block.split(b"\n"):
            if not line.strip():
                continue
            try:
                item = from_json(line)
            except ValueError:
                item = None
            if isinstance(item, dict):
                objects.append(item)
            else:
                self.bad_lines += 1
        return objects


class Metrics:
    """The columns of a metrics.jsonl, kept up to date by :meth:`poll`.

    ``steps`` and each of ``columns`` are arrays of equal length; a missing value is NaN. Lines of evaluations
    (``eval_*``) are joined to the line of their step.
    """

    def __init__(self, path: Path) -> None:
        self._reader = LineReader(path)
        self.steps: array[float] = array("d")
        self.columns: dict[str, array[float]] = {}
        self.generation = 0
        """Increases when earlier points are removed (a resumed run, a replaced file), so that all must be redrawn."""

    def poll(self) -> bool:
        """Read new lines; returns whether there were any."""
        changed = False
        for block in self._reader.blocks():
            changed = True
            if block is None:
                self._cut(0)
                continue
            for _, alike in groupby(block, len):
                lines = list(alike)
                if len(lines) < 4 or not self._add_alike(lines):
                    for line in lines:
                        self._add(line)
        return changed

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def bad_lines(self) -> int:
        return self._reader.bad_lines

    def last(self) -> dict[str, float]:
        """Return the newest known value of each metric, and the last step; empty before the first line."""
        if not self.steps:
            return {}
        found = {"step": self.steps[-1]}
        for name, column in self.columns.items():
            for value in reversed(column):
                if not math.isnan(value):
                    found[name] = value
                    break
        return found

    def column(self, name: str) -> array[float]:
        """Return one metric over all steps; NaN where it is missing."""
        return self.columns.get(name) or array("d", [math.nan]) * len(self.steps)

    def _add(self, line: dict[str, Any]) -> None:
        step = _number(line.get("step"))
        if step is None:
            return
        if line.get("event") == RESUMED:
            self._cut(bisect_right(self.steps, step))
            return
        if self.steps and step < self.steps[-1]:  # repeated without a "resumed" event: the newer line counts
            self._cut(bisect_right(self.steps, step))
        if not self.steps or step > self.steps[-1]:
            self._append(step)
        for name, value in line.items():
            if name != "step" and (found := _number(value)) is not None:
                column = self.columns.get(name)
                if column is None:
                    column = self.columns[name] = array("d", [math.nan]) * len(self.steps)
                column[-1] = found

    def _add_alike(self, lines: list[dict[str, Any]]) -> bool:
        """Add lines with the same keys column by column; returns False, and adds nothing, if that is not possible."""
        names = tuple(lines[0])
        if len(names) < 2 or "event" in names or "step" not in names:
            return False
        try:
            columns = zip(*map(itemgetter(*names), lines), strict=True)
            values = {name: array("d", column) for name, column in zip(names, columns, strict=True)}
        except (KeyError, TypeError, OverflowError):
            return False
        steps = values.pop("step")
        if not all(map(lt, steps, steps[1:])) or (self.steps and steps[0] <= self.steps[-1]):
            return False
        known = len(self.steps)
        self.steps.extend(steps)
        for name in values.keys() - self.columns.keys():
            self.columns[name] = array("d", [math.nan]) * known
        for name, column in self.columns.items():
            column.extend(values.get(name) or array("d", [math.nan]) * len(steps))
        return True

    def _append(self, step: float) -> None:
        self.steps.append(step)
        for column in self.columns.values():
            column.append(math.nan)

    def _cut(self, length: int) -> None:
        if length < len(self.steps):
            self.generation += 1
            del self.steps[length:]
            for column in self.columns.values():
                del column[length:]


class Samples:
    """The answers to the probes in ``items``, in their order, kept up to date by :meth:`poll`."""

    def __init__(self, path: Path) -> None:
        self._reader = LineReader(path)
        self.items: list[dict[str, Any]] = []

    def poll(self) -> bool:
        """Read new lines; returns whether there were any."""
        changed = False
        for block in self._reader.blocks():
            changed = True
            if block is None:
                self.items = []
                continue
            for line in block:
                if line.get("event") == RESUMED:
                    last = _number(line.get("step")) or 0
                    self.items = [item for item in self.items if item.get("step", 0) <= last]
                elif _is_sample(line):
                    self.items.append(line)
        return changed


def last_metrics(path: Path) -> dict[str, float]:
    """Return the metrics of the last logged step in a metrics.jsonl; empty if there is none."""
    found: dict[str, float] = {}
    newest: float = math.inf
    for raw in reversed(read_tail(path, _TAIL_BYTES)[:-1]):
        try:
            line = from_json(raw)
        except ValueError:
            continue
        step = _number(line.get("step")) if isinstance(line, dict) else None
        if step is None or step > newest:
            continue
        if line.get("event") == RESUMED:
            newest = step  # earlier lines of later steps are superseded
            continue
        found = {name: value for name, value in line.items() if _number(value) is not None} | found
        if "loss" in line:
            break
    return found


def time_left(path: Path, total_steps: int) -> float | None:
    """Estimate the seconds that a run needs for its remaining steps; None if its metrics show no pace.

    Args:
        path: metrics.jsonl.
        total_steps: the number of its steps.
    """
    steps, elapsed = array("d"), array("d")
    for raw in read_tail(path, _PACE_BYTES)[:-1]:  # a line that is cut at its beginning is no JSON
        try:
            line = from_json(raw)
        except ValueError:
            continue
        step = _number(line.get("step")) if isinstance(line, dict) else None
        if step is None:
            continue
        while steps and (step < steps[-1] or (step == steps[-1] and "elapsed_s" in line)):  # repeated after a resume
            steps.pop(), elapsed.pop()
        if (seconds := _number(line.get("elapsed_s"))) is not None:
            steps.append(step)
            elapsed.append(seconds)
    return pace_left(steps, elapsed, total_steps)


def pace_left(steps: Sequence[float], elapsed: Sequence[float], total_steps: int) -> float | None:
    """Estimate the seconds for the steps that remain from the pace of the last ones; None without a pace."""
    if len(steps) < 2:
        return None
    first = max(len(steps) - 1 - _PACE_LINES, 0)
    done, took = steps[-1] - steps[first], elapsed[-1] - elapsed[first]
    return max(total_steps - steps[-1], 0) * took / done if done > 0 and took > 0 else None


def _is_sample(line: dict[str, Any]) -> bool:
    texts = all(isinstance(line.get(name, ""), str) for name in ("prompt", "text"))
    return texts and _number(line.get("step", 0)) is not None


def _number(value: Any) -> float | None:
    """Return a number of a line; None for other types and for an integer that no float holds. NaN is a number."""
    if type(value) not in (int, float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
