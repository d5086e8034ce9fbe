"""Rules about what is asked, and its gold answer: a proof, several results, a choice; no answer, or not one number.

The word lists are in ``assets/words/wording.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from o1lab.distill.filters.numbers import read_answer
from o1lab.distill.filters.rule import quoted, rule
from o1lab.wordlists import word_list
from store.records import Problem

LONGEST = 100_000


def _pattern(key: str) -> re.Pattern[str]:
    return word_list("wording").pattern(key)


@rule("proof", version=2, order=20, about="asks for a proof, or for an argument instead of a value")
def asks_for_proof(problem: Problem) -> str | None:
    """Return why the problem needs an argument instead of a value, or None.

    With a gold answer, only a statement that asks for a proof and for no value is a proof. A mixed statement, which has
    a definite answer and asks for its proof ("find the least n, with proof", "determine whether ... and justify your
    answer", "prove that ... and find ..."), is kept: its answer is compared, its proof is not. "Prove or disprove" asks
    for no value. Asking when equality holds only accompanies a proof.

    Without a gold answer nothing can be compared, so a mixed statement is a proof too. So is one that asks for all
    solutions or whether something exists, and one that states a claim without a question or a blank to fill.
    """
    text = problem.statement[:LONGEST]
    proves = _pattern("prove").search(text)
    value = _pattern("value").search(_pattern("accompanying").sub(". ", text) if proves else text)
    if answer_of(problem) is not None:
        return f"asks for a proof: {quoted(_around(text, proves))}" if proves and not value else None
    if proves:
        return f"asks for a proof: {quoted(_around(text, proves))}"
    if everything := _pattern("everything").search(text):
        return f"has no answer, and asks what only an argument settles: {quoted(_around(text, everything))}"
    if value is None and text.strip():
        return "has no answer, and states a claim without a question"
    return None


def _around(text: str, found: re.Match[str]) -> str:
    return text[found.start() : found.end() + 40]


_LABEL = re.compile(
    r"[(（][ ]?(?P<label>[a-h]|i{1,3}|iv|v|[1-9])[ ]?[)）]"
    r"|(?:^|\n)[ \t]{0,8}(?:Part )?(?P<line>[a-h]|[A-D]|i{1,3}|iv|v|[1-9])[ ]?[.)．、:]\s"
)
_BEFORE = re.compile(r"([A-Za-z]{1,12})( ?)$")
_SERIES = ("abcdefgh", ("i", "ii", "iii", "iv", "v"), "123456789", "ABCD")


@rule(
    "several-parts",
    version=2,
    order=50,
    about="asks for several results: labelled parts, or an answer of several numbers",
)
def has_several_parts(problem: Problem) -> str | None:
    """Return why there are several results, or None: labelled parts that each ask, or an answer of several numbers."""
    text = problem.statement[:LONGEST]
    labels = _labels(text)
    for series in _SERIES:
        parts = _labelled(text, labels, series)
        asking = [label for label, part in parts if _pattern("asks").match(part) or "?" in part or "？" in part]
        if len(asking) > 1:
            return f"asks for several things, in parts {', '.join(asking)}"
    return gives_several_answers(problem)


def _labels(text: str) -> list[tuple[str, int, int]]:
    """Return possible labels of parts as (label, start, end); ``f(a)`` and ``condition (a)`` are not labels."""
    found = []
    for label in _LABEL.finditer(text):
        if label["label"] and (before := _BEFORE.search(text, max(0, label.start() - 13), label.start())):
            word, space = before.groups()
            if not space or word.lower() in word_list("wording").words("referring"):
                continue
        found.append((label["label"] or label["line"], label.start(), label.end()))
    return found


def _labelled(text: str, labels: list[tuple[str, int, int]], series: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the parts of a statement after ``(a)``, ``(b)``, ... as (label, text), in the order of the series."""
    marks: list[tuple[str, int, int]] = []
    for one in labels:
        if len(marks) < len(series) and one[0] == series[len(marks)]:
            marks.append(one)
    ends = [*(start for _, start, _ in marks[1:]), len(text)][: len(marks)]
    for (label, _, start), end in zip(marks, ends, strict=True):
        yield label, text[start:end]


_OPTION = re.compile(
    r"(?<![\w}\\)])[(（]\s*(?P<round>[A-H])\s*[)）]"
    r"|\\(?:text(?:bf|rm|it)?|math(?:rm|bf)|bold)\s*\{\s*\(?(?P<set>[A-H])\s*[.)]"
    r"|(?:^|\n|\\q?quad|[ \t][ \t]|\$)[ \t]{0,4}(?P<line>[A-H])[ ]?[.)．、:：]"
)
_LETTER_ALONE = re.compile(r"[\s$(]*(?:\\(?:text(?:bf|rm|it)?|math(?:rm|bf))\s*\{)?[\s(]*[A-H][\s)}$.]*")
_LETTERS = "ABCDEFGH"
_FEWEST_OPTIONS = 3
_FARTHEST = 600


@rule("multiple-choice", version=1, order=60, about="offers options to choose from")
def is_multiple_choice(problem: Problem) -> str | None:
    """Return why the problem is multiple choice, or None."""
    text = problem.statement[:LONGEST]
    for style in ("round", "set", "line"):
        reached, last = 0, 0
        for found in _OPTION.finditer(text):
            letter = found[style]
            if letter == "A" and reached < _FEWEST_OPTIONS:
                reached, last = 1, found.end()
            elif reached and letter == _LETTERS[reached : reached + 1] and found.start() - last < _FARTHEST:
                reached, last = reached + 1, found.end()
        if reached >= _FEWEST_OPTIONS:
            return f"gives options A to {_LETTERS[reached - 1]} to choose from"
    answer = answer_of(problem)
    if answer and len(answer) < 40 and _LETTER_ALONE.fullmatch(answer) and (which := _pattern("which").search(text)):
        return f"asks {quoted(which[0])} and the answer is a letter"
    return None


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


@rule("no-answer", version=2, order=30, about="has no labelled answer to check a chain against")
def has_no_answer(problem: Problem) -> str | None:
    """Return the reason if there is no gold answer, else None."""
    return "has no labelled answer" if answer_of(problem) is None else None


@rule(
    "not-numerical",
    version=3,
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
