"""The devices of this machine, and a queue for each: one run at a time, in the order of arrival.

A run that may use any of several devices waits in the queue of each, and leaves the others when it gets one.

The operating system releases a lock when its process ends, so nothing has to be cleaned up after a crash. Each host has
its own locks, because machines may share a cache folder.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from o1lab.errors import LabError
from o1lab.paths import cache_dir
from o1lab.small_files import UnreadableError, read_json
from o1lab.text import one_line

POLL_S = 0.5
_MOST = 100
"""Tickets of a queue that are read to find the job that uses its device."""


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
        return _safe(f"{socket.gethostname()}-{'gpu-' + self.entry if self.is_gpu else 'cpu'}")

    def environment(self) -> dict[str, str]:
        """Return the environment variables that hide all other devices. Set them before torch is imported."""
        return environment_of([self])


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


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
    """Return the device that a recipe's ``device`` names; of several, the first one of :func:`allowed_devices`.

    Raises:
        LabError: this machine has no such GPU (code ``device_missing``).
    """
    return allowed_devices(name)[0]


def allowed_devices(name: str) -> list[Device]:
    """Return the devices that a recipe's ``device`` allows: one, or for ``auto`` every visible GPU, else the CPU.

    The GPUs with the least memory in use come first, because programs outside the queue may use some.

    Raises:
        LabError: this machine has no such GPU (code ``device_missing``).
    """
    if name == "cpu":
        return [Device("cpu")]
    gpus = [Device(f"cuda:{index}", entry) for index, entry in enumerate(visible_gpus())]
    if name == "auto":
        return sorted(gpus, key=_used_gib) if len(gpus) > 1 else gpus or [Device("cpu")]
    index = int(name.partition(":")[2] or 0)
    if index >= len(gpus):
        message = f"There is no {name}: this machine has {len(gpus) or 'no'} NVIDIA GPU{'s' * (len(gpus) > 1)}."
        raise LabError(message, "Choose device auto or cpu.", code="device_missing")
    return [gpus[index]]


def _used_gib(gpu: Device) -> int:
    """Return the memory of a GPU that is in use, in whole GiB; 0 if the driver does not say."""
    import pynvml

    try:
        by_index = gpu.entry.isdigit()
        find = pynvml.nvmlDeviceGetHandleByIndex if by_index else pynvml.nvmlDeviceGetHandleByUUID
        return int(pynvml.nvmlDeviceGetMemoryInfo(find(int(gpu.entry) if by_index else gpu.entry)).used) >> 30
    except pynvml.NVMLError:
        return 0


def resolve_devices(name: str, processes: int) -> list[Device]:
    """Return the devices of several processes on this machine: the CPU, which they share, or a GPU for each.

    Raises:
        LabError: there are fewer GPUs than processes (code ``device_missing``).
    """
    first = resolve_device(name)
    if processes == 1 or not first.is_gpu:
        return [first]
    gpus = visible_gpus()
    if len(gpus) < processes:
        raise LabError(
            f"{processes} processes need a GPU each, but this machine has {len(gpus)}.",
            "Lower processes, or choose device cpu.",
            code="device_missing",
        )
    return [Device(f"cuda:{index}", gpus[index]) for index in range(processes)]


def environment_of(devices: Sequence[Device]) -> dict[str, str]:
    """Return the environment variables that hide all devices but these. Set them before torch is imported."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(device.entry for device in devices)}


@dataclass(frozen=True, slots=True)
class Ticket:
    """The content of a ticket; empty if an older version of the program wrote it.

    Attributes:
        job: the job, such as ``run 7f3a9c21``.
        lab: the name of its lab.
        folder: its directory.
    """

    job: str = ""
    lab: str = ""
    folder: str = ""

    @property
    def words(self) -> str:
        """The job and its lab, for a sentence."""
        job = one_line(self.job, 40) or "another run"
        return f"{job} of lab {one_line(self.lab, 40)}" if self.lab else job


def waiting_words(ahead: Sequence[Ticket]) -> str:
    """Describe the jobs ahead in a queue: ``run 7f3a of lab demo, and 2 more``."""
    more = len(ahead) - 1
    return (ahead[0] if ahead else Ticket()).words + (f", and {more} more" if more > 0 else "")


def places_words(devices: Sequence[Device], ahead: Sequence[Ticket], *, every: bool = False) -> str:
    """Describe what a run waits for: a device, or one of several GPUs, or ``every`` one of them."""
    if len(devices) == 1:
        return f"Waiting for {waiting_words(ahead)} on {devices[0].name}."
    return f"Waiting for {'all' if every else 'one'} of {len(devices)} GPUs, behind {waiting_words(ahead)}."


