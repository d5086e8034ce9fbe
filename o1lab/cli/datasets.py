"""The commands ``dataset ...``: create datasets from traces, show them, export them with a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from o1lab.cli.listing import Column, FormatOption, emit_list
from o1lab.cli.output import JsonOption, context, emit, opened
from o1lab.text import one_line
from store.records import LONGEST_NAME, NAME_RULE, is_name

if TYPE_CHECKING:
    from o1lab.distill.selection import Choice
    from store import Store
    from store.filters import TraceQuery
    from store.records import Dataset

OptionT = TypeVar("OptionT", bound=str)
app_ = typer.Typer(help="Make and export datasets.", no_args_is_help=True, rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(help="Name or hash of the dataset.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app_.command("create")(dataset_create)
    app_.command("control")(dataset_control)
    app_.command("ls")(dataset_ls)
    app_.command("show")(dataset_show)
    app_.command("drops")(dataset_drops)
    app_.command("export")(dataset_export)
    app_.command("card")(dataset_card)
    app.add_typer(app_, name="dataset")


def dataset_create(
    ctx: typer.Context,
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
        str | None, typer.Option(help="verified: only traces with the verdict correct; all: any verdict.")
    ] = None,
    per_problem: Annotated[
        str | None,
        typer.Option(help="all, shortest, longest, most-reflective, first, or person (the one accepted by hand)."),
    ] = None,
    no_drop: Annotated[
        list[str] | None,
        typer.Option(
            help="Rule to turn off: rejected, evaluation, excluded, looping, truncated, format, mixed. Repeatable."
        ),
    ] = None,
    mixed: Annotated[
        list[str] | None, typer.Option("--from", help="Mix this dataset instead of selecting traces. Repeatable.")
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="With --from: take the same number of rows from each dataset.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="With --from: seed to shuffle and sample the rows.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Save selected traces, in the order of the filter, under a name and a hash of their content.

    By default, take all traces that were accepted by hand, except answers to evaluations. With --keep, --per-problem
    or --no-drop, use rejection sampling: take only correct answers (unless --keep all or --per-problem person), and
    drop traces that loop, are truncated, break the format, mix languages, were rejected, or answer an excluded problem
    or an evaluation. `o1lab dataset drops NAME` lists the dropped traces with their reasons. With --from, mix datasets
    of the same phase; a trace that is in several of them is taken once.

    Example: o1lab dataset create long --where 'run:3f2a reflective:yes' --per-problem shortest
    """
    from o1lab.errors import UsageError
    from store import datasets

    if not is_name(name):
        raise UsageError(f"'{name[:LONGEST_NAME]}' is not a valid name.", NAME_RULE)
    sampled = bool(keep or per_problem or no_drop)
    if mixed and (sampled or where or decision):
        raise UsageError(
            "--from cannot be combined with filters or rules.", "Create the datasets first, then mix them."
        )
    if not mixed and (balance or seed is not None):
        raise UsageError("--balance and --seed need --from.", "Name the datasets to mix: --from A --from B.")
    with opened(ctx) as store:
        if mixed:
            created = _mix(store, name, mixed, balance=balance, seed=seed)
        else:
            query = _query(decision or ("any" if sampled else "accept"), where)
            if sampled:
                choice = _choose(store, query, phase=phase, keep=keep, per_problem=per_problem, no_drop=no_drop or [])
                created = _save(store, name, choice, phase=phase, query=query.source)
            else:
                created = datasets.create(store.db, name, query, phase=phase)
        dropped = datasets.drop_counts(store.db, created.name)
    text = "\n".join([_line(created), *_dropped_text(created, dropped)])
    emit(_item(created) | {"dropped": dropped}, as_json=as_json, text=text)


