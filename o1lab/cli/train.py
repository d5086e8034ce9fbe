"""Commands of training: train, and the verbs of runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base import options
from o1lab.cli.base.busy import advance
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.destination import DASH, STDOUT, destination, is_stdout
from o1lab.cli.base.listing import Column
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, say, wants_json
from o1lab.cli.jobs.about import IdArgument
from o1lab.cli.jobs.commands import JobCommands
from o1lab.cli.jobs.groups import GroupCommands
from o1lab.cli.jobs.verbs import add_job_verbs
from o1lab.cli.train_group import hopeless, members, members_or_run, show_group, train_group, watch_group, with_control
from o1lab.cli.train_output import (
    ended_text,
    exit_by,
    follow_run,
    launch_lines,
    preflight_text,
    started_text,
    started_values,
    warn_or_refuse,
)
from o1lab.errors import UsageError
from o1lab.format import number
from o1lab.train.runs.columns import COLUMNS, LISTED

if TYPE_CHECKING:
    from o1lab.paths import Lab
    from o1lab.train.groups import Sample
    from o1lab.train.runs.columns import RunColumn
    from o1lab.train.runs.directory import RunDir, RunState

verbs = Verbs()
run_verbs = Verbs("runs", help="List, show, stop, resume, rename and delete training runs.")
verbs.add_typer(run_verbs)
_LOG_LINES = 20


RECIPE = "o1lab.train.recipes.recipe:Recipe"


@verbs.command("train", settings=RECIPE)
def train(
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recipe file in YAML; the options override its values.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a field of the recipe, such as lora_r=32; overrides its option. May be repeated.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only run preflight: tokens, masks, memory, problems.")
    ] = False,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="With --dry-run: plan for a GPU with this much memory, such as 80GB."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the group, if a field has several values [default: its fields]."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Train only N of the group's combinations, drawn at random."),
    ] = None,
    sample_seed: Annotated[int, typer.Option(help="Seed of this draw.")] = 0,
    control: Annotated[
        bool,
        typer.Option("--with-control", help="Train on the dataset and on its control of short solutions, as a group."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start a large group without confirmation.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Print the steps and return when the run has ended.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run preflight before the launch and refuse on problems.")
    ] = True,
) -> None:
    """Fine-tune a student on a dataset, in a background process.

    A recipe with `phases` starts one run per phase at once. Each run waits until the previous one has finished and
    continues from its last checkpoint. --init-from RUN/end does the same by hand.

    Several values of a field, by commas or as a list in the recipe, start a group: one run for each combination. Each
    waits for the first GPU that is free. The commands of `o1lab runs` accept its name.

    Example: o1lab train --dataset accepted --steps 100 --wait

    Example: o1lab train --dataset accepted --dry-run --memory 80GB

    Example: o1lab train --dataset accepted --learning-rate 1e-4,5e-4 --seed 1,2,3

    Example: o1lab train --dataset accepted --learning-rate 1e-4,3e-4,1e-3 --lora-r 8,16,32,64 --sample 6

    Example: o1lab train --dataset accepted --with-control --seed 1,2,3
    """
    from o1lab.train import groups
    from o1lab.train.launch import launch
    from o1lab.train.preflight.report import run_preflight
    from o1lab.train.recipes import recipe_file
    from o1lab.train.trainer.trackers import places

    planned = _planned(memory, dry_run=dry_run)
    lab = current_lab()
    values = _values(lab, recipe, options.given(), settings or [])
    drawn = None if sample is None else _drawn(sample, sample_seed, values, control=control)
    if len(values) > 1:
        from o1lab.cli.train_phases import train_phases

        if control:
            raise UsageError("--with-control is not possible with phases.", "Train the control by its own recipe.")
        train_phases(lab, recipe, values, dry_run=dry_run, wait=wait, check=check)
        return
    if control:
        values = [with_control(lab, values[0], dry_run=dry_run)]
    if groups.has_lists(values[0]):
        train_group(lab, values[0], sample=drawn, name=group, confirmed=yes, dry_run=dry_run, wait=wait, check=check)
        return
    if group is not None and not control:
        raise UsageError("--group names a group of runs, but no field has several values.", "Add --seed 1,2,3.")
    chosen = recipe_file.resolve(values[0])
    if dry_run or check:
        found = run_preflight(lab, chosen, memory_bytes=planned, progress=partial(advance, "rows tokenised"))
        if dry_run:
            emit(found.as_json(), text=preflight_text(found))
            if not found.ok:
                raise typer.Exit(5)
            return
        warn_or_refuse([found])
    run, pid = launch(lab, chosen)
    for place in places(chosen.report_to, run):
        say(place)
    answer: dict[str, Any] = {"run_id": run.id, "dir": str(run.path)} | started_values(run, pid)
    if not wait:
        by_hand = "\n" if answer["commands"] else " "
        emit(answer, text=f"{started_text(run, pid)}{by_hand}Follow it: o1lab runs watch {run.id}")
        return
    if not wants_json():
        say(started_text(run, pid))
    state = follow_run(run)
    answer |= {"state": state.state, "step": state.status.step, "message": state.status.message}
    emit(answer, text=ended_text(run, state))
    exit_by(state)


@run_verbs.command("watch")
def runs_watch(run_id: IdArgument) -> None:
    """Print a line for each step until the run ends. Ctrl-C does not stop the run.

    The runs of a group are followed one after the other.

    Example: o1lab runs watch 3f9c
    """
    from o1lab.train.runs.directory import find_run
    from o1lab.train.runs.metrics_reader import last_metrics

    lab = current_lab()
    if group := members(lab, run_id):
        watch_group(lab, run_id, group)
        return
    run = find_run(lab, run_id)
    state = follow_run(run)
    answer = _summary(lab, run) | {"message": state.status.message, "last_metrics": last_metrics(run.metrics)}
    emit(answer, text=ended_text(run, state))
    exit_by(state)


@run_verbs.command("diff")
def runs_diff(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Two or more runs, or a group.", autocompletion=completing("run")),
    ],
) -> None:
    """Show the fields in which the recipes of runs differ, and the losses that the runs reached.

    Example: o1lab runs diff 3f9c 51c0
    """
    from o1lab.train.recipe_diff import diff
    from o1lab.train.run_list import RunReader

    lab = current_lab()
    reader = RunReader(lab)
    chosen = {run.id: run for identity in runs for run in members_or_run(lab, identity)}
    found = diff([reader.entry(run) for run in chosen.values()])
    emit(found.as_json(), text=found.lines())


def _drawn(size: int, seed: int, values: Sequence[Mapping[str, Any]], *, control: bool) -> Sample:
    """Return the sample of a group of runs to train.

    Raises:
        UsageError: the command starts no group, or one of which all runs are needed.
    """
    from o1lab.train import groups

    if control or len(values) > 1 or not groups.has_lists(values[0]):
        raise UsageError(
            "--sample draws runs of a group whose fields have several values; a control or phases need all of theirs.",
            "Give fields several values (--learning-rate 1e-4,5e-4), without --with-control and phases.",
        )
    return groups.Sample(size, seed)


def _planned(text: str | None, *, dry_run: bool) -> int | None:
    """Return the bytes that a text such as ``80GB`` names.

    Raises:
        UsageError: it names none, or the command trains.
    """
    if text is None:
        return None
    if not dry_run:
        raise UsageError("--memory plans for another device, but this command trains.", "Add --dry-run.")
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text, re.IGNORECASE)
    size = int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " ")) if found else 0
    if not size:
        raise UsageError(f"--memory {text} is not a size.", "Give a number with its unit, such as 80GB.")
    return size


def _values(lab: Lab, path: Path | None, chosen: dict[str, Any], settings: list[str]) -> list[dict[str, Any]]:
    """Return the values of each run to start: one, or one per phase of the recipe file."""
    from o1lab.config import load_config
    from o1lab.train import groups, phases
    from o1lab.train.recipes import recipe_file

    values: dict[str, Any] = {"base": load_config(lab).base}
    if path is not None:
        values |= recipe_file.load_values(path)
    if phases.has_phases(values):
        if "dataset" in chosen:
            raise UsageError("Each phase of this recipe has its own dataset.", "Omit --dataset.")
        found = phases.laid_over(phases.split(values), chosen, settings)
        for field in (name for phase in found for name in groups.expand(phase)[1]):
            raise UsageError(
                f"A recipe with phases is not a group of runs, but it has several values of {field}.",
                "Give each phase one value.",
            )
        return found
    if "dataset" in chosen:
        values.pop("dataset_hash", None)  # the hash belongs to the recipe's own dataset
    values |= chosen
    values = recipe_file.override(values, settings)
    if not values.get("dataset"):
        raise UsageError("No dataset is given.", "Add --dataset NAME, or a recipe with a dataset.")
    return [values]


def _rows(lab: Lab) -> list[dict[str, Any]]:
    from o1lab.train.run_list import RunReader

    return [dict(entry.figures) for entry in RunReader(lab).read().entries]


def _column(column: RunColumn) -> Column:
    optional = column.name in ("group", "device", "eval", "rank", "dataset")
    return Column(column.name, column.cell, right=column.right, optional=optional)


_TAKEN = ("id", "name", "state", "tags")  # by all kinds of jobs
_COLUMNS = tuple(_column(COLUMNS[name]) for name in LISTED if name not in _TAKEN)
_MORE_COLUMNS = tuple(_column(one) for name, one in COLUMNS.items() if name not in (*LISTED, *_TAKEN))


def _show(lab: Lab, run: RunDir, state: RunState) -> tuple[dict[str, Any], list[str]]:
    import yaml

    from o1lab.train.run_list import RunReader
    from o1lab.train.runs.metrics_reader import last_metrics
    from o1lab.train.trainer.trackers import recorded

    reader = RunReader(lab)
    recipe, figures = dict(reader.recipe(run)), reader.entry(run).figures
    item = {name: value for name, value in figures.items() if name != "notes"} | {
        "message": state.status.message,
        "hint": state.status.hint,
        "stopped_by": state.status.stopped_by,
        "warnings": list(state.status.warnings),
        "trackers": recorded(run),
        "launch": launch.as_json() if (launch := run.launch()) is not None else None,
        "recipe": recipe,
        "dir": str(run.path),
        "checkpoints": [path.name for path in run.checkpoints()],
        "last_metrics": last_metrics(run.metrics),
        "log_tail": run.log_tail(_LOG_LINES),
    }
    lines = [
        f"run {run.id}  {state.state}  step {item['step']}/{item['total_steps']}  loss {number(item['loss'])}",
        *([item["message"]] if item["message"] else []),
        *([item["hint"]] if item["hint"] else []),
        *(f"warning      {warning}" for warning in item["warnings"]),
        *(f"tracker      {place}" for place in item["trackers"]),
        *launch_lines(run),
        f"directory    {run.path}",
        f"checkpoints  {', '.join(item['checkpoints']) or 'none'}",
        "",
        yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip(),
        "",
        *item["log_tail"],
    ]
    return item, lines


def _summary(lab: Lab, run: RunDir) -> dict[str, Any]:
    from o1lab.train.run_list import RunReader

    return dict(RunReader(lab).entry(run).figures)


def _stopping(lab: Lab, state: RunState) -> dict[str, Any]:
    from o1lab.train.runs.directory import RunDir

    saved = RunDir(lab.runs / state.id).checkpoints()
    return {
        "id": state.id,
        "state": state.state,
        "step": state.status.step,
        "checkpoint": saved[-1].name if saved else None,
    }


JOBS = JobCommands(
    "run",
    "o1lab.train.launch:RUNS",
    _rows,
    _COLUMNS,
    "No run yet. Start one: o1lab train --dataset NAME",
    _show,
    _stopping,
    "It saves a checkpoint after its current step.",
    settings=RECIPE,
    changes=("on", "processes", "nodes"),  # o1lab.train.launch.RESUME_CHANGES
    can_pause=False,
    groups=GroupCommands(members, show_group, left_out=hopeless),
    more_columns=_MORE_COLUMNS,
    filter="store.filters:RunQuery",
)
add_job_verbs(run_verbs, JOBS)


@run_verbs.command("export")
def runs_export(
    identity: Annotated[
        str, typer.Argument(metavar="RUN", help="A run or a group of runs.", autocompletion=completing("run"))
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help=f"File to write; {DASH}.")] = Path(STDOUT),
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Write CSV, the default unless FILE ends with .parquet.")
    ] = False,
    as_parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet.")] = False,
) -> None:
    """Write the metrics of a run, or of all runs of a group: a row for each logged step.

    Steps that were trained again after a resume are in it once. What was not measured at a step is empty.

    Examples: o1lab runs export 3f9c loss.csv; o1lab runs export sums-seed - --parquet > runs.parquet
    """
    from o1lab.train.runs.export import export_metrics

    if as_csv and as_parquet:
        raise UsageError("A file is CSV or Parquet.", "Give one of --csv, --parquet.")
    form = "parquet" if as_parquet or (out.suffix == ".parquet" and not as_csv) else "csv"
    runs = members_or_run(current_lab(), identity)
    with destination(out, like=f"metrics.{form}") as path:
        rows = export_metrics(runs, path, form)
    named = ", ".join(run.id for run in runs)
    place = "on standard output" if is_stdout(out) else f"in {out}"
    emit({"path": str(out), "format": form, "rows": rows, "runs": [run.id for run in runs]},
         text=f"{rows:,} rows of {named} {place} as {form}")  # fmt: skip
