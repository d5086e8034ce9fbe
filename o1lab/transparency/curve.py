"""Curves: how the accuracy of a student changes with the number of chains, from groups of runs on nested subsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.errors import UsageError
from o1lab.evaluate.report.cells import Interval, ends
from o1lab.evaluate.report.changes import item_means
from o1lab.evaluate.report.plots import Level, PlotData, SizeCurve, SizePoint
from o1lab.evaluate.report.selection import ComparisonKey, EvaluationResult, choose
from o1lab.evaluate.stats.metrics import cluster
from o1lab.evaluate.stats.seeds import mean_over_seeds
from o1lab.format import first_of
from o1lab.markdown import inline, table
from o1lab.paths import Lab
from o1lab.text import json_of
from o1lab.train.groups import SEED, list_groups, tag_of
from o1lab.train.recipes.recipe_file import load_values
from o1lab.train.runs.directory import RunDir
from o1lab.transparency.lab_facts import LabFacts
from store import Store, datasets
from store.records import Dataset

SUBSET = "subset_of"


@dataclass(frozen=True)
class CurvePoint:
    """The students of one size.

    Attributes:
        rows: the number of chains.
        dataset: the name of the subset.
        seeds: the seeds of the students that were evaluated.
        value: their mean in percent.
        interval: at 95 %, over items and seeds, in percent.
        each: the figure of each student.
    """

    rows: int
    dataset: str
    seeds: tuple[int, ...]
    value: float
    interval: Interval
    each: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the documented keys; figures are shares from 0 to 1."""
        return {
            "rows": self.rows, "seeds": list(self.seeds), "accuracy": round(self.value / 100, 6),
            "ci95": [round(end / 100, 6) for end in self.interval], "dataset": self.dataset,
            "each": [round(value / 100, 6) for value in self.each],
        }  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """The students of a group on one suite, by the number of their chains.

    Attributes:
        group: the group of runs.
        parent: the dataset whose subsets they were trained on.
        key: the suite, its items and the scorer.
        points: the sizes with an evaluated student, the smallest first.
        levels: teachers and the base on the same items.
        missing: what is not there yet, with the command that supplies it.
    """

    group: str
    parent: str
    key: ComparisonKey
    points: tuple[CurvePoint, ...]
    levels: tuple[Level, ...]
    missing: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        of_evaluations = ("suite=key.suite", "metric=key.metric")
        return json_of(self, "group", "dataset=parent", *of_evaluations, "points", "levels", "missing")


@dataclass(frozen=True)
class _Member:
    run: RunDir
    finished: bool
    seed: int
    subset: Dataset


def curves_of(facts: LabFacts) -> list[Curve]:
    """Return the curves over the datasets of a run, or over subsets that contain them."""
    return curves(facts.lab, facts.store, of=[one.hash for one in facts.datasets])


def curves(
    lab: Lab, store: Store, *, of: Sequence[str] | None = None, groups: Sequence[str] | None = None
) -> list[Curve]:
    """Return the curves of the lab, the newest group first; one for each suite that its students were evaluated on.

    Args:
        lab: the lab.
        store: its database.
        of: only curves over the datasets with these hashes, or over subsets that contain one of them.
        groups: only these groups.
    """
    results: list[EvaluationResult] | None = None
    found: list[Curve] = []
    for group in list_groups(lab).values():
        if groups is not None and group.name not in groups:
            continue
        for parent, members in _by_parent(store, group.runs).items():
            hashes = {members[0].subset.selection.get("parent_hash"), *(one.subset.hash for one in members)}
            if of is not None and not hashes & set(of):
                continue
            results = choose(store.db) if results is None else results
            found += _curves(group.name, parent, members, results)
    return found


def curve_plot(curve: Curve) -> PlotData:
    """Return the plot of a curve."""
    points = tuple(SizePoint(one.rows, one.value, one.interval, one.each) for one in curve.points)
    unit = "mark" if curve.key.metric == "mean value" else "accuracy"
    notes = ("Bars are 95 % intervals over items and seeds. Dots are single students, + is their mean.",)
    title = f"{curve.key.suite}, scored by {curve.key.scorer}"
    panel = SizeCurve(title, f"{unit}, %", "number of chains (log)", points, curve.levels)
    return PlotData("curve", f"{unit.capitalize()} by the number of chains of {curve.parent}", (panel,), notes)


def no_curve(facts: LabFacts) -> str:
    """Say that a run has no curve, with the command that makes one."""
    dataset = str(facts.stages[-1].recipe.get("dataset") or "DATASET")
    suite = facts.of_student[0].evaluation.suite if facts.of_student else "SUITE"
    return f"The effect of the number of chains is not known: o1lab lesson curve {dataset} --suite {suite}"


