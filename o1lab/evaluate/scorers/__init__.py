"""The scorers, by the names that suites use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from o1lab.errors import UsageError
from o1lab.evaluate.scorers.base import Options, PlainScorer
from o1lab.evaluate.scorers.choice import ChoiceOptions, ChoiceScorer
from o1lab.evaluate.scorers.claims import ClaimsOptions, ClaimsScorer
from o1lab.evaluate.scorers.exact import ExactOptions, ExactScorer
from o1lab.evaluate.scorers.human import HumanOptions, HumanScorer
from o1lab.evaluate.scorers.judge import JUDGE, JudgeContext, JudgeOptions, JudgeScorer, judge_label
from o1lab.evaluate.scorers.match import MatchOptions, MatchScorer
from o1lab.evaluate.scorers.math import MathOptions, MathScorer
from o1lab.evaluate.scorers.protocol import Scorer
from o1lab.evaluate.scorers.refusal import RefusalOptions, RefusalScorer
from o1lab.evaluate.suites.suite import ScorerSpec
from o1lab.inference.prompts import Prompt, find_prompt
from o1lab.paths import Lab

__all__ = ["NAMES", "JudgeContext", "check", "judge_prompt", "make_scorer", "needs_judge", "scorer_label"]

_PLAIN: Mapping[str, tuple[type[Options], Callable[[Any], PlainScorer[Any]]]] = {
    "math": (MathOptions, MathScorer),
    "exact": (ExactOptions, ExactScorer),
    "match": (MatchOptions, MatchScorer),
    "choice": (ChoiceOptions, ChoiceScorer),
    "refusal": (RefusalOptions, RefusalScorer),
    "claims": (ClaimsOptions, ClaimsScorer),
    "human": (HumanOptions, HumanScorer),
}
NAMES: tuple[str, ...] = (*_PLAIN, JUDGE)


def make_scorer(spec: ScorerSpec, *, judge: JudgeContext | None = None) -> Scorer:
    """The scorer of this specification. ``judge`` is used by a judge only.

    Raises:
        UsageError: there is no such scorer or option, or it is a judge and nobody judges.
    """
    options = check(spec)
    if isinstance(options, JudgeOptions):
        if judge is None:
            raise UsageError("The scorer 'judge' needs a model that judges.", "Name one with --judge.")
        return JudgeScorer(options, judge)
    return _PLAIN[spec.name][1](options)


def scorer_label(spec: ScorerSpec, lab: Lab | None, judge_model: str | None) -> str:
    """The label that the scorer's scores will have; nothing is opened. Without a model a judge's label names none.

    Raises:
        UsageError: there is no such scorer or option.
        NotFoundError: the judge's prompt does not exist.
    """
    options = check(spec)
    if isinstance(options, JudgeOptions):
        return judge_label(options, find_prompt(lab, options.prompt), judge_model)
    return _PLAIN[spec.name][1](options).label


def needs_judge(spec: ScorerSpec) -> bool:
    return spec.name == JUDGE


def judge_prompt(spec: ScorerSpec, lab: Lab | None) -> Prompt:
    """The prompt that a judge's options name: the lab's own goes before the one o1lab brings.

    Raises:
        UsageError: it is no judge, or an option is wrong.
        NotFoundError: there is no such prompt.
    """
    options = check(spec)
    if not isinstance(options, JudgeOptions):
        raise UsageError(f"The scorer '{spec.name}' asks nobody and has no prompt.", "Only 'judge' has one.")
    return find_prompt(lab, options.prompt)


def check(spec: ScorerSpec) -> Options:
    """The options of a specification, checked.

    Raises:
        UsageError: there is no such scorer or option.
    """
    kind = JudgeOptions if spec.name == JUDGE else _PLAIN[spec.name][0] if spec.name in _PLAIN else None
    if kind is None:
        raise UsageError(f"There is no scorer '{spec.name}'.", f"There are: {', '.join(sorted(NAMES))}.")
    try:
        return kind.model_validate(spec.options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its options"
        known = ", ".join(kind.model_fields) or "none"
        raise UsageError(
            f"The scorer '{spec.name}' has a wrong option '{where}': {first['msg']}.", f"Its options: {known}."
        ) from error
