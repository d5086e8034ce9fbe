"""What a model is asked in an evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a suite, ready to be put.

    ``turns`` is what the user says, turn by turn (the second after the first answer, whatever that was); ``question``
    the bare question that people read and that training chains are searched with; ``gold`` the accepted answers.
    ``group`` is shared by items that put one question in several ways, ``variant`` says which way. ``meta`` holds what
    a scorer or a table needs beside: a weight, choices, labels, a category.
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
        """One line of JSON, without its newline."""
        # Not asdict(), which copies every value: a suite may have 100,000 items.
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(values, ensure_ascii=True, sort_keys=True)

    @classmethod
    def read(cls, line: str) -> Self:
        """The item that :meth:`line` wrote."""
        values = json.loads(line)
        return cls(**values | {"turns": tuple(values["turns"]), "gold": tuple(values["gold"])})


def items_hash(items: Iterable[Item]) -> str:
    """The same for the same items put in the same way: only then may results be compared item by item."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.line().encode() + b"\n")
    return digest.hexdigest()[:16]
