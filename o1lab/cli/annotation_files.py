"""Verbs of what curating leaves behind: annotations as files. Datasets are in dataset_verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from o1lab.cli.opening import opened
from o1lab.cli.output import JsonOption, emit

annotations_app = typer.Typer(
    help="Take annotations out of a lab and into another.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    annotations_app.command("export")(annotations_export)
    annotations_app.command("merge")(annotations_merge)
    app.add_typer(annotations_app, name="annotations")


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
