"""The command that starts the processes of a run on one node: torchrun, and the run's worker in each process.

Every launcher starts this command on each node. Does not import torch.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Mapping
from typing import Any

from o1lab.jobs.directory import JobFolder
from o1lab.jobs.spawn import worker_command as one_process

WORKER = "o1lab.train.worker"
JOIN_TIMEOUT_S = 900
"""Seconds that the nodes wait for each other."""
SHUTDOWN_S = 300
"""Seconds that the processes have to save a checkpoint after a signal. torchrun itself allows 30 s.

Processes that hang are killed after that. When one of them fails, torchrun still ends the others after 30 s.
"""
_SHUTDOWN = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
"""The option --shutdown-timeout would do the same, but torch before 2.12 refuses it; the variable is ignored there."""
_PORTS = range(20_000, 30_000)


def worker_command(
    run: JobFolder[Any, Any],
    *,
    nodes: int = 1,
    processes: int = 1,
    node_rank: int | str = 0,
    rendezvous: str = "",
    resuming: bool = False,
    shutdown_s: int = SHUTDOWN_S,
) -> list[str]:
    """Return the command line that starts the processes of a run on one node.

    Several nodes meet at a fixed address (torchrun's backend ``static``): the node with rank 0 listens there, and it is
    the one whose first process is rank 0. torchrun's backend ``c10d`` guesses from the host name which node listens
    (unless ``is_host`` is given), and ranks the nodes in the order of their arrival. On a single node, ``c10d`` takes a
    free port.

    Args:
        run: the run.
        nodes: the number of nodes.
        processes: the number of processes on each node.
        node_rank: the number of this node, from 0; or a variable of the shell, such as ``$SLURM_NODEID``.
        rendezvous: for several nodes, the address of the node with rank 0, as all nodes see it: ``HOST`` or
            ``HOST:PORT``. Without a port, it is :func:`port_of` the run.
        resuming: whether to continue from the last checkpoint.
        shutdown_s: seconds that several processes have between a signal and being killed.

    Raises:
        ValueError: several nodes have no address to meet.
    """
    worker = one_process(run, WORKER, *(["--resume"] if resuming else []))
    if nodes == 1 and processes == 1:
        return worker
    if nodes == 1:
        meet = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--rdzv-conf=is_host=true"]
        meet += ["--local-addr=127.0.0.1"]
    elif not rendezvous:
        raise ValueError("several nodes need an address to meet")
    else:
        meet = ["--rdzv-backend=static", f"--rdzv-endpoint={_endpoint(rendezvous, run)}"]
        meet += [f"--rdzv-conf=timeout={JOIN_TIMEOUT_S}", f"--node-rank={node_rank}"]
    words = [f"--nnodes={nodes}", f"--nproc-per-node={processes}", "--max-restarts=0", f"--rdzv-id={run.id}", *meet]
    # --no-python: torchrun would start the worker without -P, with the folder of the run on its path.
    agent = [sys.executable, "-P", "-m", "torch.distributed.run", *words, "--no-python"]
    return ["env", f"{_SHUTDOWN}={shutdown_s}", *agent, *worker]


def environment(processes: int, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that the processes of a node need in addition to ``environ``.

    torchrun gives each of several processes one thread of the CPU. Here they share the CPUs of the node.
    """
    if processes == 1 or "OMP_NUM_THREADS" in environ:
        return {}
    return {"OMP_NUM_THREADS": str(max((os.cpu_count() or 1) // processes, 1))}


def port_of(run: JobFolder[Any, Any]) -> int:
    """Return the port at which the nodes of a run meet. It depends on the run, because runs may share a node."""
    return _PORTS[zlib.crc32(run.id.encode()) % len(_PORTS)]


def _endpoint(address: str, run: JobFolder[Any, Any]) -> str:
    """Return an address with a port; an IPv6 address is in brackets if it has one."""
    host, colon, port = address.rpartition(":")
    has_port = bool(colon) and port.isdigit() and (":" not in host or host.endswith("]"))
    if has_port:
        return address
    bare = f"[{address}]" if ":" in address and not address.startswith("[") else address
    return f"{bare}:{port_of(run)}"
