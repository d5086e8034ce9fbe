"""Reading the machine, against a pretend NVIDIA driver: none of these tests needs a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from o1lab.jobs import device_queue
from o1lab.jobs.device_queue import Device, Ticket, acquire_first
from o1lab.jobs.hardware import GpuReading, Hardware, driver, gpu_metrics
from tests.support.fake_nvml import FakeGpu, FakeNvml, NVMLError_LibraryNotFound, NVMLError_Unknown


@pytest.fixture(autouse=True)
def own_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(device_queue, "cache_dir", lambda: tmp_path)
    return tmp_path / "locks"


def test_every_figure_of_a_gpu_is_read() -> None:
    nvml = FakeNvml([FakeGpu("NVIDIA H200", use=87, used=61 * 10**9, power=412_000, temperature=71), FakeGpu()])
    first, second = Hardware(lambda: nvml).read({}).gpus
    assert first == GpuReading(0, "NVIDIA H200", "GPU-0", 87.0, 61 * 10**9, 80 * 10**9, 412.0, 700.0, 71, ())
    assert (second.index, second.name, second.use, second.users) == (1, "A GPU", 0.0, ())


def test_what_a_gpu_does_not_say_is_left_out() -> None:
    nvml = FakeNvml([FakeGpu(refuses={"Utilization", "Memory", "Power", "Limit", "Temperature", "Processes", "UUID"})])
    assert Hardware(lambda: nvml).read({}).gpus == (GpuReading(0, "A GPU"),)
    nvml = FakeNvml([FakeGpu(refuses={"Handle"}), FakeGpu(name=b"old pynvml")])
    first, second = Hardware(lambda: nvml).read({}).gpus
    assert first.name == "cannot be read: refused" and second.name == "old pynvml"


def test_who_uses_a_gpu(own_queue: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    nvml = FakeNvml([FakeGpu(pids=[child.pid]), FakeGpu(pids=[child.pid, 2**22 + 1]), FakeGpu(pids=[1]), FakeGpu()])
    hardware = Hardware(lambda: nvml)
    with (
        acquire_first([Device("cuda:0", "0")], owner=Ticket("run 7f3a", "demo")),
        acquire_first([Device("cuda:3", "GPU-3")], owner=Ticket("run 9e00", "other")),
    ):
        gpus = hardware.read({os.getpid(): "run 22ab"}).gpus
    child.communicate(b"\n")
    assert gpus[0].users == ("run 7f3a of lab demo",), "the queue knows it, also inside a container"
    assert gpus[1].users == ("run 22ab", f"process {2**22 + 1}"), "a child of the worker is the run's"
    assert gpus[2].users == (f"{psutil.Process(1).name()[:20]} 1",)
    assert gpus[3].users == ("run 9e00 of lab other",)
    assert hardware.read({}).gpus[3].users == ()


def test_without_a_driver_the_cpu_is_read_and_a_fault_is_reported() -> None:
    machine = Hardware(lambda: FakeNvml([], fails=NVMLError_LibraryNotFound("no library")))
    assert machine.read({}).cpu is None, "it is measured between two looks"
    nothing = machine.read({})
    assert (nothing.gpus, nothing.fault) == ((), "")
    broken = Hardware(lambda: FakeNvml([], fails=NVMLError_Unknown("driver mismatch\x1b[31m"))).read({})
    assert (broken.gpus, broken.fault) == ((), "driver mismatch␛[31m")
    memory = psutil.virtual_memory()
    assert nothing.memory_total_bytes == memory.total and 0 < nothing.memory_bytes < memory.total
    assert nothing.cores == psutil.cpu_count() and nothing.cpu is not None and 0 <= nothing.cpu <= 100


def test_a_driver_that_comes_back_is_read_again() -> None:
    nvml = FakeNvml([FakeGpu()], fails=NVMLError_Unknown("reset"))
    hardware = Hardware(lambda: nvml)
    assert hardware.read({}).gpus == ()
    nvml.fails = None
    assert len(hardware.read({}).gpus) == 1


def test_the_process_of_a_job_is_read_with_its_children() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    hardware = Hardware(lambda: FakeNvml([]))
    alone = psutil.Process().memory_info().rss
    found = hardware.read({os.getpid(): "run 7f3a", 2**22 + 1: "run gone"}).processes
    again = hardware.read({os.getpid(): "run 7f3a"}).processes
    child.communicate(b"\n")
    assert [one.job for one in found] == [one.job for one in again] == ["run 7f3a"]
    assert found[0].rss_bytes > alone and found[0].cpu is None and again[0].cpu is not None


def test_a_training_run_logs_its_own_gpu() -> None:
    nvml = FakeNvml([FakeGpu(use=1), FakeGpu(use=87, used=5)])
    for entry in ("1", "GPU-1"):
        assert gpu_metrics(entry, nvml)() == {"gpu_util": 87, "gpu_memory_bytes": 5}
    nvml.gpus[1].refuses.add("Utilization")
    assert gpu_metrics("1", nvml)() == {}


def test_the_real_library_has_what_we_call() -> None:
    real: Any = driver()
    wanted = [name for name in dir(FakeNvml) if name.startswith("nvml")]
    assert len(wanted) > 10
    assert all(callable(getattr(real, name)) for name in wanted)
    reading = Hardware().read({})
    assert reading.fault == "" or SimpleNamespace(**reading.as_json()).gpus == ()
