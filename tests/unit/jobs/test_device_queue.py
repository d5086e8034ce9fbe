"""Devices and the queue for them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from o1lab.errors import LabError
from o1lab.jobs import device_queue as devices
from o1lab.jobs.device_queue import (
    Device,
    Ticket,
    acquire_all,
    acquire_first,
    allowed_devices,
    environment_of,
    holders,
    places_words,
    resolve_device,
    resolve_devices,
    waiting_words,
)
from tests.support.fake_nvml import FakeGpu, FakeNvml

CPU = Device("cpu")

HOLD = """
import sys, time
from pathlib import Path
from o1lab.jobs.device_queue import Device, acquire_first
with acquire_first([Device("cpu")], folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

HOLD_FIRST = """
import sys
from pathlib import Path
from o1lab.jobs import device_queue as devices
devices.POLL_S = 0.01
gpus = [devices.Device(f"cuda:{n}", str(n)) for n in range(int(sys.argv[2]))]
said = []
def waiting(ahead):
    said.append(said or print("waits", flush=True))
with devices.acquire_first(gpus, folder=Path(sys.argv[1]), waiting=waiting) as gpu:
    print(gpu.name, flush=True)
    sys.stdin.read()
"""
GPUS = [Device("cuda:0", "0"), Device("cuda:1", "1")]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "POLL_S", 0.005)


def test_one_at_a_time_in_the_order_they_came(tmp_path: Path) -> None:
    order: list[int] = []
    release = threading.Event()
    waiting = [threading.Event() for _ in range(3)]

    def work(number: int) -> None:
        with acquire_first([CPU], folder=tmp_path, waiting=lambda _ahead: waiting[number].set()) as ours:
            assert ours
            order.append(number)

    with acquire_first([CPU], folder=tmp_path):
        threads = []
        for number in range(3):
            thread = threading.Thread(target=work, args=(number,))
            thread.start()
            assert waiting[number].wait(30)
            threads.append(thread)
        assert order == []
        release.set()
    for thread in threads:
        thread.join(30)
    assert order == [0, 1, 2]


def test_a_killed_holder_frees_the_device_and_a_killed_waiter_never_blocks(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    holder = start()
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiter = start()
    tickets = tmp_path / CPU.lock_name
    while len(list(tickets.glob("ticket-*"))) < 2:
        assert waiter.poll() is None
    for process in (waiter, holder):
        process.kill()
        process.wait()
    with acquire_first([CPU], folder=tmp_path) as ours:
        assert ours
    for process in (waiter, holder):
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def test_a_waiting_job_sees_the_jobs_ahead(tmp_path: Path) -> None:
    seen: list[str] = []

    def waiting(ahead: Sequence[Ticket]) -> None:
        seen.append(waiting_words(ahead))

    def ask() -> None:
        with acquire_first([CPU], folder=tmp_path, waiting=waiting, give_up=lambda: True):
            pass

    assert holders(tmp_path) == {}
    first = Ticket("run 7f3a", "demo \x1b[31m", "/labs/demo/runs/7f3a")
    with acquire_first([CPU], folder=tmp_path, owner=first):
        assert holders(tmp_path) == {CPU.lock_name: first}
        ask()
        second, lock = devices._take_ticket(tmp_path / CPU.lock_name, Ticket("run 22ab", "other"))
        ask()
        lock.close()
        second.write_text("damaged")
    assert seen == ["run 7f3a of lab demo ␛[31m", "run 7f3a of lab demo ␛[31m, and 1 more"]
    with acquire_first([CPU], folder=tmp_path):  # an owner that says nothing
        ask()
    assert seen[-1] == "another run"


def test_one_that_gives_up_leaves_no_ticket(tmp_path: Path) -> None:
    with acquire_first([CPU], folder=tmp_path):
        with acquire_first([CPU], folder=tmp_path, give_up=lambda: True) as ours:
            assert not ours
        assert len(list((tmp_path / CPU.lock_name).glob("ticket-*"))) == 1


def test_auto_takes_the_first_visible_gpu_else_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["3", "5"])
    assert resolve_device("auto") == Device("cuda:0", "3")
    assert resolve_device("cuda:1") == Device("cuda:1", "5")
    monkeypatch.setattr(devices, "visible_gpus", list)
    assert resolve_device("auto") == CPU


