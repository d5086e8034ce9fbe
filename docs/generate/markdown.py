"""Markdown from plain text and rows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

_ROLE = re.compile(r":[a-z]+:`~?")
_SPECIAL = re.compile(r"[\\*_\[\]|]")


def prose(text: str) -> str:
    """Escape a text, except what it has in backticks, and put it on one line; a docstring loses its roles."""
    text = _ROLE.sub("`", text).replace("``", "`")
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:  # a lone backtick
        return _escaped("`".join(parts)).replace("`", "\\`")
    return "".join(code(part) if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("{{", "&#123;{")
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)


def code(text: str) -> str:
    """Return a text as code; empty for an empty text."""
    if not text:
        return ""
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def block(text: str, language: str = "") -> str:
    """Return a fenced block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already; columns that are empty in all rows are left out."""
    found = [list(row) for row in rows]
    kept = [at for at in range(len(heads)) if any(row[at] for row in found)]
    lines = ["|", "|", *("|" for _ in found)]
    for at in kept:
        lines[0] += f" {heads[at]} |"
        lines[1] += " --- |"
        for line, row in enumerate(found, 2):
            lines[line] += f" {row[at]} |"
    return "\n".join(lines) + "\n"


def summary(documented: object) -> str:
    """Return the first paragraph of a docstring."""
    return prose((inspect.getdoc(documented) or "").partition("\n\n")[0])
