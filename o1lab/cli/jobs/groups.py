"""The shared verbs on a whole group of jobs: stop, resume and rm act on each job of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from o1lab.cli.base.output import emit
from o1lab.errors import UsageError
from o1lab.format import counted

if TYPE_CHECKING:
    from o1lab.jobs.directory import JobFolder, JobInfo
    from o1lab.paths import Lab


@dataclass(frozen=True)
class GroupCommands:
    """What the shared verbs need to know about groups of a kind of job.

    Args:
        members: returns the jobs of the group with this name; None if there is none, or a job has the name.
        show: returns the JSON and the lines of `show`.
        left_out: returns why `resume` leaves a job alone that has ended; empty if it does not.
    """

    members: Callable[[Lab, str], Sequence[JobFolder[Any, Any]] | None]
    show: Callable[[Lab, str], tuple[dict[str, Any], list[str]]]
    left_out: Callable[[JobInfo[Any, Any]], str] = lambda _info: ""


def act_on_group(
    name: str,
    jobs: Sequence[JobFolder[Any, Any]],
    act: Callable[[JobFolder[Any, Any]], Callable[[], dict[str, Any]]],
    applies: Callable[[JobInfo[Any, Any]], bool],
    done: str,
    *,
    left_out: Callable[[JobInfo[Any, Any]], str] = lambda _info: "",
) -> None:
    """Act on the jobs of a group; those that the action does not apply to are named and left alone.

    Args:
        name: the name of the group.
        jobs: its jobs.
        act: acts on a job; returns a function that makes its JSON, which is called when all jobs were acted on.
        applies: whether a job is in a state for the action.
        done: what has happened to the jobs, such as ``were deleted``.
        left_out: returns why a job in such a state is left alone; empty if it is not.

    Raises:
        UsageError: the action applies to none of them.
        typer.Exit: with 1, if it failed for some of them.
    """
    from o1lab.jobs import together

    noun = jobs[0].noun
    chosen = together.choose(jobs, applies, left_out)
    outcome = together.act(chosen, act)
    skipped = [{"id": info.id, "state": info.state, "reason": reason} for info, reason in chosen.left_alone]
    failed: list[dict[str, Any]] = [
        {"id": info.id, "state": info.state} | error.as_json() for info, error in outcome.failed
    ]
    items = [made() for made in outcome.results]
    if not items and not failed:
        states = ", ".join(sorted({one["reason"] for one in skipped}))
        raise UsageError(
            f"Nothing to do: all {len(skipped)} {noun}s of the group {name} are {states}.",
            f"See `{jobs[0].verb} show {name}`.",
        )
    lines = [f"{counted(len(items), noun)} of the group {name} {done}."] if items else []
    if skipped:
        lines.append("Left alone: " + ", ".join(f"{one['id']} is {one['reason']}" for one in skipped) + ".")
    lines += [f"{one['id']}: {one['error']['message']} {one['error']['hint']}".strip() for one in failed]
    data = {"group": name, "items": items, "total": len(items), "skipped": skipped, "failed": failed}
    emit(data, text=lines)
    if failed:
        raise typer.Exit(1)
