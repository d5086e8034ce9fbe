"""One action on several jobs, such as those of a group: which jobs it applies to, and the result for each.

The command line and the screens use it: :func:`choose` lists the jobs of an action, :func:`act` performs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from o1lab.errors import O1LabError
from o1lab.jobs.directory import JobFolder, JobInfo
from store.errors import StoreError

Job = JobFolder[Any, Any]
Info = JobInfo[Any, Any]
ResultT = TypeVar("ResultT")
ENDED = ("stopped", "failed", "dead")
"""The states that a resume continues from, apart from a pause."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The jobs that an action applies to, with their states, and those left alone, with the reason for each."""

    jobs: tuple[tuple[Job, Info], ...]
    left_alone: tuple[tuple[Info, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[ResultT]):
    """The results of an action, and the jobs for which it failed."""

    results: tuple[ResultT, ...]
    failed: tuple[tuple[Info, O1LabError], ...]


def choose(
    jobs: Sequence[Job], applies: Callable[[Info], bool], left_out: Callable[[Info], str] = lambda _info: ""
) -> Chosen:
    """Return which jobs an action applies to.

    Args:
        jobs: the jobs, in the order in which the action takes them.
        applies: whether a job is in a state for the action; if not, its state is the reason.
        left_out: returns why a job in such a state is left alone; empty if it is not.
    """
    taken, left = [], []
    for job in jobs:
        info = job.info()
        if reason := left_out(info) if applies(info) else info.state:
            left.append((info, reason))
        else:
            taken.append((job, info))
    return Chosen(tuple(taken), tuple(left))


def act(chosen: Chosen, action: Callable[[Job], ResultT]) -> Outcome[ResultT]:
    """Perform an action on each chosen job; an error of one does not stop the others, unless the lab cannot be used."""
    results, failed = [], []
    for job, info in chosen.jobs:
        try:
            results.append(action(job))
        except StoreError:  # the lab cannot be used
            raise
        except O1LabError as error:
            failed.append((info, error))
    return Outcome(tuple(results), tuple(failed))
