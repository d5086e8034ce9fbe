"""Verbs of datasets: choosing their rows, looking at them, exporting them with a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from o1lab.cli.opening import opened
from o1lab.cli.output import JsonOption, context, emit
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.distill.selection import Choice
    from store import Store
    from store.filters import TraceQuery
    from store.records import Dataset

Word = TypeVar("Word", bound=str)
app_ = typer.Typer(help="Make and export datasets.", no_args_is_help=True, rich_markup_mode=None)
NameArgument = Annotated[str, typer.Argument(help="Its name, or its hash.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    app_.command("create")(dataset_create)
    app_.command("ls")(dataset_ls)
    app_.command("show")(dataset_show)
    app_.command("drops")(dataset_drops)
    app_.command("export")(dataset_export)
    app_.command("card")(dataset_card)
    app.add_typer(app_, name="dataset")


def dataset_create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A name for it; it never changes its content.")],
    decision: Annotated[
        str | None,
        typer.Option(
            help="accept, reject, skip, none, or any [default: accept; any where rows are chosen by verdict or rule].",
        ),
    ] = None,
    where: Annotated[str, typer.Option(help="The filter of the Traces screen, for example verdict:correct.")] = "",
    phase: Annotated[int, typer.Option(min=1, max=2, help="1: solutions alone; 2: thought and solution.")] = 2,
    keep: Annotated[
        str | None, typer.Option(help="verified: those with the verdict correct; all: any, with their verdicts.")
    ] = None,
    per_problem: Annotated[
        str | None, typer.Option(help="all, shortest, longest, most-reflective, first, or person: the accepted one.")
    ] = None,
    no_drop: Annotated[
        list[str] | None,
        typer.Option(
            help="A rule not to apply: rejected, evaluation, excluded, looping, truncated, format, mixed. Repeatable."
        ),
    ] = None,
    mixed: Annotated[
        list[str] | None, typer.Option("--from", help="Mix this dataset in, instead of choosing traces. Repeatable.")
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="With --from: as many rows of each as the smallest has.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="With --from: shuffle and draw rows by this seed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Snapshot chosen traces, in the filter's order, under a name and a hash of their content.

    By itself it takes what was accepted by hand, all of it but answers to evaluations. With --keep, --per-problem or
    --no-drop it samples by rejection: only right answers (unless --keep all, or a person chooses), and nothing that
    loops, was cut off, breaks the format, mixes languages, was rejected, answers an excluded problem or an evaluation.
    What is left out is kept with its reason: `o1lab dataset drops NAME`. With --from it mixes datasets of one phase; a
    trace that is in two of them comes once.

    Example: o1lab dataset create long --where 'run:3f2a reflective:yes' --per-problem shortest
    """
    from o1lab.errors import UsageError
    from store import datasets

    if not name.strip() or not name.isprintable():
        raise UsageError("A dataset's name needs letters and takes no control characters.", "Choose another name.")
    sampled = bool(keep or per_problem or no_drop)
    if mixed and (sampled or where or decision):
        raise UsageError("--from mixes datasets as they are.", "Choose traces into datasets first, then mix those.")
    if not mixed and (balance or seed is not None):
        raise UsageError("--balance and --seed belong to --from.", "Name the datasets to mix: --from A --from B.")
    with opened(ctx) as store:
        if mixed:
            made = _mix(store, name, mixed, balance=balance, seed=seed)
        else:
            query = _query(decision or ("any" if sampled else "accept"), where)
            if sampled:
                choice = _choose(store, query, phase=phase, keep=keep, per_problem=per_problem, spared=no_drop or [])
                made = _keep(store, name, choice, phase=phase, query=query.source)
            else:
                made = datasets.create(store.db, name, query, phase=phase)
        dropped = datasets.drop_counts(store.db, made.name)
    emit(
        _item(made) | {"dropped": dropped},
        as_json=as_json,
        text="\n".join([_line(made), *_dropped_text(made, dropped)]),
    )


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
    name: NameArgument,
    limit: Annotated[int, typer.Option(min=0, help="At most so many rows.")] = 1000,
    offset: Annotated[int, typer.Option(min=0, help="Pass so many rows over.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show a dataset: what chose it, what was left out, and which traces it holds.

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
    limit: Annotated[int, typer.Option(min=0, help="At most so many.")] = 1000,
    offset: Annotated[int, typer.Option(min=0, help="Pass so many over.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List the traces that were looked at for a dataset and left out, each with its reason.

    Example: o1lab dataset drops long
    """
    from store import datasets

    with opened(ctx) as store:
        found = datasets.get(store.db, name)
        dropped = datasets.drops(store.db, found.name, limit=limit, offset=offset)
        total = sum(datasets.drop_counts(store.db, found.name).values())
    emit(
        {"items": [{"id": trace, "reason": reason} for trace, reason in dropped], "total": total},
        as_json=as_json,
        text="\n".join(f"{trace}  {reason}" for trace, reason in dropped) or f"Nothing was left out of {found.name}.",
    )


def dataset_export(
    ctx: typer.Context,
    name: NameArgument,
    out: Annotated[str, typer.Option("--out", help="The file to write; a folder gets data/ and README.md.")],
    form: Annotated[str, typer.Option("--format", help="messages, sharegpt, alpaca, jsonl or parquet.")] = "messages",
    as_json: JsonOption = False,
) -> None:
    """Write a dataset as a file that other tools train from, with its card beside it.

    The card says where the rows come from and under which licences, who wrote them, asked how, and what was left out.
    It is FILE.card.md; where --out is a folder (there already, or written with a / at its end) it is README.md there.

    Example: o1lab dataset export short-right --format messages --out short-right.jsonl
    """
    from o1lab.distill.card import export_with_card
    from o1lab.errors import UsageError
    from o1lab.ingest.exporting import FORMATS
    from store import datasets

    if form not in FORMATS:
        raise UsageError(f"There is no format '{form}'.", f"It is one of {', '.join(FORMATS)}.")
    lab = context(ctx).lab()
    with opened(ctx) as store:
        found = datasets.get(store.db, name)
        written = export_with_card(lab, store, found.name, form, Path(out), folder=out.endswith("/"))
    data = {"path": str(Path(out)), "format": form, "rows": written.rows, "hash": found.hash}
    text = f"{written.rows:,} rows of {found.name} ({found.hash}) in {written.data} as {form}\nits card: {written.card}"
    emit(data, as_json=as_json, text=text)


def dataset_card(ctx: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Print a dataset's card, in Markdown: what one has to know before using it.

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
    store: Store, query: TraceQuery, *, phase: int, keep: str | None, per_problem: str | None, spared: list[str]
) -> Choice:
    from o1lab.distill import selection

    one = _one_of("--per-problem", per_problem or "all", selection.PER_PROBLEM)
    kept = _one_of("--keep", keep or ("all" if one == "person" else "verified"), selection.KEEPS)
    unused = {_one_of("--no-drop", rule, selection.RULES) for rule in spared}
    rules = [rule for rule in selection.RULES if rule not in unused]
    return selection.choose(store, query, phase=phase, keep=kept, per_problem=one, drop=rules)


def _mix(store: Store, name: str, names: list[str], *, balance: bool, seed: int | None) -> Dataset:
    from o1lab.distill.selection import mix

    choice, phase = mix(store, names, balance=balance, seed=seed)
    parts = " + ".join(str(part["name"]) for part in choice.selection["from"])
    return _keep(store, name, choice, phase=phase, query=parts)


def _keep(store: Store, name: str, choice: Choice, *, phase: int, query: str) -> Dataset:
    from store import datasets

    return datasets.snapshot(
        store.db, name, choice.ids, phase=phase, query=query, selection=choice.selection, drops=choice.drops
    )


def _one_of(option: str, value: str, allowed: tuple[Word, ...]) -> Word:
    from o1lab.errors import UsageError

    for word in allowed:
        if word == value:
            return word
    raise UsageError(f"{option} cannot be '{value}'.", f"It is one of {', '.join(allowed)}.")


def _item(dataset: Dataset) -> dict[str, Any]:
    names = ("name", "hash", "rows", "tokens", "phase", "query", "created_at")
    return {name: getattr(dataset, name) for name in names}


def _line(dataset: Dataset) -> str:
    tokens = "tokens unknown" if dataset.tokens is None else f"{dataset.tokens:,} tokens"
    return f"{dataset.name}  {dataset.hash}  phase {dataset.phase}  {dataset.rows:,} rows  {tokens}  [{dataset.query}]"


def _dropped_text(dataset: Dataset, dropped: dict[str, int]) -> list[str]:
    if not dropped:
        return []
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items())
    return [f"left out {sum(dropped.values()):,}: {reasons}. They are listed by: o1lab dataset drops {dataset.name}"]


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
