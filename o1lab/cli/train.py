"""Commands of training: train, and the verbs of runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli import options
from o1lab.cli.jobs import IdArgument, JobCommands, add_job_verbs, progress_column
from o1lab.cli.listing import Column
from o1lab.cli.output import JsonOption, context, emit, say
from o1lab.format import byte_size, number
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.jobs.manage import JobKind
    from o1lab.paths import Lab
    from o1lab.train.metrics_reader import Metrics
    from o1lab.train.preflight.report import Preflight
    from o1lab.train.recipe import Recipe
    from o1lab.train.run_directory import RunDir, RunState

_LOG_LINES = 20

runs_app = typer.Typer(
    help="List, show, stop, resume, rename and delete training runs.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    app.command("train", cls=options.command_with(_recipe))(train)
    app.add_typer(runs_app, name="runs")


def _recipe() -> type[Recipe]:
    from o1lab.train.recipe import Recipe

    return Recipe


def train(
    ctx: typer.Context,
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
    wait: Annotated[bool, typer.Option("--wait", help="Print the steps and return when the run has ended.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run preflight before the launch and refuse on problems.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a student on a dataset, in a background process.

    A recipe with `phases` starts one run per phase at once. Each run waits until the previous one has finished and
    continues from its last checkpoint. --init-from RUN/end does the same by hand.

    Example: o1lab train --dataset accepted --steps 100 --wait
    """
    from o1lab.train import recipe as recipes
    from o1lab.train.launch import launch
    from o1lab.train.preflight.report import run_preflight

    lab = context(ctx).lab()
    values = _values(lab, recipe, options.given(ctx), settings or [])
    if len(values) > 1:
        from o1lab.cli.train_phases import train_phases

        train_phases(lab, recipe, values, dry_run=dry_run, wait=wait, check=check, as_json=as_json)
        return
    chosen = recipes.resolve(values[0])
    if dry_run or check:
        found = run_preflight(lab, chosen)
        if dry_run:
            emit(found.as_json(), as_json=as_json, text=preflight_text(found))
            if not found.ok:
                raise typer.Exit(5)
            return
        for warning in found.warnings:
            say(f"{warning.message} {warning.hint}".strip())
        found.refuse()
    run, pid = launch(lab, chosen)
    answer: dict[str, Any] = {"run_id": run.id, "dir": str(run.path), "pid": pid}
    if not wait:
        emit(answer, as_json=as_json, text=f"Run {run.id} started (pid {pid}). Follow it: o1lab runs watch {run.id}")
        return
    if not as_json:
        say(f"Run {run.id} started (pid {pid}).")
    state = follow_run(run, quiet=as_json)
    answer |= {"state": state.state, "step": state.status.step, "message": state.status.message}
    emit(answer, as_json=as_json, text=ended_text(run, state))
    exit_by(state)


@runs_app.command("watch")
def runs_watch(ctx: typer.Context, run_id: IdArgument, as_json: JsonOption = False) -> None:
    """Print a line for each step until the run ends. Ctrl-C does not stop the run."""
    from o1lab.train.metrics_reader import last_metrics
    from o1lab.train.run_directory import find_run

    run = find_run(context(ctx).lab(), run_id)
    state = follow_run(run, quiet=as_json)
    answer = _summary(run, state) | {"message": state.status.message, "last_metrics": last_metrics(run.metrics)}
    emit(answer, as_json=as_json, text=ended_text(run, state))
    exit_by(state)


def _values(lab: Lab, path: Path | None, chosen: dict[str, Any], settings: list[str]) -> list[dict[str, Any]]:
    """Return the values of each run to start: one, or one per phase of the recipe file."""
    from o1lab.config import load_config
    from o1lab.errors import UsageError
    from o1lab.train import phases
    from o1lab.train import recipe as recipes

    values: dict[str, Any] = {"base": load_config(lab).base}
    if path is not None:
        values |= recipes.load_values(path)
    if phases.has_phases(values):
        if "dataset" in chosen:
            raise UsageError("Each phase of this recipe has its own dataset.", "Omit --dataset.")
        return phases.laid_over(phases.split(values), chosen, settings)
    if "dataset" in chosen:
        values.pop("dataset_hash", None)  # the hash belongs to the recipe's own dataset
    values |= chosen
    values = recipes.override(values, settings)
    if not values.get("dataset"):
        raise UsageError("No dataset is given.", "Add --dataset NAME, or a recipe with a dataset.")
    return [values]


def _with_recipe(run: RunDir, state: RunState) -> tuple[dict[str, Any], RunState]:
    """Return the values of a run's recipe, and its state with what is wrong with the recipe."""
    from o1lab.errors import UsageError
    from o1lab.train.recipe import load_values

    try:
        return load_values(run.recipe), state
    except UsageError as error:
        return {}, replace(state, unreadable="; ".join(filter(None, (state.unreadable, error.message))))


def _rows(lab: Lab) -> list[dict[str, Any]]:
    from o1lab.train.launch import RUNS

    return [_summary(run, run.info()) for run in RUNS.directories(lab)]


_COLUMNS = (
    progress_column("step", "step", "total_steps"),
    Column("loss", lambda item: number(item["loss"]), right=True),
    Column("base", "base"),
    Column("dataset", "dataset_hash"),
)


def _show(_lab: Lab, run: RunDir, state: RunState) -> tuple[dict[str, Any], list[str]]:
    import yaml

    from o1lab.train.metrics_reader import last_metrics

    recipe, state = _with_recipe(run, state)
    item = _keys(run, state, recipe) | {
        "message": state.status.message,
        "hint": state.status.hint,
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
        f"directory    {run.path}",
        f"checkpoints  {', '.join(item['checkpoints']) or 'none'}",
        "",
        yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip(),
        "",
        *item["log_tail"],
    ]
    return item, lines


