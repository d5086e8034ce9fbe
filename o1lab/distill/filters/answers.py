"""Rules about the gold answer: it is missing, or is not one real number."""

from __future__ import annotations

import re

from o1lab.distill.filters.numbers import read_answer
from o1lab.distill.filters.rule import quoted, rule
from store.records import Problem

_BLANK = frozenset(
    {"", "-", "?", "n/a", "null", "nan", "none", "unknown", "proof", "not found", "notfound", "see solution"}
    | {"略", "证明略", "见解析", "证明见解析"}
)
# ``k=1`` is the number 1 if the statement asks for k.
_NAMED = re.compile(r"\s*\$?\s*(?P<name>[A-Za-z](?:_\{?\w{1,10}\}?)?)\s*=(?P<value>[^=]+)", re.DOTALL)
_ASKED = (
    r"\b(?:find|determine|compute|calculate|evaluate|solve|what|which|how|smallest|largest|least|greatest|minimum|"
    r"maximum|values?|求|为多少)\b[^.?!\n]{{0,200}}(?<![A-Za-z\\]){name}(?![A-Za-z_])"
)
LONGEST = 100_000


@rule("no-answer", version=2, order=30, about="has no labelled answer to check a chain against")
def has_no_answer(problem: Problem) -> str | None:
    """Return the reason if there is no gold answer, else None."""
    return "has no labelled answer" if answer_of(problem) is None else None


@rule(
    "not-numerical",
    version=2,
    order=40,
    about="the answer is not one real number exactly written (with or without a unit): a tuple, interval, set, "
    "equation, expression with variables, words or an option letter (several numbers are several-parts)",
)
def is_not_numerical(problem: Problem) -> str | None:
    """Return why the gold answer is not a real number, or None.

    A missing answer is a finding of ``no-answer``, several numbers are one of ``several-parts``.
    """
    answer = answer_of(problem)
    if answer is None:
        return None
    reading = read_answer(answer)
    if reading.kind != "other":
        return None
    if (named := value_asked_for(problem.statement, answer)) and read_answer(named).kind == "number":
        return None
    return f"the answer {reading.why}"


def gives_several_answers(problem: Problem) -> str | None:
    """Return the reason if the gold answer is a list of numbers, else None."""
    answer = answer_of(problem)
    if answer is None or read_answer(answer).kind != "several":
        return None
    return f"the answer is several numbers: {quoted(answer)}"


def value_asked_for(statement: str, answer: str) -> str | None:
    """Return the value of an answer ``name = value`` if the statement asks for that name, else None."""
    named = _NAMED.fullmatch(answer[:LONGEST])
    if named is None:
        return None
    asked = re.compile(_ASKED.format(name=re.escape(named["name"])), re.IGNORECASE)
    return named["value"].strip().removesuffix("$") if asked.search(statement[:LONGEST]) else None


def answer_of(problem: Problem) -> str | None:
    """Return the gold answer, or None if it is missing or a placeholder, such as the "proof" of NuminaMath."""
    answer = problem.answer
    return None if answer is None or answer.strip().rstrip(".。").lower() in _BLANK else answer
