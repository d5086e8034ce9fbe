"""What differs between the commands of the kinds of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from o1lab.cli.base.listing import Column
from o1lab.cli.jobs.groups import GroupCommands

if TYPE_CHECKING:
    from o1lab.jobs.directory import JobFolder, JobInfo
    from o1lab.jobs.manage import JobKind
    from o1lab.paths import Lab
    from store.filters import JobQuery


@dataclass(frozen=True)
class JobCommands:
    """What the shared verbs need to know about one kind of job.

    Args:
        noun: the word for one job in messages.
        declaration: the :class:`~o1lab.jobs.manage.JobKind`, as ``MODULE:NAME``; imported when a verb runs.
        rows: returns the JSON of each job of a lab, the newest first.
        columns: the columns of `ls` after id, name and state.
        more_columns: those that only `ls --columns` shows.
        filter: the class of the filter of `ls`, as ``MODULE:CLASS``.
        empty: the text of `ls` when there are no jobs.
        show: returns the JSON of `show`, and its lines.
        summary: returns the JSON of `stop`, `pause` and `resume`.
        stopping: a sentence on what a job completes before it stops.
        settings: the settings model, as ``MODULE:CLASS``; None if `resume` can change nothing.
        changes: the settings that `resume` can change.
        run: runs a prepared job in this process and returns the exit status; None if workers are always detached.
        can_pause: whether the kind has the verb `pause`.
        groups: finds groups of jobs, which `ls`, `show`, `stop`, `resume` and `rm` then accept; None if the kind has
            none.
    """

    noun: str
    declaration: str
    rows: Callable[[Lab], Sequence[dict[str, Any]]]
    columns: Sequence[Column]
    empty: str
    show: Callable[[Lab, Any, Any], tuple[dict[str, Any], list[str]]]
    summary: Callable[[Lab, JobInfo[Any, Any]], dict[str, Any]]
    stopping: str
    settings: str | None = None
    changes: tuple[str, ...] = ()
    run: Callable[..., int] | None = None
    can_pause: bool = True
    groups: GroupCommands | None = None
    more_columns: Sequence[Column] = ()
    filter: str = "store.filters:JobQuery"

    def kind(self) -> JobKind[Any]:
        """Return the declaration of the kind."""
        found: JobKind[Any] = resolve_name(self.declaration)
        return found

    def query(self) -> type[JobQuery]:
        """Return the class of the filter of `ls`."""
        found: type[JobQuery] = resolve_name(self.filter)
        return found

    @property
    def title(self) -> str:
        return self.noun.capitalize()

    @property
    def article(self) -> str:
        return "an" if self.noun[0] in "aeiou" else "a"

    def members(self, lab: Lab, identity: str) -> Sequence[JobFolder[Any, Any]] | None:
        """Return the jobs of the group with this name; None if it is not the name of a group."""
        return None if self.groups is None else self.groups.members(lab, identity)

    def act(
        self,
        lab: Lab,
        identity: str,
        on_job: Callable[[JobFolder[Any, Any]], None],
        on_group: Callable[[Sequence[JobFolder[Any, Any]]], None],
    ) -> None:
        """Call ``on_group`` with the jobs of the group with this name, or ``on_job`` with the job of this id or name.

        Raises:
            NotFoundError: there is neither.
        """
        if group := self.members(lab, identity):
            on_group(group)
        else:
            on_job(self.kind().find(lab, identity))
