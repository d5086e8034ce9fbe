"""The verbs that jobs of all kinds share: ls show stop pause resume rm and more.

:func:`add_job_verbs` adds them to a group of commands. What differs between the kinds is in a :class:`JobCommands`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import confirm, current_lab, emit, say
from o1lab.cli.jobs.about import IdArgument, about_json, add_about_verbs
from o1lab.cli.jobs.commands import JobCommands
from o1lab.cli.jobs.groups import GroupCommands, act_on_group
from o1lab.cli.jobs.lists import add_ls
from o1lab.cli.jobs.waiting import wait
from o1lab.format import byte_size

if TYPE_CHECKING:
    from o1lab.jobs.directory import JobFolder
    from o1lab.jobs.manage import Removed
    from o1lab.paths import Lab

    Jobs = Sequence[JobFolder[Any, Any]]

REQUESTS = (
    "concurrency", "requests_per_minute", "tokens_per_minute", "attempts", "silence_timeout_s", "first_token_timeout_s",
    "budget_usd", "budget_tokens",
)  # fmt: skip
"""``o1lab.jobs.preparing.CHANGEABLE``, which would load pydantic for each command."""
EstimateOption = Annotated[
    bool, typer.Option("--estimate", help="Print the estimated calls, tokens and cost; make no calls.")
]
ResumeOption = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Continue this job; options of budgets and requests may change.",
        autocompletion=completing("job"),
    ),
]
DetachOption = Annotated[bool, typer.Option("--detach", help="Run in the background, in a separate process.")]


def evaluation_id(ctx: typer.Context, value: str) -> str:
    """Argument callback: replace the name of an evaluation by its id; return any other value unchanged."""
    from o1lab.jobs.about import id_of_name

    return value if ctx.resilient_parsing else id_of_name(current_lab().evals, value) or value


def evaluation_ids(ctx: typer.Context, values: list[str] | None) -> list[str]:
    """Apply :func:`evaluation_id` to several values."""
    return [evaluation_id(ctx, value) for value in values or ()]


def evaluation_argument(metavar: str, help: str, *, several: bool = False) -> Any:
    """Return an argument that names an evaluation, or several, by id or name."""
    callback = evaluation_ids if several else evaluation_id
    return typer.Argument(metavar=metavar, help=help, callback=callback, autocompletion=completing("evaluation"))


def progress_column(header: str, done: str, total: str) -> Column:
    """Return the column of a job's progress: ``done/total``, each a key of its JSON."""
    return Column(header, lambda item: f"{item[done]:,}/{item[total]:,}" if done in item else "", right=True)


def add_job_verbs(app: Verbs, jobs: JobCommands) -> None:  # noqa: PLR0915 - it only lists the verbs
    """Add the shared verbs to a group of commands."""
    a_job = f"{jobs.article} {jobs.noun}"

    add_ls(app, jobs)

    @app.command("show", help=f"Show {a_job}: its state, results, errors and notes.")
    def show(identity: IdArgument) -> None:
        lab = current_lab()

        def show_group(_group: Jobs) -> None:
            item, lines = cast(GroupCommands, jobs.groups).show(lab, identity)
            emit(item, text=lines)

        jobs.act(lab, identity, lambda job: _show(lab, jobs, job), show_group)

    @app.command("stop", help=f"Ask {a_job} to stop. {jobs.stopping}")
    def stop(
        identity: IdArgument,
        wait: Annotated[bool, typer.Option("--wait", help="Return when it has stopped.")] = False,
    ) -> None:
        from o1lab.jobs import manage
        from o1lab.jobs.spawn import follow

        lab = current_lab()

        def ask(job: JobFolder[Any, Any]) -> Callable[[], dict[str, Any]]:
            manage.stop(job)
            return lambda: jobs.summary(lab, [*follow(job)][-1] if wait else job.info())

        def stop_group(group: Jobs) -> None:
            # The newest first: jobs that wait for a device end before the one that has it.
            done = "have ended" if wait else "were asked to stop"
            act_on_group(identity, group[::-1], ask, lambda info: info.active, done)

        def stop_job(job: JobFolder[Any, Any]) -> None:
            info = manage.stop(job, wait=wait)
            # A job without a worker, such as one that waits for a scheduler, has stopped already.
            asked = info.active and not wait
            end = f"was asked to stop. {jobs.stopping}" if asked else f"is {info.state}."
            emit(jobs.summary(lab, info), text=f"{jobs.title} {info.id} {end}")

        jobs.act(lab, identity, stop_job, stop_group)

    if jobs.can_pause:

        @app.command("pause", help=f"Pause {a_job}: it makes no new call until it is resumed.")
        def pause(identity: IdArgument) -> None:
            from o1lab.jobs import manage

            lab = current_lab()
            folder = jobs.kind().find(lab, identity)
            info = manage.pause(folder)
            text = f"{jobs.title} {info.id} is pausing. {folder.resume_hint}"
            emit(jobs.summary(lab, info), text=text)

    _add_resume(app, jobs)

    @app.command("rm", help=f"Delete {a_job} with its directory and records.")
    def rm(
        identity: IdArgument,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    ) -> None:
        lab, kind = current_lab(), jobs.kind()

        def delete(job: JobFolder[Any, Any]) -> Callable[[], dict[str, Any]]:
            removed = kind.remove(lab, job)
            return lambda: _removed(removed)

        def delete_group(group: Jobs) -> None:
            if not yes:
                _confirm(f"{len(group)} {jobs.noun}s of the group {identity}", ", ".join(job.id for job in group))
            # The newest first: a run may start from an older one.
            act_on_group(identity, group[::-1], delete, lambda info: not info.active, "were deleted")

        def delete_job(job: JobFolder[Any, Any]) -> None:
            freed = byte_size(kind.removal(lab, job))
            if not yes:
                _confirm(f"{jobs.noun} {job.id}", f"{job.path}, which frees {freed}")
            removed = kind.remove(lab, job)
            text = f"{jobs.title} {removed.info.id} was deleted; {byte_size(removed.freed_bytes)} freed."
            emit(_removed(removed), text=text)

        jobs.act(lab, identity, delete_job, delete_group)

    add_about_verbs(app, jobs)
    app.command("wait")(wait)


