"""The model card of an adapter in the hub's format, and CITATION.cff."""

from __future__ import annotations

from datetime import date
from typing import Any

import yaml

from o1lab import __version__
from o1lab.distill.provenance import terms_of_datasets
from o1lab.evaluate.report.selection import EvaluationResult
from o1lab.markdown import inline, table
from o1lab.transparency.lab_facts import LabFacts

_PAPER = (
    "O1 Replication Journey, Part 2: Surpassing O1-preview through Simple Distillation, Big Progress or Bitter Lesson?"
)
_ALONE = "The results in the front matter of this card are all that was measured; measure it on your own tasks.\n"


def model_card(facts: LabFacts, *, merged: bool = False, alone: bool = False, base: str = "") -> str:
    """Return the card of a student: front matter for the hub, base, data, results, teachers and their terms.

    Args:
        facts: the records of the run.
        merged: whether the card is for the base with the adapter merged into it, not for the adapter.
        alone: whether the card is published without a report.
        base: the name of the base; empty for that in the recipe.
    """
    recipe = facts.stages[-1].recipe
    base = base or str(recipe.get("base", "unknown"))
    adapter = str(recipe.get("adapter") or "lora")
    full = adapter == "full"
    front: dict[str, Any] = {
        "base_model": base,
        "library_name": "transformers" if merged or full else "peft",
        "pipeline_tag": "text-generation",
        "tags": [*([] if full else ["lora"]), "distillation", "long-chain-of-thought", "o1lab"],
        "datasets": [one.name for one in facts.datasets],
    }
    if facts.of_student:
        front["model-index"] = [{"name": facts.run.id, "results": [_result(one) for one in facts.of_student]}]
    what = f"{inline(base)} with a LoRA adapter merged into it" if merged else f"A LoRA adapter for {inline(base)}"
    if full:
        what = f"{inline(base)} with all its weights"
    title = "Merged model" if merged else "Model" if full else "Adapter"
    lines = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n",
        f"# {title} of run {inline(facts.run.id)}\n",
        f"{what}, trained in {len(facts.stages)} stage(s) on long-thought chains.\n",
        table(
            ("", ""),
            (
                ("base", base),
                ("base loaded in", str(recipe.get("quantization") or recipe.get("dtype") or "unknown")),
                ("trained", "all weights" if full else adapter),
                *([] if full else [("rank", recipe.get("lora_r")), ("alpha", recipe.get("lora_alpha"))]),
                ("steps", facts.run.read_status().step),
                ("datasets", ", ".join(f"{one.name} ({one.hash})" for one in facts.datasets)),
            ),
        ),
        "## Teachers and their terms of use\n",
        "".join(terms_of_datasets(facts.lab, facts.store, facts.datasets)) or "No teacher run made any of its rows.\n",
        "## Limitations\n",
        _ALONE if alone or merged else "See report.md: it lists what was measured, with intervals, and what was not.\n",
    ]
    return "\n".join(lines)


def prompt_section(prompt: str) -> str:
    """Return the section of a card with the system prompt of the student; empty without one."""
    return f"\n## System prompt\n\n```\n{prompt}\n```\n" if prompt else ""


def plain_card(title: str, base: str) -> str:
    """Return the card of a model of which the lab has no records."""
    front = {"pipeline_tag": "text-generation", "tags": ["o1lab"]} | ({"base_model": base} if base else {})
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# {inline(title)}\n"


def merged_card(name: str, base: str) -> str:
    """Return the card of a base with an imported adapter merged into it, whose training the lab did not record."""
    return f"{plain_card(f'{name}, merged', base)}\n{inline(base)} with the imported adapter {inline(name)}.\n"


def _result(one: EvaluationResult) -> dict[str, Any]:
    about = one.evaluation
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": about.suite_label, "type": about.suite},
        "metrics": [{"type": one.key.metric, "value": None if one.value is None else round(one.value, 2)}],
    }


def citation(facts: LabFacts) -> str:
    """Return a CITATION.cff for the student; authors are for a person to fill in."""
    found = {
        "cff-version": "1.2.0",
        "message": "Fill in the authors before publishing.",
        "title": f"{'Model' if facts.stages[-1].recipe.get('adapter') == 'full' else 'Adapter'} of run {facts.run.id}",
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
