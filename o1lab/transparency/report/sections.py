"""The sections of a report, each a piece of Markdown made from the records of the lab."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from o1lab.distill.datasets.card import card
from o1lab.errors import O1LabError
from o1lab.evaluate.report import cases, render
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.evaluate.report.tables import accuracy_table, change_table, plain_table
from o1lab.format import duration
from o1lab.markdown import fenced, inline, table
from o1lab.models.base import TEMPLATES, resolve_base
from o1lab.small_files import read_json, read_text
from o1lab.train.groups import other_seeds, tag_of
from o1lab.train.runs.metrics_reader import last_metrics
from o1lab.transparency.checks.finding import ANSWER_WORDS
from o1lab.transparency.checks.methodology import differing_fields
from o1lab.transparency.lab_facts import LabFacts, Stage
from o1lab.transparency.methods import compare_methods, methods_table
from o1lab.transparency.report import compute
from o1lab.transparency.report.page import deeper
from o1lab.transparency.self_score import LabScore
from store import imports

_COUNTS = ("rows", "added", "duplicates", "rejected")
_CASES = 2  # items of each kind: gained and lost


def summary(facts: LabFacts, score: LabScore) -> str:
    """Return the head of the report: the student, its data and its results in one table."""
    stage = facts.stages[-1]
    rows: list[tuple[str, object]] = [
        ("student", f"run {facts.run.id}"),
        ("base", stage.recipe.get("base")),
        ("stages of training", len(facts.stages)),
        ("datasets", ", ".join(f"{one.name} ({one.rows:,} rows, {one.hash})" for one in facts.datasets)),
        ("transparency", f"{score.total} of {score.framework.total}, {score.framework.title}"),
    ]
    rows += [(f"{one.key.metric} on {one.evaluation.suite_label}", one.headline) for one in facts.of_student]
    return f"# Report on run {inline(facts.run.id)}\n\n" + table(("", ""), rows) + "\n"


def data(facts: LabFacts) -> Iterator[str]:
    """Yield the card of each dataset: sources, licences, teachers, prompts, filters and selection."""
    yield "## Data\n\n"
    for dataset in (*facts.datasets, *facts.replayed):
        text = "".join(card(facts.lab, facts.store, dataset.name))
        yield deeper(text.partition("\n---\n")[2].lstrip(), 2)
    for stage in facts.stages:
        if stage.fault:
            yield f"**{inline(stage.fault)}**\n\n"
    if files := imports.everything(facts.store.db):
        yield "### Imported files\n\n"
        heads = ("file", "SHA-256", *_COUNTS, "imported at")
        rows = (
            (Path(one.path).name, one.sha256, *(one.counts.get(name) for name in _COUNTS), one.created_at)
            for one in files
        )
        yield table(heads, rows) + "\n"


def training(facts: LabFacts, plots: dict[str, str]) -> Iterator[str]:
    """Yield command, recipe, compute and curve of each stage."""
    yield "## Training\n\n"
    for number, stage in enumerate(facts.stages, 1):
        yield f"### Stage {number}: run {inline(stage.run.id)}, phase {stage.recipe.get('phase', 'unknown')}\n\n"
        yield from (f"**{inline(sentence)}**\n\n" for sentence in missing_files(stage))
        yield f"Command:\n\n{fenced(_text(stage.run.command))}\nRecipe:\n\n{fenced(_text(stage.run.recipe))}\n"
        yield _compute(stage)
        if f"loss-{number}" in plots:
            yield f"![The loss of stage {number}](plots/loss-{number}.svg)\n\n"
    yield compute.total(facts)


def missing_files(stage: Stage) -> list[str]:
    """Return a sentence if files of a run are gone, so that the report says less than it could."""
    run = stage.run
    gone = [path.name for path in (run.recipe, run.command, run.env, run.metrics, run.dataset) if not path.exists()]
    return [f"These files of run {run.id} are gone: {', '.join(gone)}."] if gone else []


def _compute(stage: Stage) -> str:
    env = _json(stage.run.env)
    device, dtype, versions = (env.get(key) or {} for key in ("device", "dtype", "versions"))
    last = last_metrics(stage.run.metrics)
    rows = [
        ("device", " ".join(str(value) for value in device.values()) or None),
        ("number format", dtype.get("name")),
        ("time", duration(last["elapsed_s"]) if "elapsed_s" in last else None),
        ("tokens trained on", int(last["num_tokens"]) if "num_tokens" in last else None),
        ("last loss", f"{last['loss']:.4g}" if "loss" in last else None),
        ("python", env.get("python")),
        *sorted(versions.items()),
    ]
    git = env.get("git") or {}
    code = f"{git.get('commit')}{' with local changes' if git.get('dirty') else ''}" if git else None
    return "Compute:\n\n" + table(("", ""), [*rows, ("commit of o1lab", code)]) + "\n"


def prompts(facts: LabFacts) -> Iterator[str]:
    """Yield what the student is asked with: the system prompt and chat template, and the prompts of all suites."""
    yield "## Prompts and templates at training and inference\n\n"
    recipe = facts.stages[-1].recipe
    system = recipe.get("system_prompt")
    yield f"System prompt of training:\n\n{fenced(str(system))}\n" if system else "Training adds no system prompt.\n\n"
    if recipe.get("system") == "row":
        yield "Rows that have a system message of their own keep it.\n\n"
    own = recipe.get("chat_template")
    source = "the recipe" if own else "the base"
    template = str(own) if own else _template(facts)
    yield f"Chat template of {source}, used in training and at inference:\n\n{fenced(template)}\n"
    if options := recipe.get("chat_template_kwargs"):
        yield f"Options of the template:\n\n{fenced(json.dumps(options, ensure_ascii=False, default=str))}\n"
    for suite in {suite.label: suite for one in facts.of_student if (suite := facts.suite(one))}.values():
        yield f"### Suite {inline(suite.label)}\n\n{inline(suite.about, 1000)}\n\n"
        if suite.system:
            yield f"system:\n\n{fenced(suite.system)}\n"
        yield f"user:\n\n{fenced(suite.prompt)}\n"


def _template(facts: LabFacts) -> str:
    try:
        folder = resolve_base(str(facts.stages[-1].recipe.get("base")), fetch=False)
    except O1LabError as error:
        return f"(the base is not on this machine: {error.message})"
    for name in TEMPLATES:
        found: Any = _text(folder / name)
        if name.endswith(".json") and found:
            found = _json(folder / name).get("chat_template")
        if found:
            return str(found)
    return "(the base has no chat template)"


def results(facts: LabFacts, plots: dict[str, str]) -> Iterator[str]:
    """Yield the tables of the student and of all that can be compared with it, with intervals."""
    yield "## Results\n\n"
    chosen = facts.compared
    if not facts.of_student:
        yield f"Run {inline(facts.run.id)} was not evaluated.\n\n"
        return
    mathematics = [one for one in chosen if one.evaluation.family == "mathematics"]
    others = [one for one in chosen if one.evaluation.family != "mathematics"]
    for made in (
        accuracy_table(mathematics) if mathematics else None,
        change_table(others) if others else None,
        plain_table(chosen),
    ):
        if made is not None:
            yield deeper(render.markdown(made), 1) + "\n"
    if "tokens" in plots:
        yield "![Accuracy against average output tokens](plots/tokens.svg)\n\n"


def case_studies(facts: LabFacts) -> Iterator[str]:
    """Yield items that the student gained and lost against its base, with both answers."""
    yield "## Case studies\n\n"
    shown = 0
    for after in facts.of_student:
        for before in facts.baselines(after.key):
            if before.evaluation.role != "base":
                continue
            for title, items in _changed(before, after):
                for item in islice(items, _CASES):
                    one = cases.case(facts.store.db, before.evaluation.id, after.evaluation.id, item)
                    yield f"### {title}\n\n" + deeper(cases.as_markdown(one), 3) + "\n"
                    shown += 1
    if not shown:
        yield "No item was answered by both the base and the student with different outcomes.\n\n"


def _changed(before: EvaluationResult, after: EvaluationResult) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the items that were gained and lost, by the first sample of each."""
    then, now = ({one.item: one.correct for one in side.results if one.sample == 0} for side in (before, after))
    shared = [item for item in then if item in now]
    yield "Gained", (item for item in shared if now[item] and not then[item])
    yield "Lost", (item for item in shared if then[item] and not now[item])


