"""The commands ``filters ...``, and how all commands read a filter, which may name saved ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit
from o1lab.text import one_line

if TYPE_CHECKING:
    from store.filters import Query

QueryT = TypeVar("QueryT", bound="Query")
verbs = Verbs()
filter_verbs = Verbs("filters", help="Save filters under names; `saved:NAME` stands for one in any filter.")
verbs.add_typer(filter_verbs)


Kind = Literal["traces", "problems", "samples", "runs", "jobs"]
"""The lists that have filters."""

KindOption = Annotated[
    Kind,
    typer.Option("--of", help="The list that it filters; jobs are those of Distill and Evaluate."),
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of the filter.", autocompletion=completing("filter"))
]


def read_filter(kind: type[QueryT], text: str) -> QueryT:
    """Parse a filter that was given on the command line; ``saved:NAME`` is replaced by the saved filter."""
    from store.filters.saved import uses_saved

    if not uses_saved(text):
        return kind.parse(text)
    from o1lab.remembered import SavedFilters

    return SavedFilters(current_lab()).parse(kind, text)


@filter_verbs.command("ls", lists=True)
def filters_ls(
    of: Annotated[
        Kind | None,
        typer.Option("--of", help="Only those of one list.", show_default=False),
    ] = None,
) -> None:
    """List the saved filters.

    Example: o1lab filters ls --of traces
    """
    from o1lab.remembered import SavedFilters

    found = SavedFilters(current_lab()).all()
    items = [
        {"of": kind, "name": name, "filter": text}
        for kind, filters in found.items()
        if of in (None, kind)
        for name, text in filters.items()
    ]
    columns = (
        Column("name", "name"), Column("of", "of"), Column("filter", lambda one: one_line(one["filter"], 200)),
    )  # fmt: skip
    emit_list(items, columns, empty="No filter is saved yet: o1lab filters save NAME FILTER")


@filter_verbs.command("save")
def filters_save(
    name: NameArgument,
    words: Annotated[list[str], typer.Argument(metavar="FILTER", help="As on the screens: verdict:wrong reflect>=2.")],
    of: KindOption = "traces",
) -> None:
    """Save a filter under a name; an earlier filter of this name is replaced.

    It stands for `saved:NAME` in filters of the same list, here and on the screens (ctrl+s and ctrl+o in the filter).

    Example: o1lab filters save hard 'verdict:wrong reflect>=2'; o1lab traces ls 'saved:hard teacher:sky'
    """
    from o1lab.remembered import SavedFilters

    filters = SavedFilters(current_lab())
    before = filters.of(of).get(name)
    text = filters.save(_query_of(of), name, " ".join(words))
    lines = [f"saved:{name} of {of}: {one_line(text, 200)}"]
    if before not in (None, text):
        lines.append(f"It was: {one_line(before or '', 200)}")
    emit({"of": of, "name": name, "filter": text, "replaced": before}, text=lines)


@filter_verbs.command("rm")
def filters_rm(name: NameArgument, of: KindOption = "traces") -> None:
    """Delete a saved filter. Datasets and runs made with it are not changed.

    Example: o1lab filters rm hard
    """
    from o1lab.remembered import SavedFilters

    text = SavedFilters(current_lab()).delete(of, name)
    emit({"of": of, "name": name, "filter": text}, text=f"Deleted {name} of {of}: {one_line(text, 200)}")


def _query_of(kind: str) -> type[Query]:
    from store.filters import JobQuery, ProblemQuery, RunQuery, SampleQuery, TraceQuery

    return {one.NAME: one for one in (TraceQuery, ProblemQuery, SampleQuery, RunQuery, JobQuery)}[kind]
