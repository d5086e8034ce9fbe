"""Repeats training: the resolved recipes and bases always, the training itself where it is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from o1lab.errors import O1LabError
from o1lab.jobs.manage import stop
from o1lab.jobs.spawn import follow
from o1lab.paths import Lab
from o1lab.train import launch
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import resolve
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import last_metrics
from o1lab.transparency.report.gather import adapter_hash, base_revision
from o1lab.transparency.report.manifest import StageRecord
from o1lab.transparency.reproduce.outcome import Outcome, compared, impossible
from store import Store

OnProgress = Callable[[str], None]
_REPORT_EVERY = 10  # steps
_STOP_S = 60  # a step, and the checkpoint


def repeat_recipe(lab: Lab, store: Store, stage: StageRecord) -> Outcome:
    """Resolve a recipe against the dataset of the fresh lab and compare all its values."""
    what, recorded = f"recipe of run {stage.run}", dict(stage.recipe)
    try:
        recipe = resolve(recorded | {"init_from": None})  # the run that it starts from is not here before training
        resolved, _ = launch.resolve_rows(lab, recipe, store)
    except O1LabError as error:
        return impossible(what, _hash(recorded), error.message)
    found = resolved.model_dump(mode="json") | {"init_from": recorded.get("init_from")}
    other = [f"{key} {found.get(key)!r} instead of {value!r}" for key, value in recorded.items() if found[key] != value]
    new = sorted(found.keys() - recorded.keys())
    since = f"settings that are new since then have their defaults: {', '.join(new)}" if new else ""
    reason = ", ".join(other) or since
    return compared(what, _hash(recorded), _hash({key: found[key] for key in recorded}), reason=reason)


def compare_base(stage: StageRecord) -> Outcome:
    """Compare the files of a base with those of the report."""
    name = str(stage.recipe.get("base", "unknown"))
    what = f"base {name}"
    if not stage.base:
        return impossible(what, "", "the report does not state the hash of the base")
    here = base_revision(name)
    if not here:
        return impossible(what, stage.base, f"it is not on this machine: o1lab models fetch {name}")
    return compared(what, stage.base, here)


def train(
    lab: Lab, store: Store, stage: StageRecord, parents: Mapping[str, str], on_progress: OnProgress
) -> tuple[Outcome, RunDir | None]:
    """Train a stage again and compare its weights or, on other hardware, its steps and tokens.

    Args:
        lab: the fresh lab.
        store: its database.
        stage: what the report says.
        parents: the ids of the runs here by those in the report.
        on_progress: called with lines of progress.

    Returns:
        The outcome, and the run if it has finished. Ctrl-C stops the training.
    """
    what = f"training of run {stage.run}"
    expected = f"{stage.steps:,} steps, {_tokens(stage.tokens)}"
    if not base_revision(str(stage.recipe.get("base", ""))):
        return impossible(what, expected, "its base is not on this machine"), None
    try:
        run, _ = launch.launch(lab, _recipe(stage, parents), store=store)
    except O1LabError as error:
        return impossible(what, expected, error.message), None
    try:
        for step in _steps(run):
            on_progress(f"Training {run.id}: {step}")
    except KeyboardInterrupt:  # the run has a process of its own, and the lab may be gone with this command
        on_progress(f"Stopping the training {run.id}...")
        with suppress(O1LabError):
            stop(run, wait=True, timeout_s=_STOP_S)
        raise
    state = run.info()
    if state.state != "finished":
        return impossible(what, expected, f"the training {state.state}: {state.status.message or run.log}"), None
    weights = adapter_hash(run)
    if weights and weights == stage.adapter:
        return Outcome(what, "identical", stage.adapter[:16], weights[:16]), run
    tokens = last_metrics(run.metrics).get("num_tokens")
    found = f"{state.status.step:,} steps, {_tokens(None if tokens is None else int(tokens))}"
    if found != expected:
        return Outcome(what, "different", expected, found), run
    return Outcome(what, "equal", expected, found, "the weights differ, as they do on other hardware or versions"), run


def _recipe(stage: StageRecord, parents: Mapping[str, str]) -> Recipe:
    values = dict(stage.recipe) | {"on": "local"}  # the cluster of the report is not that of the fresh lab
    parent, slash, step = str(values.get("init_from") or "").partition("/")
    if parent in parents:
        values["init_from"] = parents[parent] + slash + step
    return resolve(values)


def _steps(run: RunDir) -> Iterator[str]:
    reported = -1
    for state in follow(run):
        step = state.status.step // _REPORT_EVERY
        if step != reported:
            reported = step
            yield f"step {state.status.step} of {state.status.total_steps or 'an unknown number'}"


def _tokens(number: int | None) -> str:
    return "an unknown number of tokens" if number is None else f"{number:,} tokens"


def _hash(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
