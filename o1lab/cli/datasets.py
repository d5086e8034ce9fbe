"""The commands ``dataset ...``: create datasets from traces, show them, export them with a card."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from o1lab.cli import pairs, replay
from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.destination import DASH, destination, is_stdout
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import current_lab, emit, opened, with_terms
from o1lab.cli.dataset_output import (
    COLUMNS,
    dataset_item,
    dataset_line,
    dropped_text,
    pairs_text,
    rejected_ids,
    row_lines,
    words_of,
)
from o1lab.cli.filters import read_filter
from o1lab.errors import UsageError
from store.records import require_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from o1lab.distill.datasets.selection import Choice, Keep, PerProblem
    from store import Store
    from store.filters import TraceQuery
    from store.records import Dataset

verbs = Verbs("dataset", help="Create, mix, show and export datasets.")
verbs.add_typer(replay.verbs)
verbs.add_typer(pairs.verbs)
_Rule = StrEnum("_Rule", ["rejected", "evaluation", "excluded", "looping", "truncated", "format", "mixed"])
NameArgument = Annotated[str, typer.Argument(help="Name or hash of the dataset.", autocompletion=completing("dataset"))]


@verbs.command("create")
def dataset_create(
    name: Annotated[str, typer.Argument(help="Name of the new dataset. A dataset never changes.")],
    decision: Annotated[
        str | None,
        typer.Option(
            help="accept, reject, skip, none, or any [default: accept; any with --keep, --per-problem or --no-drop].",
        ),
    ] = None,
    where: Annotated[str, typer.Option(help="Filter as on the Traces screen, for example verdict:correct.")] = "",
    phase: Annotated[int, typer.Option(min=1, max=2, help="1: only solutions; 2: thoughts and solutions.")] = 2,
    keep: Annotated[
        Literal["verified", "all"] | None,
        typer.Option(help="verified: only traces with the verdict correct; all: any verdict."),
    ] = None,
    per_problem: Annotated[
        Literal["all", "shortest", "longest", "most-reflective", "first", "person"] | None,
        typer.Option(help="Which traces of a problem to take; person: the one accepted by hand."),
    ] = None,
    no_drop: Annotated[list[_Rule] | None, typer.Option(help="Rule to turn off. Repeatable.")] = None,
    mixed: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="Mix this dataset instead of selecting traces. Repeatable.",
            autocompletion=completing("dataset"),
        ),
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="With --from: take the same number of rows from each dataset.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="With --from: seed to shuffle and sample the rows.")] = None,
    most: Annotated[
        int | None, typer.Option("--rows", min=1, help="Maximum number of rows: the first ones in the filter's order.")
    ] = None,
) -> None:
    """Save selected traces, in the order of the filter, under a name and a hash of their content.

    By default, take all traces that were accepted by hand, except answers to evaluations. With --keep, --per-problem
    or --no-drop, use rejection sampling: take only correct answers (unless --keep all or --per-problem person), and
    drop traces that loop, are truncated, break the format, mix languages, were rejected, or answer an excluded problem
    or an evaluation. `o1lab dataset drops NAME` lists the dropped traces with their reasons. With --from, mix datasets
    of the same phase; a trace that is in several of them is taken once.

    A filter or an order by figures of the student (see `o1lab suitability`) also makes NAME-random: as many random rows
    that pass the same rules, with as many tokens, within 2 %. Train on both to see what the selection is worth.

    Example: o1lab dataset create suited --where 'verdict:correct sort:rsr' --rows 200

    Example: o1lab dataset create long --where 'run:3f2a reflective:yes' --per-problem shortest
    """
    from o1lab.distill.datasets import matched
    from store import datasets

    require_name(name)
    sampled = bool(keep or per_problem or no_drop)
    if mixed and (sampled or where or decision or most):
        raise UsageError(
            "--from cannot be combined with filters or rules.", "Create the datasets first, then mix them."
        )
    if not mixed and (balance or seed is not None):
        raise UsageError("--balance and --seed need --from.", "Name the datasets to mix: --from A --from B.")
    with opened() as store:
        if mixed:
            created = _mix(store, name, mixed, balance=balance, seed=seed)
        else:
            query = _query(decision or ("any" if sampled else "accept"), where)
            choose = _chooser(
                store, phase=phase, keep=keep, per_problem=per_problem, no_drop=no_drop or [], sampled=sampled
            )
            if sampled or query.of_student or most is not None:
                created = matched.save(store, name, query, choose, phase=phase, most=most)
            else:
                created = datasets.create(store.db, name, query, phase=phase)
        dropped = datasets.drop_counts(store.db, created.name)
    text = "\n".join([dataset_line(created), *dropped_text(created, dropped), *matched.sentences(created)])
    emit(dataset_item(created) | {"dropped": dropped, "random": created.selection.get("random")}, text=text)


@verbs.command("control")
def dataset_control(
    name: NameArgument,
    new_name: Annotated[str | None, typer.Option("--name", help="Name of the control [default: NAME-control].")] = None,
    match: Annotated[
        Literal["rows", "tokens"],
        typer.Option(help="rows: as many rows; tokens: repeat rows until there are as many trained tokens."),
    ] = "rows",
) -> None:
    """Create the matched control of a dataset: the same problems with short solutions only, for phase 1.

    Each row is the reference solution of its problem or, without one, the solution of its trace without the thought.
    Train on both and compare: what differs is the long thought. Tokens are counted by the tokenizer of the lab's base.

    Example: o1lab dataset control long --match tokens
    """
    from o1lab.config import load_config
    from o1lab.distill.datasets.control import make_control
    from o1lab.models.base import resolve_base, token_counter
    from store import datasets

    lab = current_lab()
    count = token_counter(resolve_base(load_config(lab).base))
    with opened() as store:
        parent = datasets.get(store.db, name)
        made = make_control(
            store, parent.name, new_name or f"{parent.name}-control", match=match,
            count_tokens=count,
        )  # fmt: skip
    chosen = made.selection
    lines = [
        dataset_line(made),
        f"control of {parent.name} ({parent.hash}): {chosen['reference_solutions']:,} reference solutions, "
        f"{chosen['repeats']:.2f} repetitions, {chosen['trained_tokens']:,} trained tokens "
        f"({parent.name}: {chosen['parent_trained_tokens']:,})",
    ]
    if chosen["without_solution"]:
        lines.append(f"{chosen['without_solution']:,} rows have no solution and are left out.")
    lines.append(f"Next: o1lab train --dataset {made.name}")
    emit(dataset_item(made) | {"parent": parent.name, "selection": dict(chosen)}, text=lines)


@verbs.command("subset")
def dataset_subset(
    name: NameArgument,
    sizes: Annotated[
        str | None, typer.Option(metavar="N,...", help="Numbers of rows [default: all rows, halved three times].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    prefix: Annotated[
        str | None, typer.Option("--name", metavar="PREFIX", help="The subsets are PREFIX-N [default: the name].")
    ] = None,
) -> None:
    """Create nested subsets of a dataset: each contains the smaller ones.

    Problems are drawn at random; the chains of a problem stay together. The same seed gives the same subsets.
    `o1lab lesson curve` trains on such subsets and draws what more chains are worth.

    Example: o1lab dataset subset long --sizes 50,100,200,400
    """
    from o1lab.distill.datasets.subset import default_sizes, make_subsets
    from store import datasets

    with opened() as store:
        parent = datasets.get(store.db, name)
        wanted = options.whole_numbers("--sizes", sizes) if sizes is not None else default_sizes(parent.rows)
        made = make_subsets(store, parent.name, wanted, seed=seed, prefix=prefix)
    items = [dataset_item(one) | {"parent": parent.name, "selection": dict(one.selection)} for one in made]
    emit({"items": items, "total": len(items)}, text=[dataset_line(one) for one in made])


@verbs.command("ls", lists=True)
def dataset_ls() -> None:
    """List datasets, newest first.

    Example: o1lab dataset ls
    """
    from store import datasets

    with opened() as store:
        found = datasets.all_datasets(store.db)
    empty = "No dataset yet. Accept some traces, then: o1lab dataset create NAME"
    emit_list([dataset_item(one) for one in found], COLUMNS, empty=empty)


@verbs.command("show")
def dataset_show(
    name: NameArgument,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of rows to list.")] = 1000,
    offset: Annotated[int, typer.Option(min=0, help="Number of rows to skip.")] = 0,
) -> None:
    """Show a dataset: how its rows were selected, what was dropped, and its traces.

    Example: o1lab dataset show short-right
    """
    from store import datasets

    with opened() as store:
        found = datasets.get(store.db, name)
        dropped = datasets.drop_counts(store.db, found.name)
        part = datasets.rows(store.db, found.name, limit=limit, offset=offset)
        rows = [(row.trace_id, row.statement[:200]) for row in part]
        rejected = rejected_ids(store, found, limit=limit, offset=offset)
    lines = [
        dataset_line(found),
        *(pairs_text(found) or (f"{key}: {words_of(value)}" for key, value in found.selection.items())),
        *dropped_text(found, dropped),
        *row_lines(rows, rejected),
    ]
    if (left := found.rows - offset - len(rows)) > 0:
        lines.append(f"and {left:,} more rows: --limit, --offset")
    more = {
        "selection": dict(found.selection),
        "decided": dict(found.decided),
        "dropped": dropped,
        "trace_ids": [trace for trace, _ in rows],
    } | ({"rejected_ids": rejected} if rejected else {})
    emit(dataset_item(found) | more, text=lines)


@verbs.command("drops", lists=True)
def dataset_drops(
    name: NameArgument,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of traces to list.")] = 1000,
    offset: Annotated[int, typer.Option(min=0, help="Number of traces to skip.")] = 0,
) -> None:
    """List the traces that were dropped from a dataset, each with the reason.

    Example: o1lab dataset drops long
    """
    from store import datasets

    with opened() as store:
        found = datasets.get(store.db, name)
        dropped = datasets.drops(store.db, found.name, limit=limit, offset=offset)
        total = sum(datasets.drop_counts(store.db, found.name).values())
    items = [{"id": trace, "reason": reason} for trace, reason in dropped]
    columns = (Column("id", "id"), Column("reason", "reason"))
    emit_list(items, columns, total=total, empty=f"Nothing was dropped from {found.name}.")


@verbs.command("export")
def dataset_export(
    name: NameArgument,
    out: Annotated[
        str, typer.Option("--out", help=f"File to write; in a folder, data/ and README.md are written; {DASH}.")
    ],
    form: Annotated[
        Literal["messages", "sharegpt", "alpaca", "jsonl", "parquet", "pairs"] | None,
        typer.Option("--format", help="Format of the file [default: messages; pairs for a dataset of pairs]."),
    ] = None,
    accept_terms: options.AcceptTermsOption = False,
) -> None:
    """Write a dataset to a file that other training tools read, together with its card.

    The card lists sources, licences, models, prompts and settings, and what was dropped. It is written to FILE.card.md,
    or to README.md if --out is a folder (an existing one, or a path that ends with /). The command
    prints what the file leaves out or writes differently, such as other think marks; the card has it too. If the
    recorded terms of use of a teacher forbid publication, or none are recorded, the command asks first.

    Example: o1lab dataset export short-right --format messages --out short-right.jsonl
    """
    from o1lab.distill.datasets.card import export_with_card
    from o1lab.distill.provenance import require_accepted_terms
    from o1lab.ingest.exporting import KINDS
    from store import datasets

    lab = current_lab()
    with opened() as store:
        found = datasets.get(store.db, name, kind=KINDS[form] if form else None)
        form = form or ("pairs" if found.kind == "pairs" else "messages")
        with_terms(
            lambda accepted: require_accepted_terms(lab, store, [found], accepted=accepted), accepted=accept_terms
        )
        with destination(out) as path:
            written = export_with_card(lab, store, found.name, form, path, folder=out.endswith("/"))
    changes = [{"rows": number, "reason": reason} for reason, number in written.changes.items()]
    data = {"path": str(Path(out)), "format": form, "rows": written.rows, "hash": found.hash, "changes": changes}
    place = "on standard output" if is_stdout(out) else f"in {written.data}"
    lines = [f"{written.rows:,} rows of {found.name} ({found.hash}) {place} as {form}"]
    lines += [f"{number:,} of them: {reason}" for reason, number in written.changes.items()]
    card = f"o1lab dataset card {found.name}" if is_stdout(out) else written.card
    emit(data, text=[*lines, f"its card: {card}"])


@verbs.command("card")
def dataset_card(name: NameArgument) -> None:
    """Print the card of a dataset in Markdown.

    Example: o1lab dataset card short-right
    """
    from o1lab.distill.datasets.card import card
    from store import datasets

    lab = current_lab()
    with opened() as store:
        found = datasets.get(store.db, name)
        text = "".join(card(lab, store, found.name))
    emit({"name": found.name, "hash": found.hash, "card": text}, text=text.rstrip("\n"))


def _query(decision: str, where: str) -> TraceQuery:
    from store.filters import TraceQuery

    return read_filter(TraceQuery, where if decision == "any" else f"decision:{decision} {where}".strip())


def _chooser(
    store: Store,
    *,
    phase: int,
    keep: Keep | None,
    per_problem: PerProblem | None,
    no_drop: Sequence[str],
    sampled: bool,
) -> Callable[[TraceQuery], Choice]:
    """Return what selects from the traces of a filter; without ``sampled`` it takes all but answers to evaluations."""
    from o1lab.distill.datasets import selection

    if not sampled:
        by_hand: list[selection.Rule] = ["evaluation"]
        return lambda query: selection.choose(store, query, phase=phase, keep="all", drop=by_hand)
    one = per_problem or "all"
    kept = keep or ("all" if one == "person" else "verified")
    rules = [rule for rule in selection.RULES if rule not in no_drop]
    return lambda query: selection.choose(store, query, phase=phase, keep=kept, per_problem=one, drop=rules)


def _mix(store: Store, name: str, names: list[str], *, balance: bool, seed: int | None) -> Dataset:
    from o1lab.distill.datasets.selection import mix
    from store import datasets

    choice, phase = mix(store, names, balance=balance, seed=seed)
    parts = " + ".join(str(part["name"]) for part in choice.selection["from"])
    return datasets.snapshot(
        store.db, name, choice.ids, phase=phase, query=parts, selection=choice.selection, drops=choice.drops
    )
