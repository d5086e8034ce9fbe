"""The commands `eval rate`, `eval agreement` and `eval calibrate`: blind ratings and labels, and their agreement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.destination import DASH, destination
from o1lab.cli.base.output import emit, opened
from o1lab.cli.evaluate.samples import EvalArgument
from o1lab.cli.jobs.verbs import evaluation_argument
from o1lab.errors import RefusedError, UsageError
from o1lab.paths import annotator

if TYPE_CHECKING:
    from store.sqlite import Database

verbs = Verbs()
IdsArgument = Annotated[list[str], evaluation_argument("ID", "Evaluations; their samples are mixed.", several=True)]


@verbs.command("rate")
def eval_rate(
    identities: IdsArgument,
    sample: Annotated[
        str | None, typer.Option(metavar="TICKET", help="The sample to mark [default: show the next one].")
    ] = None,
    value: Annotated[str | None, typer.Option(metavar="N", help="The mark, from 0 to 100.")] = None,
    note: Annotated[str, typer.Option(help="A note on the mark.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Remove your last mark.")] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help=f"Write your sheet as .csv or .jsonl; {DASH}, as CSV."),
    ] = None,
    sheet_file: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Read the marks of a filled-in sheet.")
    ] = None,
    thoughts: Annotated[bool, typer.Option("--thoughts", help="Show the thoughts too.")] = False,
) -> None:
    """Mark samples from 0 to 100, blind: models are not shown, and each annotator has a different order.

    The annotator is $O1LAB_ANNOTATOR, or else your login name. The mark is saved when the command returns. Samples of
    several evaluations are mixed. In the app, press B in the list of samples.

    Examples: o1lab eval rate 3f9c 81aa; o1lab eval rate 3f9c 81aa --sample 0b61f3a9d2c4 --value 85
    """
    from o1lab.evaluate.rating import sheets
    from store import ratings

    actions = (sample is not None or value is not None, undo, export is not None, sheet_file is not None)
    if sum(actions) > 1:
        raise UsageError("Use only one action at a time.", "Use --sample with --value, --undo, --export or --import.")
    if (sample is None) != (value is None):
        raise UsageError("A mark needs --sample and --value.", "For example --sample 0b61f3a9d2c4 --value 85.")
    done: dict[str, Any] = {}
    with opened() as store:
        ids = _ids(store.db, identities)
        sheet = sheets.sheet(store.db, ids, annotator())
        if sample is not None and value is not None:
            mark = sheets.parse_mark(value)
            ratings.rate(store.db, sheet.seq_of(sample), mark, annotator=sheet.annotator, note=note)
            done = {"rated": sample, "value": mark}
        elif undo:
            last = ratings.last_marked(store.db, ids, sheet.annotator)
            if last is None:
                raise UsageError("You have no mark to remove in these evaluations.")
            ratings.rate(store.db, last, None, annotator=sheet.annotator)
            done = {"undone": next((name for name, seq in sheet.order if seq == last), None)}
        elif export is not None:
            with destination(export, like="sheet.csv") as path:
                done = {"path": str(export), "rows": sheets.export(store.db, sheet, path)}
        elif sheet_file is not None:
            done = {"path": str(sheet_file), "rows": sheets.import_marks(store, sheet, sheet_file)}
        sheet = sheets.sheet(store.db, ids, sheet.annotator)
        at = sheet.next_at
        following = None if at is None else sheets.read(store.db, sheet, at)
    data = {"annotator": sheet.annotator, "done": sheet.done, "total": len(sheet.order), "next": None} | done
    lines = [", ".join(f"{key} {value}" for key, value in done.items())] if done else []
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
    emit(data, text=lines)


@verbs.command("agreement")
def eval_agreement(
    identities: IdsArgument,
    at_once: Annotated[bool, typer.Option("--now", help="Do not wait for all annotators.")] = False,
) -> None:
    """Show the results of human ratings: mean marks with intervals, and Krippendorff's alpha.

    The mean marks are stored as scores with the label human@1, so that tables can show them. The command is refused
    until all annotators who have begun are finished, because seeing results would end the blind rating.

    Example: o1lab eval agreement 3f9c 81aa
    """
    from o1lab.evaluate.rating import sheets

    with opened() as store:
        ids = _ids(store.db, identities)
        found = sheets.results(store.db, ids)
        if not found.finished and not at_once:
            progress = ", ".join(f"{name} has {done:,} of {found.total:,}" for name, done in found.progress.items())
            raise RefusedError(
                f"The ratings are not complete: {progress or 'no annotator has begun'}.",
                "Continue with `o1lab eval rate`, or pass --now to show the results anyway.",
            )
        written = sheets.write_scores(store.db, ids)
    emit(
        found.as_json() | {"scorer": sheets.human_label(), "scores_written": written},
        text="\n".join(sheets.as_lines(found)),
    )


@verbs.command("calibrate")
def eval_calibrate(
    identity: EvalArgument,
    sample: Annotated[
        int | None, typer.Option(metavar="N", help="The sample to label, from 1 [default: show the next one].", min=1)
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="What the sample does: complied, refused, partial; or correct, incorrect.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Remove your last label.")] = False,
    scorer: Annotated[
        str | None, typer.Option(metavar="LABEL", help="The scorer to measure [default: the evaluation's own].")
    ] = None,
    size: Annotated[int, typer.Option("--n", help="Number of samples to choose the first time.", min=2)] = 40,
    seed: Annotated[int, typer.Option(help="The seed of the choice.")] = 42,
    renew: Annotated[bool, typer.Option("--new", help="Choose the samples again; labels stay.")] = False,
) -> None:
    """Label 40 samples and see how far the scorer agrees with you on this model: Cohen's kappa with its interval.

    The samples are a random choice, stratified by the scorer's classes and stored in the lab; kappa weighs each class
    by its share of all samples. The scorer's result is not shown. In the app, press K in the list of samples.

    Examples: o1lab eval calibrate 3f9c; o1lab eval calibrate 3f9c --sample 1 --label refused
    """
    from o1lab.evaluate.rating import calibration, sheets
    from store import calibrations

    if (sample is None) != (label is None) or (undo and label is not None):
        raise UsageError(
            "A label needs --sample and --label, and no --undo.", "For example --sample 1 --label refused."
        )
    with opened() as store:
        asked: dict[str, Any] = {"scorer": scorer, "size": size, "seed": seed}
        found = calibration.calibration(store.db, identity, annotator(), renew=renew, **asked)
        if sample is not None and label is not None:
            given = calibration.check_label(found, label)
            chosen = calibration.read(store.db, found, sample - 1)
            calibrations.label(store.db, chosen.seq, given, annotator=found.annotator)
        elif undo:
            last = calibrations.last_labelled(store.db, found.evaluation.id, found.scorer, found.annotator)
            if last is None:
                raise UsageError("You have no label to remove in this calibration.")
            calibrations.label(store.db, last, None, annotator=found.annotator)
        found = calibration.calibration(store.db, identity, annotator(), **asked)
        at = found.next_at
        following = None if at is None else calibration.read(store.db, found, at)
    data = found.as_json() | {"next": None}
    lines = calibration.as_lines(found)
    if following is not None:
        answer = sheets.transcript(following.turns)
        data["next"] = {"sample": following.at + 1, "question": following.item.question, "answer": answer}
        lines += [f"\nsample {following.at + 1}\n\nQUESTION\n{following.item.question}\n"]
        if found.choices == calibration.VERDICTS:
            data["next"]["gold"] = list(following.item.gold)
            lines += [f"GOLD\n{'; '.join(following.item.gold) or '(none)'}\n"]
        lines += [f"ANSWER\n{answer}\n", f"--sample {following.at + 1} --label {'|'.join(found.choices)}"]
    emit(data, text=lines)


def _ids(db: Database, identities: list[str]) -> list[str]:
    from store import evaluations

    return list(dict.fromkeys(evaluations.get(db, one).id for one in identities))
