"""The commands of distillation: start a teacher run, and manage teacher runs and prompts."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli import handwritten, options
from o1lab.cli.jobs import JobCommands, add_job_verbs, progress_column, resume_job
from o1lab.cli.listing import Column, FormatOption, emit_list
from o1lab.cli.output import JsonOption, context, emit, say
from o1lab.cli.progress import fault_lines, job_details
from o1lab.format import money
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.distill.run_directory import RunFolder
    from o1lab.distill.runs import RunInfo
    from o1lab.distill.settings import TeacherRunSettings
    from o1lab.jobs.manage import JobKind
    from o1lab.paths import Lab


def _settings() -> type[TeacherRunSettings]:
    from o1lab.distill.settings import TeacherRunSettings

    return TeacherRunSettings


distill_app = typer.Typer(
    cls=options.group_with(_settings), invoke_without_command=True, no_args_is_help=False, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    handwritten.register(distill_app)
    app.add_typer(distill_app, name="distill")


@distill_app.callback()
def distill(
    ctx: typer.Context,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Print the estimated calls, tokens and cost; make no calls.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="ID", help="Continue a run; options of budgets and requests may change.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background, in a separate process.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a teacher for long thoughts; every paid response is kept.

    Ctrl-C waits for the requests in flight, a second Ctrl-C abandons them. `resume` continues after either and
    repeats no answered request.

    Example: o1lab distill --endpoint solver --problems "source:demo" --n 2
    """
    if ctx.invoked_subcommand is not None:
        return
    from o1lab.distill import runs
    from o1lab.errors import UsageError

    lab = context(ctx).lab()
    values = options.given(ctx)
    if resume is not None:
        if estimate:
            raise UsageError(
                "--estimate is for a new run and cannot be combined with --resume.",
                f"Tokens and cost of run {resume} so far: o1lab distill show {resume}",
            )
        resume_job(lab, JOBS, resume, values, detach=detach, as_json=as_json)
        return
    if "endpoint" not in values:
        raise UsageError("No teacher is given.", "Add --endpoint NAME; `--endpoint solver` needs no key.")
    settings = runs.read_settings(values)
    if estimate:
        _estimate(lab, settings, as_json=as_json)
        return
    folder = runs.start(lab, settings)
    _say_unanswered(lab, settings)
    if detach:
        pid = runs.launch_detached(folder)
        answer = summary(lab, folder.info()) | {"pid": pid}
        text = f"Run {folder.id} is running in the background. Status: o1lab distill show {folder.id}"
        emit(answer, as_json=as_json, text=text)
        return
    raise typer.Exit(_run(lab, folder, as_json=as_json))


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

    faults = runs.faults(folder)
    item = summary(lab, info) | job_details(folder, info, faults)
    lines = [_line(item), *(word for word in (info.status.message, info.status.hint) if word), *info.status.notes]
    details = _details(lab, folder.id)
    for reason, number in item["reasons"].items():
        lines.append(f"{number:>6}  {reason}")
        if reason in details:
            lines.append(f"        for example {one_line(details[reason], 300)}")
    return item, [*lines, *fault_lines(faults), "", f"folder  {folder.path}"]


def _kind() -> JobKind[Any]:
    from o1lab.distill.runs import TEACHER_RUNS

    return TEACHER_RUNS


def summary(lab: Lab, info: RunInfo) -> dict[str, Any]:
    """Return the JSON of a run. ``cost_usd`` is null if the price is not known."""
    return _keys(info, _reasons(lab, [info.id])[info.id])


def _reasons(lab: Lab, ids: list[str]) -> dict[str, dict[str, int]]:
    """Count the samples of each run that failed or were rejected, by reason."""
    from store import open_store, teacher_runs

    with closing(open_store(lab.database)) as store:
        return {id: dict(teacher_runs.reasons(store.db, id)) for id in ids}


def _details(lab: Lab, run_id: str) -> dict[str, str]:
    """Return one example for each reason that has details."""
    from store import open_store, teacher_runs

    with closing(open_store(lab.database)) as store:
        return dict(teacher_runs.details(store.db, run_id))


def _keys(info: RunInfo, reasons: dict[str, int]) -> dict[str, Any]:
    status = info.status
    names = ("requested", "done", "correct", "incorrect", "unverifiable", "rejected", "failed")
    return {
        "id": info.id,
        "state": info.state,
        **{name: getattr(status, name) for name in names},
        "input_tokens": status.input_tokens,
        "output_tokens": status.output_tokens,
        "cost_usd": status.cost_usd if status.priced else None,
        "stopped_by": status.stopped_by,
        "reasons": reasons,
        "endpoint": info.settings.endpoint if info.settings else None,
        "message": status.message,
        "hint": status.hint,
        "notes": status.notes,
        "name": info.name,
        "unreadable": info.unreadable or None,
    }


