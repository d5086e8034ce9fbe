"""What uses an imported or merged model: servers, runs that train on it or can be resumed, models made from it."""

from __future__ import annotations

from pathlib import Path

from o1lab.errors import RefusedError, UsageError
from o1lab.format import first_of
from o1lab.models.imported import Imported
from o1lab.paths import Lab
from o1lab.serve.records import live_records
from o1lab.serve.registry import list_models
from o1lab.train.recipes.recipe_file import load_values
from o1lab.train.runs.directory import RunDir, list_run_dirs

_SHOWN = 5  # the number of runs and models that an error names


def require_unused(lab: Lab, one: Imported) -> None:
    """Check that no server has a model, no active run trains on it, and nothing that is kept needs it.

    Raises:
        RefusedError: something does.
    """
    for record in live_records(lab):
        if one.name in record.models:
            stop = f"Stop it first: kill {record.pid}"
            raise RefusedError(f"The server {record.pid} serves {one.name}.", stop, code="in_use")
    runs = _unfinished_runs(lab, one)
    for run in runs:
        if run.info().active:
            stop = f"Stop it first: o1lab runs stop {run.id}"
            raise RefusedError(f"The run {run.id} trains on {one.name}.", stop, code="in_use")
    needed = _needed_by(lab, one, [run.id for run in runs])
    if needed:
        todo = "; ".join(dict.fromkeys(needed.values()))
        raise RefusedError(f"{one.name} is needed by {first_of([*needed], _SHOWN)}.", f"First {todo}.", code="in_use")


def _is_base(base: object, one: Imported) -> bool:
    return isinstance(base, str) and Path(base).expanduser().resolve() == one.folder.resolve()


def _unfinished_runs(lab: Lab, one: Imported) -> list[RunDir]:
    """Return the runs on a model that train, or that can be resumed."""
    found = []
    for run in list_run_dirs(lab):
        info = run.info()
        ended = info.state == "finished" or not (info.active or run.checkpoints() or info.status.step == 0)
        try:
            values = {} if ended else load_values(run.recipe)
        except UsageError:
            continue
        if _is_base(values.get("base"), one) or values.get("init_from") == f"models/{one.name}":
            found.append(run)
    return found


def _needed_by(lab: Lab, one: Imported, resumable: list[str]) -> dict[str, str]:
    """Return what cannot be used without a model, and for each what to do first."""
    delete_runs, delete_models = "delete them with o1lab runs rm RUN", "delete them with o1lab models rm NAME"
    found = {f"the run {run} (it can be resumed)": delete_runs for run in resumable}
    for ref in list_models(lab):
        if ref.id == one.name or not _is_base(ref.base, one) or ref.run_id in resumable:
            continue
        if ref.run_id is not None:
            found[f"the run {ref.run_id}"] = delete_runs
        elif ref.source == "base":
            found["o1lab.toml"] = "name another base in o1lab.toml"
        else:
            found[ref.id] = delete_models
    return found
