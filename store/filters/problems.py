"""The filter of the problem pool: ``source:math500 has:answer -excluded:image "triangle"``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from store.filters.clauses import begins, cases, like, substrings
from store.filters.language import Clause, Field, Language, Query

_STATEMENT = "instr(lower(p.statement), lower(?)) > 0"


def _in_a_source(column: str) -> Clause:
    return cases(f"p.id IN (SELECT problem_id FROM problem_sources WHERE {column} LIKE ? ESCAPE '\\')", bound=like)


_EXCLUDED = {"yes": "p.excluded_by IS NOT NULL", "no": "p.excluded_by IS NULL", "person": "p.excluded_by = 'person'"}
_HAS = {
    "answer": "p.answer IS NOT NULL",
    "solution": "p.solution IS NOT NULL",
    "trace": "p.id IN (SELECT problem_id FROM traces)",
    "tree": "p.id IN (SELECT problem_id FROM trees)",
}
PROBLEMS = Language(
    fields=(
        Field("source", _in_a_source("source"), "part of the name of a source"),
        Field(
            "excluded", cases("p.id IN (SELECT problem_id FROM exclusions WHERE rule = ?)", _EXCLUDED),
            "yes, no, person, or the name of a rule", suggested=tuple(_EXCLUDED),
        ),
        Field("has", cases("", _HAS), values=tuple(_HAS)),
        Field("licence", _in_a_source("licence"), "part of the licence", aliases=("license",)),
        Field("key", _in_a_source("key"), "part of the problem's name in its source"),
        Field("id", begins("p.id"), "the beginning of the problem's id"),
        Field("statement", cases(_STATEMENT), "part of the statement"),
    ),
    search=lambda text: substrings(text, _STATEMENT),
    searched="of the statement",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProblemQuery(Query):
    """A filter of problems, which are listed in the order in which they were added."""

    NAME: ClassVar[str] = "problems"
    LANGUAGE: ClassVar[Language] = PROBLEMS
