"""Checks of the methodology: base, search, reinforcement learning, curation, stages, compute, recipes, ablations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from o1lab.chains.trees.walk import SYNTHESIS, rules_text
from o1lab.small_files import read_json
from o1lab.train.adapter import MODELS
from o1lab.train.recipes.recipe import Recipe
from o1lab.transparency.checks.finding import Finding, check, no, of_datasets, yes
from o1lab.transparency.lab_facts import LabFacts, Stage
from store import dataset_facts, trees
from store.records import Dataset

NOT_COMPARED = {
    "dataset_hash", "replay_hash", "seed", "device", "probes", "probe_tokens", "logging_steps", "eval_steps",
    "save_steps", "keep_checkpoints", "accept", "report_to", "tracker_project",
}  # fmt: skip
"""Fields of a recipe that are no choice of a method: two seeds are two draws of one run, not an ablation."""


@check("method.base")
def _base(facts: LabFacts) -> Finding:
    run, base = facts.run, facts.stages[-1].recipe.get("base")
    model = read_json(run.env, dict).get("base") if run.env.is_file() else None
    if not base:
        return no(f"The recipe of run {run.id} cannot be read.", f"o1lab runs show {run.id}")
    if not model:
        return no(
            f"Run {run.id} recorded the name of its base ({base}), not its weights and template.",
            f"o1lab train --recipe {run.recipe}",
        )
    return yes(f"{base}: {', '.join(f'{key} {value}' for key, value in model.items())}", str(run.env))


@check("method.search")
def _search(facts: LabFacts) -> Finding:
    db = facts.store.db
    evidence: list[str] = []
    for one in facts.datasets:
        if unknown := trees.without_tree(db, one.name, SYNTHESIS):
            return no(
                f"{unknown:,} rows of {one.name} were made by tree search, and their trees and rules are not recorded.",
                "o1lab import FILE, whose rows have a problem and the nodes of its tree",
            )
        evidence += (
            f"{one.name}: {each.rows:,} rows walk {each.trees:,} trees searched by {each.searcher}; rules: "
            f"{rules_text(each.rules)}; nodes, values and walk: o1lab trees show {each.example}"
            for each in trees.of_dataset(db, one.name)
        )
    unused = tuple(f"No row of {one.name} was made by a search." for one in facts.datasets)
    return yes(*evidence) if evidence else Finding("not_used", unused)


@check("method.rl")
def _reinforcement_learning(facts: LabFacts) -> Finding:
    recipes = tuple(str(stage.run.recipe) for stage in facts.stages)
    preferring = [
        f"Run {stage.run.id} learns from preferences ({objective}, beta {stage.recipe.get('beta')}), without a reward "
        "model."
        for stage in facts.stages
        if (objective := stage.recipe.get("objective", "sft")) != "sft"
    ]
    if preferring:
        return yes(*preferring, *recipes)
    return Finding("not_used", ("Each stage is supervised fine-tuning.", *recipes))


@check("method.curation")
def _curation(facts: LabFacts) -> Finding:
    if all(stage.recipe.get("phase") == 1 for stage in facts.stages):
        return Finding("not_used", ("No stage trains on a long thought (phase 1).",))

    def look(dataset: Dataset) -> Finding:
        if not dataset.selection and "decision:" not in dataset.query:
            return no(
                f"Nothing records how the chains of {dataset.name} were chosen.",
                f"o1lab dataset create {dataset.name}-2 --keep verified",
            )
        decided = dataset_facts.counts(facts.store.db, dataset.name, "decision")
        by_hand = sum(rows for decision, rows in decided.items() if decision)
        return yes(
            f"{dataset.name}: query {dataset.query or 'all traces'}; {by_hand:,} rows decided by a person",
            f"o1lab dataset card {dataset.name}",
        )

    return of_datasets(facts, look)


@check("method.pipeline")
def _pipeline(facts: LabFacts) -> Finding:
    if facts.missing_parent.startswith(f"{MODELS}/"):
        name = facts.missing_parent.removeprefix(f"{MODELS}/")
        return no(
            f"Run {facts.stages[0].run.id} starts from the imported adapter {name}; its training is not in this lab.",
            "o1lab models ls --kind imported",
        )
    if facts.missing_parent:
        return no(
            f"The run {facts.missing_parent}, which run {facts.stages[0].run.id} starts from, is gone.",
            f"o1lab train --recipe {facts.stages[0].run.recipe}",
        )
    for stage in facts.stages:
        absent = [path.name for path in (stage.run.command, stage.run.recipe) if not _has_text(path)]
        if absent:
            return no(
                f"Run {stage.run.id} has no {' and no '.join(absent)}.", f"o1lab train --dataset {_dataset(stage)}"
            )
    return yes(*(str(path) for stage in facts.stages for path in (stage.run.command, stage.run.recipe)))


@check("method.compute")
def _compute(facts: LabFacts) -> Finding:
    for stage in facts.stages:
        env = read_json(stage.run.env, dict) if stage.run.env.is_file() else {}
        if absent := [key for key in ("device", "dtype", "versions") if not env.get(key)]:
            return no(
                f"Run {stage.run.id} did not record {', '.join(absent)}.", f"o1lab train --recipe {stage.run.recipe}"
            )
    return yes(*(str(path) for stage in facts.stages for path in (stage.run.env, stage.run.metrics)))


@check("method.hyperparameters")
def _hyperparameters(facts: LabFacts) -> Finding:
    for stage in facts.stages:
        if absent := sorted(Recipe.model_fields.keys() - stage.recipe.keys()):
            return no(
                f"The recipe of run {stage.run.id} lacks {', '.join(absent)}.",
                f"o1lab train --recipe {stage.run.recipe}",
            )
    return yes(*(str(stage.run.recipe) for stage in facts.stages))


@check("method.ablations")
def _ablations(facts: LabFacts) -> Finding:
    keys = {one.key for one in facts.of_student}
    near = []
    for other, values in facts.other_runs():
        fields = differing_fields(facts.stages[-1].recipe, values)
        if len(fields) != 1:
            continue
        near.append(other.id)
        if any(one.key in keys for one in facts.of_run(other.id)):
            return yes(f"Run {other.id} differs in {fields[0]} only.", f"o1lab eval table --model {other.id}")
    if near:
        return no(
            f"Run {near[0]} differs in one field, but was not evaluated on a suite of run {facts.run.id}.",
            f"o1lab eval SUITE --model {near[0]}",
        )
    return no(
        "No finished run differs from this one in one field.",
        f"o1lab train --recipe {facts.run.recipe} --set lora_r=8",
    )


def differing_fields(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the fields in which two recipes differ, apart from those that do not change what is learned."""
    names = (one.keys() | other.keys()) - NOT_COMPARED
    found = {name for name in names if _value(one, name) != _value(other, name)}
    # A run without replay has no replay dataset: the two are one difference.
    return sorted(found - {"replay_dataset"} if "replay" in found else found)


def _value(recipe: dict[str, Any], name: str) -> Any:
    """Return the value of a field; of one that an older recipe lacks, its default."""
    field = Recipe.model_fields.get(name)
    return recipe.get(name, None if field is None else field.get_default(call_default_factory=True))


def _has_text(path: Path) -> bool:
    try:
        return bool(path.read_text("utf-8").strip())
    except (OSError, ValueError):
        return False


def _dataset(stage: Stage) -> str:
    return str(stage.recipe.get("dataset") or "NAME")
