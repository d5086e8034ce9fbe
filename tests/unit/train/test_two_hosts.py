"""Two network namespaces as two hosts: the processes of a run meet over an address, and a missing node is named."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from o1lab.process import QUIET_ENVIRONMENT
from o1lab.train import torchrun
from o1lab.train.runs.directory import RunDir
from tests.support.training_lab import prepared, recipe

pytest.importorskip("trl", reason="the train extra is not installed")
PATIENCE_S = 300
SPACES = (f"o1lab-a-{os.getpid()}", f"o1lab-b-{os.getpid()}")
ADDRESSES = ("10.213.7.1", "10.213.7.2")


def _cannot() -> str:
    """Return why namespaces cannot be made here; empty if they can."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "iproute2 is not installed"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    made = subprocess.run(["ip", "netns", "add", SPACES[0]], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", SPACES[0]], capture_output=True)
    return f"network namespaces cannot be made here: {made.stderr.strip()}" if made.returncode else ""


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"two hosts cannot be made here: {done.stderr.strip()}")


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable between them."""
    if why := _cannot():
        pytest.skip(why)
    try:
        for space in SPACES:
            ip("netns", "add", space)
        ends = (f"o1a{os.getpid()}", f"o1b{os.getpid()}")
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for space, end, address in zip(SPACES, ends, ADDRESSES, strict=True):
            ip("link", "set", end, "netns", space)
            ip("-n", space, "addr", "add", f"{address}/24", "dev", end)
            ip("-n", space, "link", "set", end, "up")
            ip("-n", space, "link", "set", "lo", "up")
        yield SPACES
    finally:
        for space in SPACES:
            left = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True).stdout.split()
            for pid in left:  # of a test that failed
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


@contextmanager
def node(run: RunDir, space: str, rank: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start the processes of one of two nodes, as a person or a scheduler does on each; a test that fails ends them."""
    command = torchrun.worker_command(run, nodes=2, node_rank=rank, rendezvous=ADDRESSES[0])
    interface = f"o1{'ab'[rank]}{os.getpid()}"
    named = {"GLOO_SOCKET_IFNAME": interface, "OMP_NUM_THREADS": "1"}
    with run.log.open("ab") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", space, *command], stdout=log, stderr=log, cwd=run.path,
            env=os.environ | QUIET_ENVIRONMENT | named,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
@pytest.mark.xdist_group("torchrun")
def test_a_run_trains_on_two_hosts(
    hosts: tuple[str, str], tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    run = prepared(tmp_path, "run", recipe(tiny_base, batch_size=2, nodes=2, steps=4, save_steps=2))
    with node(run, hosts[0], 0) as first, node(run, hosts[1], 1) as second:
        assert (first.wait(PATIENCE_S), second.wait(PATIENCE_S)) == (0, 0), run.log_tail(100)
    status = run.read_status()
    assert (status.state, status.step, status.processes) == ("finished", 4, 2)
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in run.checkpoint(4).iterdir()}


@pytest.mark.slow
@pytest.mark.xdist_group("torchrun")
def test_a_node_that_never_comes_is_named(
    hosts: tuple[str, str], tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchrun, "JOIN_TIMEOUT_S", 3)
    run = prepared(tmp_path, "run", recipe(tiny_base, nodes=2, steps=4))
    with node(run, hosts[0], 0) as first:
        assert first.wait(PATIENCE_S) != 0
    died = run.explain_death(run.read_status())
    assert died.message == "Only 1 of 2 nodes came in the time that they wait for each other."
    run.log.unlink()
    with node(run, hosts[1], 1) as second:
        assert second.wait(PATIENCE_S) != 0
    died = run.explain_death(run.read_status())
    port = torchrun.port_of(run)
    assert died.message == f"The first node could not be reached at 10.213.7.1, port {port}."
