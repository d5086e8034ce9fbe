"""Start and resume training runs. Does not import torch: the worker is a separate process."""

from __future__ import annotations

import shlex
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from o1lab.errors import O1LabError, RefusedError, UsageError
from o1lab.files import write_json, write_text, writing
from o1lab.jobs import spawn
from o1lab.jobs.manage import JobKind
from o1lab.labs import open_lab
from o1lab.models.checkpoints import checkpoint_step
from o1lab.models.imported import find_imported
from o1lab.models.student import STUDENT, require_train_extra
from o1lab.paths import Lab
from o1lab.process import started_at
from o1lab.train.launchers import LAUNCHERS
from o1lab.train.parent_run import origin, parent_id
from o1lab.train.recipes.objective import kind_of
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import dump, load, resolve, rewrite
from o1lab.train.replay import replay_rows
from o1lab.train.rows import (
    TrainingRow,
    pair_row,
    shared_system,
    template_text,
    training_row,
    without_solution,
    write_rows,
)
from o1lab.train.runs.directory import RunDir, RunStatus, list_run_dirs
from o1lab.train.runs.environment import environment
from store import datasets, pairs, runs
from store.connection import Store
from store.records import RunRecord, now


def launch(lab: Lab, recipe: Recipe, *, store: Store | None = None) -> tuple[RunDir, int | None]:
    """Create a run and start its worker, as :func:`launch_together` does for several."""
    return launch_together(lab, [recipe], store=store)[0]


def launch_together(
    lab: Lab,
    recipes: Sequence[Recipe],
    *,
    store: Store | None = None,
    changes: Callable[[Sequence[RunDir]], Mapping[str, Any]] = lambda _created: {},
    created_one: Callable[[RunDir, Recipe], None] = lambda _run, _recipe: None,
) -> list[tuple[RunDir, int | None]]:
    """Create a run directory for each recipe, register the runs, and start their detached workers.

    Either all run directories are created or none. If a worker cannot be started, those after it, which may wait for
    its run, are not started either; all can be resumed.

    Args:
        lab: the lab.
        recipes: the recipes; see :func:`resolve_rows` for the values that are filled in.
        store: the lab's database, if it is open already.
        changes: returns new values for the next recipe, from the runs that were created before.
        created_one: called with each run and its recipe, before the run is registered.

    Returns:
        Each run and the process id of its worker; None for a worker elsewhere (see :meth:`RunDir.launch`).

    Raises:
        NotFoundError: a dataset or the run to start from does not exist.
        UsageError, RefusedError: as :func:`resolve_rows`; or a run needs several nodes.
        LabError: the lab cannot be written, or the training extra is not installed.
        O1LabError: a worker cannot be started; the message says which runs were started (see :func:`_start_all`).
    """
    require_trainer()
    for recipe in recipes:
        require_one_node(recipe)
    created: list[RunDir] = []
    records: list[RunRecord] = []
    with opened_store(lab, store) as opened:
        try:
            for recipe in recipes:  # the lab is not locked while their rows are written, which may take minutes
                run, record = make_run(lab, recipe.model_copy(update=dict(changes(created))), opened)
                created.append(run)
                records.append(record)
                created_one(run, recipe)
            with opened.db.atomic():
                for record in records:
                    runs.add(opened.db, record)
        except BaseException:
            for run in created:
                shutil.rmtree(run.path, ignore_errors=True)
            raise
    return _start_all(created)


def _start_all(created: Sequence[RunDir]) -> list[tuple[RunDir, int | None]]:
    """Start the workers of runs up to the first that cannot be started; the others are marked as stopped.

    Raises:
        O1LabError: one cannot be started; with the class and code of the launcher's error.
    """
    started: list[tuple[RunDir, int | None]] = []
    for number, run in enumerate(created):
        try:
            started.append((run, start_worker(run)))
        except BaseException as error:  # also Ctrl-C
            left = created[number + 1 :]
            for other in left:
                message = f"It was not submitted, because the run {run.id} before it was not."
                status = replace(other.read_status(), state="stopped", message=message, hint=other.resume_hint)
                other.write_status(status)
            if isinstance(error, O1LabError) and len(created) > 1:
                raise _partly_started(error, [one for one, _ in started], [run, *left]) from error
            raise
    return started


def _partly_started(error: O1LabError, started: Sequence[RunDir], refused: Sequence[RunDir]) -> O1LabError:
    """Return the error of one of several runs, with the state of all of them."""
    names = ", ".join(run.id for run in refused)
    begun = f"started: {', '.join(run.id for run in started)}; " if started else ""
    tag = refused[0].group()
    again = shlex.quote(tag.name) if tag is not None else refused[0].id
    others = "" if tag is not None or len(refused) == 1 else " (and so each of the others)"
    message = (
        f"{len(refused)} of {len(started) + len(refused)} runs were not submitted: {error.message.rstrip('.')} "
        f"({begun}not submitted: {names})."
    )
    hint = f"{error.hint} Then submit the rest: {refused[0].verb} resume {again}{others}."
    return type(error)(message, hint.strip(), code=error.code)


