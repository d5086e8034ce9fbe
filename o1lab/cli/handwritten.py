"""The verb for a person who writes a long thought: distill write."""

from __future__ import annotations

from typing import Annotated

import typer

from o1lab.cli.opening import opened
from o1lab.cli.output import JsonOption, context, emit, say


def register(distill_app: typer.Typer) -> None:
    """Add the verb to the verbs of distillation."""
    distill_app.command("write")(distill_write)


def distill_write(
    ctx: typer.Context,
    problem_id: Annotated[str, typer.Argument(metavar="PROBLEM_ID", help="The problem's id, or its beginning.")],
    licence: Annotated[str | None, typer.Option(help="The licence of what you write.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a long thought yourself, in $EDITOR; it is measured and verified when you are done.

    An empty file writes nothing. What you typed is kept in the lab's folder `drafts` until it is recorded.

    Example: o1lab distill write 3f9c --licence CC-BY-4.0
    """
    from o1lab.distill.handwritten import draft_path, find_problem, write
    from o1lab.paths import annotator

    lab, who = context(ctx).lab(), annotator()
    with opened(ctx) as store:
        problem = find_problem(store, problem_id)
        path = draft_path(lab, problem, who)
        say(f"{'Going on with' if path.exists() else 'Writing'} {path}")
        row = write(store, lab, problem, annotator=who, licence=licence)
    if row is None:
        emit({"trace_id": None, "problem_id": problem.id}, as_json=as_json, text="Nothing was written.")
        return
    names = ("problem_id", "model", "synthesis", "verdict", "answer", "complete", "chars", "moves")
    item = {"trace_id": row.id, **{name: getattr(row, name) for name in names}}
    emit(item, as_json=as_json, text=f"{row.id}: {row.verdict} (answer {row.answer or '-'}), written by {row.model}.")
