"""The commands ``traces steps`` and ``traces judge-steps``: verdicts on the first wrong step of traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened
from o1lab.cli.jobs.verbs import DetachOption, EstimateOption, ResumeOption, resume_job
from o1lab.errors import UsageError
from o1lab.format import percent_within
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.evaluate.rating.steps import StepAgreement

_OPTIONS = (
    "prompt", "limit", "max_tokens", "budget_usd", "budget_tokens", "concurrency", "requests_per_minute",
    "tokens_per_minute", "attempts", "silence_timeout_s", "stream",
)  # fmt: skip
_GREEDY = {"temperature": 0.0, "seed": 0, "max_tokens": 4096}
_MOST_LISTED = 40


verbs = Verbs()


@verbs.command("judge-steps", settings="o1lab.distill.settings:TeacherRunSettings", only=_OPTIONS)
def judge_steps(
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            "-j",
            help="Judge: an endpoint of o1lab.toml, or another model.",
            autocompletion=completing("endpoint"),
        ),
    ] = None,
    where: Annotated[str, typer.Option(help="Traces to judge, in the filter language of the Traces screen.")] = "",
    estimate: EstimateOption = False,
    resume: ResumeOption = None,
    detach: DetachOption = False,
) -> None:
    """Ask a judge for the first wrong step of each trace, and record it as the judge's annotation.

    The judge is asked at temperature 0 with the prompt `judge-steps`. It is a teacher run: every paid response is kept,
    and `o1lab distill show`, `stop` and `resume` work with its id. `o1lab traces steps` compares judges and annotators.

    Example: o1lab traces judge-steps --judge openai --where "verdict:wrong" --limit 50 --budget-usd 2
    """
    from o1lab.cli.distill import JOBS, begin
    from o1lab.distill.runs import read_settings

    lab, values = current_lab(), options.given()
    if resume is not None:
        if estimate or judge or where:
            raise UsageError("--resume continues a run with its own judge and traces.", "Leave out the other options.")
        resume_job(lab, JOBS, resume, values, detach=detach)
        return
    if judge is None:
        raise UsageError("No judge is given.", "Add --judge NAME, an endpoint of o1lab.toml.")
    values = _GREEDY | values | {"method": "judge-steps", "endpoint": judge, "traces": where}
    begin(lab, read_settings(values), estimate=estimate, detach=detach)


@verbs.command("steps")
def traces_steps() -> None:
    """Show how annotators and judges agree on the first wrong step of traces, and where they differ.

    "Within one" also counts neighbouring moves. Alpha is agreement beyond chance, for any number of annotators.

    Example: o1lab traces steps --json
    """
    from o1lab.evaluate.rating.steps import step_agreement

    with opened() as store:
        found = step_agreement(store.db)
    emit(found.as_json(), text=_lines(found))


def _lines(found: StepAgreement) -> list[str]:
    if not found.verdicts:
        return [
            "No trace has a verdict on its steps yet.",
            "Give one with X in the reader, `o1lab annotate ID --wrong-step N`, or `o1lab traces judge-steps`.",
        ]
    item = found.as_json()
    lines = [f"{item['total']:,} traces have a verdict on their steps."]
    lines += [
        f"  {_name(one['annotator'], one['judge'])}: {one['traces']:,} traces, {one['marked']:,} with a wrong step, "
        f"{one['right']:,} without"
        for one in item["annotators"]
    ]
    for pair in item["pairs"]:
        names = " and ".join(_name(name, found.names[name]) for name in pair["annotators"])
        lines += [
            "", f"{names}: {pair['traces']:,} traces in common",
            f"  exact       {percent_within(pair['exact'], pair['exact_ci95'])}",
            f"  within one  {percent_within(pair['within_one'], pair['within_one_ci95'])}",
        ]  # fmt: skip
    lines += ["", f"Krippendorff's alpha: {found.alpha.text('trace')}", f"  {item['alpha']['source']}"]
    for one in item["disagreements"][:_MOST_LISTED]:
        steps = ", ".join(f"{one_line(each['annotator'], 40)}: {each['step'] or 'none'}" for each in one["steps"])
        lines.append(f"{one['trace_id']}  {steps}")
    if (more := len(item["disagreements"]) - _MOST_LISTED) > 0:
        lines.append(f"and {more:,} more traces: o1lab traces ls --where wrong-step:disputed")
    return lines


def _name(annotator: str, judge: bool) -> str:
    return f"judge {one_line(annotator, 80)}" if judge else one_line(annotator, 80)