@contextmanager
def opened_store(lab: Lab, store: Store | None) -> Iterator[Store]:
    """Yield ``store``, or open the lab's database for the block."""
    opened = store or open_lab(lab, create=False)
    try:
        yield opened
    finally:
        if store is None:
            opened.close()


def make_run(lab: Lab, recipe: Recipe, store: Store) -> tuple[RunDir, RunRecord]:
    """Create a run directory. The caller registers the record and starts the worker.

    Returns:
        The run and its record.

    Raises:
        NotFoundError, UsageError, RefusedError, LabError: as :func:`resolve_rows` and :func:`prepare`.
    """
    resolved, rows = resolve_rows(lab, recipe, store)
    run = RunDir(lab.runs / spawn.new_id(lab.runs))
    prepare(lab, run, resolved, rows)
    record = RunRecord(
        id=run.id,
        dir=str(run.path.relative_to(lab.root)),
        base=resolved.base,
        dataset=resolved.dataset,
        dataset_hash=resolved.dataset_hash,
        init_from=resolved.init_from,
        created_at=now(),
    )
    return run, record


def resolve_rows(lab: Lab, recipe: Recipe, store: Store) -> tuple[Recipe, list[TrainingRow]]:
    """Resolve a recipe against the lab, and read the rows of its dataset.

    Returns:
        The recipe with the names and hashes of its datasets, its phase, an absolute base folder and the values of the
        adapter that it starts from; and the rows, those of the replay dataset last.

    Raises:
        NotFoundError: the dataset, the replay dataset or the run to start from does not exist.
        UsageError: a dataset does not have the hash in the recipe, or the adapter to start from has another shape
            than the recipe asks for.
        RefusedError: the replay dataset does not fit (see :func:`replay_rows`); the run to wait for will not finish or
            has another base; the recipe is for phase 1 and some rows have no solution; or the rows have different
            system messages and the recipe does not say what to do with them (code ``system_differs``).
    """
    dataset = datasets.get(store.db, recipe.dataset, kind=kind_of(recipe.objective))
    if dataset.kind == "pairs":
        rows = [pair_row(row, recipe.phase) for row in pairs.rows(store.db, dataset.name)]
    else:
        rows = [training_row(row, recipe.phase) for row in datasets.rows(store.db, dataset.name)]
    replay, replayed = replay_rows(store.db, recipe.model_copy(update=_absolute(lab, recipe.base)), rows)
    if recipe.dataset_hash and recipe.dataset_hash != dataset.hash:
        raise UsageError(
            f"The dataset {dataset.name} has the hash {dataset.hash}, but the recipe expects {recipe.dataset_hash}.",
            "Clear dataset_hash in the recipe to train on the current dataset.",
        )
    values: dict[str, Any] = {
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        **replay,
        **_absolute(lab, recipe.base),
    }
    if dataset.phase == 1:
        values["phase"] = 1  # its rows have no thoughts
    values |= shared_system(recipe, rows)
    if recipe.chat_template:
        values["chat_template"] = template_text(recipe.chat_template)
    resolved = recipe.model_copy(update=values)
    if resolved.phase == 1 and (empty := sum(map(without_solution, rows))):
        raise RefusedError(
            f"{empty:,} rows of {dataset.name} have no solution, but phase 1 trains on the solution alone.",
            "Create a dataset for phase 1 of the same traces, which omits these: `o1lab dataset create --phase 1`.",
            code="no_solution",
        )
    return resolved.model_copy(update=origin(lab, resolved)), [*rows, *replayed]


def _absolute(lab: Lab, base: str) -> dict[str, Any]:
    """Return the absolute folder of a base as a value of the recipe: the worker runs in another folder.

    Raises:
        UsageError: it is the name of an adapter of the lab.
    """
    if base.lower() == STUDENT:
        return {}
    if not (folder := Path(base).expanduser()).is_dir():
        one = find_imported(lab, base)
        if one is None:
            return {}
        if one.kind == "adapter":
            raise UsageError(
                f"{base} is an adapter for {one.base}.", f"Start from it: --base {one.base} --init-from {base}"
            )
        folder = one.folder
    return {"base": str(folder.absolute())}


def prepare(lab: Lab, run: RunDir, recipe: Recipe, rows: Iterable[TrainingRow]) -> None:
    """Create a run directory with everything that a worker needs.

    Raises:
        LabError: it cannot be written.
    """
    with writing(f"the run directory {run.path}"):
        run.path.mkdir(parents=True)
        (run.path / "control").mkdir()
        run.checkpoints_dir.mkdir()
        ids, replayed = write_rows(run.data, rows)
        write_text(run.recipe, dump(recipe))
        summary = {"name": recipe.dataset, "hash": recipe.dataset_hash, "rows": len(ids), "trace_ids": ids}
        if replayed:
            named = {"name": recipe.replay_dataset, "hash": recipe.replay_hash}
            summary["replay"] = {**named, "rows": len(replayed), "trace_ids": replayed}
        write_json(run.dataset, summary)
        write_text(run.command, reproducing_command(lab, run) + "\n")
        write_json(run.env, environment())
        run.metrics.touch()
        run.samples.touch()
        run.write_status(_waiting_status("Waiting for its process to start.", kind=recipe.kind))


