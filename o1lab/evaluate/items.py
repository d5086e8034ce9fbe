"""The items of an evaluation: what a model is asked, and the accepted answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from o1lab.small_files import as_kind, parse_json


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


def items_hash(items: Iterable[Item]) -> str:
    """Return a hash of the items and their prompts, 16 hexadecimal digits.

    Results of two evaluations may be compared item by item only if their hashes are equal.
    """
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.line().encode() + b"\n")
    return digest.hexdigest()[:16]
