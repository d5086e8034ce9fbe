"""The load of the machine, below the runs: a line for each GPU, or one for CPU and memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import ClassVar, Protocol

from rich.text import Text
from textual import events, work
from textual.widgets import Static

from o1lab.format import byte_size
from o1lab.jobs.hardware import GpuReading, Hardware, Reading
from o1lab.text import one_line
from o1lab.widgets.status_line import fitted

log = logging.getLogger("o1lab.hardware")
WIDE = 110
"""The width of a terminal on which each GPU has its own line."""
_MOST_LINES = 8
_JOB_WIDTH, _FAULT_WIDTH = 60, 200
_HOT_C, _FULL = 85, 0.97


class Reader(Protocol):
    """Reads the machine; takes the jobs on it by the ids of their processes."""

    def read(self, jobs: Mapping[int, str]) -> Reading: ...


class HardwarePanel(Static):
    """The load at the last reading; hidden before the first one."""

    DEFAULT_CSS = """
    HardwarePanel { height: auto; max-height: 8; padding: 0 1; text-wrap: nowrap; display: none; color: $text-muted; }
    """
    reader: ClassVar[type[Reader] | None] = Hardware
    """The class of the reader; None to show nothing, as in most tests."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        make = type(self).reader  # of the class: a function would be bound
        self._reader = None if make is None else make()
        self._reading: Reading | None = None
        self._reading_now = False

    def poll(self, jobs: Mapping[int, str]) -> None:
        """Read the machine in a thread, unless the last reading is not finished."""
        if self._reader is not None and not self._reading_now:
            self._reading_now = True
            self._read(self._reader, jobs)

    @work(thread=True, group="hardware")
    def _read(self, reader: Reader, jobs: Mapping[int, str]) -> None:
        try:
            reading = reader.read(jobs)
        except Exception:  # a driver may raise anything; the app goes on without the panel
            log.warning("the machine cannot be read", exc_info=True)
            return
        finally:
            self._reading_now = False
        if self.is_attached:
            self.app.call_from_thread(self._show, reading)

    def _show(self, reading: Reading) -> None:
        self._reading, self.display = reading, True
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._reading is not None:
            self.update(Text("\n").join(lines(self._reading, max(self.app.size.width - 2, 1))))


def lines(reading: Reading, width: int) -> list[Text]:
    """Format a reading: a line for each GPU, or on a narrow terminal one for all; without GPUs CPU and memory."""
    if not reading.gpus:
        return [fitted(_cpu(reading), width)]
    parts = [_gpu(gpu, wide=width >= WIDE - 2) for gpu in reading.gpus]
    if width < WIDE - 2:
        return [fitted(parts, width)]
    if len(parts) > _MOST_LINES:
        parts = [
            *parts[: _MOST_LINES - 1],
            fitted([_gpu(gpu, wide=False) for gpu in reading.gpus[_MOST_LINES - 1 :]], width),
        ]
    for part in parts:
        part.truncate(width, overflow="ellipsis")
    return parts


def _gpu(gpu: GpuReading, *, wide: bool) -> Text:
    """Format a GPU: use, memory, power, temperature, and who uses it."""
    text = Text.assemble((f"GPU {gpu.index}", "bold"), f" {one_line(gpu.name, 24):<24} " if wide else " ")
    text.append("use -" if gpu.use is None else f"{gpu.use:.0f} %")
    if gpu.memory_bytes is not None and gpu.memory_total_bytes:
        full = gpu.memory_bytes / gpu.memory_total_bytes > _FULL
        used = f"{gpu.memory_bytes / 1e9:.1f}/{gpu.memory_total_bytes / 1e9:.0f} GB"
        text.append(f"  {used}{' full' if full else ''}", "bold yellow" if full else "")
    if gpu.power_w is not None:
        text.append(f"  {gpu.power_w:.0f}" + (f"/{gpu.power_limit_w:.0f} W" if gpu.power_limit_w else " W"))
    if gpu.temperature_c is not None:
        hot = gpu.temperature_c >= _HOT_C
        text.append(f"  {gpu.temperature_c} °C{' hot' if hot else ''}", "bold yellow" if hot else "")
    users = ", ".join(one_line(user, _JOB_WIDTH) for user in gpu.users)
    return text.append(f"  {users or 'free'}", "bold" if users else "dim")


def _percent(value: float | None) -> str:
    return "…" if value is None else f"{value:.0f} %"


def _cpu(reading: Reading) -> list[Text]:
    cores = f"{reading.cores} core{'s' * (reading.cores != 1)}"
    used = f"{byte_size(reading.memory_bytes)} of {byte_size(reading.memory_total_bytes)}"
    parts = [Text(f"CPU {_percent(reading.cpu)} of {cores}, {used}")]
    if reading.fault:
        parts.append(Text(f"! GPUs cannot be read: {one_line(reading.fault, _FAULT_WIDTH)}", "bold yellow"))
    parts += [
        Text.assemble((one_line(one.job, _JOB_WIDTH), "bold"), f" {_percent(one.cpu)}, RSS {byte_size(one.rss_bytes)}")
        for one in reading.processes
    ]
    return parts
