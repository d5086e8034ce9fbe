"""`o1lab train` with several values of a field: a group of runs, and the verbs of runs on groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from o1lab.cli.base.output import emit, say, wants_json
from o1lab.cli.train_output import combined, ended_text, follow_run, preflight_text, started_values, warn_or_refuse
from o1lab.errors import Interrupted, NotFoundError, UsageError

if TYPE_CHECKING:
    from o1lab.paths import Lab
    from o1lab.train.group_figures import Comparison
    from o1lab.train.groups import Sample
    from o1lab.train.preflight.report import Preflight
    from o1lab.train.recipes.recipe import Recipe
    from o1lab.train.runs.directory import RunDir, RunState


def train_group(
    lab: Lab,
    values: Mapping[str, Any],
    *,
    sample: Sample | None,
    name: str | None,
    confirmed: bool,
    dry_run: bool,
    wait: bool,
    check: bool,
) -> None:
    """Check or start the runs of a group.

    Raises:
        UsageError: a field cannot vary, a value or the name is not valid, or the group is large and not confirmed.
        RefusedError: preflight found a problem.
    """
    from o1lab.train import groups
    from o1lab.train.launchers import LAUNCHERS
    from o1lab.train.median_rule import never_judged

    variants, fields = groups.expand(values, sample)
    recipes = groups.resolve_group(variants, fields)
    name = groups.free_name(lab, name, recipes, fields)
    every = groups.combinations(values)
    drawn = "" if sample is None else f" of {every:,} combinations, drawn with seed {sample.seed}"
    if words := never_judged(recipes, fields):
        say(words)
    if not dry_run:
        groups.require_small(len(recipes), confirmed=confirmed)
    if dry_run or check:
        found = groups.preflight_group(lab, recipes)
        distinct = list({id(report): report for report in found}.values())
        if dry_run:
            source = None if sample is None else (sample, values)
            command = groups.group_command(lab, recipes, fields, name, drawn=source)
            answer = _together(found, distinct, recipes, command)
            answer |= {"group": name, "varies": list(fields), "combinations": every}
            emit(answer, text=_dry_text(answer, recipes, distinct, drawn))
            if not answer["ok"]:
                raise typer.Exit(5)
            return
        warn_or_refuse(distinct)
    started = groups.launch_group(lab, name, recipes, fields)
    tags = [groups.tag_of(run) for run, _ in started]
    answer = {
        "group": name,
        "varies": list(fields),
        "combinations": every,
        "runs": [
            {"run_id": run.id, "dir": str(run.path), "varies": tag.varies if tag is not None else {}}
            | started_values(run, pid)
            for (run, pid), tag in zip(started, tags, strict=True)
        ],
    }
    here = recipes[0].on == "local"
    text = f"Group {name}: {len(started)} runs{drawn} " + (
        "started, one at a time on each device that is free."
        if here
        else f"are with {LAUNCHERS.get(recipes[0].on).title}."
    )
    if not wait:
        emit(answer, text=f"{text} Compare them: o1lab runs show '{name}'")
        return
    if not wants_json():
        say(text)
    wait_for(lab, [run for run, _ in started])
    shown = comparison(lab, name)
    emit(answer | shown.as_json(), text=comparison_text(shown))
    exit_by_states(shown)


def with_control(lab: Lab, values: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """Return the values of a group that trains on a dataset and on its matched control, which is made if there is none.

    Raises:
        UsageError: there are several datasets, or the dataset has no thoughts.
    """
    from o1lab.cli.base.output import opened
    from o1lab.distill.datasets.control import find_control, make_control
    from o1lab.models.base import resolve_base, token_counter
    from store import datasets

    if isinstance(values["dataset"], list) or isinstance(values["base"], list):
        raise UsageError("--with-control needs one dataset and one base.", "Give each of them one value.")
    with opened() as store:
        parent = datasets.get(store.db, values["dataset"], kind="sft")
        control = find_control(store, parent)
        if control is None and dry_run:
            say(
                f"{parent.name} has no control yet, so the group cannot be checked as a whole; this is {parent.name} "
                f"alone. Make it: o1lab dataset control {parent.name}"
            )
            return dict(values)
        if control is None:
            count = token_counter(resolve_base(values["base"]))
            control = make_control(store, parent.name, f"{parent.name}-control", count_tokens=count)
            say(f"Made the control {control.name}: {control.rows:,} rows with short solutions.")
    return {**values, "dataset": [parent.name, control.name], "dataset_hash": ""}


def wait_for(lab: Lab, runs: Sequence[RunDir]) -> list[RunDir]:
    """Wait until all runs have ended, and print how each one ended; return those that failed or died."""
    from o1lab.jobs.spawn import follow_all

    failed = []
    try:
        for run, info in follow_all(runs):
            if not wants_json():
                say(ended_text(run, info))
            if info.state in ("failed", "dead"):
                failed.append(run)
    except (KeyboardInterrupt, Interrupted):
        with suppress(OSError):  # the terminal may be closed
            say("The runs continue in the background. See them: o1lab runs ls")
        raise
    return failed


def comparison(lab: Lab, name: str) -> Comparison:
    """Return the comparison of the runs of a group.

    Raises:
        NotFoundError: there is no such group.
    """
    from o1lab.train.group_figures import compare
    from o1lab.train.groups import find_group

    group = find_group(lab, name)
    if group is None:
        raise NotFoundError(f"There is no group '{name}'.", "`o1lab runs ls` shows the groups of runs.")
    return compare(group)


def comparison_text(shown: Comparison) -> str:
    """Return the comparison of a group as tables: a line for each setting, then a line for each run."""
    lines = [f"group {shown.name}: {shown.summary()}", ""]
    settings, runs = shown.tables()
    return "\n".join([*lines, *settings, "", *runs])


def watch_group(lab: Lab, name: str, runs: Sequence[RunDir]) -> None:
    """Follow the runs of a group one after the other, then compare them.

    Raises:
        typer.Exit: with 1, if one failed or died.
    """
    for run in runs:
        if not wants_json():
            say(f"Run {run.id}:")
        say_ended = ended_text(run, follow_run(run))
        if not wants_json():
            say(say_ended)
    shown = comparison(lab, name)
    emit(shown.as_json(), text=comparison_text(shown))
    exit_by_states(shown)


def exit_by_states(shown: Comparison) -> None:
    """Exit with status 1 if a run of a group failed or died."""
    if {"failed", "dead"} & shown.states().keys():
        raise typer.Exit(1)


def members(lab: Lab, identity: str) -> Sequence[RunDir] | None:
    """Return the runs of the group with this name; None if there is no such group, or a run has this id or name."""
    from o1lab.jobs.about import id_of_name
    from o1lab.train.groups import find_group

    if (lab.runs / identity).is_dir() or id_of_name(lab.runs, identity) is not None:
        return None
    group = find_group(lab, identity)
    return None if group is None else group.runs


def members_or_run(lab: Lab, identity: str) -> Sequence[RunDir]:
    """Return the runs of the group with this name, or the run with this id or name.

    Raises:
        NotFoundError: there is neither.
    """
    from o1lab.train.runs.directory import find_run

    return members(lab, identity) or [find_run(lab, identity)]


def show_group(lab: Lab, name: str) -> tuple[dict[str, Any], list[str]]:
    """Return the JSON and the lines of `runs show GROUP`."""
    shown = comparison(lab, name)
    return shown.as_json(), comparison_text(shown).split("\n")


def hopeless(info: RunState) -> str:
    """Return why `runs resume GROUP` leaves a run alone; empty if it does not."""
    from o1lab.train.median_rule import left_alone

    return left_alone(info)


def _together(
    found: Sequence[Preflight], distinct: Sequence[Preflight], recipes: Sequence[Recipe], command: str
) -> dict[str, Any]:
    """Combine the reports: the steps of all runs and the largest memory; ``settings`` has each report in full."""
    steps = [recipe.total_steps(seen.train_rows or seen.rows) for recipe, seen in zip(recipes, found, strict=True)]
    return (
        found[0].as_json()
        | combined(distinct, command)
        | {
            "total_steps": sum(steps),
            "runs": len(recipes),
            "settings": [seen.as_json() for seen in distinct],
        }
    )


def _dry_text(answer: dict[str, Any], recipes: Sequence[Recipe], distinct: Sequence[Preflight], drawn: str) -> str:
    lines = [f"group {answer['group']}: {len(recipes)} runs{drawn}, {answer['total_steps']:,} steps in all"]
    lines += [
        f"{field:15} {', '.join(dict.fromkeys(str(getattr(recipe, field)) for recipe in recipes))}"
        for field in answer["varies"]
    ]
    for number, seen in enumerate(distinct, 1):
        lines += ["", *([f"preflight {number} of {len(distinct)}"] if len(distinct) > 1 else []), preflight_text(seen)]
    return "\n".join([*lines, "", f"all of them     {answer['command']}"])
