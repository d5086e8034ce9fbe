"""What a lab has recorded about one training run: its stages, their datasets, and the evaluations of the student."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from o1lab.errors import LabError, NotFoundError, O1LabError, UsageError
from o1lab.evaluate.report.selection import ComparisonKey, EvaluationResult, choose
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.evaluate.suites.suite import Suite, find_suite
from o1lab.paths import Lab
from o1lab.small_files import read_json, read_object
from o1lab.train.parent_run import parent_id
from o1lab.train.recipes.recipe_file import load_values
from o1lab.train.runs.directory import RunDir, find_run, list_run_dirs
from store import Store, datasets
from store.records import Dataset


@dataclass(frozen=True)
class Stage:
    """One run of the chain that led to the student.

    Attributes:
        run: its directory.
        recipe: the values of its recipe; empty if it cannot be read.
        dataset: its dataset in the lab; None if it is gone.
        fault: why the dataset of the lab is not the one that the run was trained on; empty if it is.
        replay: the dataset that its replay rows were taken from; None without replay, or if it is gone.
        replayed: the traces of its replay rows.
    """

    run: RunDir
    recipe: dict[str, Any]
    dataset: Dataset | None
    fault: str = ""
    replay: Dataset | None = None
    replayed: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabFacts:
    """The records of a lab about one run.

    Attributes:
        lab: the lab.
        store: its database.
        stages: the run and the runs that it starts from, the first one first.
        missing_parent: the id of a run that a stage starts from and that is gone, or models/NAME for an imported
            adapter; empty if there is none.
    """

    lab: Lab
    store: Store
    stages: tuple[Stage, ...]
    missing_parent: str = ""

    @property
    def run(self) -> RunDir:
        return self.stages[-1].run

    @cached_property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets of all stages, those of replay rows included, each once."""
        named = [one for stage in self.stages for one in (stage.dataset, stage.replay) if one is not None]
        return tuple({one.name: one for one in named}.values())

    @cached_property
    def replayed(self) -> tuple[Dataset, ...]:
        """The replay datasets of all stages, each once: answers of the base that were mixed in."""
        names = dict.fromkeys(str(name) for one in self.stages if (name := one.recipe.get("replay_dataset")))
        found = {one.name: one for one in datasets.all_datasets(self.store.db)}
        return tuple(found[name] for name in names if name in found)

    @cached_property
    def results(self) -> tuple[EvaluationResult, ...]:
        """The latest evaluation of each model on each suite."""
        return tuple(choose(self.store.db))

    def of_run(self, run: str) -> tuple[EvaluationResult, ...]:
        """Return the evaluations of the checkpoints of a run."""
        return tuple(one for one in self.results if one.evaluation.model.partition("/")[0] == run)

    @cached_property
    def of_student(self) -> tuple[EvaluationResult, ...]:
        """The evaluations of this run's checkpoints."""
        return self.of_run(self.run.id)

    @cached_property
    def compared(self) -> list[EvaluationResult]:
        """The evaluations of the student, and of other models on the same items with the same scorer."""
        keys = {one.key for one in self.of_student}
        return [one for one in self.results if one.key in keys]

    @cached_property
    def training_traces(self) -> set[str]:
        """The ids of the traces in the datasets of all stages."""
        return {trace for one in self.datasets for trace in datasets.trace_ids(self.store.db, one.name)}

    def other_runs(self) -> Iterator[tuple[RunDir, dict[str, Any]]]:
        """Yield the other runs of the lab that have finished, with the values of their recipes, the newest first."""
        for run in list_run_dirs(self.lab):
            if run.id != self.run.id and run.info().state == "finished":
                yield run, recipe_values(run)

    def baselines(self, key: ComparisonKey) -> list[EvaluationResult]:
        """Return the evaluations of other models that can be compared with one of the student."""
        mine = set(map(id, self.of_student))
        return [one for one in self.results if one.key == key and id(one) not in mine]

    def suite(self, result: EvaluationResult) -> Suite | None:
        """Return the suite of an evaluation, as it is today or else as it was then; None if neither can be read."""
        try:
            return find_suite(self.lab, result.evaluation.suite)
        except O1LabError:
            pass
        try:
            return EvalFolder(self.lab.root / result.evaluation.dir).suite()
        except LabError:
            return None


def collect(lab: Lab, store: Store, identity: str | None = None) -> LabFacts:
    """Return the records about a run.

    Args:
        lab: the lab.
        store: its database.
        identity: id or name of the run; the latest finished one if None.

    Raises:
        NotFoundError: there is no such run, or no run of the lab has finished.
    """
    run = find_run(lab, identity) if identity is not None else _latest_finished(lab)
    stages, missing, seen = [_stage(store, run)], "", {run.id}
    while parent := parent_id(stages[0].run.recipe):
        try:
            earlier = find_run(lab, parent)
        except NotFoundError:
            missing = parent
            break
        if earlier.id in seen:
            break
        seen.add(earlier.id)
        stages.insert(0, _stage(store, earlier))
    return LabFacts(lab, store, tuple(stages), missing)


def _latest_finished(lab: Lab) -> RunDir:
    runs = list_run_dirs(lab)
    for run in runs:
        if run.info().state == "finished":
            return run
    raise NotFoundError(
        "No training run of this lab has finished." if runs else "This lab has no training run.",
        "Train a student first: o1lab train --dataset NAME",
    )


def recipe_values(run: RunDir) -> dict[str, Any]:
    """Return the values of a run's recipe; empty if it cannot be read."""
    try:
        return load_values(run.recipe)
    except UsageError:
        return {}


def _stage(store: Store, run: RunDir) -> Stage:
    recipe = recipe_values(run)
    name, trained_on = str(recipe.get("dataset", "")), str(recipe.get("dataset_hash", ""))
    dataset = _dataset(store, name)
    replay = _dataset(store, str(recipe.get("replay_dataset") or "")) if recipe.get("replay") else None
    fault = _fault(store, run, dataset, name, trained_on)
    if not fault and recipe.get("replay") and (replay is None or replay.hash != recipe.get("replay_hash")):
        fault = f"The replay dataset '{recipe.get('replay_dataset')}' of run {run.id} is not in the lab as it was."
    return Stage(run, recipe, dataset, fault, replay, replayed_traces(run))


def _dataset(store: Store, name: str) -> Dataset | None:
    try:
        return datasets.get(store.db, name) if name else None
    except NotFoundError:
        return None


def replayed_traces(run: RunDir) -> tuple[str, ...]:
    """Return the traces of the replay rows of a run; none if its file cannot be read, which the fault says."""
    found = read_object(run.dataset).get("replay")
    ids = found.get("trace_ids") if isinstance(found, dict) else None
    return tuple(map(str, ids)) if isinstance(ids, list) else ()


def _fault(store: Store, run: RunDir, dataset: Dataset | None, name: str, trained_on: str) -> str:
    """Return why a dataset is not what the run was trained on."""
    if dataset is None:
        return f"The dataset '{name}' of run {run.id} is not in the lab."
    if trained_on and dataset.hash != trained_on:
        return f"The dataset {name} has the hash {dataset.hash}; run {run.id} was trained on {trained_on}."
    try:
        copied = read_json(run.dataset, dict)["trace_ids"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"The training rows of run {run.id} cannot be read: {run.dataset}."
    if copied != datasets.trace_ids(store.db, dataset.name):
        return f"The rows that run {run.id} recorded are not those of the dataset {name}."
    return ""
