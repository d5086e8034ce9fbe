"""A lab with a curve: runs on nested subsets with three seeds, each evaluated with a known outcome; nothing trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from o1lab.distill.datasets.subset import make_subsets
from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import GroupTag, RunDir
from store import Store
from tests.support import evaluate_lab
from tests.support.fake_runs import write_run

GROUP = "curve-sums"
RIGHT: Mapping[int, Sequence[int]] = {6: (1, 2, 3), 12: (4, 5, 6), 24: (7, 8, 8)}
"""For each size, how many of ten items the student of each seed gets right."""


def add_curve(lab: Lab, store: Store, right: Mapping[int, Sequence[int]] = RIGHT) -> list[RunDir]:
    """Add the runs of a curve over ``sums`` and evaluations of all students, of a teacher and of the base."""
    subsets = make_subsets(store, "sums", list(right))
    runs = []
    for subset in subsets:
        for seed, correct in enumerate(right[subset.rows], 1):
            recipe = Recipe(base="base", dataset=subset.name, dataset_hash=subset.hash, seed=seed, steps=100)
            name = f"c{subset.rows:03d}{seed}"
            run = write_run(lab.runs, name, recipe=recipe, saved=(50, 100), age=1000 - subset.rows - seed / 10)
            write_json(run.group_file, asdict(GroupTag(GROUP, {"dataset": subset.name, "seed": seed})))
            put(store, f"e-{name}", f"{name}/100", correct)
            runs.append(run)
    put(store, "e-teacher", "solver", 10, role="teacher")
    put(store, "e-base", "base", 0, role="base")
    return runs


def put(store: Store, identity: str, model: str, correct: int, *, role: str = "student", of: int = 10) -> None:
    """Add an evaluation on ten sums, of which the first ``correct`` are right."""
    one = replace(evaluate_lab.evaluation(identity, model, items=of), role=role)
    evaluate_lab.put(store, one, ["correct"] * correct + ["incorrect"] * (of - correct))