def dataset_control(
    ctx: typer.Context,
    name: NameArgument,
    new_name: Annotated[str | None, typer.Option("--name", help="Name of the control [default: NAME-control].")] = None,
    match: Annotated[
        str, typer.Option(help="rows: as many rows; tokens: repeat rows until there are as many trained tokens.")
    ] = "rows",
    as_json: JsonOption = False,
) -> None:
    """Create the matched control of a dataset: the same problems with short solutions only, for phase 1.

    Each row is the reference solution of its problem or, without one, the solution of its trace without the thought.
    Train on both and compare: what differs is the long thought. Tokens are counted by the tokenizer of the lab's base.

    Example: o1lab dataset control long --match tokens
    """
    from o1lab.config import load_config
    from o1lab.distill.control import MATCHES, make_control
    from o1lab.models.base import resolve_base, token_counter
    from store import datasets

    lab = context(ctx).lab()
    count = token_counter(resolve_base(load_config(lab).base))
    with opened(ctx) as store:
        parent = datasets.get(store.db, name)
        made = make_control(
            store, parent.name, new_name or f"{parent.name}-control", match=_one_of("--match", match, MATCHES),
            count_tokens=count,
        )  # fmt: skip
    chosen = made.selection
    lines = [
        _line(made),
        f"control of {parent.name} ({parent.hash}): {chosen['reference_solutions']:,} reference solutions, "
        f"{chosen['repeats']:.2f} repetitions, {chosen['trained_tokens']:,} trained tokens "
        f"({parent.name}: {chosen['parent_trained_tokens']:,})",
    ]
    if chosen["without_solution"]:
        lines.append(f"{chosen['without_solution']:,} rows have no solution and are left out.")
    lines.append(f"Next: o1lab train --dataset {made.name}")
    emit(_item(made) | {"parent": parent.name, "selection": dict(chosen)}, as_json=as_json, text="\n".join(lines))


def dataset_ls(ctx: typer.Context, form: FormatOption = None, as_json: JsonOption = False) -> None:
    """List datasets, newest first.

    Example: o1lab dataset ls
    """
    from store import datasets

    with opened(ctx) as store:
        found = datasets.all_datasets(store.db)
    empty = "No dataset yet. Accept some traces, then: o1lab dataset create NAME"
    emit_list([_item(one) for one in found], _COLUMNS, form=form, as_json=as_json, empty=empty)


