"""The verbs that training runs, teacher runs and evaluations share: ls show stop pause resume rm rename note.

:func:`add_job_verbs` adds them to a group of commands. What differs between the kinds is in a :class:`JobCommands`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli import options
from o1lab.cli.listing import Column, FormatOption, Item, emit_list
from o1lab.cli.output import JsonOption, context, emit, say
from o1lab.format import byte_size
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.jobs.directory import JobFolder, JobInfo
    from o1lab.jobs.manage import JobKind
    from o1lab.paths import Lab

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Its id or name, or the beginning of its id.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Run in the background.")]


def evaluation_id(ctx: typer.Context, value: str) -> str:
    """Argument callback: replace the name of an evaluation by its id; return any other value unchanged."""
    from o1lab.jobs.about import id_of_name

    return value if ctx.resilient_parsing else id_of_name(context(ctx).lab().evals, value) or value


def evaluation_ids(ctx: typer.Context, values: list[str]) -> list[str]:
    """Apply :func:`evaluation_id` to several values."""
    return [evaluation_id(ctx, value) for value in values]


@dataclass(frozen=True)
class JobCommands:
    """What the shared verbs need to know about one kind of job.

    Args:
        noun: the word for one job in messages.
        kind: returns the declaration of the kind. Called when a verb runs, to import its modules late.
        rows: returns the JSON of each job of a lab, the newest first.
        columns: the columns of `ls` after id, name and state.
        empty: the text of `ls` when there are no jobs.
        show: returns the JSON of `show`, and its lines.
        summary: returns the JSON of `stop`, `pause` and `resume`.
        stopping: a sentence on what a job completes before it stops.
        settings: loads the settings model; None if `resume` can change nothing.
        changes: the settings that `resume` can change.
        run: runs a prepared job in this process and returns the exit status; None if workers are always detached.
        can_pause: whether the kind has the verb `pause`.
    """

    noun: str
    kind: Callable[[], JobKind[Any]]
    rows: Callable[[Lab], Sequence[dict[str, Any]]]
    columns: Sequence[Column]
    empty: str
    show: Callable[[Lab, Any, Any], tuple[dict[str, Any], list[str]]]
    summary: Callable[[Lab, JobInfo[Any, Any]], dict[str, Any]]
    stopping: str
    settings: options.LoadModel | None = None
    changes: tuple[str, ...] = ()
    run: Callable[..., int] | None = None
    can_pause: bool = True

    @property
    def title(self) -> str:
        return self.noun.capitalize()

    @property
    def article(self) -> str:
        return "an" if self.noun[0] in "aeiou" else "a"


def _name(item: Item) -> str:
    return one_line(item["name"] or "", 24)


def _damage(item: Item) -> str:
    return f"unreadable: {one_line(item['unreadable'], 200)}" if item["unreadable"] else ""


def progress_column(header: str, done: str, total: str) -> Column:
    """Return the column of a job's progress: ``done/total``, each a key of its JSON."""
    return Column(header, lambda item: f"{item[done]:,}/{item[total]:,}" if done in item else "", right=True)


