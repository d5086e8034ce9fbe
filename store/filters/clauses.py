"""The SQL of fields: what makes a condition from the values of a filter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from store.filters.language import Clause, Sql

_WORD = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')


def cases(otherwise: str, fixed: Mapping[str, str] = MappingProxyType({}), bound: Callable[[str], str] = str) -> Clause:
    """Make the SQL of a field with ``fixed`` values; others use ``otherwise`` with ``bound(value)`` as parameter."""

    def clause(_: str, values: Sequence[str]) -> Sql:
        parts = [fixed.get(value, otherwise) for value in values]
        parameters: list[str | float] = [bound(value) for value in values if value not in fixed]
        return (f"({' OR '.join(parts)})" if len(parts) > 1 else parts[0]), parameters

    return clause


def contains(column: str) -> Clause:
    """Make the SQL for a column that contains the value; case does not matter."""
    return cases(f"{column} LIKE ? ESCAPE '\\'", bound=like)


def begins(column: str) -> Clause:
    """Make the SQL for a column that begins with the value."""
    return cases(f"{column} GLOB ?", bound=prefix)


def number(column: str) -> Clause:
    """Make the SQL that compares a column with a number."""

    def clause(op: str, values: Sequence[str]) -> Sql:
        one, numbers = f"{column} {op} ?", [float(value) for value in values]
        return (f"({' OR '.join([one] * len(values))})" if len(values) > 1 else one), [*numbers]

    return clause


def like(value: str) -> str:
    """Return the LIKE pattern of texts that contain ``value``."""
    return "%" + re.sub(r"([%_\\])", r"\\\1", value) + "%"


def prefix(value: str) -> str:
    """Return the GLOB pattern of texts that begin with ``value``."""
    return re.sub(r"[*?\[]", "", value) + "*"


def substrings(text: str, sql: str, parameters: int = 1) -> list[Sql]:
    """Make the conditions of a search without an index: ``sql`` per word or phrase, negated for ``-word``."""
    found: list[Sql] = []
    for minus, phrase, bare in _WORD.findall(text):
        if word := phrase or bare.strip('"'):
            values: list[str | float] = [word] * parameters
            found.append((f"NOT coalesce({sql}, 0)" if minus else sql, values))
    return found
