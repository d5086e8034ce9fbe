"""Verbs of what curating leaves behind: annotations as files, datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.opening import opened
from o1lab.cli.output import JsonOption, emit
from o1lab.text import one_line

if TYPE_CHECKING:
    from store.records import Dataset

annotations_app = typer.Typer(
    help="Take annotations out of a lab and into another.", no_args_is_help=True, rich_markup_mode=None
)
dataset_app = typer.Typer(help="Make and export datasets.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    annotations_app.command("export")(annotations_export)
    annotations_app.command("merge")(annotations_merge)
    app.add_typer(annotations_app, name="annotations")
    dataset_app.command("create")(dataset_create)
    dataset_app.command("ls")(dataset_ls)
    dataset_app.command("show")(dataset_show)
    dataset_app.command("export")(dataset_export)
    app.add_typer(dataset_app, name="dataset")


def annotations_export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The JSON Lines file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write every annotation, undos included, one JSON object a line.

    Example: o1lab annotations export mine.jsonl
    """
    from o1lab.ingest.annotations import write_annotations

    with opened(ctx) as store:
        number = write_annotations(store, file)
    emit({"path": str(file), "annotations": number}, as_json=as_json, text=f"{number:,} annotations in {file}")


def annotations_merge(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of `o1lab annotations export`.")],
    as_json: JsonOption = False,
) -> None:
    """Take in annotations of other labs; those that are here already are not taken twice.

    Status 1 when some are of traces that this lab does not have.

    Example: o1lab annotations merge anna.jsonl ben.jsonl
    """
    from o1lab.ingest.annotations import merge_annotations

    items: list[dict[str, Any]] = []
    with opened(ctx) as store:
        for file in files:
            merged = merge_annotations(store, file)
            items.append({
                "path": str(file), "added": merged.added, "duplicates": merged.known,
                "without_trace": [record.trace_id for record in merged.homeless],
            })  # fmt: skip
    lines = [
        f"{item['path']}: {item['added']:,} added, {item['duplicates']:,} here already, "
        f"{len(item['without_trace']):,} of traces that are not in this lab"
        for item in items
    ]
    emit({"files": items}, as_json=as_json, text="\n".join(lines))
    if any(item["without_trace"] for item in items):
        raise typer.Exit(1)


def dataset_create(  # noqa: PLR0917 (typer: options are parameters)
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A name for it; it never changes its content.")],
    decision: Annotated[str, typer.Option(help="accept, reject, skip, none, or any.")] = "accept",
    where: Annotated[str, typer.Option(help="The filter of the Traces screen, for example verdict:correct.")] = "",
    phase: Annotated[int, typer.Option(min=1, max=2, help="1: solutions alone; 2: thought and solution.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Snapshot the traces of a filter, in its order, under a name and a hash of their content.

    Example: o1lab dataset create short-right --where 'verdict:correct chars<8k'
    """
    from o1lab.errors import UsageError
    from store import datasets
    from store.query import parse_query

    if not name.strip() or not name.isprintable():
        raise UsageError("A dataset's name needs letters and takes no control characters.", "Choose another name.")
    query = parse_query(where if decision == "any" else f"decision:{decision} {where}".strip())
    with opened(ctx) as store:
        made = datasets.create(store.db, name, query, phase=phase)
    emit(_item(made), as_json=as_json, text=_line(made))


def dataset_ls(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List datasets, the newest first.

    Example: o1lab dataset ls
    """
    from store import datasets

    with opened(ctx) as store:
        found = datasets.all_datasets(store.db)
    emit(
        {"items": [_item(one) for one in found], "total": len(found)},
        as_json=as_json,
        text="\n".join(map(_line, found)) or "No dataset yet. Accept some traces, then: o1lab dataset create NAME",
    )


def dataset_show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name, or its hash.")],
    as_json: JsonOption = False,
) -> None:
    """Show a dataset: what chose it and which traces it holds.

    Example: o1lab dataset show short-right
    """
    from store import datasets

    with opened(ctx) as store:
        found = datasets.get(store.db, name)
        rows = [(row.trace_id, row.statement) for row in datasets.rows(store.db, found.name)]
    lines = [_line(found), *(f"{trace}  {one_line(statement, 90)}" for trace, statement in rows)]
    emit(_item(found) | {"trace_ids": [trace for trace, _ in rows]}, as_json=as_json, text="\n".join(lines))


def dataset_export(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name, or its hash.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    form: Annotated[str, typer.Option("--format", help="messages, sharegpt, alpaca or parquet.")] = "messages",
    as_json: JsonOption = False,
) -> None:
    """Write a dataset as a file that other tools train from.

    Example: o1lab dataset export short-right --format messages --out short-right.jsonl
    """
    from o1lab.errors import UsageError
    from o1lab.ingest.exporting import FORMATS, export_dataset
    from store import datasets

    if form not in FORMATS:
        raise UsageError(f"There is no format '{form}'.", f"It is one of {', '.join(FORMATS)}.")
    with opened(ctx) as store:
        found = datasets.get(store.db, name)
        rows = export_dataset(store, found.name, form, out)
    data = {"path": str(out), "format": form, "rows": rows, "hash": found.hash}
    emit(data, as_json=as_json, text=f"{rows:,} rows of {found.name} ({found.hash}) in {out} as {form}")


def _item(dataset: Dataset) -> dict[str, Any]:
    names = ("name", "hash", "rows", "tokens", "phase", "query", "created_at")
    return {name: getattr(dataset, name) for name in names}


def _line(dataset: Dataset) -> str:
    tokens = "tokens unknown" if dataset.tokens is None else f"{dataset.tokens:,} tokens"
    return f"{dataset.name}  {dataset.hash}  phase {dataset.phase}  {dataset.rows:,} rows  {tokens}  [{dataset.query}]"
