"""Devices and the queue for them."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from o1lab.errors import LabError
from o1lab.jobs import device_queue as devices
from o1lab.jobs.device_queue import Device, acquire_device, resolve_device

CPU = Device("cpu")

HOLD = """
import sys, time
from pathlib import Path
from o1lab.jobs.device_queue import Device, acquire_device
with acquire_device(Device("cpu"), folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "POLL_S", 0.005)


def test_one_at_a_time_in_the_order_they_came(tmp_path: Path) -> None:
    order: list[int] = []
    release = threading.Event()
    waiting = [threading.Event() for _ in range(3)]

    def work(number: int) -> None:
        with acquire_device(CPU, folder=tmp_path, waiting=lambda _ahead: waiting[number].set()) as ours:
            assert ours
            order.append(number)

    with acquire_device(CPU, folder=tmp_path):
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
    with acquire_device(CPU, folder=tmp_path) as ours:
        assert ours
    for process in (waiter, holder):
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def test_one_that_gives_up_leaves_no_ticket(tmp_path: Path) -> None:
    with acquire_device(CPU, folder=tmp_path):
        with acquire_device(CPU, folder=tmp_path, give_up=lambda: True) as ours:
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