def _run(lab: Lab, folder: RunFolder, *, as_json: bool) -> int:
    """Run it to its end in this process; return the exit status."""
    from o1lab.cli.progress import ProgressLine, exit_status, fault_summary
    from o1lab.distill.runs import faults
    from o1lab.distill.worker import run_here

    say(f"Run {folder.id} (after an interruption, resume with: o1lab distill resume {folder.id})")
    line = ProgressLine()
    try:
        run_here(lab, folder, watch=line.show)
    finally:
        line.end()
    item = summary(lab, folder.info())
    why = fault_summary(faults(folder), item["failed"])
    words = [_line(item), item["message"], item["hint"], *item["notes"], *why]
    emit(item, as_json=as_json, text="\n".join(word for word in words if word))
    return exit_status(item["stopped_by"], item["failed"])


JOBS = JobCommands(
    "teacher run",
    _kind,
    _rows,
    _COLUMNS,
    "No teacher run yet. Start one: o1lab distill --endpoint solver",
    _show,
    summary,
    "Calls in flight are completed first.",
    _settings,
    (
        "concurrency", "requests_per_minute", "tokens_per_minute", "attempts", "silence_timeout_s", "stream",
        "budget_usd", "budget_tokens", "max_tokens",
    ),
    _run,
)  # fmt: skip
add_job_verbs(distill_app, JOBS)


def _say_unanswered(lab: Lab, settings: TeacherRunSettings) -> None:
    from o1lab.distill.items import count_unanswered
    from store import open_store

    with closing(open_store(lab.database)) as store:
        unanswered = count_unanswered(store, settings)
    if unanswered:
        say(f"{unanswered:,} of the chosen problems have no answer, so responses to them cannot be verified.")


def _estimate(lab: Lab, settings: TeacherRunSettings, *, as_json: bool) -> None:
    from o1lab.distill.estimate import estimate
    from store import open_store

    with closing(open_store(lab.database)) as store:
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
    emit(found.as_json(), as_json=as_json, text="\n".join(lines))


def _line(item: dict[str, Any]) -> str:
    cost = "" if item["cost_usd"] is None else f", {money(item['cost_usd'])}"
    return (
        f"Run {item['id']} is {item['state']}: {item['done']} of {item['requested']} done, {item['correct']} right, "
        f"{item['incorrect']} wrong, {item['unverifiable']} unverifiable, {item['rejected']} rejected, "
        f"{item['failed']} failed; {item['input_tokens']:,} + {item['output_tokens']:,} tokens{cost}"
    )


prompts_app = typer.Typer(
    help="List, show and edit the prompts for teachers.", no_args_is_help=False, rich_markup_mode=None
)
distill_app.add_typer(prompts_app, name="prompts", invoke_without_command=True)


@prompts_app.callback()
def prompts(ctx: typer.Context, form: FormatOption = None, as_json: JsonOption = False) -> None:
    """List the prompts of the lab and the built-in ones."""
    if ctx.invoked_subcommand is not None:
        return
    from o1lab.inference.prompts import all_prompts, broken_prompts

    lab = context(ctx).lab()
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
    emit_list(items, columns, form=form, as_json=as_json, more={"broken": faults}, notes=notes)


@prompts_app.command("show")
def prompts_show(ctx: typer.Context, name: str, as_json: JsonOption = False) -> None:
    """Show the text of a prompt."""
    from o1lab.inference.prompts import find_prompt

    found = find_prompt(context(ctx).lab(), name)
    sections = [{"role": role, "text": text} for role, text in found.sections]
    item = {"name": found.name, "version": found.version, "hash": found.hash, "path": str(found.path)}
    text = "\n\n".join(f"# {role}\n{text}" for role, text in found.sections)
    emit(item | {"sections": sections}, as_json=as_json, text=f"{found.label}  {found.path}\n\n{text}")


@prompts_app.command("edit")
def prompts_edit(ctx: typer.Context, name: str, as_json: JsonOption = False) -> None:
    """Edit a prompt in $EDITOR and save it as a new version in the lab; an unchanged text is not saved."""
    from o1lab.inference.prompts import begin_version, find_prompt, keep_version
    from o1lab.ingest.edit import run_editor

    lab = context(ctx).lab()
    before = find_prompt(lab, name)
    draft = begin_version(lab, name)
    say(f"Editing {draft}")
    run_editor(draft)
    made = keep_version(draft, before)
    if made is None:
        nothing = {"name": before.name, "version": None, "hash": before.hash, "path": None}
        emit(nothing, as_json=as_json, text="The text is unchanged, so there is no new version.")
        return
    item = {"name": made.name, "version": made.version, "hash": made.hash, "path": str(made.path)}
    emit(item, as_json=as_json, text=f"{made.label} is at {made.path}.")
