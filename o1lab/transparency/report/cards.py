"""The model card of an adapter in the hub's format, and CITATION.cff."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import yaml

from o1lab import __version__
from o1lab.config import load_config
from o1lab.distill.markdown import inline, table
from o1lab.distill.provenance import terms_of
from o1lab.paths import Lab
from o1lab.transparency.lab_facts import LabFacts
from store import Store, dataset_facts, teacher_runs
from store.records import Dataset

_PAPER = (
    "O1 Replication Journey, Part 2: Surpassing O1-preview through Simple Distillation, Big Progress or Bitter Lesson?"
)


def model_card(facts: LabFacts) -> str:
    """Return the card of the adapter: front matter for the hub, base, data, results, teachers and their terms."""
    recipe = facts.stages[-1].recipe
    base = str(recipe.get("base", "unknown"))
    front: dict[str, Any] = {
        "base_model": base,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "distillation", "long-chain-of-thought", "o1lab"],
        "datasets": [one.name for one in facts.datasets],
    }
    if facts.of_student:
        front["model-index"] = [{"name": facts.run.id, "results": [_result(one) for one in facts.of_student]}]
    lines = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n",
        f"# Adapter of run {inline(facts.run.id)}\n",
        f"A LoRA adapter for {inline(base)}, trained in {len(facts.stages)} stage(s) on long-thought chains.\n",
        table(
            ("", ""),
            (
                ("base", base),
                ("base loaded in", str(recipe.get("quantization") or recipe.get("dtype") or "unknown")),
                ("rank", recipe.get("lora_r")),
                ("alpha", recipe.get("lora_alpha")),
                ("steps", facts.run.read_status().step),
                ("datasets", ", ".join(f"{one.name} ({one.hash})" for one in facts.datasets)),
            ),
        ),
        "## Teachers and their terms of use\n",
        "\n".join(teacher_terms(facts.lab, facts.store, facts.datasets)) or "No teacher run made any of its rows.\n",
        "## Limitations\n",
        "See report.md: it lists what was measured, with intervals, and what was not.\n",
    ]
    return "\n".join(lines)


def _result(one: Any) -> dict[str, Any]:
    about = one.evaluation
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": about.suite_label, "type": about.suite},
        "metrics": [{"type": one.key.metric, "value": None if one.value is None else round(one.value, 2)}],
    }


def teacher_terms(lab: Lab, store: Store, datasets: Sequence[Dataset]) -> list[str]:
    """Return one line of Markdown for each model that wrote rows of the datasets in a teacher run."""
    config = load_config(lab)
    runs = {run for one in datasets for run in dataset_facts.runs(store.db, one.name)}
    lines = (line for run in sorted(runs) for line in terms_of(lab, config, teacher_runs.get(store.db, run)))
    return list(dict.fromkeys(lines))


def citation(facts: LabFacts) -> str:
    """Return a CITATION.cff for the student; authors are for a person to fill in."""
    found = {
        "cff-version": "1.2.0",
        "message": "Fill in the authors before publishing.",
        "title": f"Adapter of run {facts.run.id}",
        "type": "software",
        "authors": [{"name": "FILL IN"}],
        "date-released": date.today().isoformat(),
        "references": [
            {
                "type": "article",
                "title": _PAPER,
                "authors": [{"name": "Zhen Huang et al."}],
                "year": 2024,
                "url": "https://arxiv.org/abs/2411.16489",
            },
            {"type": "software", "title": "o1lab", "version": __version__, "authors": [{"name": "o1lab"}]},
        ],
    }
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True)
