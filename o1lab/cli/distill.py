"""Commands of distillation: ask a teacher, and the verbs of teacher runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli import handwritten
from o1lab.cli.jobs import JobCommands, Row, add_job_verbs, resume_job
from o1lab.cli.output import JsonOption, context, emit, say
from o1lab.cli.progress import fault_lines, job_details
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.distill.run_directory import RunFolder
    from o1lab.distill.runs import RunInfo
    from o1lab.distill.settings import TeacherRunSettings
    from o1lab.jobs.manage import JobKind
    from o1lab.paths import Lab

distill_app = typer.Typer(
    help="Ask a teacher for long thoughts; every paid response is kept.",
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    handwritten.register(distill_app)
    app.add_typer(distill_app, name="distill")


@distill_app.callback()
def distill(
    ctx: typer.Context,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", "-e", help="The teacher: an endpoint of o1lab.toml, solver, RUN/STEP.")
    ] = None,
    problems: Annotated[str | None, typer.Option(help="Which problems [default: excluded:no has:answer].")] = None,
    traces: Annotated[str | None, typer.Option(help="translate: which traces.")] = None,
    method: Annotated[str | None, typer.Option(help="sample, reformat, translate or debate.")] = None,
    prompt: Annotated[str | None, typer.Option(help="A prompt, NAME or NAME@VERSION (see `distill prompts`).")] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Samples a problem [default: 1].")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many problems.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="[default: 0.6]")] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="[default: 0.95]")] = None,
    seed: Annotated[int | None, typer.Option(help="Sample k is asked with seed + k [default: 42].")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="[default: 8192]")] = None,
    reasoning_effort: Annotated[str | None, typer.Option(help="For teachers that take it: low, medium, high.")] = None,
    critic: Annotated[str | None, typer.Option(help="debate: the endpoint that criticises.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="debate: at most so many steps [default: 6].")] = None,
    language: Annotated[str | None, typer.Option(help="translate: zh or en.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Calls at once [default: 16].")] = None,
    rpm: Annotated[int | None, typer.Option("--requests-per-minute", min=1)] = None,
    tpm: Annotated[int | None, typer.Option("--tokens-per-minute", min=1)] = None,
    attempts: Annotated[int | None, typer.Option(min=1, help="How often a call is tried [default: 5].")] = None,
    silence_timeout: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="How long a server may say nothing [default: 600].")
    ] = None,
    stream: Annotated[str | None, typer.Option(help="auto, always or never.")] = None,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="Stop before this is exceeded.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(min=1, help="Stop before this is exceeded.")] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="local; batch (the OpenAI Batch API); ray (vLLM on a cluster: [cluster] in o1lab.toml)."),
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it will come to.")] = False,
    resume: Annotated[str | None, typer.Option(metavar="ID", help="Resume a run; same as `distill resume ID`.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Run in a process that outlives this one.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a teacher for long thoughts; every paid response is kept.

    Ctrl-C lets calls in flight end; a second one gives them up. `resume` continues without asking anything twice.

    Example: o1lab distill --endpoint solver --problems "source:demo" --n 2
    """
    if ctx.invoked_subcommand is not None:
        return
    from o1lab.distill import runs
    from o1lab.errors import UsageError

    lab = context(ctx).lab()
    values = {
        "endpoint": endpoint, "problems": problems, "traces": traces, "method": method, "prompt": prompt, "n": n,
        "limit": limit, "temperature": temperature, "top_p": top_p, "seed": seed, "max_tokens": max_tokens,
        "reasoning_effort": reasoning_effort, "critic": critic, "rounds": rounds, "language": language,
        "concurrency": concurrency, "requests_per_minute": rpm, "tokens_per_minute": tpm, "attempts": attempts,
        "silence_timeout_s": silence_timeout, "stream": stream, "budget_usd": budget_usd,
        "budget_tokens": budget_tokens, "engine": engine,
    }  # fmt: skip
    if resume is not None:
        if estimate:
            raise UsageError(
                "--estimate is for a run that has not begun.",
                f"What run {resume} has used so far: o1lab distill show {resume}",
            )
        resume_job(lab, JOBS, resume, values, detach=detach, as_json=as_json)
        return
    if endpoint is None:
        raise UsageError("No teacher was named.", "Give --endpoint NAME; `--endpoint solver` needs no key.")
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


def _rows(lab: Lab) -> list[Row]:
    from o1lab.distill.runs import TEACHER_RUNS

    infos = TEACHER_RUNS.infos(lab)
    reasons = _reasons(lab, [info.id for info in infos])
    items = [_keys(info, reasons[info.id]) for info in infos]
    return [
        Row(
            item,
            f"{item['id']}  {item['state']:<9} {item['done']:>6}/{item['requested']:<6} right {item['correct']:<6} "
            f"failed {item['failed']:<5} {item['endpoint']}" + (f"  {item['name']}" if item["name"] else ""),
        )
        for item in items
    ]


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
    """The JSON of a run. ``cost_usd`` is null if the price is not known."""
    return _keys(info, _reasons(lab, [info.id])[info.id])


def _reasons(lab: Lab, ids: list[str]) -> dict[str, dict[str, int]]:
    """Why samples of these runs failed or were rejected, with how many of each."""
    from store import open_store, teacher_runs

    store = open_store(lab.database)
    try:
        return {id: dict(teacher_runs.reasons(store.db, id)) for id in ids}
    finally:
        store.close()


def _details(lab: Lab, run_id: str) -> dict[str, str]:
    """One example of each reason that has details."""
    from store import open_store, teacher_runs

    store = open_store(lab.database)
    try:
        return dict(teacher_runs.details(store.db, run_id))
    finally:
        store.close()


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
    }


