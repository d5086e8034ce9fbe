"""Actions of the Train screen on all runs of a group: compare, draw, stop and resume them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from o1lab.errors import UsageError
from o1lab.jobs import manage, together
from o1lab.jobs.together import Chosen, Info, Job
from o1lab.paths import Lab
from o1lab.text import visible
from o1lab.train import launch
from o1lab.train.group_figures import Comparison, compare
from o1lab.train.groups import find_group
from o1lab.train.median_rule import left_alone
from o1lab.train.runs.directory import RunDir
from o1lab.widgets.dialogs import ConfirmDialog, PreviewDialog
from screens.jobs.screen import JobsScreen
from screens.train import text as train_text

_NAMED = 6
"""The largest number of runs that a question names; above it, the question counts them."""


def of_line(screen: JobsScreen) -> str:
    """Return the group of the run under the cursor; if it has none, say so and return an empty text."""
    line = screen.jobs.need_line()
    if line is not None and not line.group:
        screen.report(UsageError(f"The run {line.id} is in no group.", "o1lab train --seed 1,2,3 makes one."))
    return "" if line is None else line.group


async def show(screen: JobsScreen) -> None:
    """Show the runs of the group side by side."""
    if name := of_line(screen):
        found = await screen.in_thread(_comparison, screen.context.lab, name)
        if found is not None:
            await screen.app.push_screen_wait(PreviewDialog(f"group {name}", train_text.group(found)))


def marked(screen: JobsScreen) -> list[str] | None:
    """Return the marks with all listed runs of the group, or without them if all have one; None without a group."""
    if not (name := of_line(screen)) or screen.jobs.snapshot is None:
        return None
    members = [line.id for line in screen.jobs.snapshot.lines if line.group == name]  # a filter may leave some out
    others = [one for one in screen.jobs.marked if one not in members]
    return others if set(members) <= set(screen.jobs.marked) else [*screen.jobs.marked, *members]


async def stop(screen: JobsScreen) -> None:
    """Stop all active runs of the group, after a question that names them."""
    if name := of_line(screen):
        chosen = await screen.in_thread(_to_stop, screen.context.lab, name)
        note = "Each saves a checkpoint after its current step. Press R to resume them later."
        await _act(screen, name, chosen, "stop", note=note, action=manage.stop)


async def resume(screen: JobsScreen) -> None:
    """Continue all runs of the group that have ended without finishing, after a question that names them."""
    if name := of_line(screen):
        lab = screen.context.lab
        chosen = await screen.in_thread(_to_resume, lab, name)
        note = "Each continues from its last checkpoint, when its device is free."
        await _act(
            screen, name, chosen, "resume", note=note, action=lambda job: launch.RUNS.resume(lab, RunDir(job.path))
        )


async def _act(
    screen: JobsScreen, name: str, chosen: Chosen, verb: str, *, note: str, action: Callable[[Job], object]
) -> None:
    if not chosen.jobs:
        states = ", ".join(sorted({reason for _, reason in chosen.left_alone}))
        screen.report(UsageError(f"Nothing to {verb}: the runs of the group {name} are {states}."))
        return
    number = len(chosen.jobs)
    what = f"{number} run{'s' * (number != 1)} of the group {name}"
    words = [_named([(info, info.state) for _, info in chosen.jobs]), note]
    if chosen.left_alone:
        words.insert(1, f"Left alone: {_named(chosen.left_alone)}")
    dialog = ConfirmDialog(
        visible(f"{verb.capitalize()} {what}?"), visible("\n".join(words)),
        yes=f"{verb.capitalize()} them", no="Leave them", danger=verb == "stop",
    )  # fmt: skip
    if not await screen.app.push_screen_wait(dialog):
        return
    done = await screen.in_thread(together.act, chosen, action)
    screen.jobs.loop.wake()
    if done.results:
        ended = "asked to stop" if verb == "stop" else "resumed"
        screen.jobs.say(f"{len(done.results)} of {len(chosen.jobs) + len(chosen.left_alone)} runs were {ended}.")
    for info, error in done.failed:
        screen.report(type(error)(f"Run {info.id}: {error.message}", error.hint, code=error.code))


def _named(runs: Sequence[tuple[Info, str]]) -> str:
    """Return the runs with what they are, such as ``a1 running, b2 queued``; of many the number in each state."""
    if len(runs) <= _NAMED:
        return ", ".join(f"{info.name or info.id} {reason}" for info, reason in runs) + "."
    states = [reason for _, reason in runs]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) + "."


def _to_stop(lab: Lab, name: str) -> Chosen:
    # The newest first: runs that wait for a device end before the one that has it.
    return together.choose(_members(lab, name)[::-1], lambda info: info.active)


def _to_resume(lab: Lab, name: str) -> Chosen:
    return together.choose(_members(lab, name), lambda info: info.state in together.ENDED, left_alone)


def _members(lab: Lab, name: str) -> Sequence[Job]:
    group = find_group(lab, name)
    return () if group is None else group.runs


def _comparison(lab: Lab, name: str) -> Comparison | None:
    group = find_group(lab, name)
    return None if group is None else compare(group)
