"""The commands ``annotations ...``: export, merge, agreement of annotators, and assignment of traces to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.destination import DASH, destination
from o1lab.cli.base.output import emit, opened
from o1lab.cli.filters import read_filter
from o1lab.paths import annotator
from o1lab.text import one_line

if TYPE_CHECKING:
    from store.filters import TraceQuery

verbs = Verbs("annotations", help="Export and merge annotations, compare annotators, and assign traces to them.")
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILTER", help="Traces, as on the Traces screen: source:sky verdict:correct.",
                   show_default=False),
]  # fmt: skip


@verbs.command("export")
def annotations_export(
    file: Annotated[Path, typer.Argument(help=f"JSON Lines file to write; {DASH}.")],
) -> None:
    """Write all annotations, including undos, as JSON Lines.

    Example: o1lab annotations export mine.jsonl
    """
    from o1lab.ingest.annotations import write_annotations

    with opened() as store, destination(file) as path:
        number = write_annotations(store, path)
    emit({"path": str(file), "annotations": number}, text=f"{number:,} annotations in {file}")


@verbs.command("merge")
def annotations_merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files of `o1lab annotations export`.")],
) -> None:
    """Add the annotations of other labs; known annotations are skipped, and nobody's decision replaces another's.

    The exit status is 1 if some belong to traces that are not in this lab.

    Example: o1lab annotations merge anna.jsonl ben.jsonl
    """
    from o1lab.ingest.annotations import merge_annotations

    items: list[dict[str, Any]] = []
    with opened() as store:
        for file in files:
            merged = merge_annotations(store, file)
            items.append({
                "path": str(file), "added": merged.added, "duplicates": merged.known,
                "without_trace": [record.trace_id for record in merged.without_trace], "disputed": merged.disputed,
            })  # fmt: skip
    lines = [
        f"{item['path']}: {item['added']:,} added, {item['duplicates']:,} duplicates, "
        f"{len(item['without_trace']):,} of traces that are not in this lab"
        + (f"; {item['disputed']:,} more traces are disputed now" if item["disputed"] else "")
        for item in items
    ]
    if any(item["disputed"] for item in items):
        lines.append("List them with: o1lab traces ls agreement:disputed")
    emit({"files": items}, text=lines)
    if any(item["without_trace"] for item in items):
        raise typer.Exit(1)


@verbs.command("agreement")
def annotations_agreement(words: Words = None) -> None:
    """Show how annotators agree on the traces that several of them accepted or rejected.

    Kappa compares two annotators, alpha any number: 1 is full agreement, 0 is what chance gives. A trace that an
    annotator skipped does not count for that annotator.

    Examples: o1lab annotations agreement; o1lab annotations agreement source:sky --json
    """
    from o1lab.evaluate.rating.decisions import agreement_lines, agreement_within

    with opened() as store:
        found = agreement_within(store.db, _query(words))
    emit(found.as_json(), text=lambda: "\n".join(agreement_lines(found)))


@verbs.command("assign")
def annotations_assign(
    words: Words = None,
    to: Annotated[list[str] | None, typer.Option("--to", help="Annotator, as in $O1LAB_ANNOTATOR; repeatable.")] = None,
    overlap: Annotated[float, typer.Option(help="Share of the traces that several annotators get, from 0 to 1.")] = 0.2,
    each: Annotated[int, typer.Option(min=2, help="Number of annotators of a trace that several get.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    clear: Annotated[
        bool, typer.Option("--clear", help="Withdraw the assignments of these traces: of all, or those --to some.")
    ] = False,
) -> None:
    """Assign traces to annotators at random: a share to several of them, to measure agreement, the rest to one each.

    Traces that are assigned already stay as they are. Annotators find their traces with the filter `assigned:me`, also
    in another lab after `o1lab annotations export` and `merge`.

    Examples: o1lab annotations assign source:sky --to anna --to ben --overlap 0.3; o1lab annotations assign --clear
    """
    from o1lab.ingest.assigning import assign, withdraw

    query, people = _query(words), to or []
    with opened() as store:
        if clear:
            number = withdraw(store, query, people, by=annotator())
            emit({"withdrawn": number}, text=f"{number:,} assignments withdrawn")
            return
        found = assign(store, query, people, overlap=overlap, together=each, seed=seed, by=annotator())
    data = found.as_json()
    lines = [f"{data['traces']:,} traces assigned (seed {seed}), {data['shared']:,} of them to {each} annotators"]
    lines += [
        f"  {one_line(one['annotator'], 40)}: {one['traces']:,} traces, {one['shared']:,} of them shared"
        for one in data["annotators"]
    ]
    lines += [
        f"  {one_line(' and '.join(one['annotators']), 80)}: {one['traces']:,} traces in common"
        for one in data["pairs"]
    ]  # fmt: skip
    if data["left"]:
        lines.append(f"{data['left']:,} traces of this filter were assigned before and stay as they were")
    lines.append("Annotators find their traces with the filter assigned:me")
    emit(data, text=lines)


def _query(words: list[str] | None) -> TraceQuery:
    from store.filters import TraceQuery

    return read_filter(TraceQuery, " ".join(words or []))
