"""The commands of distillation: start a teacher run, and manage teacher runs and prompts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened, say
from o1lab.cli.base.progress import counted_json, fault_lines, job_details, result_notes, run_job
from o1lab.cli.filters import read_filter
from o1lab.cli.jobs.commands import JobCommands
from o1lab.cli.jobs.verbs import (
    REQUESTS,
    DetachOption,
    EstimateOption,
    ResumeOption,
    add_job_verbs,
    progress_column,
    resume_job,
    start_job,
)
from o1lab.cli.problems import ProblemArgument
from o1lab.errors import UsageError
from o1lab.format import money
from o1lab.labs import opened_lab
from o1lab.paths import Lab, annotator
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.distill.run_directory import RunFolder
    from o1lab.distill.runs import RunInfo
    from o1lab.distill.settings import TeacherRunSettings


SETTINGS = "o1lab.distill.settings:TeacherRunSettings"
verbs = Verbs("distill", alone=True, settings=SETTINGS)


@verbs.callback()
def distill(
    ctx: typer.Context,
    estimate: EstimateOption = False,
    resume: ResumeOption = None,
    detach: DetachOption = False,
) -> None:
    """Ask a teacher for long thoughts; every paid response is kept.

    Ctrl-C waits for the requests in flight, a second Ctrl-C abandons them. `resume` continues after either and
    repeats no answered request.

    Example: o1lab distill --endpoint solver --problems "source:demo" --n 2
    """
    if ctx.invoked_subcommand is not None:
        return
    from o1lab.distill import runs

    lab = current_lab()
    values = options.given()
    if resume is not None:
        if estimate:
            raise UsageError(
                "--estimate is for a new run and cannot be combined with --resume.",
                f"Tokens and cost of run {resume} so far: o1lab distill show {resume}",
            )
        resume_job(lab, JOBS, resume, values, detach=detach)
        return
    if "endpoint" not in values:
        raise UsageError("No teacher is given.", "Add --endpoint NAME; `--endpoint solver` needs no key.")
    begin(lab, runs.read_settings(values), estimate=estimate, detach=detach)


def begin(lab: Lab, settings: TeacherRunSettings, *, estimate: bool, detach: bool) -> None:
    """Estimate a new run, or start it here or in the background, and print the result.

    Raises:
        Exit: the run has ended in this process.
    """
    from o1lab.distill import runs
    from store.filters import ProblemQuery, TraceQuery

    filters = {
        "problems": read_filter(ProblemQuery, settings.problems).source,
        "traces": read_filter(TraceQuery, settings.traces).source,
    }
    settings = settings.model_copy(update=filters)
    if estimate:
        _estimate(lab, settings)
        return
    folder = runs.start(lab, settings)
    _say_unanswered(lab, settings)
    start_job(lab, JOBS, folder, detach=detach)


def _rows(lab: Lab) -> list[dict[str, Any]]:
    from o1lab.distill.runs import TEACHER_RUNS

    infos = TEACHER_RUNS.infos(lab)
    reasons = _reasons(lab, [info.id for info in infos])
    return [_keys(info, reasons[info.id]) for info in infos]


_COLUMNS = (
    progress_column("done", "done", "requested"),
    Column("right", "correct", right=True),
    Column("failed", "failed", right=True),
    Column("cost", lambda item: "" if item["cost_usd"] is None else money(item["cost_usd"]), right=True, optional=True),
    Column("endpoint", "endpoint"),
)


def _show(lab: Lab, folder: RunFolder, info: RunInfo) -> tuple[dict[str, Any], list[str]]:
    from o1lab.distill import runs
    from store import teacher_runs

    faults = folder.faults()
    item = summary(lab, info) | job_details(folder, info, faults)
    roles = runs.usage_by_role(folder)
    item["usage_by_role"] = {
        role: {"input_tokens": one.input_tokens, "output_tokens": one.output_tokens} for role, one in roles.items()
    }
    each = (f"{role:>9}  {one.input_tokens:,} + {one.output_tokens:,} tokens" for role, one in roles.items())
    lines = [_line(item), *each, *result_notes(item)]
    with opened_lab(lab) as store:
        details = dict(teacher_runs.details(store.db, folder.id))
    for reason, number in item["reasons"].items():
        lines.append(f"{number:>6}  {reason}")
        if reason in details:
            lines.append(f"        for example {one_line(details[reason], 300)}")
    return item, [*lines, *fault_lines(faults), "", f"folder  {folder.path}"]


def summary(lab: Lab, info: RunInfo) -> dict[str, Any]:
    """Return the JSON of a run. ``cost_usd`` is null if the price is not known."""
    return _keys(info, _reasons(lab, [info.id])[info.id])


def _reasons(lab: Lab, ids: list[str]) -> dict[str, dict[str, int]]:
    """Count the samples of each run that failed or were rejected, by reason."""
    from store import teacher_runs

    with opened_lab(lab) as store:
        return {id: dict(teacher_runs.reasons(store.db, id)) for id in ids}


def _keys(info: RunInfo, reasons: dict[str, int]) -> dict[str, Any]:
    return counted_json(info) | {
        "unverifiable": info.status.unverifiable,
        "rejected": info.status.rejected,
        "reasons": reasons,
        "endpoint": info.settings.endpoint if info.settings else None,
    }


def _run(lab: Lab, folder: RunFolder) -> int:
    """Run a teacher run to its end in this process; return the exit status."""
    from o1lab.distill.runner import TeacherRunner

    return run_job(folder, TeacherRunner, lambda: summary(lab, folder.info()), lambda item: [_line(item)])


JOBS = JobCommands(
    "teacher run",
    "o1lab.distill.runs:TEACHER_RUNS",
    _rows,
    _COLUMNS,
    "No teacher run yet. Start one: o1lab distill --endpoint solver",
    _show,
    summary,
    "Calls in flight are completed first.",
    SETTINGS,
    (*REQUESTS, "stream", "max_tokens"),
    _run,
)  # fmt: skip
add_job_verbs(verbs, JOBS)


def _say_unanswered(lab: Lab, settings: TeacherRunSettings) -> None:
    from o1lab.distill.items import count_unanswered

    with opened_lab(lab) as store:
        unanswered = count_unanswered(store, settings)
    if unanswered:
        say(f"{unanswered:,} of the chosen problems have no answer, so responses to them cannot be verified.")


def _estimate(lab: Lab, settings: TeacherRunSettings) -> None:
    from o1lab.distill.estimate import estimate

    with opened_lab(lab) as store:
        found = estimate(lab, store, settings)

    if found.most_cost_usd is None:
        cost = f"{money(None)}; set input_usd and output_usd of the endpoint in o1lab.toml"
    elif found.cost_usd is None:
        cost = f"at most {money(found.most_cost_usd)}"
    else:
        cost = f"{money(found.cost_usd)}, at most {money(found.most_cost_usd)}"
    typical = "not known: no earlier response" if found.output_tokens is None else f"{found.output_tokens:,}"
    lines = [
        f"samples        {found.items:,} x {settings.n} = {found.samples:,}, at most {found.most_calls:,} calls",
        *([f"unverifiable   {found.unanswered:,} of them have no answer"] if found.unanswered else []),
        f"input tokens   {found.input_tokens:,} ({found.rule})",
        f"output tokens  {typical}" + (f" (from the mean of {found.based_on:,} responses)" if found.based_on else ""),
        f"               at most {found.most_output_tokens:,}",
        f"cost           {cost}",
    ]
    emit(found.as_json(), text=lines)


def _line(item: dict[str, Any]) -> str:
    cost = "" if item["cost_usd"] is None else f", {money(item['cost_usd'])}"
    return (
        f"Run {item['id']} is {item['state']}: {item['done']} of {item['requested']} done, {item['correct']} right, "
        f"{item['incorrect']} wrong, {item['unverifiable']} unverifiable, {item['rejected']} rejected, "
        f"{item['failed']} failed; {item['input_tokens']:,} + {item['output_tokens']:,} tokens{cost}"
    )


@verbs.command("drafts", lists=True)
def distill_drafts() -> None:
    """List the chains that people are writing.

    Continue one with `o1lab distill write PROBLEM_ID`, or press W in the pool of the Distill screen.

    Example: o1lab distill drafts --json
    """
    from o1lab.distill.handwritten import described_drafts

    with opened() as store:
        found = described_drafts(store.db, current_lab())
    items = [asdict(one) | {"path": str(one.path), "unreadable": one.unreadable or None} for one in found]
    emit_list(items, _DRAFTS, empty="No drafts. Write a chain: o1lab distill write PROBLEM_ID")


_DRAFTS = (
    Column("problem", lambda one: one["problem_id"][:12]),
    Column("writer", lambda one: one_line(one["writer"], 24)),
    Column("saved", lambda one: one["saved_at"][:16].replace("T", " ")),
    Column("moves", "moves", right=True),
    Column("statement", lambda one: one_line(one["unreadable"] or one["statement"], 100)),
)


@verbs.command("write", interactive=True)
def distill_write(
    problem_id: ProblemArgument,
    licence: Annotated[str | None, typer.Option(help="Licence of your text.")] = None,
) -> None:
    """Write a long thought yourself in $EDITOR; it is measured and verified when you close the editor.

    An empty file records nothing. Your text is kept in the folder `drafts` of the lab until it is recorded.

    Example: o1lab distill write 3f9c --licence CC-BY-4.0
    """
    from o1lab.distill.drafts import draft_path
    from o1lab.distill.handwritten import write
    from store import problems

    lab, author = current_lab(), annotator()
    with opened() as store:
        problem = problems.resolve(store.db, problem_id)
        path = draft_path(lab, problem.id, author)
        say(f"{'Continuing' if path.exists() else 'Writing'} {path}")
        row = write(store, lab, problem, annotator=author, licence=licence)
    if row is None:
        emit({"trace_id": None, "problem_id": problem.id}, text="Nothing was written.")
        return
    names = ("problem_id", "model", "synthesis", "verdict", "answer", "complete", "chars", "moves")
    item = {"trace_id": row.id, **{name: getattr(row, name) for name in names}}
    emit(item, text=f"{row.id}: {row.verdict} (answer {row.answer or '-'}), written by {row.model}.")


prompt_verbs = Verbs("prompts", "List, show and edit the prompts for teachers.", alone=True, lists=True)
verbs.add_typer(prompt_verbs)
PromptArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The name of a prompt, or NAME@VERSION.", autocompletion=completing("prompt")),
]


@prompt_verbs.callback()
def prompts(ctx: typer.Context) -> None:
    """List the prompts of the lab and the built-in ones."""
    if ctx.invoked_subcommand is not None:
        return
    from o1lab.inference.prompts import all_prompts, broken_prompts

    lab = current_lab()
    found, broken = all_prompts(lab), broken_prompts(lab)
    items = [
        {"name": one.name, "version": one.version, "method": one.method, "about": one.about, "path": str(one.path)}
        for one in found
    ]
    columns = (
        Column("name", lambda one: f"{one['name']}@{one['version']}"),
        Column("method", "method"),
        Column("about", "about"),
    )
    faults = [{"path": str(path), "message": fault.message, "hint": fault.hint} for path, fault in broken.items()]
    notes = [f"Unusable: {fault.message}" for fault in broken.values()]
    emit_list(items, columns, more={"broken": faults}, notes=notes)


@prompt_verbs.command("show")
def prompts_show(name: PromptArgument) -> None:
    """Show the text of a prompt."""
    from o1lab.inference.prompts import find_prompt

    found = find_prompt(current_lab(), name)
    sections = [{"role": role, "text": text} for role, text in found.sections]
    item = {"name": found.name, "version": found.version, "hash": found.hash, "path": str(found.path)}
    text = "\n\n".join(f"# {role}\n{text}" for role, text in found.sections)
    emit(item | {"sections": sections}, text=f"{found.label}  {found.path}\n\n{text}")


@prompt_verbs.command("edit", interactive=True)
def prompts_edit(name: PromptArgument) -> None:
    """Edit a prompt in $EDITOR and save it as a new version in the lab; an unchanged text is not saved."""
    from o1lab.inference.prompts import begin_version, find_prompt, keep_version
    from o1lab.ingest.edit import run_editor

    lab = current_lab()
    before = find_prompt(lab, name)
    draft = begin_version(lab, name)
    say(f"Editing {draft}")
    run_editor(draft)
    made = keep_version(draft, before)
    if made is None:
        nothing = {"name": before.name, "version": None, "hash": before.hash, "path": None}
        emit(nothing, text="The text is unchanged, so there is no new version.")
        return
    item = {"name": made.name, "version": made.version, "hash": made.hash, "path": str(made.path)}
    emit(item, text=f"{made.label} is at {made.path}.")