def dataset_show(
    ctx: typer.Context,
    name: NameArgument,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of rows to list.")] = 1000,
    offset: Annotated[int, typer.Option(min=0, help="Number of rows to skip.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show a dataset: how its rows were selected, what was dropped, and its traces.

    Example: o1lab dataset show short-right
    """
    from store import datasets

    with opened(ctx) as store:
        found = datasets.get(store.db, name)
        dropped = datasets.drop_counts(store.db, found.name)
        part = datasets.rows(store.db, found.name, limit=limit, offset=offset)
        rows = [(row.trace_id, one_line(row.statement, 90)) for row in part]
    lines = [
        _line(found),
        *(f"{key}: {_words(value)}" for key, value in found.selection.items()),
        *_dropped_text(found, dropped),
        *(f"{trace}  {statement}" for trace, statement in rows),
    ]
    if (left := found.rows - offset - len(rows)) > 0:
        lines.append(f"and {left:,} more rows: --limit, --offset")
    more = {"selection": dict(found.selection), "dropped": dropped, "trace_ids": [trace for trace, _ in rows]}
    emit(_item(found) | more, as_json=as_json, text="\n".join(lines))


def dataset_drops(
    ctx: typer.Context,
    name: NameArgument,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of traces to list.")] = 1000,
    offset: Annotated[int, typer.Option(min=0, help="Number of traces to skip.")] = 0,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the traces that were dropped from a dataset, each with the reason.

    Example: o1lab dataset drops long
    """
    from store import datasets

    with opened(ctx) as store:
        found = datasets.get(store.db, name)
        dropped = datasets.drops(store.db, found.name, limit=limit, offset=offset)
        total = sum(datasets.drop_counts(store.db, found.name).values())
    items = [{"id": trace, "reason": reason} for trace, reason in dropped]
    columns = (Column("id", "id"), Column("reason", "reason"))
    if items or total:
        emit_list(items, columns, form=form, as_json=as_json, total=total)
    else:
        emit_list([], columns, form=form, as_json=as_json, empty=f"Nothing was dropped from {found.name}.")


def dataset_export(
    ctx: typer.Context,
    name: NameArgument,
    out: Annotated[str, typer.Option("--out", help="File to write; in a folder, data/ and README.md are written.")],
    form: Annotated[str, typer.Option("--format", help="messages, sharegpt, alpaca, jsonl or parquet.")] = "messages",
    as_json: JsonOption = False,
) -> None:
    """Write a dataset to a file that other training tools read, together with its card.

    The card lists sources, licences, models, prompts and settings, and what was dropped. It is written to FILE.card.md,
    or to README.md if --out is a folder (an existing one, or a path that ends with /).

    Example: o1lab dataset export short-right --format messages --out short-right.jsonl
    """
    from o1lab.distill.card import export_with_card
    from o1lab.errors import UsageError
    from o1lab.ingest.exporting import FORMATS
    from store import datasets

    if form not in FORMATS:
        raise UsageError(f"'{form}' is not a known format.", f"Choose one of {', '.join(FORMATS)}.")
    lab = context(ctx).lab()
    with opened(ctx) as store:
        found = datasets.get(store.db, name)
        written = export_with_card(lab, store, found.name, form, Path(out), folder=out.endswith("/"))
    data = {"path": str(Path(out)), "format": form, "rows": written.rows, "hash": found.hash}
    text = f"{written.rows:,} rows of {found.name} ({found.hash}) in {written.data} as {form}\nits card: {written.card}"
    emit(data, as_json=as_json, text=text)


def dataset_card(ctx: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Print the card of a dataset in Markdown.

    Example: o1lab dataset card short-right
    """
    from o1lab.distill.card import card
    from store import datasets

    lab = context(ctx).lab()
    with opened(ctx) as store:
        found = datasets.get(store.db, name)
        text = "".join(card(lab, store, found.name))
    emit({"name": found.name, "hash": found.hash, "card": text}, as_json=as_json, text=text.rstrip("\n"))


def _query(decision: str, where: str) -> TraceQuery:
    from store.filters import TraceQuery

    return TraceQuery.parse(where if decision == "any" else f"decision:{decision} {where}".strip())


def _choose(
    store: Store, query: TraceQuery, *, phase: int, keep: str | None, per_problem: str | None, no_drop: list[str]
) -> Choice:
    from o1lab.distill import selection

    one = _one_of("--per-problem", per_problem or "all", selection.PER_PROBLEM)
    kept = _one_of("--keep", keep or ("all" if one == "person" else "verified"), selection.KEEPS)
    unused = {_one_of("--no-drop", rule, selection.RULES) for rule in no_drop}
    rules = [rule for rule in selection.RULES if rule not in unused]
    return selection.choose(store, query, phase=phase, keep=kept, per_problem=one, drop=rules)


def _mix(store: Store, name: str, names: list[str], *, balance: bool, seed: int | None) -> Dataset:
    from o1lab.distill.selection import mix

    choice, phase = mix(store, names, balance=balance, seed=seed)
    parts = " + ".join(str(part["name"]) for part in choice.selection["from"])
    return _save(store, name, choice, phase=phase, query=parts)


def _save(store: Store, name: str, choice: Choice, *, phase: int, query: str) -> Dataset:
    from store import datasets

    return datasets.snapshot(
        store.db, name, choice.ids, phase=phase, query=query, selection=choice.selection, drops=choice.drops
    )


def _one_of(option: str, value: str, allowed: tuple[OptionT, ...]) -> OptionT:
    from o1lab.errors import UsageError

    for known in allowed:
        if known == value:
            return known
    raise UsageError(f"{option} cannot be '{value}'.", f"Choose one of {', '.join(allowed)}.")


def _item(dataset: Dataset) -> dict[str, Any]:
    names = ("name", "hash", "rows", "tokens", "phase", "query", "created_at")
    return {name: getattr(dataset, name) for name in names}


_COLUMNS = (
    Column("name", "name"),
    Column("hash", "hash"),
    Column("phase", "phase", right=True),
    Column("rows", "rows", right=True),
    Column("tokens", "tokens", right=True),
    Column("created", lambda item: item["created_at"][:16].replace("T", " ")),
    Column("query", "query"),
)


def _line(dataset: Dataset) -> str:
    tokens = "tokens unknown" if dataset.tokens is None else f"{dataset.tokens:,} tokens"
    return f"{dataset.name}  {dataset.hash}  phase {dataset.phase}  {dataset.rows:,} rows  {tokens}  [{dataset.query}]"


def _dropped_text(dataset: Dataset, dropped: dict[str, int]) -> list[str]:
    if not dropped:
        return []
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items())
    return [f"dropped {sum(dropped.values()):,}: {reasons}. List them with: o1lab dataset drops {dataset.name}"]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
