"""The commands of evaluation: run a suite on a model, and manage evaluations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs, group_with_default
from o1lab.cli.base.listing import Column, Item
from o1lab.cli.base.output import current_lab
from o1lab.cli.base.progress import counted_json, fault_lines, job_details, result_notes, run_job
from o1lab.cli.evaluate import figures, rating, samples, suites, tables
from o1lab.cli.jobs.commands import JobCommands
from o1lab.cli.jobs.verbs import (
    REQUESTS,
    DetachOption,
    ResumeOption,
    add_job_verbs,
    progress_column,
    resume_job,
    start_job,
)
from o1lab.errors import LabError, UsageError
from o1lab.format import first_of, money, percent
from o1lab.labs import opened_lab
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.evaluate.run.control import EvalInfo
    from o1lab.evaluate.run.directory import EvalFolder
    from o1lab.paths import Lab
    from store import Store

verbs = Verbs(
    "eval",
    help="Evaluate a model on a suite. `o1lab eval SUITE --model M` is short for `o1lab eval run SUITE --model M`.",
    cls=group_with_default("run"),
)
for module in (suites, figures, tables, samples, rating):
    verbs.add_typer(module.verbs)


_SETTINGS = "o1lab.evaluate.run.settings:EvaluationSettings"


@verbs.command("run", settings=_SETTINGS)
def eval_run(
    resume: ResumeOption = None,
    rescore: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Score the samples again with the suite's current scorer; ask no model."),
    ] = None,
    detach: DetachOption = False,
) -> None:
    """Evaluate a model on a suite; every paid response is kept.

    Ctrl-C waits for the requests in flight, a second Ctrl-C abandons them. `resume` continues after either and repeats
    no answered request.

    Example: o1lab eval aime24 --model smollm2-135m --limit 5

    Example: o1lab eval aime24 --model o1 --samples 8 --temperature 0.6 --budget-usd 20
    """
    from o1lab.evaluate.run import control

    lab = current_lab()
    values = options.given()
    if resume is not None and rescore is not None:
        raise UsageError("--resume and --rescore cannot be combined.", "Give one of them.")
    if resume is not None:
        resume_job(lab, JOBS, resume, values, detach=detach)
        return
    if rescore is not None:
        folder = control.rescore(lab, rescore, values)
    else:
        if missing := next((name for name in ("suite", "model") if name not in values), None):
            raise UsageError(
                f"No {missing} is given.",
                f"o1lab eval SUITE --model MODEL; suites: see `o1lab eval suites`; models: {_models(lab)}.",
            )
        settings = control.read_settings(lab, values)
        folder = control.start(lab, settings)
    scores_only = rescore is not None
    flags = ["--scores-only"] if scores_only else []
    start_job(lab, JOBS, folder, detach=detach, flags=flags, run=partial(_run, scores_only=scores_only))


def _rows(lab: Lab) -> list[dict[str, Any]]:
    from o1lab.evaluate.run.control import EVALUATIONS

    rows = []
    with opened_lab(lab) as store:
        for folder in EVALUATIONS.directories(lab):
            info = folder.info()
            try:
                rows.append(_keys(lab, info, store, brief=True))
            except LabError as error:
                rows.append(_unreadable(info, error))
    return rows


def _unreadable(info: EvalInfo, error: LabError) -> dict[str, Any]:
    """Return the JSON of an evaluation whose directory is damaged: the keys that are known."""
    reason = info.unreadable or error.message
    status = {"state": info.state, "message": f"unreadable: {reason}", "hint": error.hint, "notes": []}
    return {"id": info.id} | status | {"name": info.name, "unreadable": reason}


_COLUMNS = (
    progress_column("done", "done", "requested"),
    Column("result", lambda item: _short_headline(item) if "metric" in item else "", right=True),
    Column("suite", lambda item: f"{item['suite']}@{item['suite_version']}" if "suite" in item else ""),
    Column("model", lambda item: item.get("model", "")),
)


def _show(lab: Lab, folder: EvalFolder, info: EvalInfo) -> tuple[dict[str, Any], list[str]]:

    faults = folder.faults()
    item = summary(lab, info, brief=False) | job_details(folder, info, faults)
    return item, [*_lines(item), *result_notes(item), *fault_lines(faults), "", f"folder  {folder.path}"]


def summary(lab: Lab, info: EvalInfo, *, brief: bool = True) -> dict[str, Any]:
    """Return the JSON of an evaluation. ``cost_usd`` is null if the price is not known.

    Args:
        lab: the lab of the evaluation.
        info: the evaluation.
        brief: leave out the keys that need every sample.

    Raises:
        LabError: its directory cannot be read.
    """
    with opened_lab(lab) as store:
        return _keys(lab, info, store, brief=brief)


def _keys(lab: Lab, info: EvalInfo, store: Store, *, brief: bool) -> dict[str, Any]:
    from o1lab.evaluate.run.control import recorded
    from o1lab.evaluate.run.directory import EvalFolder
    from o1lab.evaluate.stats.figures import summarise

    evaluation = recorded(lab, EvalFolder(lab.evals / info.id), store)
    summary = summarise(store.db, evaluation, brief=brief).as_json()
    requested = info.status.requested or evaluation.items * evaluation.samples
    return counted_json(info) | summary | {"requested": requested}


def _models(lab: Lab) -> str:
    from o1lab.serve.registry import list_models

    return first_of([ref.id for ref in list_models(lab)], 8)


def _run(lab: Lab, folder: EvalFolder, *, scores_only: bool = False) -> int:
    """Run an evaluation to its end in this process; return the exit status."""
    from o1lab.evaluate.run.runner import EvaluationRunner

    runner = partial(EvaluationRunner, scores_only=scores_only)
    result = partial(summary, lab, brief=False)
    return run_job(folder, runner, lambda: result(folder.info()), lambda item: [*_lines(item), *_why(item)])


JOBS = JobCommands(
    "evaluation",
    "o1lab.evaluate.run.control:EVALUATIONS",
    _rows,
    _COLUMNS,
    "No evaluation yet. Start one: o1lab eval SUITE --model MODEL",
    _show,
    summary,
    "Calls in flight are completed first.",
    _SETTINGS,
    (*REQUESTS, "max_tokens"),
    _run,
)  # fmt: skip
add_job_verbs(verbs, JOBS)


def _lines(item: dict[str, Any]) -> list[str]:
    cost = "" if item["cost_usd"] is None else f", {money(item['cost_usd'])}"
    missing = f" of {item['requested'] - item['missing']} samples, {item['missing']} missing" if item["missing"] else ""
    others = ("correct", "incorrect", "incomplete", "unextracted", "unscored", "failed")
    return [
        f"Evaluation {item['id']} is {item['state']}: {item['suite']}@{item['suite_version']} by {item['model']}, "
        f"{item['done']} of {item['requested']} samples done",
        _headline(item) + missing,
        *([f"system    {one_line(system, 70)}"] if (system := item["sampling"].get("system")) else []),
        f"scorer    {item['scorer_version']}",
        "          " + ", ".join(f"{item[name]} {name}" for name in others),
        _tokens(item),
        f"spent     {item['input_tokens']:,} + {item['output_tokens']:,} tokens{cost}; {item['cached']} samples reused",
    ]


def _tokens(item: dict[str, Any]) -> str:
    if item["avg_output_tokens"] is None:
        return "tokens    no answer yet"
    text = (
        f"tokens    {_count(item['avg_output_tokens'])} a response: thought {_count(item['avg_thought_tokens'])}, "
        f"answer {_count(item['avg_answer_tokens'])}"
    )
    if item["avg_dropped_tokens"]:
        text += f"; {_count(item['avg_dropped_tokens'])} more were generated and dropped (budget forcing)"
    return text + (f"; {item['estimated']} samples with estimates" if item["estimated"] else "")


def _why(item: dict[str, Any]) -> list[str]:
    """Name the command that shows why samples failed or have no score."""
    odd = [name for name in ("failed", "unscored") if item[name]]
    if item["scorer_version"].startswith("human@"):
        odd = [name for name in odd if name == "failed"]
    wanted = " ".join(f"--outcome {name}" for name in odd)
    return [f"Why {' and '.join(odd)}: o1lab eval samples {item['id']} {wanted}"] if odd else []


def _headline(item: dict[str, Any]) -> str:
    """Format the accuracy, or the mean mark if that is the metric of the suite."""
    if item["metric"] == "mean_value":
        text, of = f"mean mark {percent(item['mean_value'])}", f", {item['graded']} graded"
    else:
        text, of = f"accuracy  {percent(item['accuracy'])}", ""
    interval = item["mean_value_ci95" if of else "ci95"]
    return text + (f" ({percent(interval[0])} to {percent(interval[1])})" if interval else "") + of


def _short_headline(item: Item) -> str:
    """Format the headline for a list; ``⌀`` marks a mean."""
    return f"⌀{percent(item['mean_value'])}" if item["metric"] == "mean_value" else percent(item["accuracy"])


def _count(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.0f}"