@contextmanager
def acquire_first(
    devices: Sequence[Device],
    *,
    owner: Ticket = Ticket(),
    waiting: Callable[[Sequence[Ticket]], None] = lambda _ahead: None,
    give_up: Callable[[], bool] = lambda: False,
    folder: Path | None = None,
) -> Iterator[Device | None]:
    """Lock the first of several devices that is free, after waiting for the runs ahead in their queues.

    Args:
        devices: the devices in order of preference.
        owner: the job that waits, as shown to the jobs behind it.
        waiting: called repeatedly with the jobs ahead in the shortest queue; the first of them uses the device.
        give_up: called repeatedly; once it returns true, the block runs without a device.
        folder: the folder of the locks; by default in the cache.

    Yields:
        The device that is locked; None after giving up.
    """
    parent = folder or cache_dir() / "locks"
    with ExitStack() as stack:
        places = []
        for device in devices:
            place = _Place.take(parent / device.lock_name, owner)
            stack.callback(place.leave)
            places.append(place)
        while (at := next((at for at, place in enumerate(places) if place.has_turn()), None)) is None:
            waiting(min((place.ahead for place in places), key=len) or [Ticket()])
            if give_up():
                yield None
                return
            time.sleep(POLL_S)
        for place in (*places[:at], *places[at + 1 :]):
            place.leave()
        yield devices[at]


@contextmanager
def acquire_all(
    devices: Sequence[Device],
    *,
    owner: Ticket = Ticket(),
    waiting: Callable[[Sequence[Ticket]], None] = lambda _ahead: None,
    give_up: Callable[[], bool] = lambda: False,
    folder: Path | None = None,
) -> Iterator[Sequence[Device] | None]:
    """Lock every one of several devices for the block, after waiting for the runs ahead in their queues.

    They are locked in the order of their entries, so that two jobs never wait for each other.

    Yields:
        The devices; None after giving up.
    """
    with ExitStack() as stack:
        for device in sorted(devices, key=lambda one: one.entry):
            one = acquire_first([device], owner=owner, waiting=waiting, give_up=give_up, folder=folder)
            if stack.enter_context(one) is None:
                yield None
                return
        yield devices


@dataclass
class _Place:
    """A place in the queue of a device.

    Attributes:
        ahead: the jobs ahead of it when the queue was last read.
    """

    ticket: Path
    ticket_lock: IO[str]
    turn: IO[str]
    ahead: list[Ticket]

    @classmethod
    def take(cls, queue: Path, owner: Ticket) -> _Place:
        queue.mkdir(parents=True, exist_ok=True)
        return cls(*_take_ticket(queue, owner), (queue / "turn").open("a"), [])

    def has_turn(self) -> bool:
        """Read the queue; lock the device and return True if no job is ahead."""
        self.ahead = _alive_before(self.ticket)
        return not self.ahead and _try_lock(self.turn)

    def leave(self) -> None:
        """Leave the queue, or release the device."""
        self.ticket.unlink(missing_ok=True)
        self.ticket_lock.close()
        self.turn.close()


def holders(folder: Path | None = None) -> dict[str, Ticket]:
    """Return the job that uses each device of this host, by the lock name of the device."""
    parent = folder or cache_dir() / "locks"
    found = {}
    for queue in parent.glob(f"{glob.escape(_safe(socket.gethostname()))}-*"):
        if alive := _alive(sorted(queue.glob("ticket-*"))[:_MOST]):
            found[queue.name] = alive[0]
    return found


def _take_ticket(queue: Path, owner: Ticket) -> tuple[Path, IO[str]]:
    """Create a ticket: a file that sorts by arrival and is locked until this process ends."""
    name = f"{time.time_ns():020d}-{os.getpid()}"
    hidden = queue / f".{name}"
    lock = hidden.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    json.dump(asdict(owner), lock)
    lock.flush()
    ticket = queue / f"ticket-{name}"
    hidden.rename(ticket)  # visible only once it is locked, so that it is not taken for the ticket of a dead process
    return ticket, lock


def _alive_before(ticket: Path) -> list[Ticket]:
    """Return the older tickets whose processes are alive; delete those of dead processes."""
    return _alive(other for other in sorted(ticket.parent.glob("ticket-*")) if other.name < ticket.name)


def _alive(tickets: Iterable[Path]) -> list[Ticket]:
    alive = []
    for ticket in tickets:
        try:
            with ticket.open() as file:
                if _try_lock(file):
                    ticket.unlink(missing_ok=True)
                else:
                    alive.append(_read(ticket))
        except FileNotFoundError:
            continue
    return alive


def _read(ticket: Path) -> Ticket:
    """Read a ticket; those of older versions of the program are empty."""
    try:
        return read_json(ticket, Ticket)
    except UnreadableError:
        return Ticket()


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
