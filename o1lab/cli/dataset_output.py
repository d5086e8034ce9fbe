"""How the commands ``dataset ...`` print datasets."""

from __future__ import annotations

from typing import Any

from o1lab.cli.listing import Column
from o1lab.format import counted
from store.records import Dataset


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
