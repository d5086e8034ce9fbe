"""The processes of one run: which of them this one is, and how they agree.

torchrun starts ``nodes`` times ``processes`` processes with the same command. The first one (rank 0) has the lock, the
device queue, status.json, the metrics and the probes. The others train with it and follow
its decisions. Imports torch only to connect the processes, so that a run of one process waits without it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from o1lab.errors import RefusedError
from o1lab.process import is_alive, started_at

Value = TypeVar("Value")
COLLECTIVE_TIMEOUT_S = 1800
"""Seconds that a process waits for the others within a step."""
FSDP2_ON_CPU = ("The strategy fsdp2 needs GPUs.", "Choose strategy ddp, or device auto on a machine with GPUs.")
_PATIENCE = timedelta(days=30)
"""Time that a process waits for the first one, which may be in the queue of its device, or asking probes."""


def too_few_rows(rows: int, processes: int) -> RefusedError:
    """Return the error for a dataset with fewer training rows than processes."""
    return RefusedError(
        f"{rows} training row{'s are' if rows != 1 else ' is'} fewer than the {processes} processes of the run.",
        "Lower processes or nodes, or train on more rows.",
        code="too_few_rows",
    )


@dataclass(frozen=True)
class Process:
    """A process of a run, as the others know it."""

    rank: int
    host: str
    pid: int
    started: float | None

    @classmethod
    def this(cls, rank: int) -> Process:
        """Describe the current process."""
        return cls(rank, socket.gethostname(), os.getpid(), started_at(os.getpid()))

    def is_gone(self) -> bool:
        """Whether it has ended; False if it is on another host, where that cannot be determined."""
        return self.host == socket.gethostname() and not is_alive(self.pid, self.started)


@dataclass
class World:
    """The processes of a run. In a run of one process every method does nothing, or returns what it was given.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of processes.
        local_size: the number of processes on this node.
        members: all processes, once they have met.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    members: tuple[Process, ...] = ()
    _control: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> World:
        """Return the world that torchrun describes in the environment."""
        size, local = int(environ.get("WORLD_SIZE", 1)), int(environ.get("LOCAL_WORLD_SIZE", 1))
        return cls(int(environ.get("RANK", 0)), size, local) if size > 1 else cls()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def nodes(self) -> int:
        return max(self.size // self.local_size, 1)

    def meet(self, *, gpu: bool) -> None:
        """Meet the other processes. The devices of this process must be in its environment already.

        Args:
            gpu: whether the processes train on GPUs.
        """
        if self.size == 1:
            return
        import torch
        import torch.distributed as dist

        backend = "cpu:gloo,cuda:nccl" if gpu and torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=COLLECTIVE_TIMEOUT_S))
        # The group for decisions is on the CPU: it does not wait for the GPU, and has no time limit.
        self._control = dist.new_group(backend="gloo", timeout=_PATIENCE)
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, Process.this(self.rank), group=self._control)
        self.members = tuple(found)

    def from_first(self, value: Value) -> Value:
        """Return the value that the first process gives; the others wait for it without a time limit."""
        if self._control is None:
            return value
        import torch.distributed as dist

        shared = [value]
        dist.broadcast_object_list(shared, src=0, group=self._control)
        return shared[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self._control is None:
            return flag
        import torch
        import torch.distributed as dist

        one = torch.tensor([int(flag)])
        dist.all_reduce(one, dist.ReduceOp.MAX, group=self._control)
        return bool(one.item())

    def total(self, values: list[float]) -> list[float]:
        """Return the sum of each value over all processes; the others wait for it without a time limit."""
        if self._control is None:
            return values
        import torch
        import torch.distributed as dist

        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums, dist.ReduceOp.SUM, group=self._control)
        return [float(one) for one in sums.tolist()]

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.any(False)

    def refuse_fewer_rows(self, rows: int) -> None:
        """Refuse to train fewer rows than there are processes.

        Raises:
            RefusedError: there are fewer (code ``too_few_rows``).
        """
        if rows < self.size:
            raise too_few_rows(rows, self.size)

    def leave(self) -> None:
        """Leave the others, at the end of a run that has not failed."""
        if self._control is not None:
            import torch.distributed as dist

            self._control = None
            dist.destroy_process_group()
