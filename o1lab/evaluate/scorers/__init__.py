"""Scorers by name; see :mod:`o1lab.evaluate.scorers.base` for how to add one."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from o1lab.errors import UsageError
from o1lab.evaluate.scorers.base import SCORERS, Options, PlainScorer, RegisteredScorer, Scorer, ScorerSpec, scorer
from o1lab.evaluate.scorers.judge import JUDGE, JudgeContext, JudgeOptions, JudgeScorer, judge_label
from o1lab.inference.prompts import Prompt, find_prompt
from o1lab.paths import Lab
from store import Store

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


def make_scorer(spec: ScorerSpec, *, judge: JudgeContext | None = None, store: Store | None = None) -> Scorer:
    """Create the scorer of a specification.

    Args:
        spec: the scorer's name and options.
        judge: the judge model; only used by the scorer ``judge``.
        store: the lab's database, in which scorers remember what is costly.

    Raises:
        UsageError: there is no such scorer or option, or the scorer needs a judge and ``judge`` is None.
    """
    options = check(spec)
    if isinstance(options, JudgeOptions):
        if judge is None:
            raise UsageError("The scorer 'judge' needs a judge model.", "Name one with --judge.")
        return JudgeScorer(options, judge)
    plain = _plain(spec, options)
    plain.store = store
    return plain


def scorer_label(spec: ScorerSpec, lab: Lab | None, judge_model: str | None) -> str:
    """Return the label that the scorer's scores will have, without opening anything.

    Args:
        spec: the scorer's name and options.
        lab: the lab whose prompts are searched first.
        judge_model: the judge model that a judge's label names; None leaves it out.

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
    """Return the prompt that a judge's options name; the lab's own prompts take precedence over built-in ones.

    Raises:
        UsageError: the scorer is not a judge, or an option is wrong.
        NotFoundError: there is no such prompt.
    """
    options = check(spec)
    if not isinstance(options, JudgeOptions):
        raise UsageError(f"The scorer '{spec.name}' asks no model, so it has no prompt.", "Only 'judge' has one.")
    return find_prompt(lab, options.prompt)


def check(spec: ScorerSpec) -> Options:
    """Return the validated options of a specification.

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
            f"The scorer '{spec.name}' has an invalid option '{where}': {first['msg']}.", f"Its options: {known}."
        ) from error


def _plain(spec: ScorerSpec, options: Options) -> PlainScorer[Any]:
    kind = SCORERS.get(spec.name)
    if not issubclass(kind, PlainScorer):
        raise UsageError(f"The scorer '{spec.name}' cannot be used: it is not a PlainScorer.", "Correct its package.")
    created: PlainScorer[Any] = kind(options)
    return created
