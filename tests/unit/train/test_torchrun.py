"""The command that starts the processes of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from o1lab.train.runs.directory import RunDir
from o1lab.train.torchrun import environment, port_of, worker_command

RUN = RunDir(Path("/lab/runs/7f3a9c21"))
SIGNALLED = ["env", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300"]
pytestmark = pytest.mark.usefixtures("real_python")
WORKER = [sys.executable, "-P", "-m", "o1lab.train.worker", str(RUN.path)]


def test_one_process_needs_no_torchrun() -> None:
    assert worker_command(RUN) == WORKER
    assert worker_command(RUN, resuming=True) == [*WORKER, "--resume"]


def test_the_processes_of_one_node_take_a_free_port_of_this_machine() -> None:
    words = worker_command(RUN, processes=4, resuming=True)
    assert words[:6] == [*SIGNALLED, sys.executable, "-P", "-m", "torch.distributed.run"]
    assert {"--nnodes=1", "--nproc-per-node=4", "--rdzv-endpoint=127.0.0.1:0", "--rdzv-conf=is_host=true"} <= {*words}
    assert words[words.index("--no-python") + 1 :] == [*WORKER, "--resume"]


def test_several_nodes_meet_at_the_first_one() -> None:
    first = worker_command(RUN, nodes=2, processes=8, node_rank=0, rendezvous="node1")
    other = worker_command(RUN, nodes=2, processes=8, node_rank="$SLURM_NODEID", rendezvous="10.0.0.1:4000")
    assert {"--nnodes=2", "--nproc-per-node=8", "--node-rank=0", "--rdzv-backend=static"} <= {*first}
    assert f"--rdzv-endpoint=node1:{port_of(RUN)}" in first
    assert {"--node-rank=$SLURM_NODEID", "--rdzv-endpoint=10.0.0.1:4000"} <= {*other}
    assert {f"--rdzv-id={RUN.id}"} <= {*first} & {*other}
    with pytest.raises(ValueError, match="address"):
        worker_command(RUN, nodes=2)


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [("fd00::1", "[fd00::1]:{port}"), ("[fd00::1]:4", "[fd00::1]:4"), ("[fd00::1]", "[fd00::1]:{port}")],
)
def test_addresses_of_ipv6_are_in_brackets(address: str, endpoint: str) -> None:
    assert f"--rdzv-endpoint={endpoint.format(port=port_of(RUN))}" in worker_command(RUN, nodes=2, rendezvous=address)


def test_runs_that_share_their_first_node_meet_at_different_ports() -> None:
    runs = [RunDir(Path(f"/lab/runs/{name}")) for name in ("7f3a9c21", "0a1b2c3d", "0b0b0b0b")]
    words = [word for run in runs for word in worker_command(run, nodes=2, rendezvous="node1") if "endpoint" in word]
    assert len({*words}) == 3
    assert all(20_000 <= int(word.rpartition(":")[2]) < 30_000 for word in words)


def test_the_processes_of_a_node_share_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert environment(1, {}) == environment(2, {"OMP_NUM_THREADS": "3"}) == {}
    assert environment(2, {}) == {"OMP_NUM_THREADS": "4"}
    assert environment(16, {}) == {"OMP_NUM_THREADS": "1"}
