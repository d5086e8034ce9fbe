"""How the commands ``dataset ...`` print datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from o1lab.cli.base.listing import Column
from o1lab.format import counted
from o1lab.text import one_line
from store.records import Dataset

if TYPE_CHECKING:
    from store import Store


def dataset_item(dataset: Dataset) -> dict[str, Any]:
    """Return the JSON keys of a dataset."""
    names = ("name", "hash", "kind", "rows", "tokens", "phase", "query", "created_at")
    return {name: getattr(dataset, name) for name in names}


COLUMNS = (
    Column("name", "name"),
    Column("hash", "hash"),
    Column("kind", "kind"),
    Column("phase", "phase", right=True),
    Column("rows", "rows", right=True),
    Column("tokens", "tokens", right=True),
    Column("created", lambda item: item["created_at"][:16].replace("T", " ")),
    Column("query", "query"),
)


def dataset_line(dataset: Dataset) -> str:
    """Return a dataset as one line of text."""
    tokens = "tokens unknown" if dataset.tokens is None else f"{dataset.tokens:,} tokens"
    what = counted(dataset.rows, "pair") if dataset.kind == "pairs" else f"phase {dataset.phase}  {dataset.rows:,} rows"
    return f"{dataset.name}  {dataset.hash}  {what}  {tokens}  [{dataset.query}]"


def dropped_text(dataset: Dataset, dropped: dict[str, int]) -> list[str]:
    """Return a line on what was dropped; none if nothing was."""
    if not dropped:
        return []
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in dropped.items())
    return [f"dropped {sum(dropped.values()):,}: {reasons}. List them with: o1lab dataset drops {dataset.name}"]


def words_of(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(words_of, value)) or "none"
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def pairs_text(made: Dataset) -> list[str]:
    """Return lines on how a dataset of pairs was made, what was left out and the lengths; none for another dataset."""
    if made.kind != "pairs":
        return []
    chosen = made.selection
    found = ", ".join(f"{number:,} from {source}" for source, number in chosen["pairs"].items())
    lengths = chosen["median_chars"]
    lines = [
        f"pairs: {found}; chains are judged by {chosen['by']}, at most {chosen['per_problem']:,} pairs per problem, "
        f"seed {chosen['seed']}, lengths {'' if chosen['balance_length'] else 'not '}balanced",
        f"the better answer is longer in {chosen['longer_chosen']:,} and shorter in {chosen['shorter_chosen']:,} of "
        f"{made.rows:,} pairs (median {lengths['chosen']:,.0f} characters against {lengths['rejected']:,.0f})",
    ]
    if left := chosen["left_out_votes"]:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in left.items())
        lines.append(f"left out {sum(left.values()):,} votes: {reasons}")
    return lines


def rejected_ids(store: Store, dataset: Dataset, **part: int) -> list[str]:
    """Return the worse traces of a dataset of pairs; none for another."""
    from store import pairs

    return [worse for _, worse in pairs.ids(store.db, dataset.name, **part)] if dataset.kind == "pairs" else []


def row_lines(rows: Sequence[tuple[str, str]], rejected: Sequence[str]) -> list[str]:
    """Return a line for each row (trace, statement) of a dataset; of pairs with both traces: ``better > worse``."""
    worse = [f" > {one}" for one in rejected] or [""] * len(rows)
    return [f"{trace}{other}  {one_line(text, 90)}" for (trace, text), other in zip(rows, worse, strict=True)]
