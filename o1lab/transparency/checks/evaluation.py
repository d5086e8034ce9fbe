"""Checks of the evaluation, and of what is ready to publish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from o1lab.evaluate.scorers.base import SCORERS
from o1lab.evaluate.suites.suite import Suite
from o1lab.transparency.checks.finding import Finding, check, no, yes
from o1lab.transparency.lab_facts import LabFacts


def _evaluated(facts: LabFacts) -> Finding | None:
    if facts.of_student:
        return None
    return no(f"Run {facts.run.id} was not evaluated.", f"o1lab eval SUITE --model {facts.run.id}")


def _of_suites(facts: LabFacts, stated: Callable[[Suite], str], lacks: str, field: str) -> Finding:
    """Return yes with what each evaluated suite states, or no for the first that states nothing."""
    lines = []
    for one in facts.of_student:
        suite = facts.suite(one)
        line = stated(suite) if suite is not None else ""
        if not line:
            file = facts.lab.suites / f"{one.evaluation.suite}.yaml"
            return no(f"The suite {one.evaluation.suite_label} does not {lacks}.", f"add `{field}` to {file}")
        lines.append(line)
    return _evaluated(facts) or yes(*dict.fromkeys(lines))


@check("eval.benchmarks")
def _benchmarks(facts: LabFacts) -> Finding:
    def stated(suite: Suite) -> str:
        return f"o1lab eval suite {suite.name}" if suite.about.strip() else ""

    return _of_suites(facts, stated, "say what it measures", "about: ...")


@check("eval.level")
def _level(facts: LabFacts) -> Finding:
    def stated(suite: Suite) -> str:
        return f"{suite.label}: {suite.level}s are evaluated" if suite.level is not None else ""

    return _of_suites(facts, stated, "state its level", "level: answer")


@check("eval.metrics")
def _metrics(facts: LabFacts) -> Finding:
    lines = (
        f"{one.evaluation.suite_label}: {one.evaluation.metric} by {one.scorer}, o1lab eval figures {one.evaluation.id}"
        for one in facts.of_student
    )
    return _evaluated(facts) or yes(*lines)


@check("eval.own_metrics")
def _own_metrics(facts: LabFacts) -> Finding:
    plugins = set(SCORERS.plugins())
    own = sorted({one.scorer for one in facts.of_student if one.scorer.partition("@")[0] in plugins})
    if own:
        return Finding("person", (), f"Scorers of plugins are used: {', '.join(own)}. Justify them.")
    return _evaluated(facts) or Finding("not_used", ("All scorers and metrics are those of o1lab.",))


@check("eval.baselines")
def _baselines(facts: LabFacts) -> Finding:
    lines = []
    for one in facts.of_student:
        others = facts.baselines(one.key)
        if not others:
            base = facts.stages[-1].recipe.get("base", "BASE")
            return no(
                f"No other model was evaluated on the items of {one.evaluation.suite_label} with {one.scorer}.",
                f"o1lab eval {one.evaluation.suite} --model {base}",
            )
        models = ", ".join(sorted({other.evaluation.model for other in others}))
        lines.append(f"{one.evaluation.suite_label}, {one.scorer}, items {one.evaluation.items_hash}: {models}")
    return _evaluated(facts) or yes(*lines)


@check("eval.conditions")
def _conditions(facts: LabFacts) -> Finding:
    lines = []
    for one in facts.of_student:
        used = one.evaluation.settings
        absent = [name for name in _conditions_of(used) if used.get(name) is None]
        if absent:
            return no(
                f"Evaluation {one.evaluation.id} left {', '.join(absent)} to the server.",
                f"o1lab eval {one.evaluation.suite} --model {one.evaluation.model} --temperature 0",
            )
        values = ", ".join(f"{name} {used[name]}" for name in _conditions_of(used))
        lines.append(f"o1lab eval show {one.evaluation.id}: {values}")
    return _evaluated(facts) or yes(*lines)


def _conditions_of(settings: dict[str, Any]) -> Sequence[str]:
    """Return the settings that must be given; top-p changes nothing at temperature 0."""
    sampled = ("top_p",) if settings.get("temperature") != 0 else ()
    return ("temperature", *sampled, "max_tokens", "samples")


# Open source: the lab records what is ready to publish, not whether it is public.


def _public(item: str, ready: Callable[[LabFacts], Sequence[str]]) -> None:
    @check(item)
    def judge(facts: LabFacts) -> Finding:
        missing = "Only a person can say whether it is public, and where."
        return Finding(
            "person", tuple(ready(facts)), missing, f"o1lab tti --self --item {item} --answer yes --evidence URL"
        )


_public("open.data", lambda facts: [f"o1lab dataset export {one.name} --out DIR/" for one in facts.datasets])
_public("open.synthetic", lambda facts: [f"o1lab dataset export {one.name} --out DIR/" for one in facts.datasets])
_public("open.weights", lambda facts: [str(path) for path in facts.run.checkpoints()[-1:]])
_public("open.training_code", lambda facts: [str(facts.run.command)])
_public("open.evaluation_code", lambda facts: [f"o1lab eval show {one.evaluation.id}" for one in facts.of_student])
_public("open.guidance", lambda facts: [str(facts.run.command)])
_public("open.paper", lambda facts: [])
