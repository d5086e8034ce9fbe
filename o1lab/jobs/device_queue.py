"""The devices of this machine, and a queue for each: one run at a time, in the order of arrival.

The operating system releases a lock when its process ends, so nothing has to be cleaned up after a crash. Each host has
its own locks, because machines may share a cache folder.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from o1lab.errors import LabError
from o1lab.paths import cache_dir

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Device:
    """A device: its name in a recipe, and its entry in CUDA_VISIBLE_DEVICES (empty for the CPU)."""

    name: str
    entry: str = ""

    @property
    def is_gpu(self) -> bool:
        return self.name != "cpu"

    @property
    def lock_name(self) -> str:
        return re.sub(r"[^\w.-]", "_", f"{socket.gethostname()}-{'gpu-' + self.entry if self.is_gpu else 'cpu'}")

    def environment(self) -> dict[str, str]:
        """Return the environment variables that hide all other devices. Set them before torch is imported."""
        return {"CUDA_VISIBLE_DEVICES": self.entry}


def visible_gpus() -> list[str]:
    """List the NVIDIA GPUs that this process may use, as entries of CUDA_VISIBLE_DEVICES. Does not import torch."""
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(index) for index in range(count)]
    entries = [entry.strip() for entry in named.split(",")]
    # As in CUDA, entries after an invalid one are not visible.
    visible = []
    for entry in entries:
        if not entry or entry == "-1" or (entry.isdigit() and int(entry) >= count):
            break
        visible.append(entry)
    return visible


def resolve_device(name: str) -> Device:
    """Return the device that a recipe's ``device`` names: ``auto``, ``cpu`` or ``cuda:N``.

    Raises:
        LabError: this machine has no such GPU (code ``device_missing``).
    """
    if name == "cpu":
        return Device("cpu")
    gpus = visible_gpus()
    if name == "auto":
        return Device("cuda:0", gpus[0]) if gpus else Device("cpu")
    index = int(name.partition(":")[2] or 0)
    if index >= len(gpus):
        message = f"There is no {name}: this machine has {len(gpus) or 'no'} NVIDIA GPU{'s' * (len(gpus) > 1)}."
        raise LabError(message, "Choose device auto or cpu.", code="device_missing")
    return Device(name, gpus[index])


@contextmanager
def acquire_device(
    device: Device,
    *,
    waiting: Callable[[int], None] = lambda _ahead: None,
    give_up: Callable[[], bool] = lambda: False,
    folder: Path | None = None,
) -> Iterator[bool]:
    """Lock a device for the block, after waiting for the runs ahead.

    Args:
        device: the device to lock.
        waiting: called repeatedly with the number of runs ahead, including the one that uses the device.
        give_up: called repeatedly; once it returns true, the block runs without the device.
        folder: the folder of the locks; by default in the cache.

    Yields:
        Whether the device is locked.
    """
    queue = (folder or cache_dir() / "locks") / device.lock_name
    queue.mkdir(parents=True, exist_ok=True)
    ticket, ticket_lock = _take_ticket(queue)
    lock = (queue / "turn").open("a")
    try:
        while True:
            ahead = _alive_before(ticket)
            if not ahead and _try_lock(lock):
                yield True
                return
            waiting(max(ahead, 1))
            if give_up():
                yield False
                return
            time.sleep(POLL_S)
    finally:
        ticket.unlink(missing_ok=True)
        ticket_lock.close()
        lock.close()


def _take_ticket(queue: Path) -> tuple[Path, IO[str]]:
    """Create a ticket: a file that sorts by arrival and is locked until this process ends."""
    name = f"{time.time_ns():020d}-{os.getpid()}"
    hidden = queue / f".{name}"
    lock = hidden.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    ticket = queue / f"ticket-{name}"
    hidden.rename(ticket)  # visible only once it is locked, so that it is not taken for the ticket of a dead process
    return ticket, lock


def _alive_before(ticket: Path) -> int:
    """Count the older tickets whose processes are alive; delete those of dead processes."""
    alive = 0
    for other in sorted(ticket.parent.glob("ticket-*")):
        if other.name >= ticket.name:
            break
        try:
            with other.open() as file:
                if _try_lock(file):
                    other.unlink(missing_ok=True)
                else:
                    alive += 1
        except FileNotFoundError:
            continue
    return alive


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
