"""The notes below a table: sources of published figures, settings of your own, and caveats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from o1lab.evaluate.report.published import PublishedAccuracy, PublishedChanges
from o1lab.evaluate.report.selection import EvaluationResult, differing
from o1lab.format import counted
from o1lab.text import one_line

_ADAPTERS = "The paper fine-tuned all weights; students here may be adapters on a frozen base."
_HARNESS = (
    "Published figures come from other prompts, sampling settings, scorers and item samples than yours: they are for "
    "orientation and not directly comparable."
)
_REST = (
    "Accuracy is the share of correct samples among ALL samples: incomplete (cut off), unextracted (no answer found), "
    "unscored and failed ones count as not correct."
)
_TOKENS = "Tokens: average output tokens per response, including cut-off responses but not failed ones."
_FEW = 5  # settings that are listed


def accuracy(printed: PublishedAccuracy, chosen: Sequence[EvaluationResult], reference: str | None) -> tuple[str, ...]:
    """Return the notes of the accuracy table."""
    lines = [f"Published: {printed.source.citation}.", *printed.notes]
    lines.append("Intervals of published counts are 95 % Wilson intervals computed here; a percentage alone has none.")
    return _all(lines, chosen, reference)


def changes(
    printed: PublishedChanges, chosen: Sequence[EvaluationResult], reference: str | None, after: Sequence[str]
) -> tuple[str, ...]:
    """Return the notes of the generalization table."""
    published = bool(printed.sets or printed.overall)
    lines = (
        []
        if not published
        else [
            f"Published: {printed.source.citation}. Before: {printed.before}; after: {printed.after}.",
            *printed.notes,
            *(f"{one.name}: the mean of {', '.join(one.of)}, as published." for one in printed.overall),
            "The paper gives no intervals of its differences, so their verdicts depend on the sign alone. Intervals of "
            "its percentages of 200 are 95 % Wilson intervals computed here.",
        ]
    )
    if chosen and reference is None:
        models = ", ".join(dict.fromkeys(one.evaluation.model for one in chosen))
        lines.append(f"Name the model before with --before: {models}.")
    elif chosen and not after:
        lines.append(f"Only {reference} was evaluated, so there is nothing to compare it with.")
    return _all(lines, chosen, reference, published=published)


def plain(chosen: Sequence[EvaluationResult], reference: str | None) -> tuple[str, ...]:
    """Return the notes of a table of any evaluations."""
    return _all([], chosen, reference, published=False)


def _all(
    lines: Sequence[str], chosen: Sequence[EvaluationResult], reference: str | None, *, published: bool = True
) -> tuple[str, ...]:
    if not chosen:
        return (*lines, "No evaluations of your own yet: o1lab eval SUITE --model MODEL")
    notes = list(lines)
    if published:
        notes.append(_HARNESS)
    if any(one.evaluation.role == "student" for one in chosen):
        notes.append(_ADAPTERS)
    notes += [_REST, _TOKENS]
    if reference is not None:
        notes.append(
            f"Differences are relative to {reference} on the same items, with 95 % intervals from a paired bootstrap "
            "over items. An interval that contains 0 means no clear change; if resampling gives no width, a "
            "permutation test decides (p)."
        )
    notes += [*_settings(chosen), *_not_comparable(chosen, reference), *_caveats(chosen)]
    return tuple(notes)


def _settings(chosen: Sequence[EvaluationResult]) -> list[str]:
    """Return the sampling settings of the evaluations: one line if all are equal, else one for each."""
    by_sampling: dict[str, list[EvaluationResult]] = {}
    for one in chosen:
        by_sampling.setdefault(_sampling(one), []).append(one)
    if len(by_sampling) == 1:
        return [f"Settings of your evaluations: {next(iter(by_sampling))}."]
    lines = []
    for words, members in list(by_sampling.items())[:_FEW]:
        users = "; ".join(dict.fromkeys(f"{one.evaluation.model} on {one.evaluation.suite}" for one in members))
        lines.append(f"Settings {words}: {users}.")
    if len(by_sampling) > _FEW:
        lines.append(f"{len(by_sampling) - _FEW} more settings: see `o1lab eval show ID`.")
    return lines


def _sampling(one: EvaluationResult) -> str:
    """Return the sampling settings as text, without those left to the server."""
    about = {**one.evaluation.settings, **one.evaluation.sampling}
    words = []
    for key, name in (("temperature", "temperature"), ("top_p", "top-p"), ("max_tokens", "max"), ("seed", "seed")):
        if about.get(key) is not None:
            words.append(f"{name} {about[key]}" + (" tokens" if key == "max_tokens" else ""))
    if about.get("force_answer"):
        words.append(f"a forced answer of {about['force_answer']} tokens if cut off")
    if about.get("system"):
        words.append(f"system message '{one_line(about['system'], 40)}'")
    return ", ".join([*words, f"{counted(one.evaluation.samples, 'sample')} per item"])


def _not_comparable(chosen: Sequence[EvaluationResult], reference: str | None) -> list[str]:
    """Return the evaluations of one suite that are not comparable, and why."""
    bases = [one for one in chosen if one.evaluation.model == reference]
    return [
        f"Not compared: {base.evaluation.id} ({base.evaluation.model}) and {one.evaluation.id} "
        f"({one.evaluation.model}) differ in {why}."
        for base in bases
        for one in chosen
        if one.evaluation.suite == base.evaluation.suite and (why := differing(base, one))
    ]


def _caveats(chosen: Sequence[EvaluationResult]) -> list[str]:
    """Return other caveats."""
    from o1lab.serve.records import SOLVER

    lines = []
    if any(one.evaluation.model == SOLVER for one in chosen):
        lines.append(f"{SOLVER} is a program, not a language model, and solves only one family of problems.")
    for one in chosen:
        name = f"{one.evaluation.id} ({one.evaluation.model} on {one.evaluation.suite_label})"
        if not one.finished:
            lines.append(
                f"{name} is unfinished: {one.tally.total:,} of {one.expected:,} samples. Short answers finish first, "
                "so its figures may still change."
            )
        if one.tally.estimated:
            lines.append(
                f"{name}: the server did not report all token counts of {one.tally.estimated:,} samples; the missing "
                "ones are estimates."
            )
        if one.tally.dropped_tokens:
            dropped = one.tally.dropped_tokens / one.tally.answered
            lines.append(
                f"{name}: {dropped:,.1f} more tokens per response were generated and dropped (budget forcing)."
            )
        if file := one.evaluation.settings.get("items_file"):
            lines.append(f"{name}: the items are from {Path(str(file)).name}, the file given for this evaluation.")
        if limit := one.evaluation.settings.get("limit"):
            lines.append(f"{name}: only the first {json.dumps(limit)} items.")
    if any(one.graded for one in chosen):
        lines.append("Graded: the mean of the marks, out of 100; samples without a mark are in the other columns.")
    judged = list(dict.fromkeys(one.scorer for one in chosen if one.scorer.startswith("judge")))
    if judged:
        lines.append(f"Scored by judge models, not by people: {', '.join(judged)}.")
    return lines