def ablations(facts: LabFacts) -> Iterator[str]:
    """Yield the finished runs that differ from this one in a single field, with their accuracy."""
    yield "## Ablations\n\n"
    mine = facts.stages[-1].recipe
    rows = []
    for run, values in facts.other_runs():
        fields = differing_fields(mine, values)
        if len(fields) == 1:
            field = fields[0]
            scores = ", ".join(f"{one.evaluation.suite_label} {one.headline}" for one in facts.of_run(run.id))
            rows.append((run.id, field, str(mine.get(field)), str(values.get(field)), scores or "not evaluated"))
    if not rows:
        yield "No finished run of this lab differs from this one in a single field.\n\n"
        return
    heads = ("run", "field", f"run {facts.run.id}", "that run", "accuracy")
    yield table(heads, rows) + "\n"


def methods(facts: LabFacts) -> Iterator[str]:
    """Yield the synthesis methods of the lab side by side, and what is not recorded of them."""
    yield render.markdown(methods_table(compare_methods(facts.lab, facts.store))) + "\n"


def limitations(facts: LabFacts) -> Iterator[str]:
    """Yield what the records do not support: small suites, one seed, one sample, missing baselines and families."""
    yield "## Limitations\n\n"
    small = [one for one in facts.of_student if one.evaluation.items < 100]
    families = {one.evaluation.family for one in facts.of_student}
    absent = [one for one in ("mathematics", "safety", "factuality", "sycophancy", "general") if one not in families]
    lines = []
    if facts.stages[-1].recipe.get("adapter") != "full":
        lines.append("The student is an adapter on a frozen base; the paper fine-tuned all weights.")
    lines.append(_seeds(facts))
    lines += [
        f"{one.evaluation.suite_label} has only {one.evaluation.items} items: intervals are wide." for one in small
    ]
    if absent:
        lines.append(f"The student was not evaluated on these families: {', '.join(absent)}.")
    lines += [
        f"On {one.evaluation.suite_label} no other model was evaluated."
        for one in facts.of_student
        if not facts.baselines(one.key)
    ]
    yield "".join(f"- {inline(line)}\n" for line in lines) + "\n"


