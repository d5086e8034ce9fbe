"""The filter language of the problem pool: ``source:math500 has:answer -excluded:image "triangle"``.

Fields: ``source``, ``licence`` and ``key`` (a part of them), ``id`` (a beginning), ``excluded`` (``yes``, ``no``,
``person`` or the name of a rule), ``has`` (``answer``, ``solution``, ``trace``); all else is words of the statement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches

from store.errors import QueryError

FIELDS = ("source", "licence", "key", "id", "excluded", "has")
HAS = {
    "answer": "p.answer IS NOT NULL",
    "solution": "p.solution IS NOT NULL",
    "trace": "p.id IN (SELECT problem_id FROM traces)",
}
_TERM = re.compile(r'(?P<not>-)?(?P<field>[a-z]+):(?P<value>"[^"]*"|\S+)|(?P<text>"[^"]*"?|\S+)')


@dataclass(frozen=True, slots=True)
class ProblemQuery:
    """Which problems: (field, value, negated) conditions and words, all of which must hold."""

    conditions: tuple[tuple[str, str, bool], ...] = ()
    words: tuple[str, ...] = ()
    source: str = field(default="", compare=False)


def parse_problem_query(text: str) -> ProblemQuery:
    """Read a filter.

    Raises:
        QueryError: an unknown field or value, with the ones there are.
    """
    conditions, words = [], []
    for term in _TERM.finditer(text):
        if term["text"] is not None:
            words.append(term["text"].strip('"'))
            continue
        name, value = term["field"].replace("license", "licence"), term["value"].strip('"')
        if name not in FIELDS:
            near = get_close_matches(name, FIELDS, 1)
            hint = f"Did you mean {near[0]}:?" if near else f"There are {', '.join(FIELDS)}."
            raise QueryError(f"There is no field '{name}'.", hint)
        if name == "has" and value not in HAS:
            raise QueryError(f"'has' cannot be '{value}'.", f"It is one of {', '.join(HAS)}.")
        conditions.append((name, value, bool(term["not"])))
    return ProblemQuery(tuple(conditions), tuple(word for word in words if word), text)


def where(query: ProblemQuery) -> tuple[str, list[str]]:
    """The SQL condition over ``problems p`` and its parameters."""
    clauses: list[str] = []
    parameters: list[str] = []
    for name, value, negated in query.conditions:
        clause, values = _clause(name, value)
        clauses.append(f"NOT coalesce({clause}, 0)" if negated else clause)
        parameters += values
    for word in query.words:
        clauses.append("instr(lower(p.statement), lower(?)) > 0")
        parameters.append(word)
    return " AND ".join(clauses) or "1", parameters


def _clause(name: str, value: str) -> tuple[str, list[str]]:
    if name == "has":
        return HAS[value], []
    if name == "excluded":
        if value in ("yes", "no"):
            return f"p.excluded_by IS {'NOT ' if value == 'yes' else ''}NULL", []
        if value == "person":
            return "p.excluded_by = 'person'", []
        return "p.id IN (SELECT problem_id FROM exclusions WHERE rule = ?)", [value]
    if name == "id":
        return "p.id GLOB ?", [re.sub(r"[*?\[]", "", value) + "*"]
    like = "%" + re.sub(r"([%_\\])", r"\\\1", value) + "%"
    return f"p.id IN (SELECT problem_id FROM problem_sources WHERE {name} LIKE ? ESCAPE '\\')", [like]
