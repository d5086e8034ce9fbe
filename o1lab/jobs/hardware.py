"""The load of the machine: GPUs (from the NVIDIA driver), CPU, memory, and the processes of jobs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import Any, Protocol, TypeVar, cast

from o1lab.jobs.device_queue import Device, Ticket, holders
from o1lab.jobs.directory import JobInfo
from o1lab.text import one_line

Value = TypeVar("Value")
_MOST_PROCESSES = 3


class Nvml(Protocol):
    """The functions of pynvml that are used. Each raises ``NVMLError`` if the GPU or driver does not report a value."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...  # noqa: N802
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any: ...  # noqa: N802
    def nvmlDeviceGetName(self, handle: Any) -> str | bytes: ...  # noqa: N802
    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes: ...  # noqa: N802
    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...  # noqa: N802
    def nvmlDeviceGetPowerUsage(self, handle: Any) -> int: ...  # noqa: N802
    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Any) -> int: ...  # noqa: N802
    def nvmlDeviceGetTemperature(self, handle: Any, sensor: int) -> int: ...  # noqa: N802
    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]: ...  # noqa: N802


def driver() -> Nvml:
    """Return pynvml."""
    import pynvml

    return cast(Nvml, cast(ModuleType, pynvml))


@dataclass(frozen=True, slots=True)
class GpuReading:
    """A GPU at one moment; a value that it does not report is None.

    Attributes:
        use: percent of the time in which it was computing.
        memory_bytes, memory_total_bytes: memory in use by all processes, and all of it.
        power_w, power_limit_w: in watts.
        temperature_c: in degrees Celsius.
        users: the job that has it from the queue, else the processes on it.
    """

    index: int
    name: str
    uuid: str = ""
    use: float | None = None
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: int | None = None
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """The process of a job with its children: percent of one core, None in the first reading, and resident memory."""

    job: str
    cpu: float | None
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A machine at one moment.

    Attributes:
        cpu: percent of all cores since the last reading; None in the first one.
        processes: the jobs that run on it.
        fault: why the GPUs cannot be read, if there may be some.
    """

    cpu: float | None
    cores: int
    memory_bytes: int
    memory_total_bytes: int
    gpus: tuple[GpuReading, ...] = ()
    processes: tuple[ProcessReading, ...] = ()
    fault: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Hardware:
    """Reads the load of the machine; the use of a CPU is that since the last reading.

    Args:
        nvml: returns the NVIDIA driver; tests replace it.
    """

    nvml: Callable[[], Nvml] = lambda: driver()  # noqa: PLW0108 - tests replace driver
    _ready: Nvml | None = None
    _looked: bool = False
    _processes: dict[int, Any] = field(default_factory=dict)

    def read(self, jobs: Mapping[int, str]) -> Reading:
        """Read everything. It may take a tenth of a second, so call it in a thread.

        Args:
            jobs: the jobs that run on this machine, by the id of their process.
        """
        import psutil

        memory, cpu = psutil.virtual_memory(), psutil.cpu_percent(None)
        first, self._looked = not self._looked, True
        gpus, fault = self._gpus(jobs)
        return Reading(
            None if first else cpu,
            psutil.cpu_count() or 1,
            memory.total - memory.available,
            memory.total,
            gpus,
            tuple(self._process_readings(jobs)),
            fault,
        )

    def _gpus(self, jobs: Mapping[int, str]) -> tuple[tuple[GpuReading, ...], str]:
        nvml = self._ready or self.nvml()
        try:
            if self._ready is None:
                nvml.nvmlInit()
                self._ready = nvml
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self._ready = None
            known = any(word in type(error).__name__ for word in ("LibraryNotFound", "DriverNotLoaded", "GpuNotFound"))
            return (), "" if known else one_line(str(error), 100)
        queue = holders()
        return tuple(self._gpu(nvml, index, jobs, queue) for index in range(count)), ""

    def _gpu(self, nvml: Nvml, index: int, jobs: Mapping[int, str], queue: Mapping[str, Ticket]) -> GpuReading:
        def ask(question: Callable[[Any], Value]) -> Value | None:
            try:
                return question(handle)
            except nvml.NVMLError:
                return None

        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            return GpuReading(index, f"cannot be read: {one_line(str(error), 60)}")
        uuid = _text(ask(nvml.nvmlDeviceGetUUID))
        use, memory = ask(nvml.nvmlDeviceGetUtilizationRates), ask(nvml.nvmlDeviceGetMemoryInfo)
        power, limit = ask(nvml.nvmlDeviceGetPowerUsage), ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
        processes = ask(nvml.nvmlDeviceGetComputeRunningProcesses) or []
        names = [Device("cuda:0", entry).lock_name for entry in (str(index), uuid) if entry]
        owner = next((queue[name].words for name in names if name in queue), "")
        return GpuReading(
            index,
            one_line(_text(ask(nvml.nvmlDeviceGetName)) or "GPU", 60),
            uuid,
            None if use is None else float(use.gpu),
            None if memory is None else int(memory.used),
            None if memory is None else int(memory.total),
            None if power is None else power / 1000,
            None if limit is None else limit / 1000,
            ask(lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, 0)),
            (owner,) if owner else _users([int(one.pid) for one in processes], jobs),
        )

    def _process_readings(self, jobs: Mapping[int, str]) -> list[ProcessReading]:
        import psutil

        found = []
        kept = {}
        for pid, job in jobs.items():
            with suppress(psutil.Error):
                family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
                cpu, rss, known_before = 0.0, 0, pid in self._processes
                for one in family:
                    known = kept[one.pid] = self._processes.get(one.pid, one)
                    with suppress(psutil.Error):
                        cpu += known.cpu_percent(None)
                        rss += known.memory_info().rss
                found.append(ProcessReading(job, cpu if known_before else None, rss))
        self._processes = kept
        return sorted(found, key=lambda one: -one.rss_bytes)


def _users(pids: list[int], jobs: Mapping[int, str]) -> tuple[str, ...]:
    """Describe the processes on a GPU: the job of the process or of a parent, else its name."""
    import psutil

    found = []
    for pid in pids:
        words = ""
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            family = [process, *process.parents()]
            words = next((jobs[one.pid] for one in family if one.pid in jobs), "") or one_line(process.name(), 20)
        found.append(words if words in jobs.values() else f"{words or 'process'} {pid}")
    shown = list(dict.fromkeys(found))
    more = len(shown) - _MOST_PROCESSES
    return tuple(shown[:_MOST_PROCESSES]) + ((f"{more} more",) if more > 0 else ())


def _text(value: str | bytes | None) -> str:
    """Return a text of the driver; old versions of pynvml return bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def processes_here(infos: Iterable[JobInfo[Any, Any]], noun: str = "run") -> dict[int, str]:
    """Return the jobs that run on this machine, such as ``run 7f3a``, by the id of their process."""
    here = socket.gethostname()
    found = {}
    for info in infos:
        if info.active and info.status.pid is not None and info.status.host == here:
            found[info.status.pid] = f"{noun} {info.id}"
    return found


def gpu_metrics(entry: str, nvml: Nvml | None = None) -> Callable[[], dict[str, float]]:
    """Return a function that reads what a training run logs of its GPU; empty where that is not available.

    Args:
        entry: its entry in CUDA_VISIBLE_DEVICES: an index or a UUID.
        nvml: the NVIDIA driver; None for the real one.
    """
    nvml = nvml or driver()
    nvml.nvmlInit()
    handle = nvml.nvmlDeviceGetHandleByIndex(int(entry)) if entry.isdigit() else nvml.nvmlDeviceGetHandleByUUID(entry)

    def read() -> dict[str, float]:
        try:
            return {
                "gpu_util": nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
                "gpu_memory_bytes": nvml.nvmlDeviceGetMemoryInfo(handle).used,
            }
        except nvml.NVMLError:
            return {}

    return read