def start_worker(run: RunDir, *, resuming: bool = False) -> int | None:
    """Start the run's worker with the launcher of its recipe; its output goes to log.txt.

    Returns:
        The process id of the worker; None if it is not a process of this machine.

    Raises:
        LabError: it cannot be started; the run has failed, and can be resumed.
        UsageError: there is no such launcher.
    """
    run.clear_control_files()
    recipe = load(run.recipe)
    try:
        pid = LAUNCHERS.get(recipe.on).start(run, recipe, resuming=resuming)
    except O1LabError as error:
        failed = replace(run.read_status(), state="failed", heartbeat=time.time())
        run.write_status(replace(failed, message=error.message, hint=error.hint))
        raise
    status = run.read_status()
    if pid is not None and status.pid is None:  # the worker has not written its own status yet
        waiting = replace(status, state="starting", message="Loading.", heartbeat=time.time())
        run.write_status(replace(waiting, pid=pid, pid_started=started_at(pid)))
    return pid


RESUME_CHANGES = ("on", "processes", "nodes")
"""The fields of a recipe that a resume may change: those that say where the run trains."""


def _prepare(lab: Lab, run: RunDir, changes: Mapping[str, Any]) -> None:
    require_trainer()
    state = run.info()
    if state.active:
        raise UsageError(f"The run {run.id} is already {state.state}.", f"Watch it: `o1lab runs watch {run.id}`.")
    given = {name: value for name, value in changes.items() if value is not None}
    if not given.keys() <= set(RESUME_CHANGES):
        raise UsageError(
            "A resume changes only on, processes and nodes of the recipe.",
            "Start a new run: o1lab train --recipe FILE ...",
        )
    recipe = load(run.recipe)
    changed = resolve(recipe.model_dump() | given) if given else recipe
    require_one_node(changed)
    saved = run.checkpoints()
    if state.state == "finished":
        raise UsageError(
            f"The run {run.id} has finished.", f"Start a new run from it: `o1lab train --init-from {run.id} ...`."
        )
    if not saved and state.status.step > 0:
        raise RefusedError(
            f"The run {run.id} has no checkpoint to continue from.", "Start a new run with a smaller save_steps."
        )
    step = checkpoint_step(saved[-1]) if saved else 0
    run.clear_control_files()  # or it would be shown as stopping
    if changed != recipe:
        rewrite(run.recipe, changed)
    before = state.status
    kept: dict[str, Any] = {"total_steps": before.total_steps, "kind": before.kind, "warnings": before.warnings}
    run.write_status(_waiting_status(f"Resuming from step {step}.", step=step, **kept))


def require_one_node(recipe: Recipe) -> None:
    """Refuse to start the processes of several nodes from here.

    Raises:
        RefusedError: the recipe needs several (code ``several_nodes``).
    """
    if recipe.nodes > 1 and not LAUNCHERS.get(recipe.on).elsewhere:
        raise RefusedError(
            f"The recipe trains on {recipe.nodes} nodes, and this starts processes on this machine only.",
            "Add --on hand, slurm or ray; or set nodes=1, and processes to the number of GPUs.",
            code="several_nodes",
        )


def _require_unneeded(lab: Lab, run: RunDir) -> None:
    """Refuse to remove a run that other runs start from."""
    others = (other for other in list_run_dirs(lab) if other.id != run.id)
    children = [other.id for other in others if parent_id(other.recipe) == run.id]
    if children:
        raise RefusedError(f"Other runs start from the run {run.id}: {', '.join(children[:5])}.", "Delete those first.")


def _forget(lab: Lab, run: RunDir) -> tuple[str, ...]:
    """Delete a run's row."""
    with opened_store(lab, None) as opened:
        runs.remove(opened.db, run.id)
    return ()


RUNS = JobKind(
    RunDir,
    lambda lab: lab.runs,
    _prepare,
    lambda run: start_worker(run, resuming=True),
    _forget,
    can_pause=False,
    require_unneeded=_require_unneeded,
)
"""Training runs, for :mod:`o1lab.jobs.manage`."""


def reproducing_command(lab: Lab, run: RunDir) -> str:
    """Return the command that repeats the run from the recipe in its directory."""
    return shlex.join(["o1lab", "--lab", str(lab.root), "train", "--recipe", str(run.recipe)])


def require_trainer() -> None:
    """Check that the training packages are installed, without importing them.

    Raises:
        LabError: the training extra is missing.
    """
    require_train_extra("Training", ("torch", "transformers", "peft", "trl", "datasets"), code="no_trainer")


def _waiting_status(message: str, *, state: str = "queued", **values: Any) -> RunStatus:
    return RunStatus(state, host=socket.gethostname(), heartbeat=time.time(), message=message, **values)