def _run(lab: Lab, folder: RunFolder, *, as_json: bool) -> int:
    """Run it in this process to its end; returns the exit status."""
    from o1lab.cli.progress import ProgressLine, exit_status
    from o1lab.distill.worker import run_here

    say(f"Run {folder.id} (after an interruption, resume with: o1lab distill resume {folder.id})")
    line = ProgressLine()
    try:
        run_here(lab, folder, watch=line.show)
    finally:
        line.end()
    item = summary(lab, folder.info())
    words = [_line(item), item["message"], item["hint"], *item["notes"]]
    emit(item, as_json=as_json, text="\n".join(word for word in words if word))
    return exit_status(item["stopped_by"], item["failed"])


JOBS = JobCommands(
    "teacher run",
    _kind,
    _rows,
    "No teacher run yet. Start one: o1lab distill --endpoint solver",
    _show,
    summary,
    "Calls in flight are completed first.",
    (
        "concurrency", "requests_per_minute", "tokens_per_minute", "attempts", "silence_timeout_s", "stream",
        "budget_usd", "budget_tokens",
    ),
    _run,
)  # fmt: skip
add_job_verbs(distill_app, JOBS)


def _say_unanswered(lab: Lab, settings: TeacherRunSettings) -> None:
    from o1lab.distill.items import count_unanswered
    from store import open_store

    store = open_store(lab.database)
    try:
        unanswered = count_unanswered(store, settings)
    finally:
        store.close()
    if unanswered:
        say(f"{unanswered:,} problems of that filter have no answer: what is said of them cannot be verified.")


def _estimate(lab: Lab, settings: TeacherRunSettings, *, as_json: bool) -> None:
    from o1lab.distill.estimate import estimate
    from store import open_store

    store = open_store(lab.database)
    try:
        found = estimate(lab, store, settings)
    finally:
        store.close()

    if found.most_cost_usd is None:
        money = "no price known: input_usd and output_usd of the endpoint in o1lab.toml"
    elif found.cost_usd is None:
        money = f"at most ${found.most_cost_usd:,.4f}"
    else:
        money = f"${found.cost_usd:,.4f}, at most ${found.most_cost_usd:,.4f}"
    usual = "no earlier response to judge by" if found.output_tokens is None else f"{found.output_tokens:,}"
    lines = [
        f"samples        {found.items:,} x {settings.n} = {found.samples:,}, at most {found.most_calls:,} calls",
        *([f"unverifiable   {found.unanswered:,} of them have no answer"] if found.unanswered else []),
        f"input tokens   {found.input_tokens:,} ({found.rule})",
        f"output tokens  {usual}" + (f" (mean of {found.based_on:,} earlier responses)" if found.based_on else ""),
        f"               at most {found.most_output_tokens:,}",
        f"money          {money}",
    ]
    emit(found.as_json(), as_json=as_json, text="\n".join(lines))


def _line(item: dict[str, Any]) -> str:
    cost = "" if item["cost_usd"] is None else f", ${item['cost_usd']:,.4f}"
    return (
        f"Run {item['id']} is {item['state']}: {item['done']} of {item['requested']} done, {item['correct']} right, "
        f"{item['incorrect']} wrong, {item['unverifiable']} unverifiable, {item['rejected']} rejected, "
        f"{item['failed']} failed; {item['input_tokens']:,} + {item['output_tokens']:,} tokens{cost}"
    )


prompts_app = typer.Typer(help="The prompts a teacher is asked with.", no_args_is_help=False, rich_markup_mode=None)
distill_app.add_typer(prompts_app, name="prompts", invoke_without_command=True)


@prompts_app.callback()
def prompts(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the prompts, the lab's own and those that o1lab brings."""
    if ctx.invoked_subcommand is not None:
        return
    from o1lab.inference.prompts import all_prompts, broken_prompts

    lab = context(ctx).lab()
    found, broken = all_prompts(lab), broken_prompts(lab)
    items = [
        {"name": one.name, "version": one.version, "method": one.method, "about": one.about, "path": str(one.path)}
        for one in found
    ]
    lines = [f"{one.label:<24} {one.method:<10} {one.about}" for one in found]
    lines += [f"Not to be used: {fault.message}" for fault in broken.values()]
    faults = [{"path": str(path), "message": fault.message, "hint": fault.hint} for path, fault in broken.items()]
    emit({"items": items, "total": len(items), "broken": faults}, as_json=as_json, text="\n".join(lines))


@prompts_app.command("show")
def prompts_show(ctx: typer.Context, name: str, as_json: JsonOption = False) -> None:
    """Show a prompt's text."""
    from o1lab.inference.prompts import find_prompt

    found = find_prompt(context(ctx).lab(), name)
    sections = [{"role": role, "text": text} for role, text in found.sections]
    item = {"name": found.name, "version": found.version, "hash": found.hash, "path": str(found.path)}
    text = "\n\n".join(f"# {role}\n{text}" for role, text in found.sections)
    emit(item | {"sections": sections}, as_json=as_json, text=f"{found.label}  {found.path}\n\n{text}")


@prompts_app.command("edit")
def prompts_edit(ctx: typer.Context, name: str, as_json: JsonOption = False) -> None:
    """Make the next version of a prompt in the lab, in $EDITOR; a text left as it was makes none."""
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
        emit(nothing, as_json=as_json, text="Nothing was changed, so there is no new version.")
        return
    item = {"name": made.name, "version": made.version, "hash": made.hash, "path": str(made.path)}
    emit(item, as_json=as_json, text=f"{made.label} is at {made.path}.")