def add_job_verbs(app: typer.Typer, jobs: JobCommands) -> None:  # noqa: PLR0915 - it only lists the verbs
    """Add the shared verbs to a group of commands."""
    a_job = f"{jobs.article} {jobs.noun}"

    @app.command("ls", help=f"List the {jobs.noun}s, the newest first.")
    def ls(ctx: typer.Context, form: FormatOption = None, as_json: JsonOption = False) -> None:
        columns = (Column("id", "id"), Column("name", _name, optional=True), Column("state", "state"), *jobs.columns)
        columns += (Column("problem", _damage, optional=True),)
        emit_list(jobs.rows(context(ctx).lab()), columns, form=form, as_json=as_json, empty=jobs.empty)

    @app.command("show", help=f"Show {a_job}: its state, results, errors and notes.")
    def show(ctx: typer.Context, identity: IdArgument, as_json: JsonOption = False) -> None:
        lab = context(ctx).lab()
        folder = jobs.kind().find(lab, identity)
        info = folder.info()
        item, lines = jobs.show(lab, folder, info)
        item = {"unreadable": info.unreadable or None} | item
        item |= {"name": info.name, "notes": [*item.get("notes", ()), *info.notes]}
        about = [*([f"name  {info.name}"] if info.name else []), *(f"note  {note}" for note in info.notes)]
        damaged = [f"unreadable: {item['unreadable']}"] if item["unreadable"] else []
        emit(item, as_json=as_json, text="\n".join([*damaged, *about, *lines]))

    @app.command("stop", help=f"Ask {a_job} to stop. {jobs.stopping}")
    def stop(
        ctx: typer.Context,
        identity: IdArgument,
        wait: Annotated[bool, typer.Option("--wait", help="Return when it has stopped.")] = False,
        as_json: JsonOption = False,
    ) -> None:
        from o1lab.jobs import manage

        lab = context(ctx).lab()
        info = manage.stop(jobs.kind().find(lab, identity), wait=wait)
        text = f"{jobs.title} {info.id} " + (f"is {info.state}." if wait else f"was asked to stop. {jobs.stopping}")
        emit(jobs.summary(lab, info), as_json=as_json, text=text)

    if jobs.can_pause:

        @app.command("pause", help=f"Pause {a_job}: it makes no new call until it is resumed.")
        def pause(ctx: typer.Context, identity: IdArgument, as_json: JsonOption = False) -> None:
            from o1lab.jobs import manage

            lab = context(ctx).lab()
            folder = jobs.kind().find(lab, identity)
            info = manage.pause(folder)
            text = f"{jobs.title} {info.id} is pausing. {folder.resume_hint}"
            emit(jobs.summary(lab, info), as_json=as_json, text=text)

    _add_resume(app, jobs)

    @app.command("rm", help=f"Delete {a_job} with its directory and records.")
    def rm(
        ctx: typer.Context,
        identity: IdArgument,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
        as_json: JsonOption = False,
    ) -> None:
        lab, kind = context(ctx).lab(), jobs.kind()
        folder = kind.find(lab, identity)
        if not yes:
            _confirm(jobs, folder)
        removed = kind.remove(lab, folder)
        item = _about(removed.info) | {"freed_bytes": removed.freed_bytes, "path": str(removed.path)}
        text = f"{jobs.title} {removed.info.id} was deleted; {byte_size(removed.freed_bytes)} freed."
        emit(item, as_json=as_json, text=text)

    @app.command("rename", help=f"Give {a_job} a name that can be used like its id; '' removes it.")
    def rename(
        ctx: typer.Context,
        identity: IdArgument,
        name: Annotated[str, typer.Argument(help="The new name.")],
        as_json: JsonOption = False,
    ) -> None:
        from o1lab.jobs import manage

        folder = jobs.kind().find(context(ctx).lab(), identity)
        info = manage.rename(folder, name)
        text = f"{jobs.title} {info.id} " + (f"is now called {info.name}." if info.name else "has no name now.")
        emit(_about(info) | {"path": str(folder.path)}, as_json=as_json, text=text)

    @app.command("note", help=f"Add a note to {a_job}; `show` prints it.")
    def note(
        ctx: typer.Context,
        identity: IdArgument,
        text: Annotated[str, typer.Argument(help="The note.")],
        as_json: JsonOption = False,
    ) -> None:
        from o1lab.jobs import manage

        folder = jobs.kind().find(context(ctx).lab(), identity)
        info = manage.add_note(folder, text)
        answer = f"{jobs.title} {info.id} has {len(info.notes)} note{'s' * (len(info.notes) != 1)}."
        emit(_about(info) | {"path": str(folder.path)}, as_json=as_json, text=answer)


def _add_resume(app: typer.Typer, jobs: JobCommands) -> None:
    """Add `resume` with the options of this kind, and its hidden alias `go-on`."""
    states = "paused, stopped, failed or dead" if jobs.can_pause else "stopped, failed or dead"
    about = f"Continue {jobs.article} {jobs.noun} that is {states}."

    if jobs.settings is None or jobs.run is None:

        @app.command("resume", help=about)
        def resume_detached(ctx: typer.Context, identity: IdArgument, as_json: JsonOption = False) -> None:
            resume_job(context(ctx).lab(), jobs, identity, {}, detach=True, as_json=as_json)

        return

    def resume(
        ctx: typer.Context, identity: IdArgument, detach: DetachOption = False, as_json: JsonOption = False
    ) -> None:
        if ctx.info_name == "go-on":
            say("`go-on` is now called `resume`.")
        resume_job(context(ctx).lab(), jobs, identity, options.given(ctx), detach=detach, as_json=as_json)

    for name in ("resume", "go-on"):
        command = options.command_with(jobs.settings, jobs.changes)
        app.command(name, cls=command, help=about, hidden=name == "go-on")(resume)


def resume_job(
    lab: Lab, jobs: JobCommands, identity: str, changes: Mapping[str, Any], *, detach: bool, as_json: bool
) -> None:
    """Continue a job, in this process or detached.

    Raises:
        typer.Exit: with the job's exit status, if it ran in this process.
    """
    from o1lab.jobs import manage

    kind = jobs.kind()
    folder = kind.find(lab, identity)
    if detach or jobs.run is None:
        resumed = kind.resume(lab, folder, changes)
        item = jobs.summary(lab, resumed.info) | {"pid": resumed.pid or resumed.info.status.pid}
        where = "" if resumed.pid is None else " in the background"
        text = f"{jobs.title} {folder.id} continues{where}. Status: {folder.verb} show {folder.id}"
        emit(item, as_json=as_json, text=text)
    elif manage.unpause(folder, changes):
        emit(jobs.summary(lab, folder.info()), as_json=as_json, text=f"{jobs.title} {folder.id} continues.")
    else:
        kind.prepare(lab, folder, changes)
        raise typer.Exit(jobs.run(lab, folder, as_json=as_json))


def _about(info: JobInfo[Any, Any]) -> dict[str, Any]:
    return {"id": info.id, "state": info.state, "name": info.name, "notes": list(info.notes)}


def _confirm(jobs: JobCommands, folder: JobFolder[Any, Any]) -> None:
    """Ask whether to delete a job.

    Raises:
        UsageError: standard input is not a terminal, so the question cannot be asked.
        typer.Exit: the answer was no.
    """
    from o1lab.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError(f"Deleting the {jobs.noun} {folder.id} needs confirmation.", "Add --yes.")
    if not typer.confirm(f"Delete the {jobs.noun} {folder.id} and {folder.path}?", err=True):
        say("Nothing was deleted.")
        raise typer.Exit(0)
