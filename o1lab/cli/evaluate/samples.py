"""The commands for samples: list, show, promote, find similar training chains, write case studies."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base.command import Verbs
from o1lab.cli.base.destination import DASH, destination
from o1lab.cli.base.listing import Column, Item, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened, say, wants_json, write_raw
from o1lab.cli.filters import read_filter
from o1lab.cli.jobs.verbs import evaluation_argument
from o1lab.errors import NotFoundError
from o1lab.text import json_of, one_line

if TYPE_CHECKING:
    from store.evaluations import Evaluation
    from store.sample_list import SampleRow
    from store.sqlite import Database

verbs = Verbs()
EvalArgument = Annotated[str, evaluation_argument("ID", "The evaluation's id or name, or the beginning of its id.")]
ItemArgument = Annotated[
    str,
    typer.Argument(
        metavar="ITEM",
        help="The item's id, or the beginning of it; see `eval samples`.",
        autocompletion=completing("item"),
    ),
]
_Outcome = StrEnum("_Outcome", ["correct", "incorrect", "incomplete", "unextracted", "unscored", "failed"])
NumberOption = Annotated[int, typer.Option("--sample", "-k", min=0, help="The sample's number, from 0.")]
ScorerOption = Annotated[
    str | None,
    typer.Option("--scorer", metavar="LABEL", help="Use this scorer's scores [default: the evaluation's own]."),
]


@verbs.command("samples", lists=True)
def eval_samples(
    identity: EvalArgument,
    outcome: Annotated[list[_Outcome] | None, typer.Option(help="Only samples with this outcome. Repeatable.")] = None,
    words: Annotated[str, typer.Option(help="Text in the question or in the item's id.")] = "",
    variant: Annotated[str | None, typer.Option(help="Only this variant of the questions.")] = None,
    where: Annotated[
        str, typer.Option(metavar="QUERY", help='The filter of the Samples pane: outcome:wrong tokens>2k -"hint".')
    ] = "",
    longest: Annotated[bool, typer.Option("--longest", help="Longest samples first.")] = False,
    scorer: ScorerOption = None,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of samples to list.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Number of samples to skip.")] = 0,
) -> None:
    """List the samples of an evaluation.

    Example: o1lab eval samples 3f9c --outcome incorrect --longest --limit 20
    """
    from store import evaluations, sample_list
    from store.filters import Condition, SampleQuery

    named = {
        "outcome": tuple(outcome or ()),
        "question": (words,) if words else (),
        "variant": () if variant is None else (variant,),
    }
    query = read_filter(SampleQuery, f"{where} sort:longest" if longest else where).narrowed(
        *(Condition(name, values) for name, values in named.items() if values)
    )
    with opened() as store:
        found = evaluations.get(store.db, identity)
        label = _scorer(store.db, found, scorer)
        rows, total = sample_list.page(store.db, found.id, label, query, limit=limit, offset=offset)
    more = {"id": found.id, "scorer": label}
    emit_list(
        [_item(row) for row in rows], _COLUMNS, total=total, more=more, notes=[f"Scored by {label}."],
    )  # fmt: skip


@verbs.command("sample")
def eval_sample(
    identity: EvalArgument,
    item: ItemArgument,
    number: NumberOption = 0,
    raw: Annotated[bool, typer.Option("--raw", help="Print only the exact bytes of the last turn.")] = False,
) -> None:
    """Show one sample: question, gold answer, all turns, scores and annotations.

    Example: o1lab eval sample 3f9c 60
    """
    from o1lab.evaluate.items import adapted_line
    from o1lab.evaluate.sample_traces import sample_text
    from store import annotations as annotation_log
    from store import evaluations, ratings

    with opened() as store:
        db = store.db
        evaluation, item, seq = _find(db, identity, item, number)
        _, one = evaluations.sample(db, seq)
        row = evaluations.item(db, evaluation.id, item)
        scores = evaluations.scores_of(db, seq)
        trace_id = ratings.trace_of(db, seq)
        records = [] if trace_id is None else annotation_log.of_trace(db, trace_id)
    if raw:
        last = one.turns[-1] if one.turns else None
        write_raw(sample_text(last.thought, last.answer).raw if last else "")
        return
    remarks = [
        json_of(record, "kind", "value", "annotator", "created_at", *(("span",) if record.span else ()))
        for record in records
    ]
    data = asdict(one) | json_of(evaluation, "id", "model", "suite", "suite_version")
    data |= json_of(row, "question", "gold", "group", "variant", "item_meta=meta") | {
        "scores": [asdict(score) for score in scores],
        "trace_id": trace_id,
        "annotations": remarks,
    }
    shown = [
        f"{evaluation.suite_label} {one.item} sample {one.sample}  {evaluation.model}  {one.state}"
        f"  {one.output_tokens:,} tokens{' (cached)' if one.cached else ''}",
        f"gold {', '.join(row.gold) or '-'}",
        *filter(None, [adapted_line(row.meta)]),
        *(f"{score.scorer}: {score.outcome}, answer {score.answer or '-'}: {score.reason or '-'}" for score in scores),
        *([f"state {one.state}: {one.reason}"] if one.reason else []),
    ]
    for turn in one.turns:
        shown += [f"\nUSER\n{turn.user}", *([f"\nTHOUGHT\n{turn.thought}"] if turn.thought else [])]
        shown.append(f"\nANSWER\n{turn.answer}")
    shown += [
        f"\n{remark['annotator']} {remark['created_at']}: {remark['kind']} {remark['value']}" for remark in remarks
    ]
    emit(data, text=shown)


@verbs.command("label")
def eval_label(
    identity: EvalArgument,
    item: ItemArgument,
    number: NumberOption = 0,
) -> None:
    """Promote a sample to a trace, so that it can be annotated. Datasets leave such traces out.

    The trace keeps the conversation that was asked. If a part of the sample is left out, a message says so.

    Example: o1lab annotate $(o1lab eval label 3f9c 60) --tag "gave in"
    """
    from o1lab.evaluate.rating.promote import promote
    from o1lab.evaluate.sample_traces import left_out
    from store import evaluations

    with opened() as store:
        evaluation, item, seq = _find(store.db, identity, item, number)
        trace_id = promote(store, seq)
        gone = left_out(evaluations.sample(store.db, seq)[1])
    if gone and not wants_json():
        say(gone)  # the output is the id alone, for other commands
    data = {"trace_id": trace_id, "id": evaluation.id, "item": item, "sample": number, "left_out": gone or None}
    emit(data, text=trace_id)


@verbs.command("nearest")
def eval_nearest(
    identity: EvalArgument,
    item: ItemArgument,
    number: NumberOption = 0,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of chains.")] = 5,
) -> None:
    """Show the training chains most similar to a student's sample, and its training run.

    Similarity is not causation; it shows where to look.

    Example: o1lab eval nearest 3f9c 60 --limit 3
    """
    from o1lab.evaluate.report.attribution import Attribution

    with opened() as store:
        _, _, seq = _find(store.db, identity, item, number)
        run, near = Attribution(current_lab()).nearest(store.db, seq, limit=limit)
    items = [
        {"trace_id": one.trace_id, "score": round(one.score, 2), "question": one.prompt, "thought": one.thought,
         "solution": one.solution}
        for one in near
    ]  # fmt: skip
    lines = [f"{one.score:5.1f}  {one.trace_id}  {one_line(one.prompt, 90)}" for one in near]
    text = "\n".join([f"run {run}", *(lines or ["No similar chain was found."])])
    emit({"items": items, "total": len(items), "run_id": run}, text=text)


@verbs.command("case")
def eval_case(
    before: Annotated[str, evaluation_argument("A", "The evaluation before.")],
    after: Annotated[str, evaluation_argument("B", "The evaluation after.")],
    item: ItemArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help=f"The file to write: .md, .html or .tex; {DASH}, as Markdown."
        ),
    ],
    number: NumberOption = 0,
) -> None:
    """Write a case study: the answers to one item before and after, with labelled spans.

    Example: o1lab eval case 3f9c 81aa 60 --out case.html
    """
    from o1lab.evaluate.report import cases
    from store import evaluations
    from store.naming import item_called

    with opened() as store:
        item = item_called(store.db, evaluations.get(store.db, before).id, item)
        one = cases.case(store.db, before, after, item, sample=number)
    with destination(out, like="case.md") as path:
        cases.write(one, path)
    data = {
        "path": str(out),
        "item": item,
        "before": {"id": one.before.evaluation_id, "outcome": one.before.outcome},
        "after": {"id": one.after.evaluation_id, "outcome": one.after.outcome},
        "labels": list(one.labels),
    }
    labels = f"labels: {', '.join(one.labels)}" if one.labels else "no labelled spans"
    emit(data, text=f"{out}: {one.before.outcome} before, {one.after.outcome} after; {labels}")


def _find(db: Database, identity: str, item: str, number: int) -> tuple[Evaluation, str, int]:
    """Return the evaluation with this id, the whole id of an item, and the row number of its sample."""
    from store import evaluations
    from store.naming import item_called

    evaluation = evaluations.get(db, identity)
    found = item_called(db, evaluation.id, item)
    return evaluation, found, evaluations.find_sample(db, evaluation.id, found, number)


def _scorer(db: Database, evaluation: Evaluation, wanted: str | None) -> str:
    from store import evaluations

    known = evaluations.scorers(db, evaluation.id)
    if wanted is not None and wanted not in known:
        raise NotFoundError(f"The scorer '{wanted}' has not scored {evaluation.id}.", f"Available: {', '.join(known)}.")
    return wanted or evaluation.scorer


def _item(row: SampleRow) -> dict[str, Any]:
    names = (
        "item", "sample", "outcome", "value", "answer", "reason", "question", "variant", "input_tokens",
        "output_tokens", "thought_tokens", "cached", "trace_id",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names} | {"gold": list(row.gold)}


def _name(item: Item) -> str:
    from o1lab.evaluate.items import sample_name

    return sample_name(item["item"], item["sample"], width=200)


_COLUMNS = (
    Column("outcome", "outcome"),
    Column("item", _name),
    Column("tokens", "output_tokens", right=True),
    Column("answer", lambda item: one_line(item["answer"] or "-", 16)),
    Column("reason or question", lambda item: one_line(item["reason"] or item["question"], 120)),
)
