"""A pretend NVIDIA driver with the functions of pynvml that we call."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As in pynvml."""


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801, N818 - as in pynvml
    pass


class NVMLError_Unknown(NVMLError):  # noqa: N801, N818 - as in pynvml
    pass


@dataclass
class FakeGpu:
    """A GPU; ``refuses`` are the questions that it does not answer."""

    name: str | bytes = "A GPU"
    use: int = 0
    used: int = 0
    power: int = 60_000
    temperature: int = 40
    pids: list[int] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)

    def answer(self, question: str, value: Any) -> Any:
        if question in self.refuses:
            raise NVMLError_Unknown("refused")
        return value


class FakeNvml:
    """The driver of a machine with these GPUs; ``fails`` is raised by every start."""

    NVMLError = NVMLError

    def __init__(self, gpus: list[FakeGpu], fails: NVMLError | None = None) -> None:
        self.gpus, self.fails = gpus, fails

    def nvmlInit(self) -> None:  # noqa: N802
        if self.fails is not None:
            raise self.fails

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:  # noqa: N802
        gpu = self.gpus[index]
        found: FakeGpu = gpu.answer("Handle", gpu)
        return found

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:  # noqa: N802
        return self.gpus[int(uuid.removeprefix("GPU-"))]

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str | bytes:  # noqa: N802
        return handle.name

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:  # noqa: N802
        return str(handle.answer("UUID", f"GPU-{self.gpus.index(handle)}"))

    def nvmlDeviceGetUtilizationRates(self, handle: FakeGpu) -> Any:  # noqa: N802
        return handle.answer("Utilization", SimpleNamespace(gpu=handle.use))

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu) -> Any:  # noqa: N802
        return handle.answer("Memory", SimpleNamespace(used=handle.used, total=80 * 10**9))

    def nvmlDeviceGetPowerUsage(self, handle: FakeGpu) -> int:  # noqa: N802
        return int(handle.answer("Power", handle.power))

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: FakeGpu) -> int:  # noqa: N802
        return int(handle.answer("Limit", 700_000))

    def nvmlDeviceGetTemperature(self, handle: FakeGpu, sensor: int) -> int:  # noqa: N802
        assert sensor == 0
        return int(handle.answer("Temperature", handle.temperature))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: FakeGpu) -> list[Any]:  # noqa: N802
        processes: list[Any] = handle.answer("Processes", [SimpleNamespace(pid=pid) for pid in handle.pids])
        return processes
