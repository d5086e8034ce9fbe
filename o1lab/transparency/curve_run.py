"""Make a curve: a group of runs on nested subsets with several seeds, then one evaluation of each student.

Everything is an ordinary dataset, run and evaluation, so that asking again continues with what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from o1lab.distill.datasets.subset import check_sizes, default_sizes, make_subsets
from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.evaluate.run.measure import continue_evaluation, evaluations_of, is_finished, measure
from o1lab.evaluate.suites.suite import find_suite
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import find_model
from o1lab.train.groups import SEED, find_group, has_lists, launch_group, preflight_group, tag_of
from o1lab.train.launch import RUNS, resolve_rows
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load, resolve
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import last_metrics
from store import Store, datasets, evaluations
from store.records import Dataset

SEEDS = (1, 2, 3)
FIELDS = ("dataset", SEED)
Next = Literal["train", "resume", "wait", ""]
OnProgress = Callable[[str], None]


@dataclass(frozen=True)
class Student:
    """One point of a curve with one seed.

    Attributes:
        rows: the number of its chains.
        recipe: its recipe; the dataset is the subset.
        run: its run, if there is one.
        todo: what happens to it: ``train`` a new run, ``resume`` its run, ``wait`` for it, or nothing.
        evaluated: whether its last checkpoint was evaluated on the suite.
    """

    rows: int
    recipe: Recipe
    run: RunDir | None
    todo: Next
    evaluated: bool = False


@dataclass(frozen=True)
class CurvePlan:
    """What a curve needs.

    Attributes:
        group: the group of its runs.
        parent: the dataset.
        suite: the suite, as it was named.
        label: its name and version.
        limit: the number of items to ask, if not all.
        others: ids of the models that are drawn as lines and are evaluated, too: the base and perhaps a teacher.
        evaluated: those of them that were evaluated.
        notes: sentences about what is not done.
    """

    group: str
    parent: Dataset
    suite: str
    label: str
    limit: int | None
    students: tuple[Student, ...]
    others: tuple[str, ...]
    evaluated: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> list[int]:
        return sorted({student.rows for student in self.students})

    def count(self, *todo: Next) -> int:
        """Count the students with one of these things to do."""
        return sum(student.todo in todo for student in self.students)

    @property
    def to_evaluate(self) -> int:
        """The number of evaluations that are missing."""
        return sum(not student.evaluated for student in self.students) + len(self.others) - len(self.evaluated)


@dataclass(frozen=True)
class Estimate:
    """How long a plan takes, in seconds, by an earlier run and an earlier evaluation; None if there was none."""

    training_s: float | None
    evaluation_s: float | None
    by_run: str | None
    by_evaluation: str | None


def plan_curve(
    lab: Lab,
    store: Store,
    dataset: str,
    suite: str,
    values: Mapping[str, Any],
    *,
    sizes: Sequence[int] = (),
    seeds: Sequence[int] = SEEDS,
    group: str | None = None,
    teacher: str | None = None,
    limit: int | None = None,
) -> CurvePlan:
    """Return what a curve over a dataset needs, and what is there already. Nothing is written.

    Args:
        lab: the lab.
        store: its database.
        dataset: name or hash of the dataset.
        suite: the suite that the students are evaluated on.
        values: values of the recipe, without dataset and seed.
        sizes: the numbers of chains; all rows, halved three times, if empty.
        seeds: the seeds of the students of each size.
        group: the name of the group of runs.
        teacher: a model to draw as a line.
        limit: ask only the first ``limit`` items.

    Raises:
        NotFoundError: the dataset, the suite or the teacher does not exist.
        UsageError: a value is not valid, or the group was trained with other values.
    """
    parent, found = datasets.get(store.db, dataset, kind="sft"), find_suite(lab, suite)
    if has_lists(values):
        raise UsageError("A curve varies only the number of chains and the seed.", "Give every other field one value.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError("The seeds of a curve must differ.", "For example: --seeds 1,2,3")
    wanted = check_sizes(parent, sizes or default_sizes(parent.rows))
    name = group or f"curve-{parent.name}"
    there = _members(lab, name)
    students = []
    for size in wanted:
        for seed in seeds:
            recipe = resolve({**values, "dataset": f"{parent.name}-{size}", "dataset_hash": "", "seed": seed})
            run = _best(there.get((recipe.dataset, str(seed)), ()))
            students.append(Student(size, recipe, run, _todo(run)))
    for one in {one.recipe.dataset: one for one in students if one.run is not None}.values():
        _check_same(lab, store, name, one)
    others, notes = _others(lab, students[0].recipe, teacher, suite)
    models = {ended: ref for one in students if (ended := _finished(one)) and (ref := _model(lab, ended))}
    known = evaluations_of(lab, suite, [*models.values(), *others], limit=limit)
    done = {model for model, one in known.items() if is_finished(lab, one)}
    students = [replace(one, evaluated=models.get(_finished(one) or "") in done) for one in students]
    evaluated = tuple(one for one in others if one in done)
    return CurvePlan(name, parent, suite, found.label, limit, tuple(students), others, evaluated, notes)


def start_runs(lab: Lab, store: Store, plan: CurvePlan, on_progress: OnProgress) -> list[RunDir]:
    """Make the subsets, start the runs that are missing, and resume those that ended early; return all runs.

    Preflight checks the smallest and the largest subset first.

    Raises:
        RefusedError: preflight found a problem.
        LabError, UsageError: as :func:`~o1lab.train.groups.launch_group`.
    """
    missing = [one.recipe for one in plan.students if one.todo == "train"]
    if missing:
        made = make_subsets(store, plan.parent.name, plan.sizes)
        on_progress(f"Subsets: {', '.join(one.name for one in made)}.")
        reports = preflight_group(lab, [missing[0], missing[-1]], store=store)
        for report in {id(one): one for one in reports}.values():
            for warning in report.warnings:
                on_progress(f"{warning.message} {warning.hint}".strip())
            report.refuse()
    runs = [one.run for one in plan.students if one.run is not None and one.todo != "train"]
    for one in plan.students:
        if one.run is not None and one.todo == "resume":
            RUNS.resume(lab, one.run)
            on_progress(f"Run {one.run.id} continues.")
    if missing:
        started = launch_group(lab, plan.group, missing, FIELDS, store=store)
        on_progress(f"Group {plan.group}: {len(started)} runs started, one at a time on each device.")
        runs += [run for run, _ in started]
    return runs


async def evaluate_students(lab: Lab, plan: CurvePlan, runs: Sequence[RunDir], on_progress: OnProgress) -> None:
    """Evaluate the students whose runs have finished, and the models of the lines; skip those evaluated already.

    Raises:
        LabError: a model cannot be opened, or did not answer every item.
    """
    ended = [run.id for run in runs if run.info().state == "finished"]
    students = [model for run in ended if (model := _model(lab, run)) is not None]
    models = [*plan.others, *students]
    known = evaluations_of(lab, plan.suite, models, limit=plan.limit)
    left = [model for model in models if model not in known or not is_finished(lab, known[model])]
    async with ServerManager(lab) as manager:
        for number, model in enumerate(left, 1):
            if model in known:
                found = await continue_evaluation(lab, known[model].id, manager)
            else:
                found = await measure(lab, plan.suite, model, manager, limit=plan.limit)
            right, total = found.tally.outcomes["correct"], found.tally.total
            on_progress(f"{number} of {len(left)}: {model} on {plan.suite}, {right} of {total} correct.")


def estimate(lab: Lab, store: Store, plan: CurvePlan) -> Estimate:
    """Estimate how long the rest of a plan takes, by the pace of the newest run of its base and evaluation.

    A run that continues counts as a whole one.
    """
    training, by_run = None, None
    base = plan.students[0].recipe.base
    left = [one for one in plan.students if one.todo in ("train", "resume")]
    for run in RUNS.directories(lab) if left else ():
        pace = _pace(run, base)
        if pace is not None:
            per_row, by_run = pace, run.id
            training = sum(per_row * one.recipe.total_steps(one.rows) * one.recipe.rows_per_step for one in left)
            break
    evaluation, by_evaluation = None, None
    for known in evaluations.all_evaluations(store.db, suite=plan.suite) if plan.to_evaluate else ():
        status = EvalFolder(lab.evals / known.id).status()
        if known.role not in ("student", "base") or status is None or status.state != "finished":
            continue
        if status.started_at and status.heartbeat > status.started_at:
            evaluation, by_evaluation = (status.heartbeat - status.started_at) * plan.to_evaluate, known.id
            break
    return Estimate(training, evaluation, by_run, by_evaluation)


def _members(lab: Lab, name: str) -> dict[tuple[str, str], list[RunDir]]:
    group = find_group(lab, name)
    found: dict[tuple[str, str], list[RunDir]] = {}
    for run in group.runs if group is not None else ():
        tag = tag_of(run)
        if tag is not None and set(tag.varies) != set(FIELDS):
            raise UsageError(
                f"The group {name} varies {', '.join(tag.varies) or 'nothing'}, so it is not a curve.",
                "Choose another name: --group NAME",
            )
        if tag is not None:
            found.setdefault((str(tag.varies["dataset"]), str(tag.varies[SEED])), []).append(run)
    return found


def _best(runs: Sequence[RunDir]) -> RunDir | None:
    """Return the run of a student that has got furthest: a finished one, else one that runs, else the newest."""
    order = {"": 0, "wait": 1, "resume": 2, "train": 3}
    return min(reversed(runs), key=lambda run: order[_todo(run)], default=None)


def _todo(run: RunDir | None) -> Next:
    if run is None:
        return "train"
    info = run.info()
    if info.state == "finished":
        return ""
    if info.active:
        return "wait"
    return "resume" if run.checkpoints() or info.status.step == 0 else "train"


def _finished(student: Student) -> str | None:
    return student.run.id if student.run is not None and student.todo == "" else None


def _model(lab: Lab, run: str) -> str | None:
    """Return the id of the last checkpoint of a run as a model; None if it has none."""
    try:
        return find_model(lab, run).id
    except NotFoundError:
        return None


def _check_same(lab: Lab, store: Store, group: str, student: Student) -> None:
    """Check that the run of a student was trained as its recipe says, apart from its seed and device.

    Raises:
        UsageError: it was not.
    """
    run = student.run
    if run is None:
        return
    try:
        planned, _ = resolve_rows(lab, student.recipe, store)
    except NotFoundError:
        return  # the subset is gone; it is made again
    there, wanted = load(run.recipe).model_dump(), planned.model_dump()
    for name in wanted:
        if name not in (SEED, "device") and there[name] != wanted[name]:
            raise UsageError(
                f"The run {run.id} of the group {group} was trained with {name} {there[name]}, not {wanted[name]}.",
                f"Choose another name (--group NAME), or delete the group: o1lab runs rm {group}",
            )


def _others(lab: Lab, recipe: Recipe, teacher: str | None, suite: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the models to draw as lines that need no paid call, and notes about the others."""
    others, notes = [], []
    try:
        others.append(find_model(lab, recipe.base).id)
    except NotFoundError:
        notes.append(f"The base {recipe.base} is not a model of this lab, so it has no line.")
    if teacher is not None:
        ref = find_model(lab, teacher)
        if ref.endpoint is None:
            others.append(ref.id)
        else:
            notes.append(
                f"{ref.id} is asked over the network; it is drawn once it was evaluated: "
                f"o1lab eval {suite} --model {ref.id}"
            )
    return tuple(others), tuple(notes)


def _pace(run: RunDir, base: str) -> float | None:
    """Return the seconds per row of a finished run of this base; None if it is another."""
    try:
        recipe = load(run.recipe)
    except UsageError:
        return None
    last = last_metrics(run.metrics)
    step, elapsed = last.get("step"), last.get("elapsed_s")
    if base not in (recipe.base, recipe.base.rpartition("/")[2]) or not step or not elapsed:
        return None
    return elapsed / (step * recipe.rows_per_step) if run.info().state == "finished" else None