def _summary(run: RunDir, state: RunState) -> dict[str, Any]:
    recipe, state = _with_recipe(run, state)
    return _keys(run, state, recipe)


def _keys(run: RunDir, state: RunState, recipe: dict[str, Any]) -> dict[str, Any]:
    from o1lab.train.metrics_reader import last_metrics

    return {
        "id": run.id,
        "state": state.state,
        "step": state.status.step,
        "total_steps": state.status.total_steps,
        "loss": last_metrics(run.metrics).get("loss"),
        "base": recipe.get("base"),
        "dataset_hash": recipe.get("dataset_hash"),
        "heartbeat_age_s": None if state.heartbeat_age_s is None else round(state.heartbeat_age_s, 1),
        "name": state.name,
        "unreadable": state.unreadable or None,
    }


def _stopping(lab: Lab, state: RunState) -> dict[str, Any]:
    from o1lab.train.run_directory import RunDir

    saved = RunDir(lab.runs / state.id).checkpoints()
    return {
        "id": state.id,
        "state": state.state,
        "step": state.status.step,
        "checkpoint": saved[-1].name if saved else None,
    }


def _kind() -> JobKind[Any]:
    from o1lab.train.launch import RUNS

    return RUNS


JOBS = JobCommands(
    "run",
    _kind,
    _rows,
    _COLUMNS,
    "No run yet. Start one: o1lab train --dataset NAME",
    _show,
    _stopping,
    "It saves a checkpoint after its current step.",
    can_pause=False,
)
add_job_verbs(runs_app, JOBS)


def follow_run(run: RunDir, *, quiet: bool) -> RunState:
    """Print a line for each step until the run ends.

    Args:
        run: the run.
        quiet: print nothing.

    Returns:
        The final state of the run.
    """
    from o1lab.jobs.manage import follow
    from o1lab.train.metrics_reader import Metrics

    metrics = Metrics(run.metrics)
    shown, generation, message = 0, 0, ""
    state = run.info()
    try:
        for state in follow(run):
            metrics.poll()
            if quiet:
                continue
            if metrics.generation != generation:
                generation, shown = metrics.generation, min(shown, len(metrics))
            if state.active and state.status.message != message:
                message = state.status.message
                if message:
                    say(message)
            for at in range(shown, len(metrics)):
                emit({}, as_json=False, text=_step_line(metrics, at, state.status.total_steps))
            shown = len(metrics)
    except KeyboardInterrupt:
        say(f"Run {run.id} continues in the background. Stop it: o1lab runs stop {run.id}")
        raise
    return state


def _step_line(metrics: Metrics, at: int, total: int) -> str:
    def value(name: str) -> str:
        column = metrics.columns.get(name)
        return number(None if column is None or math.isnan(column[at]) else column[at])

    parts = [
        f"step {int(metrics.steps[at])}/{total}",
        f"loss {value('loss')}",
        f"lr {value('learning_rate')}",
        f"grad {value('grad_norm')}",
        f"{value('tokens_per_second')} tok/s",
    ]
    if (evaluated := value("eval_loss")) != number(None):
        parts.append(f"eval_loss {evaluated}")
    return "  ".join(parts)


def ended_text(run: RunDir, state: RunState) -> str:
    """Return the state of a run with its message and hint."""
    words = [f"Run {run.id} is {state.state}.", state.status.message, state.status.hint]
    return " ".join(word for word in words if word)


def exit_by(state: RunState) -> None:
    """Exit with status 1 if the run failed or died."""
    if state.state in ("failed", "dead"):
        raise typer.Exit(1)


def preflight_text(found: Preflight) -> str:
    """Return the preflight report as lines of text."""
    tokens = found.tokens
    lines = [f"rows            {found.rows}"]
    if tokens.total:  # otherwise the base could not be read and nothing was measured
        lines = [
            f"rows            {found.rows} ({found.train_rows} for training, {found.eval_rows} held out)",
            f"tokens per row  median {tokens.p50}, 95 % below {tokens.p95}, maximum {tokens.max}, total {tokens.total}",
            f"over length     {found.over_length} ({found.dropped_rows} dropped, {found.truncated_rows} cut)",
            f"trained tokens  {found.trained_tokens}",
            f"end of turn     {found.end_of_turn} {'is trained' if found.end_of_turn_trained else 'is not trained'}",
        ]
    if found.thought_survives is not None:
        lines.append(f"thought         {'is trained in full' if found.thought_survives else 'is changed'}")
    if system := found.system_prompt or found.template_system:
        whose = "" if found.system_prompt else " (of the chat template)"
        lines.append(f"system message  {one_line(system, 60)}{whose}")
    if found.trainable_parameters:
        of_base = f"{found.trainable_parameters / max(found.base_parameters, 1):.2%} of the base's"
        names = ", ".join(f"{target.name} ({target.layers})" for target in found.targets)
        lines += [
            f"adapter         on {names}",
            f"trainable       {found.trainable_parameters:,} parameters, {of_base} {found.base_parameters:,}",
        ]
    if found.memory_bytes:
        available = byte_size(found.memory.available)
        lines.append(f"memory          about {byte_size(found.memory_bytes)} of {available} free")
    if tokens.total:
        lines += [f"device          {found.device} {found.dtype}", f"steps           {found.total_steps}"]
    lines.append(f"command         {found.command}")
    for problem in (*found.problems, *found.warnings):
        lines += ["", f"{problem.code}: {problem.message}", f"  {problem.hint}"]
    return "\n".join(lines)
