"""The items of an evaluation: what a model is asked, and the accepted answers."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from o1lab.small_files import as_kind
from o1lab.text import one_line, parse_json

ADAPTED = ("edited_from", "edited_by")
"""Metadata of an item that a person adapted: the original question or its source, and the person's name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a suite, ready to send to a model.

    Attributes:
        question: the bare question, for readers and for the search of similar training chains.
        turns: the user's messages. Each one after the first follows the model's answer, regardless of that answer.
        gold: the accepted answers.
        system: the system message, or an empty string.
        group: shared by all items that ask the same question in different ways.
        variant: which way of asking this is, such as ``push-back``.
        meta: anything else a scorer or a table needs: a weight, choices, labels, a category.
    """

    id: str
    question: str
    turns: tuple[str, ...]
    gold: tuple[str, ...] = ()
    system: str = ""
    group: str | None = None
    variant: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the item as one line of JSON, without a newline."""
        # Not asdict(), which copies every value: a suite may have 100,000 items.
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(values, ensure_ascii=True, sort_keys=True)

    @classmethod
    def read(cls, line: str) -> Self:
        """Read an item that :meth:`line` wrote."""
        return as_kind(parse_json(line), cls)


def adapted_by(metas: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Count the items that people adapted, by name, from the ``meta`` of the items."""
    found = (str(meta.get("edited_by") or "not named") for meta in metas if any(meta.get(key) for key in ADAPTED))
    return dict(Counter(found).most_common())


def adapted_line(meta: Mapping[str, Any]) -> str:
    """Return a line on who adapted an item, and from what; empty if nobody did."""
    if not any(meta.get(key) for key in ADAPTED):
        return ""
    by = f" by {one_line(str(meta['edited_by']), 40)}" if meta.get("edited_by") else ""
    origin = f" from: {one_line(str(meta['edited_from']), 300)}" if meta.get("edited_from") else ""
    return f"adapted{by}{origin}"


def sample_name(item: str, number: int, *, width: int = 60) -> str:
    """Format the name of a sample as commands take it: its item and, after the first, its number from 0."""
    return one_line(item, width) + (f" -k {number}" if number else "")


def items_hash(items: Iterable[Item]) -> str:
    """Return a hash of the items and their prompts, 16 hexadecimal digits.

    Results of two evaluations may be compared item by item only if their hashes are equal.
    """
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.line().encode() + b"\n")
    return digest.hexdigest()[:16]