def as_markdown(found: Sequence[Curve], *, plots: Sequence[str] = ()) -> str:
    """Return the curves as Markdown tables, each after its plot if ``plots`` names the files."""
    lines = []
    for number, curve in enumerate(found):
        lines.append(f"#### {inline(curve.key.suite)} by the number of chains of {inline(curve.parent)}\n")
        if number < len(plots):
            lines.append(f"![Accuracy by the number of chains](plots/{plots[number]}.svg)\n")
        lines.append(f"Runs of the group {inline(curve.group)}; intervals at 95 % over items and seeds.\n")
        rows: list[tuple[object, ...]] = [
            (f"{one.rows:,}", len(one.seeds), f"{one.value:.1f}", ends(one.interval),
             ", ".join(f"{value:.1f}" for value in one.each))
            for one in curve.points
        ]  # fmt: skip
        rows += [(level.label, "", f"{level.accuracy:.1f}", ends(level.interval), "") for level in curve.levels]
        lines.append(table(("chains", "seeds", f"{curve.key.metric}, %", "95 %", "each student"), rows))
        lines += [f"- {inline(words, 400)}\n" for words in curve.missing]
    return "\n".join(lines)


def _by_parent(store: Store, runs: Sequence[RunDir]) -> dict[str, list[_Member]]:
    """Return the runs on subsets by the name of the subsets' parent."""
    known = {one.name: one for one in datasets.all_datasets(store.db)}
    found: dict[str, list[_Member]] = {}
    for run in runs:
        try:
            recipe = load_values(run.recipe)
        except UsageError:
            continue
        subset = known.get(str(recipe.get("dataset")))
        if subset is not None and subset.hash == recipe.get("dataset_hash") and SUBSET in subset.selection:
            tag = tag_of(run)
            seed = (tag.varies if tag is not None else {}).get(SEED, recipe.get(SEED))
            if isinstance(seed, int):
                found.setdefault(str(subset.selection[SUBSET]), []).append(
                    _Member(run, run.info().state == "finished", seed, subset)
                )
    return found


def _curves(
    group: str, parent: str, members: Sequence[_Member], results: Sequence[EvaluationResult]
) -> Iterator[Curve]:
    by_run: dict[ComparisonKey, dict[str, EvaluationResult]] = {}
    for one in results:
        run, _, step = one.evaluation.model.partition("/")
        if not step or one.value is None or not one.finished:
            continue
        known = by_run.setdefault(one.key, {}).get(run)
        if known is None or _step(known) < _step(one):  # the last checkpoint that was evaluated
            by_run[one.key][run] = one
    mine = {member.run.id for member in members}
    keys = [key for key, found in by_run.items() if mine & found.keys()]
    for key in keys:
        missing = _missing(group, parent, key, members, by_run[key])
        points = tuple(_points(members, by_run[key]))
        yield Curve(group, parent, key, points, tuple(_levels(key, results)), tuple(missing))


def _points(members: Sequence[_Member], results: Mapping[str, EvaluationResult]) -> Iterator[CurvePoint]:
    sizes: dict[str, dict[int, EvaluationResult]] = {}
    subsets = {member.subset.name: member.subset for member in members}
    for member in members:  # of two students with one seed, the later one
        if member.finished and member.run.id in results:
            sizes.setdefault(member.subset.name, {})[member.seed] = results[member.run.id]
    for name in sorted(sizes, key=lambda name: subsets[name].rows):
        by_seed = dict(sorted(sizes[name].items()))
        first = next(iter(by_seed.values()))
        shares = [{item: mean / 100 for item, mean in item_means(one).items()} for one in by_seed.values()]
        found = mean_over_seeds(shares, {one.item: cluster(one) for one in first.results})
        if found is not None:
            each = tuple(100 * value for value in found.each)
            interval = found.interval.percent
            yield CurvePoint(subsets[name].rows, name, tuple(by_seed), 100 * found.value, interval, each)


def _levels(key: ComparisonKey, results: Sequence[EvaluationResult]) -> Iterator[Level]:
    for role, mark in (("teacher", "T"), ("base", "B")):
        for one in results:
            if one.key == key and one.evaluation.role == role and one.finished and one.value is not None:
                yield Level(mark, f"the {role} {one.evaluation.model}", one.value, one.interval)
                break


def _missing(
    group: str, parent: str, key: ComparisonKey, members: Sequence[_Member], results: Mapping[str, EvaluationResult]
) -> Iterator[str]:
    if unfinished := [member.run.id for member in members if not member.finished]:
        yield (
            f"{len(unfinished)} of {len(members)} runs of the group {group} have not finished: "
            f"{first_of(unfinished, 3)}. See them: o1lab runs show {group}"
        )
    waiting = [member.run.id for member in members if member.finished and member.run.id not in results]
    if waiting:
        yield (
            f"{len(waiting)} of {len(members)} runs of the group {group} were not evaluated on {key.suite}: "
            f"{first_of(waiting, 3)}. Ask for the curve again: o1lab lesson curve {parent}"
        )


def _step(one: EvaluationResult) -> int:
    step = one.evaluation.model.partition("/")[2].removeprefix("step-")
    return int(step) if step.isdigit() else -1
