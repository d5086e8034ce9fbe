"""What the tests of transparency put into a lab: a dataset, finished runs and evaluations, without training."""

from __future__ import annotations

import json
from dataclasses import replace

from o1lab.files import write_json
from o1lab.paths import Lab
from o1lab.train.launch import make_run
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir
from store import Store, annotations, datasets, runs
from store.filters import TraceQuery
from tests.support import evaluate_lab, lab_seed


def accept_right(store: Store) -> None:
    """Accept every trace, and make the dataset ``taken`` of the right ones."""
    for trace in lab_seed.all_ids(store):
        annotations.annotate(store.db, trace, "decision", "accept", annotator="ann")
    datasets.create(store.db, "taken", TraceQuery.parse("decision:accept verdict:correct"))


def finished(lab: Lab, store: Store, **values: object) -> RunDir:
    """A finished run on ``taken``, with everything a worker leaves behind."""
    run, record = make_run(lab, Recipe(dataset="taken", **values), store)  # type: ignore[arg-type]  # fields of a recipe
    runs.add(store.db, record)
    run.write_status(replace(run.read_status(), state="finished", step=100, total_steps=100))
    env = json.loads(run.env.read_text())
    env |= {"device": {"name": "cpu"}, "dtype": {"name": "fp32"}, "base": {"architecture": "Llama", "template": "ab"}}
    write_json(run.env, env)
    return run


def evaluate(store: Store, run: RunDir, model: str = "", **settings: object) -> None:
    """Put an evaluation of the run (or of another model) on a built-in suite into the lab."""
    name = model or f"{run.id}/step-100"
    one = evaluate_lab.evaluation(f"e{name[:3]}", name, suite="aime24")
    used = {"temperature": 0.0, "max_tokens": 512, "samples": 1} | settings
    evaluate_lab.put(store, replace(one, settings=used), ["correct", "incorrect"])
