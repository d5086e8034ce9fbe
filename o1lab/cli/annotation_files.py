"""The commands ``annotations export`` and ``annotations merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from o1lab.cli.output import JsonOption, emit, opened

annotations_app = typer.Typer(
    help="Export annotations, and merge those of other labs.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    annotations_app.command("export")(annotations_export)
    annotations_app.command("merge")(annotations_merge)
    app.add_typer(annotations_app, name="annotations")


def annotations_export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON Lines file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write all annotations, including undos, as JSON Lines.

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
    """Add the annotations of other labs; known annotations are skipped.

    The exit status is 1 if some belong to traces that are not in this lab.

    Example: o1lab annotations merge anna.jsonl ben.jsonl
    """
    from o1lab.ingest.annotations import merge_annotations

    items: list[dict[str, Any]] = []
    with opened(ctx) as store:
        for file in files:
            merged = merge_annotations(store, file)
            items.append({
                "path": str(file), "added": merged.added, "duplicates": merged.known,
                "without_trace": [record.trace_id for record in merged.without_trace],
            })  # fmt: skip
    lines = [
        f"{item['path']}: {item['added']:,} added, {item['duplicates']:,} duplicates, "
        f"{len(item['without_trace']):,} of traces that are not in this lab"
        for item in items
    ]
    emit({"files": items}, as_json=as_json, text="\n".join(lines))
    if any(item["without_trace"] for item in items):
        raise typer.Exit(1)
