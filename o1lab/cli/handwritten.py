"""The command ``distill write``: write a long thought by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from o1lab.cli.output import JsonOption, context, emit, opened, say


def register(distill_app: typer.Typer) -> None:
    """Add the command to the distillation commands."""
    distill_app.command("write")(distill_write)


def distill_write(
    ctx: typer.Context,
    problem_id: Annotated[str, typer.Argument(metavar="PROBLEM_ID", help="Problem id, or the start of it.")],
    licence: Annotated[str | None, typer.Option(help="Licence of your text.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a long thought yourself in $EDITOR; it is measured and verified when you close the editor.

    An empty file records nothing. Your text is kept in the folder `drafts` of the lab until it is recorded.

    Example: o1lab distill write 3f9c --licence CC-BY-4.0
    """
    from o1lab.distill.handwritten import draft_path, find_problem, write
    from o1lab.paths import annotator

    lab, author = context(ctx).lab(), annotator()
    with opened(ctx) as store:
        problem = find_problem(store, problem_id)
        path = draft_path(lab, problem, author)
        say(f"{'Continuing' if path.exists() else 'Writing'} {path}")
        row = write(store, lab, problem, annotator=author, licence=licence)
    if row is None:
        emit({"trace_id": None, "problem_id": problem.id}, as_json=as_json, text="Nothing was written.")
        return
    names = ("problem_id", "model", "synthesis", "verdict", "answer", "complete", "chars", "moves")
    item = {"trace_id": row.id, **{name: getattr(row, name) for name in names}}
    emit(item, as_json=as_json, text=f"{row.id}: {row.verdict} (answer {row.answer or '-'}), written by {row.model}.")
