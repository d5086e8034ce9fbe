"""Start and resume training runs. Does not import torch: the worker is a separate process."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from o1lab.errors import LabError, NotFoundError, O1LabError, RefusedError, UsageError
from o1lab.files import write_json, write_text
from o1lab.jobs import spawn
from o1lab.jobs.manage import JobKind
from o1lab.models.checkpoints import checkpoint_step
from o1lab.models.student import STUDENT
from o1lab.paths import Lab
from o1lab.process import QUIET_ENVIRONMENT, started_at
from o1lab.train.parent_run import origin, parent_id
from o1lab.train.recipe import Recipe, dump
from o1lab.train.rows import TrainingRow, shared_system, template_text, training_row, write_rows
from o1lab.train.run_directory import RunDir, RunStatus, find_run, list_run_dirs
from store import datasets, runs
from store.connection import Store, open_store
from store.errors import StoreError
from store.records import RunRecord, now

_PACKAGES = ("o1lab", "torch", "transformers", "peft", "trl", "accelerate", "datasets", "tokenizers")


# By default, glibc returns the memory of every large tensor to the kernel. These settings keep it: ten steps of the
# demo on two cores took 60 s instead of 77, start included, and 5 s of system time instead of 16.
KEEP_MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456"
}


def launch(lab: Lab, recipe: Recipe, *, store: Store | None = None) -> tuple[RunDir, int]:
    """Create a run directory, register the run, and start its detached worker.

    Args:
        lab: the lab.
        recipe: the recipe; see :func:`resolve_rows` for the values that are filled in.
        store: the lab's database, if it is open already.

    Returns:
        The run and the process id of its worker.

    Raises:
        NotFoundError: the dataset or the run to start from does not exist.
        UsageError, RefusedError: as :func:`resolve_rows`.
        LabError: the lab cannot be written, or the training extra is not installed.
    """
    require_trainer()
    with opened_store(lab, store) as opened:
        run, record = make_run(lab, recipe, opened)
        runs.add(opened.db, record)
    return run, start_worker(run)


@contextmanager
def opened_store(lab: Lab, store: Store | None) -> Iterator[Store]:
    """Yield ``store``, or open the lab's database for the block; store errors become :class:`O1LabError`."""
    opened = store or open_store(lab.database, create=False)
    try:
        yield opened
    except StoreError as error:
        raise _explained(error) from error
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
        The recipe with the dataset's name and hash, its phase, an absolute base folder and the values of the adapter
        that it starts from; and the rows.

    Raises:
        NotFoundError: the dataset or the run to start from does not exist.
        UsageError: the dataset does not have the hash in the recipe, or the adapter to start from has another shape
            than the recipe asks for.
        RefusedError: the run to wait for will not finish or has another base; the recipe is for phase 1 and some
            rows have no solution; or the rows have different system messages and the recipe does not say what to do
            with them (code ``system_differs``).
    """
    try:
        dataset = datasets.get(store.db, recipe.dataset)
        rows = [training_row(row, recipe.phase) for row in datasets.rows(store.db, dataset.name)]
    except StoreError as error:
        raise _explained(error) from error
    if recipe.dataset_hash and recipe.dataset_hash != dataset.hash:
        raise UsageError(
            f"The dataset {dataset.name} has the hash {dataset.hash}, but the recipe expects {recipe.dataset_hash}.",
            "Clear dataset_hash in the recipe to train on the current dataset.",
        )
    values: dict[str, Any] = {"dataset": dataset.name, "dataset_hash": dataset.hash}
    if recipe.base.lower() != STUDENT and (folder := Path(recipe.base).expanduser()).is_dir():
        values["base"] = str(folder.absolute())  # the worker runs in another folder
    if dataset.phase == 1:
        values["phase"] = 1  # its rows have no thoughts
    values |= shared_system(recipe, rows)
    if recipe.chat_template:
        values["chat_template"] = template_text(recipe.chat_template)
    resolved = recipe.model_copy(update=values)
    if resolved.phase == 1 and (empty := sum(not row.solution for row in rows)):
        raise RefusedError(
            f"{empty:,} rows of {dataset.name} have no solution, but phase 1 trains on the solution alone.",
            "Create a dataset for phase 1 of the same traces, which omits these: `o1lab dataset create --phase 1`.",
            code="no_solution",
        )
    return resolved.model_copy(update=origin(lab, resolved)), rows


def prepare(lab: Lab, run: RunDir, recipe: Recipe, rows: Iterable[TrainingRow]) -> None:
    """Create a run directory with everything that a worker needs.

    Raises:
        LabError: it cannot be written.
    """
    try:
        run.path.mkdir(parents=True)
        (run.path / "control").mkdir()
        run.checkpoints_dir.mkdir()
        trace_ids = write_rows(run.data, rows)
        write_text(run.recipe, dump(recipe))
        summary = {"name": recipe.dataset, "hash": recipe.dataset_hash, "rows": len(trace_ids), "trace_ids": trace_ids}
        write_json(run.dataset, summary)
        write_text(run.command, reproducing_command(lab, run) + "\n")
        write_json(run.env, environment())
        run.metrics.touch()
        run.samples.touch()
        run.write_status(_waiting_status("Waiting for its process to start."))
    except OSError as error:
        raise LabError(
            f"Cannot write the run directory {run.path}: {error.strerror}.", "Check the lab's disk and permissions."
        ) from error


def start_worker(run: RunDir, *, resuming: bool = False) -> int:
    """Start the run's detached worker; its output goes to log.txt.

    Returns:
        The process id of the worker.

    Raises:
        LabError: the process or its log cannot be created.
    """
    run.clear_control_files()
    arguments = ["--resume"] if resuming else []
    pid = spawn.launch(run, "o1lab.train.worker", *arguments, env=KEEP_MEMORY | os.environ | QUIET_ENVIRONMENT)
    status = run.read_status()
    if status.pid is None:  # the worker has not written its own status yet
        waiting = _waiting_status("Loading.", state="starting", step=status.step, total_steps=status.total_steps)
        run.write_status(replace(waiting, pid=pid, pid_started=started_at(pid)))
    return pid


def resume(lab: Lab, identity: str) -> tuple[RunDir, int]:
    """Continue a stopped, failed or dead run from its last checkpoint, under the same id.

    Returns:
        The run and the process id of its new worker.

    Raises:
        NotFoundError: there is no such run.
        UsageError: it is running, or it finished.
        RefusedError: it has no checkpoint to continue from.
    """
    run = find_run(lab, identity)
    _prepare(lab, run, {})
    return run, start_worker(run, resuming=True)


def _prepare(lab: Lab, run: RunDir, changes: Mapping[str, Any]) -> None:
    require_trainer()
    state = run.info()
    if state.active:
        raise UsageError(f"The run {run.id} is already {state.state}.", f"Watch it: `o1lab runs watch {run.id}`.")
    if any(value is not None for value in changes.values()):
        raise UsageError("The recipe of a run cannot change.", "Start a new run: o1lab train --recipe FILE ...")
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
    run.write_status(_waiting_status(f"Resuming from step {step}.", step=step))


def _forget(lab: Lab, run: RunDir) -> tuple[str, ...]:
    """Delete a run's row; refuse if other runs start from it."""
    others = (other for other in list_run_dirs(lab) if other.id != run.id)
    children = [other.id for other in others if parent_id(other.recipe) == run.id]
    if children:
        raise RefusedError(f"Other runs start from the run {run.id}: {', '.join(children[:5])}.", "Delete those first.")
    with opened_store(lab, None) as opened:
        runs.remove(opened.db, run.id)
    return ()


RUNS = JobKind(
    RunDir, lambda lab: lab.runs, _prepare, lambda run: start_worker(run, resuming=True), _forget, can_pause=False
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
    from importlib.util import find_spec

    missing = [name for name in ("torch", "transformers", "peft", "trl", "datasets") if find_spec(name) is None]
    if missing:
        raise LabError(
            f"Training needs these packages, which are not installed: {', '.join(missing)}.",
            "Install the extra: pip install 'o1lab[train]'.",
            code="no_trainer",
        )


def environment() -> dict[str, Any]:
    """Return the content of env.json: versions, machine and git state. The worker adds the device."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "versions": versions,
        "git": git_state(Path(__file__).parent),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and ``dirty`` of the checkout that contains ``folder``; None for an installed package."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _waiting_status(message: str, *, state: str = "queued", step: int = 0, total_steps: int = 0) -> RunStatus:
    host, now_s = socket.gethostname(), time.time()
    return RunStatus(state, host=host, heartbeat=now_s, message=message, step=step, total_steps=total_steps)


def _explained(error: StoreError) -> O1LabError:
    kind = NotFoundError if error.code == "not_found" else LabError
    return kind(error.message, error.hint, code=error.code)