def _add_resume(app: Verbs, jobs: JobCommands) -> None:
    """Add `resume` with the options of this kind, and its hidden alias `go-on`."""
    states = "paused, stopped, failed or dead" if jobs.can_pause else "stopped, failed or dead"
    about = f"Continue {jobs.article} {jobs.noun} that is {states}."

    if jobs.run is None:  # a worker of this kind is always detached

        @app.command("resume", settings=jobs.settings, only=jobs.changes, help=about)
        def resume_detached(identity: IdArgument) -> None:
            resume_job(current_lab(), jobs, identity, options.given() if jobs.settings else {}, detach=True)

        return

    def resume(ctx: typer.Context, identity: IdArgument, detach: DetachOption = False) -> None:
        if ctx.info_name == "go-on":
            say("`go-on` is now called `resume`.")
        resume_job(current_lab(), jobs, identity, options.given(), detach=detach)

    for name in ("resume", "go-on"):
        hidden = name == "go-on"
        app.command(name, settings=jobs.settings, only=jobs.changes, help=about, hidden=hidden)(resume)


def start_job(
    lab: Lab,
    jobs: JobCommands,
    folder: JobFolder[Any, Any],
    *,
    detach: bool,
    flags: Sequence[str] = (),
    run: Callable[[Lab, Any], int] | None = None,
) -> None:
    """Run a new job in this process, or in the background if ``detach`` is true, and print the result.

    Args:
        lab: the lab of the job.
        jobs: the kind of job.
        folder: the job.
        detach: whether it runs in the background.
        flags: further arguments of the detached worker.
        run: runs the job in this process; None for that of the kind.

    Raises:
        typer.Exit: with the job's exit status, if it ran in this process.
    """
    if detach:
        pid = jobs.kind().launch(folder, *flags)
        text = f"{jobs.title} {folder.id} is running in the background. Status: {folder.verb} show {folder.id}"
        emit(jobs.summary(lab, folder.info()) | {"pid": pid}, text=text)
    elif run := run or jobs.run:
        raise typer.Exit(run(lab, folder))


def resume_job(lab: Lab, jobs: JobCommands, identity: str, changes: Mapping[str, Any], *, detach: bool) -> None:
    """Continue a job, in this process or detached.

    Raises:
        typer.Exit: with the job's exit status, if it ran in this process.
    """
    from o1lab.jobs import manage, together

    kind = jobs.kind()

    def go_on(job: JobFolder[Any, Any]) -> Callable[[], dict[str, Any]]:
        resumed = kind.resume(lab, job, changes)
        return lambda: jobs.summary(lab, resumed.info) | {"pid": resumed.pid}

    def resume_group(group: Jobs) -> None:
        left_out = cast(GroupCommands, jobs.groups).left_out
        act_on_group(identity, group, go_on, lambda info: info.state in together.ENDED, "continue", left_out=left_out)

    def resume_one(job: JobFolder[Any, Any]) -> None:
        if detach or jobs.run is None:
            resumed = kind.resume(lab, job, changes)
            item = jobs.summary(lab, resumed.info) | {"pid": resumed.pid or resumed.info.status.pid}
            where = "" if resumed.pid is None else " in the background"
            emit(item, text=f"{jobs.title} {job.id} continues{where}. Status: {job.verb} show {job.id}")
        elif manage.unpause(job, changes):
            emit(jobs.summary(lab, job.info()), text=f"{jobs.title} {job.id} continues.")
        else:
            kind.prepare(lab, job, changes)
            raise typer.Exit(jobs.run(lab, job))

    jobs.act(lab, identity, resume_one, resume_group)


def _show(lab: Lab, jobs: JobCommands, job: JobFolder[Any, Any]) -> None:
    info = job.info()
    item, lines = jobs.show(lab, job, info)
    item = {"unreadable": info.unreadable or None} | item
    item |= {"name": info.name, "notes": [*item.get("notes", ()), *info.notes]}
    item |= {"tags": list(info.tags), "archived": info.archived, "hook_fault": info.hook_fault or None}
    about = [f"name  {info.name}"] if info.name else []
    about += [f"tags  {', '.join(info.tags)}"] if info.tags else []
    about += [f"note  {note}" for note in info.notes]
    about += ["It is archived."] if info.archived else []
    damaged = [f"unreadable: {item['unreadable']}"] if item["unreadable"] else []
    damaged += [f"hook  failed: {info.hook_fault}"] if info.hook_fault else []
    emit(item, text=[*damaged, *about, *lines])


def _removed(removed: Removed) -> dict[str, Any]:
    return about_json(removed.info) | {"freed_bytes": removed.freed_bytes, "path": str(removed.path)}


def _confirm(what: str, where: str) -> None:
    confirm(f"Delete the {what} and {where}?", what=f"Deleting the {what}", no="Nothing was deleted.")
