"""Rules that look at the gold answer: there is none, or it is not one real number."""

from __future__ import annotations

import re

from o1lab.distill.filters.numbers import read_answer
from o1lab.distill.filters.rule import quoted, rule
from store.records import Problem

_BLANK = {"", "-", "?", "n/a", "null", "nan", "unknown"}
# ``k=1``, where the statement asks for k, gives the number under its name.
_NAMED = re.compile(r"\s*\$?\s*(?P<name>[A-Za-z](?:_\{?\w{1,10}\}?)?)\s*=(?P<value>[^=]+)", re.DOTALL)
_ASKED = (
    r"\b(?:find|determine|compute|calculate|evaluate|solve|what|which|how|smallest|largest|least|greatest|minimum|"
    r"maximum|values?|求|为多少)\b[^.?!\n]{{0,200}}(?<![A-Za-z\\]){name}(?![A-Za-z_])"
)
LONGEST = 100_000


@rule("no-answer", version=1, order=30, about="has no labelled answer to check a chain against")
def has_no_answer(problem: Problem) -> str | None:
    """That there is no gold answer, or None."""
    return "has no labelled answer" if answer_of(problem) is None else None


@rule(
    "not-numerical",
    version=1,
    order=40,
    about="the answer is not one real number exactly written (with or without a unit): a tuple, interval, set, "
    "equation, expression with variables, words or an option letter (several numbers are several-parts)",
)
def is_not_numerical(problem: Problem) -> str | None:
    """Why the gold answer is no real number, or None; a problem without an answer is another rule's.

    Several numbers are each numerical: that they are several is said by ``several-parts``.
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
    """That the gold answer is a list of numbers, or None."""
    answer = answer_of(problem)
    if answer is None or read_answer(answer).kind != "several":
        return None
    return f"the answer is several numbers: {quoted(answer)}"


def value_asked_for(statement: str, answer: str) -> str | None:
    """What an answer ``name = value`` gives, if the statement asks for that name."""
    named = _NAMED.fullmatch(answer[:LONGEST])
    if named is None:
        return None
    asked = re.compile(_ASKED.format(name=re.escape(named["name"])), re.IGNORECASE)
    return named["value"].strip().removesuffix("$") if asked.search(statement[:LONGEST]) else None


def answer_of(problem: Problem) -> str | None:
    """The gold answer, or None where there is none or a word that stands for none."""
    answer = problem.answer
    return None if answer is None or answer.strip().lower() in _BLANK else answer
