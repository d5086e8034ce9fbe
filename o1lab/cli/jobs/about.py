"""The verbs that change the about.json of a job: rename, note, tag and archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit
from o1lab.cli.jobs.groups import act_on_group
from o1lab.format import counted

if TYPE_CHECKING:
    from o1lab.cli.jobs.commands import JobCommands
    from o1lab.jobs.directory import JobFolder, JobInfo

IdArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="Its id or name, or the beginning of its id.", autocompletion=completing("job")),
]
Change = Callable[["JobFolder[Any, Any]"], "JobInfo[Any, Any]"]


def about_json(info: JobInfo[Any, Any]) -> dict[str, Any]:
    """Return the JSON of a job with its name, notes and tags."""
    about = {"name": info.name, "notes": list(info.notes), "tags": list(info.tags), "archived": info.archived}
    return {"id": info.id, "state": info.state, **about}


def add_about_verbs(app: Verbs, jobs: JobCommands) -> None:
    """Add the verbs to a group of commands; all but `rename` take a group of jobs as well."""
    a_job = f"{jobs.article} {jobs.noun}"

    @app.command("rename", help=f"Give {a_job} a name that can be used like its id; '' removes it.")
    def rename(
        identity: IdArgument,
        name: Annotated[str, typer.Argument(help="The new name.")],
    ) -> None:
        from o1lab.jobs import manage

        folder = jobs.kind().find(current_lab(), identity)
        info = manage.rename(folder, name)
        text = f"{jobs.title} {info.id} " + (f"is now called {info.name}." if info.name else "has no name now.")
        emit(about_json(info) | {"path": str(folder.path)}, text=text)

    @app.command("note", help=f"Add a note to {a_job}; `show` prints it.")
    def note(
        identity: IdArgument,
        text: Annotated[str, typer.Argument(help="The note.")],
    ) -> None:
        from o1lab.jobs import manage

        def words(info: JobInfo[Any, Any]) -> str:
            return f"has {counted(len(info.notes), 'note')}"

        _change(jobs, identity, lambda job: manage.add_note(job, text), words, "have the note")

    example = f"Example: o1lab {app.info.name} tag 3f9c keep paper"

    @app.command("tag", help=f"Add tags to {a_job}, or remove them; `ls tag:NAME` lists those with a tag.\n\n{example}")
    def tag(
        identity: IdArgument,
        tags: Annotated[list[str], typer.Argument(metavar="TAG", help="The tags.")],
        remove: Annotated[bool, typer.Option("--remove", help="Remove these tags.")] = False,
    ) -> None:
        from o1lab.jobs import manage

        def words(info: JobInfo[Any, Any]) -> str:
            return f"has the tags {', '.join(info.tags)}" if info.tags else "has no tags now"

        done = "no longer have the tags" if remove else "have the tags"
        _change(jobs, identity, lambda job: manage.tag(job, tags, remove=remove), words, done)

    example = f"Example: o1lab {app.info.name} archive 3f9c"

    @app.command(
        "archive", help=f"Leave {a_job} out of lists; its files stay, and `ls archived:yes` lists it.\n\n{example}"
    )
    def archive(
        identity: IdArgument,
        undo: Annotated[bool, typer.Option("--undo", help="List it again.")] = False,
    ) -> None:
        from o1lab.jobs import manage

        def words(info: JobInfo[Any, Any]) -> str:
            return "is archived" if info.archived else "is listed again"

        done = "are listed again" if undo else "are archived"
        _change(jobs, identity, lambda job: manage.archive(job, archived=not undo), words, done)


def _change(
    jobs: JobCommands, identity: str, change: Change, words: Callable[[JobInfo[Any, Any]], str], done: str
) -> None:
    """Change a job or the jobs of a group, and print what it is now.

    Args:
        jobs: the kind of job.
        identity: the id or name of a job, or the name of a group.
        change: changes a job.
        words: returns the new state of a job in words.
        done: the new state of the jobs of a group in words.
    """

    def act(job: JobFolder[Any, Any]) -> Callable[[], dict[str, Any]]:
        info = change(job)
        return lambda: about_json(info) | {"path": str(job.path)}

    def change_group(group: Sequence[JobFolder[Any, Any]]) -> None:
        act_on_group(identity, group, act, lambda _: True, done)

    def change_job(job: JobFolder[Any, Any]) -> None:
        info = change(job)
        emit(about_json(info) | {"path": str(job.path)}, text=f"{jobs.title} {info.id} {words(info)}.")

    jobs.act(current_lab(), identity, change_job, change_group)
