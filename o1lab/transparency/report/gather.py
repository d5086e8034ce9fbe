"""Gathers from a lab what report.json says about a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from o1lab import __version__
from o1lab.config import load_config
from o1lab.errors import O1LabError
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.ingest.annotations import annotation_line
from o1lab.models.base import resolve_base
from o1lab.models.checkpoints import weight_files
from o1lab.serve.identity import content_hash, hash_base
from o1lab.serve.registry import find_model
from o1lab.small_files import read_object, read_text
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import last_metrics
from o1lab.transparency.lab_facts import LabFacts, Stage
from o1lab.transparency.report.manifest import (
    VERSION,
    DatasetRecord,
    EvaluationRecord,
    FileRecord,
    Manifest,
    RuleRecord,
    StageRecord,
)
from o1lab.transparency.self_score import LabScore
from store import Store, dataset_facts, datasets, exclusions, imports, labels, teacher_runs
from store import annotations as annotation_log
from store.decisions import ADJUDICATION
from store.errors import NotFoundError
from store.records import Annotation, Dataset

_LOCAL = ("base", "checkpoint", "solver", "server")
"""Sources of models that run on this machine and cost nothing."""
_REPEATED = ("decision", "rating", "tag", "untag", "wrong_step", "move", "undo", ADJUDICATION)
"""Kinds of annotations that filters read, with labels of the lab; notes, other spans and edits are not published."""


def gather(facts: LabFacts, score: LabScore) -> Manifest:
    """Return the manifest of a report, without copies of data."""
    store, config = facts.store, load_config(facts.lab)
    env = read_object(facts.run.env)
    wanted = (*facts.datasets, *facts.replayed)
    trained = {one.name for one in wanted}
    return Manifest(
        version=VERSION,
        made_by=__version__,
        run=facts.run.id,
        stages=[_stage(stage) for stage in facts.stages],
        datasets=[_dataset(store, one, trained=one.name in trained) for one in used_datasets(store, wanted)],
        imports=[
            FileRecord(Path(one.path).name, one.sha256, one.bytes, one.options, one.counts)
            for one in imports.everything(store.db)
        ],
        rules=[
            RuleRecord(one.rule, one.version, one.looked, one.excluded) for one in exclusions.runs(store.db).values()
        ],
        evaluations=[_evaluation(facts, one) for one in facts.compared],
        versions={"python": env.get("python"), **(env.get("versions") or {})},
        teachers=_teachers(store, wanted),
        rulings=exclusions.standing_rulings(store.db),
        benchmarks=list(config.benchmarks),
        marks=[one.model_dump(mode="json") for one in config.marks],
        tti={"framework": score.framework.name, "total": score.total},
    )


def used_datasets(store: Store, wanted: Iterable[Dataset]) -> list[Dataset]:
    """Return datasets and those that they are made from, each after its parts."""
    found: dict[str, Dataset] = {}

    def add(one: Dataset) -> None:
        if one.name in found:
            return
        for name in made_from(one):
            with suppress(NotFoundError):
                add(datasets.get(store.db, name))
        found[one.name] = one

    for one in wanted:
        add(one)
    return list(found.values())


def made_from(one: Dataset) -> list[str]:
    """Return the names of the datasets that a dataset is made from."""
    parts = [str(part["name"]) for part in one.selection.get("from", ())]
    return [*parts, *(str(one.selection[key]) for key in ("control_of", "random_of") if key in one.selection)]


def annotation_lines(store: Store) -> Iterator[str]:
    """Yield the annotations that filters read, as ``o1lab annotations export`` writes them, without names."""
    names = _public_names(store)
    for one in _published(store):
        yield annotation_line(replace(one, annotator=names[one.annotator]))


def _published(store: Store) -> Iterator[Annotation]:
    offered = {label.name for label in labels.every(store.db)}
    for one in annotation_log.everything(store.db):
        if one.kind in _REPEATED or (one.kind == "span" and one.value in offered):
            yield one


def _public_names(store: Store) -> dict[str, str]:
    """Return the name that the report gives to each annotator."""
    names: dict[str, str] = {}
    for one in _published(store):
        kind = "person" if one.run_id is None else "judge"
        names.setdefault(one.annotator, f"{kind} {len(names) + 1}")
    return names


def _teachers(store: Store, wanted: Iterable[Dataset]) -> list[tuple[str, str]]:
    found = sorted({run for one in wanted for run in dataset_facts.runs(store.db, one.name)})
    return [(run, teacher_runs.get(store.db, run).model) for run in found]


def _dataset(store: Store, one: Dataset, *, trained: bool) -> DatasetRecord:
    return DatasetRecord(
        one.name, one.hash, one.phase, one.query, one.rows, dict(one.selection),
        datasets.drop_counts(store.db, one.name), f"datasets/{one.hash}/traces.txt", trained,
        _decided(store, one), one.kind,
    )  # fmt: skip


def _decided(store: Store, one: Dataset) -> dict[str, Any]:
    """Return whose decisions counted for a dataset, under the names of the report."""
    return {
        key: _public_names(store).get(value, "") if key == "annotator" else value for key, value in one.decided.items()
    }


def _stage(stage: Stage) -> StageRecord:
    last = last_metrics(stage.run.metrics)
    tokens = last.get("num_tokens")
    return StageRecord(
        run=stage.run.id,
        recipe=stage.recipe,
        base=base_revision(str(stage.recipe.get("base", ""))),
        steps=stage.run.read_status().step,
        tokens=None if tokens is None else int(tokens),
        seconds=last.get("elapsed_s"),
        adapter=adapter_hash(stage.run),
    )


def base_revision(name: str) -> str:
    """Return the revision of a base; empty if it is not on this machine."""
    try:
        return hash_base(resolve_base(name, fetch=False))
    except (O1LabError, OSError):
        return ""


def adapter_hash(run: RunDir) -> str:
    """Return the hash of the weights of a run's last checkpoint; empty if there is none."""
    saved = run.checkpoints()
    files = weight_files(saved[-1]) if saved else []
    try:
        found = [content_hash(file) for file in files]
    except OSError:
        return ""
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest() if found else ""


def _evaluation(facts: LabFacts, one: EvaluationResult) -> EvaluationRecord:
    about = one.evaluation
    folder = EvalFolder(facts.lab.root / about.dir)
    judge = about.settings.get("judge")
    try:
        source = folder.identity().source
    except O1LabError:
        source = "unknown"
    return EvaluationRecord(
        suite=about.suite,
        suite_version=about.suite_version,
        items_hash=about.items_hash,
        items=about.items,
        scorer=one.scorer,
        metric=one.key.metric,
        model=about.model,
        role=about.role,
        source=source,
        paid=source not in _LOCAL or (judge is not None and _source(facts, judge) not in _LOCAL),
        settings=about.settings,
        value=one.value,
        interval=one.interval,
        suite_file=_suite_file(facts, one),
    )


def _source(facts: LabFacts, model: str) -> str:
    try:
        return find_model(facts.lab, model).source
    except O1LabError:
        return "unknown"


def _suite_file(facts: LabFacts, one: EvaluationResult) -> str:
    """Return the text of a suite's file if it belongs to the lab, not to the program."""
    suite = facts.suite(one)
    if suite is None or suite.path is None or not suite.path.is_relative_to(facts.lab.suites):
        return ""
    with suppress(O1LabError):
        return read_text(suite.path)
    return ""
