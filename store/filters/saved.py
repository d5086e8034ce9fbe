"""Filters with names: ``saved:NAME`` in a filter stands for the filter that was saved under the name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from store.errors import QueryError
from store.filters.language import TERM, closed

HELP = "saved: the name of a saved filter, which is replaced by the filter"


def uses_saved(text: str) -> bool:
    """Whether a filter has a term ``saved:NAME``."""
    return any(_is_saved(term) for term in TERM.finditer(text))


def expand(text: str, saved: Mapping[str, str]) -> str:
    """Return a filter with the saved filter of each name instead of ``saved:NAME``.

    Raises:
        QueryError: There is no filter of a name, or it is excluded with a minus.
    """

    def filter_of(term: re.Match[str]) -> str:
        if not _is_saved(term):
            return term[0]
        name = term["value"].replace('"', "")
        if term["not"]:
            raise QueryError("A saved filter cannot be excluded with a minus.", "Exclude its fields, one by one.")
        if name not in saved:
            near = get_close_matches(name, saved, 1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise QueryError(f"There is no saved filter '{name}'.", meant + names(saved))
        return closed(saved[name])

    return TERM.sub(filter_of, closed(text))


def names(saved: Mapping[str, str]) -> str:
    """Return a sentence that names the saved filters."""
    return f"Saved: {', '.join(saved)}." if saved else "No filter is saved yet."


def typed_name(text: str) -> str | None:
    """Return the beginning of a name that is being typed at the end of ``text``; None if it ends in something else."""
    term = _last_term(text)
    return term["value"] if term is not None and _is_saved(term) else None


def complete(text: str, saved: Mapping[str, str]) -> str | None:
    """Complete the word ``saved:`` or the name of a saved filter at the end of ``text``; None if nothing matches."""
    start = typed_name(text)
    if start is not None:
        return next((text + name[len(start) :] for name in saved if start and name.startswith(start)), None)
    term = _last_term(text)
    word = term["text"] if term is not None else None
    return text + "saved:"[len(word) :] if saved and word and len(word) > 1 and "saved:".startswith(word) else None


def _is_saved(term: re.Match[str]) -> bool:
    return term["field"] == "saved" and term["op"] in (":", "=")


def _last_term(text: str) -> re.Match[str] | None:
    """Return the term that ends where ``text`` ends."""
    return next((term for term in TERM.finditer(text) if term.end() == len(text)), None)
