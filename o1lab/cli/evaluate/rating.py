"""Verbs of persons' marks: rating samples blind, sheets for elsewhere, and what the annotators agree on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.jobs import evaluation_ids
from o1lab.cli.output import JsonOption, emit, opened

if TYPE_CHECKING:
    from store.sqlite import Database

IdsArgument = Annotated[
    list[str], typer.Argument(metavar="ID...", callback=evaluation_ids, help="Evaluations; several are mixed.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the group."""
    app.command("rate")(eval_rate)
    app.command("agreement")(eval_agreement)


def eval_rate(
    ctx: typer.Context,
    identities: IdsArgument,
    sample: Annotated[
        str | None, typer.Option(metavar="TICKET", help="The sample to mark; the next one is named without it.")
    ] = None,
    value: Annotated[str | None, typer.Option(metavar="N", help="The mark, from 0 to 100.")] = None,
    note: Annotated[str, typer.Option(help="A note on it.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take back your last mark.")] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write your sheet, as .csv or .jsonl.")
    ] = None,
    sheet_file: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Take in a sheet that was filled in.")
    ] = None,
    thoughts: Annotated[bool, typer.Option("--thoughts", help="Show the thought as well.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Mark samples from 0 to 100, blind: models are not named, and the order is your own.

    Who marks: $O1LAB_ANNOTATOR, else your login. A mark is on the disk when this returns. With several evaluations
    their samples are mixed. In the app: R in the list of samples.

    Examples: o1lab eval rate 3f9c 81aa; o1lab eval rate 3f9c 81aa --sample 0b61f3a9d2c4 --value 85
    """
    from o1lab.errors import UsageError
    from o1lab.evaluate.rating import sheets
    from o1lab.paths import annotator
    from store import ratings

    wishes = (sample is not None or value is not None, undo, export is not None, sheet_file is not None)
    if sum(wishes) > 1:
        raise UsageError("One thing at a time.", "Give --sample and --value, or --undo, or --export, or --import.")
    if (sample is None) != (value is None):
        raise UsageError("A mark needs its sample and its value.", "For example --sample 0b61f3a9d2c4 --value 85.")
    done: dict[str, Any] = {}
    with opened(ctx) as store:
        ids = _ids(store.db, identities)
        sheet = sheets.sheet(store.db, ids, annotator())
        if sample is not None and value is not None:
            mark = sheets.mark_of(value)
            ratings.rate(store.db, sheet.seq_of(sample), mark, annotator=sheet.annotator, note=note)
            done = {"rated": sample, "value": mark}
        elif undo:
            last = ratings.last_marked(store.db, ids, sheet.annotator)
            if last is None:
                raise UsageError("You have marked nothing here that could be taken back.")
            ratings.rate(store.db, last, None, annotator=sheet.annotator)
            done = {"undone": next((name for name, seq in sheet.order if seq == last), None)}
        elif export is not None:
            done = {"path": str(export), "rows": sheets.export(store.db, sheet, export)}
        elif sheet_file is not None:
            done = {"path": str(sheet_file), "rows": sheets.take_in(store, sheet, sheet_file)}
        sheet = sheets.sheet(store.db, ids, sheet.annotator)
        at = sheet.next_at
        following = None if at is None else sheets.read(store.db, sheet, at)
    data = {"annotator": sheet.annotator, "done": sheet.done, "total": len(sheet.order), "next": None} | done
    lines = [", ".join(f"{key} {said}" for key, said in done.items())] if done else []
    lines.append(f"{sheet.annotator}: {sheet.done:,} of {len(sheet.order):,} marked")
    if following is not None:
        data["next"] = {"sample": following.ticket, "question": following.question,
                        "answer": sheets.transcript(following.turns)} | (
            {"thoughts": [turn.thought for turn in following.turns]} if thoughts else {}
        )  # fmt: skip
        if not done:
            lines += [f"\nsample {following.ticket}\n\nQUESTION\n{following.question}\n"]
            lines += [f"THOUGHT\n{turn.thought}\n" for turn in following.turns if thoughts and turn.thought]
            lines += [f"ANSWER\n{sheets.transcript(following.turns)}"]
    emit(data, as_json=as_json, text="\n".join(lines))


def eval_agreement(
    ctx: typer.Context,
    identities: IdsArgument,
    at_once: Annotated[bool, typer.Option("--now", help="Although somebody is not done yet.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what the annotators' marks come to: means with intervals, and Krippendorff's alpha.

    The mean marks become scores of the label human@1, beside the other scorers' words, so that tables can show them.
    Until everyone who began is done this is refused: who sees results does not mark blindly any more.

    Example: o1lab eval agreement 3f9c 81aa
    """
    from o1lab.errors import RefusedError
    from o1lab.evaluate.rating import sheets

    with opened(ctx) as store:
        ids = _ids(store.db, identities)
        found = sheets.results(store.db, ids)
        if not found.finished and not at_once:
            far = ", ".join(f"{name} has {done:,} of {found.total:,}" for name, done in found.progress.items())
            raise RefusedError(
                f"The marks are not complete: {far or 'nobody has begun'}.",
                "`o1lab eval rate` goes on; --now shows the results all the same.",
            )
        written = sheets.write_scores(store.db, ids)
    emit(
        found.as_json() | {"scorer": sheets.label(), "scores_written": written},
        as_json=as_json,
        text="\n".join(sheets.as_lines(found)),
    )


def _ids(db: Database, identities: list[str]) -> list[str]:
    from store import evaluations

    return list(dict.fromkeys(evaluations.get(db, one).id for one in identities))
