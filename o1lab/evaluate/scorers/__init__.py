"""Scorers by the names that suites use; :mod:`o1lab.evaluate.scorers.base` says how to add one."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from o1lab.errors import UsageError
from o1lab.evaluate.scorers.base import SCORERS, Options, PlainScorer, RegisteredScorer, Scorer, ScorerSpec, scorer
from o1lab.evaluate.scorers.judge import JUDGE, JudgeContext, JudgeOptions, JudgeScorer, judge_label
from o1lab.inference.prompts import Prompt, find_prompt
from o1lab.paths import Lab

__all__ = [
    "SCORERS",
    "JudgeContext",
    "Options",
    "PlainScorer",
    "RegisteredScorer",
    "Scorer",
    "ScorerSpec",
    "check",
    "judge_prompt",
    "make_scorer",
    "needs_judge",
    "scorer",
    "scorer_label",
]


def make_scorer(spec: ScorerSpec, *, judge: JudgeContext | None = None) -> Scorer:
    """Make the scorer of a specification.

    Args:
        spec: the scorer's name and options.
        judge: the model that judges; only used by a judge.

    Raises:
        UsageError: there is no such scorer or option, or it is a judge and ``judge`` is None.
    """
    options = check(spec)
    if isinstance(options, JudgeOptions):
        if judge is None:
            raise UsageError("The scorer 'judge' needs a model that judges.", "Name one with --judge.")
        return JudgeScorer(options, judge)
    return _plain(spec, options)


def scorer_label(spec: ScorerSpec, lab: Lab | None, judge_model: str | None) -> str:
    """The label that the scorer's scores will have; nothing is opened. Without a model a judge's label names none.

    Raises:
        UsageError: there is no such scorer or option.
        NotFoundError: the judge's prompt does not exist.
    """
    options = check(spec)
    if isinstance(options, JudgeOptions):
        return judge_label(options, find_prompt(lab, options.prompt), judge_model)
    return _plain(spec, options).label


def needs_judge(spec: ScorerSpec) -> bool:
    """Whether the scorer asks a model."""
    return spec.name == JUDGE


def judge_prompt(spec: ScorerSpec, lab: Lab | None) -> Prompt:
    """The prompt that a judge's options name; the lab's own prompts go before those of o1lab.

    Raises:
        UsageError: the scorer is not a judge, or an option is wrong.
        NotFoundError: there is no such prompt.
    """
    options = check(spec)
    if not isinstance(options, JudgeOptions):
        raise UsageError(f"The scorer '{spec.name}' asks no model and has no prompt.", "Only 'judge' has one.")
    return find_prompt(lab, options.prompt)


def check(spec: ScorerSpec) -> Options:
    """The validated options of a specification.

    Raises:
        UsageError: there is no such scorer or option.
    """
    kind = SCORERS.get(spec.name).options_type
    try:
        return kind.model_validate(spec.options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its options"
        known = ", ".join(kind.model_fields) or "none"
        raise UsageError(
            f"The scorer '{spec.name}' has a wrong option '{where}': {first['msg']}.", f"Its options: {known}."
        ) from error


def _plain(spec: ScorerSpec, options: Options) -> PlainScorer[Any]:
    kind = SCORERS.get(spec.name)
    if not issubclass(kind, PlainScorer):
        raise UsageError(f"The scorer '{spec.name}' cannot be used: it is not a PlainScorer.", "Correct its package.")
    made: PlainScorer[Any] = kind(options)
    return made
