"""Polling: read the jobs repeatedly while a screen is shown, and immediately after a selection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from textual.css.query import NoMatches

# Seconds between two polls while a job is active, and otherwise. Drawing the screen costs more than reading the files.
LIVE_S, IDLE_S = 1.5, 2.0


class JobLine(Protocol):
    """What the pane needs to know of a job in its list."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def active(self) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def status(self) -> Any:
        """The content of its status.json; None if there is none."""


LineT = TypeVar("LineT", bound=JobLine)


class JobDetail(Protocol):
    """What the pane shows of the selected job."""

    @property
    def line(self) -> JobLine: ...


DetailT = TypeVar("DetailT", bound=JobDetail)


@dataclass(frozen=True)
class Snapshot(Generic[LineT, DetailT]):
    """The jobs of one kind at one moment, the newest first.

    Attributes:
        lines: All jobs, as the list shows them.
        detail: The selected job, or the newest when the selected one is gone.
        partial: Some figures are still missing, so the next poll should follow at once.
    """

    lines: tuple[LineT, ...]
    detail: DetailT | None
    partial: bool = False

    @property
    def active(self) -> int:
        """How many jobs are active."""
        return sum(line.active for line in self.lines)


SnapshotT = TypeVar("SnapshotT", bound=Snapshot[Any, Any])


class PollLoop:
    """Polls, shows the result and waits. A persistent error is reported once, not at every poll."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._last_error = ""

    def wake(self) -> None:
        """Poll now."""
        self._wake.set()

    async def run(
        self,
        poll: Callable[[], Awaitable[SnapshotT]],
        show: Callable[[SnapshotT], None],
        report: Callable[[BaseException], None],
    ) -> None:
        """Run until cancelled, or until the widgets are gone."""
        live = False
        while True:
            self._wake.clear()
            try:
                snapshot = await poll()
            except Exception as error:
                if str(error) != self._last_error:
                    self._last_error = str(error)
                    report(error)
            else:
                self._last_error = ""
                try:
                    show(snapshot)
                except NoMatches:
                    return  # the app is closing: widgets are removed before workers
                live = bool(snapshot.active)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LIVE_S if live else IDLE_S)


ValueT = TypeVar("ValueT")


class StampedCache(Generic[ValueT]):
    """One value for each key, read again only when its stamp (a size, a time, a count) has changed."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Hashable, ValueT]] = {}

    def get(self, key: str, stamp: Hashable, read: Callable[[], ValueT]) -> ValueT:
        """Return the value of ``key``, from ``read`` unless it was read under the same ``stamp``."""
        if key not in self._values or self._values[key][0] != stamp:
            self._values[key] = (stamp, read())
        return self._values[key][1]
