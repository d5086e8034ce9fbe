"""What stands under a table: where published figures come from, and in what one's own differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from o1lab.evaluate.report.published import PublishedAccuracy, PublishedChanges
from o1lab.evaluate.report.selection import EvaluationResult, differing

_ADAPTERS = "Students here are adapters on a frozen base; the paper fine-tuned all weights."
_HARNESS = (
    "Published figures come from other prompts, samplings, scorers and samples of items than yours: they stand beside "
    "yours, not on one ground with them."
)
_REST = (
    "Accuracy is correct of ALL samples: incomplete (cut off), unextracted (no answer found), unscored and failed ones "
    "count as not correct."
)
_TOKENS = "Tokens: average output tokens of a response, cut-off ones included, failed ones not."
_FEW = 5  # settings named one by one


def accuracy(printed: PublishedAccuracy, chosen: Sequence[EvaluationResult], reference: str | None) -> tuple[str, ...]:
    """Under the first table."""
    lines = [f"Published: {printed.source.citation}.", *printed.notes]
    lines.append("Intervals of published counts are Wilson's at 95 %, ours; a percentage alone has none.")
    return _all(lines, chosen, reference)


def changes(
    printed: PublishedChanges, chosen: Sequence[EvaluationResult], reference: str | None, after: Sequence[str]
) -> tuple[str, ...]:
    """Under the generalization table."""
    published = bool(printed.sets or printed.overall)
    lines = (
        []
        if not published
        else [
            f"Published: {printed.source.citation}. Before: {printed.before}; after: {printed.after}.",
            *printed.notes,
            *(f"{one.name}: the mean of {', '.join(one.of)}, as printed." for one in printed.overall),
            "The paper gives no interval of its differences, so their words go by the sign alone; intervals of its "
            "percentages of 200 are Wilson's at 95 %, ours.",
        ]
    )
    if chosen and reference is None:
        models = ", ".join(dict.fromkeys(one.evaluation.model for one in chosen))
        lines.append(f"Say with --before which of your models is the one before: {models}.")
    elif chosen and not after:
        lines.append(f"Only {reference} was evaluated: nothing to compare it with yet.")
    return _all(lines, chosen, reference, published=published)


def plain(chosen: Sequence[EvaluationResult], reference: str | None) -> tuple[str, ...]:
    """Under a table of any evaluations."""
    return _all([], chosen, reference, published=False)


def _all(
    lines: Sequence[str], chosen: Sequence[EvaluationResult], reference: str | None, *, published: bool = True
) -> tuple[str, ...]:
    if not chosen:
        return (*lines, "Nothing of yours yet: o1lab eval SUITE --model MODEL")
    said = list(lines)
    if published:
        said.append(_HARNESS)
    if any(one.evaluation.role == "student" for one in chosen):
        said.append(_ADAPTERS)
    said += [_REST, _TOKENS]
    if reference is not None:
        said.append(
            f"Differences are to {reference} on the same items, intervals at 95 % by a paired bootstrap over items. "
            "Where an interval holds 0 there is no clear change; where resampling finds no width, a test by exchange "
            "says (p)."
        )
    said += [*_settings(chosen), *_apart(chosen, reference), *_doubts(chosen)]
    return tuple(said)


def _settings(chosen: Sequence[EvaluationResult]) -> list[str]:
    """How one's own were asked: once where all are alike, else by evaluation."""
    asked: dict[str, list[EvaluationResult]] = {}
    for one in chosen:
        asked.setdefault(_asked(one), []).append(one)
    if len(asked) == 1:
        return [f"Yours were asked with {next(iter(asked))}."]
    lines = []
    for words, members in list(asked.items())[:_FEW]:
        whom = "; ".join(dict.fromkeys(f"{one.evaluation.model} on {one.evaluation.suite}" for one in members))
        lines.append(f"Asked with {words}: {whom}.")
    if len(asked) > _FEW:
        lines.append(f"{len(asked) - _FEW} more settings: see `o1lab eval show ID`.")
    return lines


def _asked(one: EvaluationResult) -> str:
    """The sampling in words; what the server chose is not named."""
    about = {**one.evaluation.settings, **one.evaluation.sampling}
    words = []
    for key, name in (("temperature", "temperature"), ("top_p", "top-p"), ("max_tokens", "max"), ("seed", "seed")):
        if about.get(key) is not None:
            words.append(f"{name} {about[key]}" + (" tokens" if key == "max_tokens" else ""))
    if about.get("force_answer"):
        words.append(f"a forced answer of {about['force_answer']} tokens where cut off")
    number = one.evaluation.samples
    return ", ".join([*words, f"{number} sample{'s' * (number != 1)} an item"])


def _apart(chosen: Sequence[EvaluationResult], reference: str | None) -> list[str]:
    """Evaluations of one suite that may not be compared, and why."""
    bases = [one for one in chosen if one.evaluation.model == reference]
    return [
        f"Not compared: {base.evaluation.id} ({base.evaluation.model}) and {one.evaluation.id} "
        f"({one.evaluation.model}) differ in {why}."
        for base in bases
        for one in chosen
        if one.evaluation.suite == base.evaluation.suite and (why := differing(base, one))
    ]


def _doubts(chosen: Sequence[EvaluationResult]) -> list[str]:
    """What else makes a figure less than it seems."""
    from o1lab.serve.registry import SOLVER

    lines = []
    if any(one.evaluation.model == SOLVER for one in chosen):
        lines.append(f"{SOLVER} is a program, not a language model, and knows one family of problems only.")
    for one in chosen:
        name = f"{one.evaluation.id} ({one.evaluation.model} on {one.evaluation.suite_label})"
        if not one.finished:
            lines.append(
                f"{name} is unfinished: {one.tally.total:,} of {one.expected:,} samples. Short answers come first, so "
                "its figures may still move."
            )
        if one.tally.estimated:
            lines.append(
                f"{name}: the server did not say all token counts of {one.tally.estimated:,} samples; what it left out "
                "is our estimate."
            )
        if file := one.evaluation.settings.get("items_file"):
            lines.append(f"{name}: its items are those of {Path(str(file)).name}, which was named for this evaluation.")
        if limit := one.evaluation.settings.get("limit"):
            lines.append(f"{name}: the first {json.dumps(limit)} items only.")
    if any(one.graded for one in chosen):
        lines.append(
            "Graded: the mean of the marks there are, out of 100; samples without one are in the other columns."
        )
    judged = list(dict.fromkeys(one.scorer for one in chosen if one.scorer.startswith("judge")))
    if judged:
        lines.append(f"Judged by models, not by people: {', '.join(judged)}.")
    return lines
