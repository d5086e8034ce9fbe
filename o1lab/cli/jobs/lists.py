"""The verb `ls` of training runs, teacher runs and evaluations: a filter, an order, and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, Item, emit_list
from o1lab.cli.base.output import current_lab
from o1lab.cli.filters import read_filter
from o1lab.errors import UsageError
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.cli.jobs.commands import JobCommands
    from o1lab.jobs.about import About
    from o1lab.jobs.directory import JobFolder
    from o1lab.paths import Lab

_FIRST = (
    Column("id", "id"),
    Column("name", lambda item: one_line(item["name"] or "", 24), optional=True),
    Column("state", "state"),
)
_TAGS = Column("tags", lambda item: one_line(", ".join(item["tags"]), 24), optional=True)


def _damage(item: Item) -> str:
    return f"unreadable: {one_line(item['unreadable'], 200)}" if item["unreadable"] else ""


_LAST = (Column("problem", _damage, optional=True),)


def add_ls(app: Verbs, jobs: JobCommands) -> None:
    """Add the verb to a group of commands."""
    group = " The name of a group lists its runs." if jobs.groups is not None else ""
    about = f"""List the {jobs.noun}s, the newest first; archived ones only if the filter asks for them.{group}

    Example: o1lab {app.info.name} ls state:failed,dead --sort -age
    """

    @app.command("ls", lists=True, help=about)
    def ls(
        words: Annotated[
            list[str] | None, typer.Argument(metavar="FILTER", help="A filter, such as tag:keep -state:failed.")
        ] = None,
        sort: Annotated[
            str, typer.Option(metavar="NAME", help="The order, such as name; a minus in front reverses it.")
        ] = "",
        columns: Annotated[
            str, typer.Option(metavar="NAME,...", help="The columns of the table, by their headings.")
        ] = "",
    ) -> None:
        _show(jobs, " ".join(words or []), sort, [name.strip().lower() for name in columns.split(",") if name.strip()])


def _show(jobs: JobCommands, text: str, sort: str, names: Sequence[str]) -> None:
    from store.filters.jobs import archived_of, matching

    lab, kind = current_lab(), jobs.query()
    columns = _columns(jobs, names) if names else (*_FIRST, *jobs.columns, _TAGS, *_LAST)
    group = text if text and jobs.members(lab, text) else ""
    query = read_filter(kind, f"{'' if group else text} {f'sort:{sort}' if sort else ''}".strip())
    items, notes = _items(jobs, lab)
    rows = [{**item, "notes": notes[item["id"]]} for item in items]
    found = [items[place] for place in matching(rows, query)]
    hidden = [items[place] for place in archived_of(rows, query)]
    if group:
        found, hidden = ([one for one in part if one["group"] == group] for part in (found, hidden))
    count = len(hidden)
    more = f"{count} archived {jobs.noun}{'s are' if count != 1 else ' is'} not listed; add archived:yes to see them."
    empty = jobs.empty if not items else f"No {jobs.noun} matches the filter." if text else f"No {jobs.noun} is listed."
    emit_list(found, columns, empty=empty, more={"hidden_archived": count}, notes=[more] if count else [])


def _items(jobs: JobCommands, lab: Lab) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Return the JSON of each job, and a person's notes on each."""
    kind, items, notes = jobs.kind(), [], {}
    for item in jobs.rows(lab):
        about = _about(kind.directory(kind.parent(lab) / item["id"]))
        items.append({**item, "tags": list(about.tags), "archived": about.archived})
        notes[item["id"]] = [note.text for note in about.notes]
    return items, notes


def _about(folder: JobFolder[Any, Any]) -> About:
    from o1lab.jobs.about import About
    from o1lab.small_files import UnreadableError

    try:
        return folder.about()
    except UnreadableError:  # the column of problems says so
        return About()


def _columns(jobs: JobCommands, names: Sequence[str]) -> list[Column]:
    """Return the columns with these headings.

    Raises:
        UsageError: there is no such column.
    """
    known = {column.header: column for column in (*_FIRST, *jobs.columns, _TAGS, *jobs.more_columns, *_LAST)}
    for name in names:
        if name not in known:
            raise UsageError(f"There is no column '{name}'.", f"The columns are {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(names)]
