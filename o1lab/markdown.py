"""Write foreign text as Markdown: nothing in it becomes markup, a link or a table border."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from o1lab.text import one_line, visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#!|~$&]|^[-+])")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|www)(?=[:.])")
_LONGEST = 300


def inline(text: object, width: int = _LONGEST) -> str:
    """Return text on one line, escaped. Addresses do not become links."""
    return _LINK.sub("\\1\u200b", _SPECIAL.sub(r"\\\1", one_line(str(text), width)))


def fenced(text: str) -> str:
    """Return text in a fenced block, with a fence that does not occur in it.

    Line breaks at its end are dropped, and control characters are shown.
    """
    shown = visible(text).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; whole numbers have thousands separators, None is shown as unknown."""
    lines = [_row(heads), _row("---" for _ in heads)]
    return "\n".join([*lines, *(_row(map(_cell, row)) for row in rows)]) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else inline(value)