def test_a_gpu_that_is_not_there_is_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["0"])
    with pytest.raises(LabError, match="no cuda:4") as caught:
        resolve_device("cuda:4")
    assert caught.value.code == "device_missing"


def test_five_runs_share_three_gpus_and_a_killed_one_frees_its_gpu(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        arguments = [sys.executable, "-P", "-c", HOLD_FIRST, str(tmp_path), "3"]
        return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def said(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    runs: list[subprocess.Popen[str]] = []
    try:
        for wanted in ("cuda:0", "cuda:1", "cuda:2", "waits", "waits"):
            runs.append(start())
            assert said(runs[-1]) == wanted
        runs[1].kill()
        assert said(runs[3]) == "cuda:1", "the one that waited longest"
        assert len(holders(tmp_path)) == 3
        runs[4].kill()
        runs[0].communicate("")
        runs.append(start())
        assert said(runs[5]) == "cuda:0", "a killed waiter blocks no queue"
    finally:
        for process in runs:
            process.kill()
            process.communicate()


def test_a_run_that_gets_a_gpu_leaves_the_queues_of_the_others(tmp_path: Path) -> None:
    seen: list[str] = []

    def waiting(ahead: Sequence[Ticket]) -> None:
        seen.append(places_words(GPUS, ahead))

    with acquire_first(GPUS, folder=tmp_path, owner=Ticket("run 7f3a", "demo")) as first:
        assert first == GPUS[0]
        with acquire_first(GPUS, folder=tmp_path, owner=Ticket("run 22ab", "demo")) as second:
            assert second == GPUS[1]
            with acquire_first(GPUS, folder=tmp_path, waiting=waiting, give_up=lambda: True) as third:
                assert third is None
        assert holders(tmp_path) == {GPUS[0].lock_name: Ticket("run 7f3a", "demo")}
    assert holders(tmp_path) == {}
    assert seen == ["Waiting for one of 2 GPUs, behind run 7f3a of lab demo."]
    assert places_words([CPU], [Ticket("run 1")]) == "Waiting for run 1 on cpu."


def test_auto_is_every_visible_gpu_the_emptiest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml([FakeGpu(used=70 << 30), FakeGpu(used=1 << 20), FakeGpu(used=3 << 20), FakeGpu(refuses={"Memory"})])
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [gpu.name for gpu in allowed_devices("auto")] == ["cuda:1", "cuda:2", "cuda:3", "cuda:0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0,2")
    assert allowed_devices("auto") == [Device("cuda:1", "2"), Device("cuda:0", "GPU-0")]
    assert allowed_devices("cuda:0") == [Device("cuda:0", "GPU-0")]
    assert allowed_devices("auto")[0].environment() == {"CUDA_VISIBLE_DEVICES": "2"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert allowed_devices("auto") == [CPU]


def test_several_processes_take_a_gpu_each_and_share_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["3", "5", "7"])
    both = resolve_devices("auto", 2)
    assert both == [Device("cuda:0", "3"), Device("cuda:1", "5")]
    assert environment_of(both) == {"CUDA_VISIBLE_DEVICES": "3,5"}
    assert resolve_devices("cuda:1", 1) == [Device("cuda:1", "5")]
    assert resolve_devices("cpu", 4) == [CPU]
    with pytest.raises(LabError, match="4 processes need a GPU each, but this machine has 3"):
        resolve_devices("auto", 4)


def test_a_job_waits_until_all_its_devices_are_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path))
    first, second = Device("cuda:0", "0"), Device("cuda:1", "1")
    seen: list[str] = []
    with acquire_first([second], owner=Ticket("run 7f3a")):
        wanted = [second, first]
        with acquire_all(
            wanted,
            waiting=lambda ahead: seen.append(places_words(wanted, ahead, every=True)),
            give_up=lambda: True,
        ) as ours:
            assert ours is None
        assert seen == ["Waiting for all of 2 GPUs, behind run 7f3a."]
    with acquire_all([second, first], owner=Ticket("run 1111")) as ours:
        assert ours == [second, first]
        assert {ticket.job for ticket in holders().values()} == {"run 1111"}
        assert len(holders()) == 2
    assert holders() == {}
