"""`o1lab train` with a recipe of several phases: one run per phase; each waits for the previous one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from o1lab.cli.base.output import emit, say, wants_json
from o1lab.cli.train_output import (
    combined,
    ended_text,
    exit_by,
    follow_run,
    preflight_text,
    started_text,
    started_values,
    started_words,
    warn_or_refuse,
)

if TYPE_CHECKING:
    from o1lab.paths import Lab
    from o1lab.train.preflight.report import Preflight
    from o1lab.train.runs.directory import RunDir


def train_phases(
    lab: Lab,
    path: Path | None,
    values: Sequence[Mapping[str, Any]],
    *,
    dry_run: bool,
    wait: bool,
    check: bool,
) -> None:
    """Check or start the runs of several phases.

    The JSON keys are those of a single run and describe the last phase; ``runs`` lists all of them.
    """
    from o1lab.train.phases import launch_phases, preflight_phases, resolve_phases

    recipes = resolve_phases(values)
    if dry_run or check:
        found = preflight_phases(lab, recipes)
        if dry_run:
            command = shlex.join(["o1lab", "--lab", str(lab.root), "train", "--recipe", str(path)])
            emit(_together(found, command), text=_text(found))
            if not all(seen.ok for seen in found):
                raise typer.Exit(5)
            return
        warn_or_refuse(found)
    started = launch_phases(lab, recipes)
    answer: dict[str, Any] = {
        "run_id": started[-1][0].id,
        "dir": str(started[-1][0].path),
        **started_values(*started[-1]),
        "runs": [{"run_id": run.id, "dir": str(run.path)} | started_values(run, pid) for run, pid in started],
    }
    lines = [
        started_text(run, pid) if not number
        else f"Run {run.id} waits for run {started[number - 1][0].id} ({started_words(run, pid)})."
        for number, (run, pid) in enumerate(started)
    ]  # fmt: skip
    if not wait:
        emit(answer, text=[*lines, f"Follow them: o1lab runs watch {started[0][0].id}"])
        return
    if not wants_json():
        say("\n".join(lines))
    _wait([run for run, _ in started], answer)


def _wait(started: Sequence[RunDir], answer: dict[str, Any]) -> None:
    """Follow the runs one after the other and add how each ended to the answer."""
    for run, item in zip(started, answer["runs"], strict=True):
        state = follow_run(run)
        item |= {"state": state.state, "step": state.status.step, "message": state.status.message}
        if not wants_json():
            say(ended_text(run, state))
    answer |= {name: answer["runs"][-1][name] for name in ("state", "step", "message")}
    emit(answer, text="")
    exit_by(state)


def _together(found: Sequence[Preflight], command: str) -> dict[str, Any]:
    """Combine the reports: sums, the largest memory, the lengths of the last phase; ``phases`` has each in full."""
    together = found[-1].as_json()
    for name in ("rows", "over_length", "trained_tokens", "total_steps"):
        together[name] = sum(getattr(seen, name) for seen in found)
    return together | combined(found, command) | {"phases": [seen.as_json() for seen in found]}


def _text(found: Sequence[Preflight]) -> str:
    return "\n\n".join(f"phase {number}\n{preflight_text(seen)}" for number, seen in enumerate(found, 1))