def _seeds(facts: LabFacts) -> str:
    seed, others = facts.stages[-1].recipe.get("seed"), other_seeds(facts.lab, facts.run)
    tag = tag_of(facts.run)
    if not others or tag is None:
        return f"One training run with seed {seed}: the spread over seeds is not known."
    return (
        f"The figures are those of seed {seed}. The group {tag.name} has {len(others)} more runs that differ only in "
        f"their seed: o1lab runs show {tag.name}"
    )


def transparency(score: LabScore) -> Iterator[str]:
    """Yield the index with the evidence of each item."""
    yield f"## {inline(score.framework.title)}: {score.total} of {score.framework.total}\n\n"
    yield f"After {inline(str(score.framework.source), 400)}.\n\n"
    rows = []
    for one in score.items:
        finding = one.finding
        shown = "; ".join(line for line in (*finding.evidence, finding.missing) if line)
        rows.append((one.item.title, f"{one.points}/{one.item.points}", ANSWER_WORDS[finding.answer], shown))
    yield table(("item", "points", "answer", "evidence, or what is missing"), rows) + "\n"


def _text(path: Path) -> str:
    """Return a file's text, or an empty text if there is no such file; a damaged one makes its section fail."""
    return read_text(path).strip() if path.exists() else ""


def _json(path: Path) -> dict[str, Any]:
    return read_json(path, dict) if path.exists() else {}


ERRORS = (O1LabError, OSError, ValueError)
"""Errors that end a section: its place in the report has the message, and the other sections follow."""
