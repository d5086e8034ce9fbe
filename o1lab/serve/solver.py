"""The teacher of the demo: a solver that adds two 3-digit numbers by columns and writes down its search.

It is not a language model. If the ones do not carry, its first attempt is a cheap one that skips all carries. It checks
every attempt by subtraction; if the check fails, it finds the column with the dropped carry, continues from there with
carries, and checks again. The chain records the search in order. The solver is deterministic.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

ABOUT = "I am a solver, not a language model."
FAMILY = "the sum of two numbers of three digits each"
EXAMPLE = "What is 964 + 494?"
OUTSIDE = f"{ABOUT} I know one family of questions only: {FAMILY}, for example: {EXAMPLE}"

_LONGEST = 1000  # characters; longer questions are out of scope
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SIGN = re.compile(r"\s*(?:\+|plus|added to)\s*", re.IGNORECASE)
_JOINED = re.compile(r"\s*(?:and|with|to|,)\s*", re.IGNORECASE)
_ADDING = re.compile(r"\b(?:add|adding|sum|total|together|addition)\b", re.IGNORECASE)
# Anything that makes it a different question.
_OTHER = re.compile(
    r"[-−–*×·/÷^%√!<>]\s*\d|\d\s*[-−–*×·/÷^%!<>]"
    r"|\b(?:minus|times|subtract\w*|multipl\w*|divid\w*|difference|product|quotient|not|without)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SolverReply:
    """The reply of the solver: its search and its answer. Questions out of scope have no thought."""

    thought: str
    answer: str

    @property
    def text(self) -> str:
        """The complete reply in the student's format."""
        return f"<think>\n{self.thought}\n</think>\n\n{self.answer}" if self.thought else self.answer


def respond(prompt: str) -> SolverReply:
    """Return the solver's reply to a question; it is deterministic."""
    operands = read_question(prompt)
    if operands is None:
        return SolverReply("", OUTSIDE)
    thought, total = search(*operands)
    return SolverReply(thought, rf"\boxed{{{total}}}")


def read_question(prompt: str) -> tuple[int, int] | None:
    """Return the two numbers to add, or None if ``prompt`` asks for anything but the sum of two 3-digit numbers."""
    if len(prompt) > _LONGEST:
        return None
    text = unicodedata.normalize("NFKC", prompt).replace("**", "")  # bold in Markdown
    if _OTHER.search(text):
        return None
    numbers = list(_NUMBER.finditer(text))
    if len(numbers) != 2 or not all(re.fullmatch(r"[1-9][0-9]{2}", number.group()) for number in numbers):
        return None
    first, second = numbers
    if text[first.start() - 1 : first.start()].isalnum() or text[second.end() : second.end() + 1].isalnum():
        return None  # part of a word: x123, 123rd
    between = text[first.end() : second.start()]
    if not _SIGN.fullmatch(between) and not (_JOINED.fullmatch(between) and _ADDING.search(text)):
        return None
    return int(first.group()), int(second.group())


# --- the search ------------------------------------------------------------------------------------

PLACES = ("Ones", "Tens", "Hundreds")


def search(a: int, b: int) -> tuple[str, int]:
    """Search for ``a + b`` (100 to 999 each) and return the chain, and the sum that passed the check."""
    columns = list(zip(_digits(a), _digits(b), strict=True))
    lines: list[str] = []
    cheap = sum(columns[0]) < 10
    sums = _add(columns, 0, 0, lines, skip=cheap)
    while True:
        total = _joined(sums)
        found = total - b
        if found == a:
            lines.append(f"So {total}. Check holds: {total} - {b} = {found}.")
            return "\n".join(lines), total
        # A carry was skipped: find the lowest column that has one; all columns above it change.
        skipped = next(place for place, column in enumerate(sums) if column > 9)
        lines.append(f"So {total}. Check fails: {total} - {b} = {found}, not {a}.")
        lines.append(f"Wait, the {PLACES[skipped].lower()} carry 1.")
        sums[skipped + 1 :] = _add(columns, skipped + 1, 1, lines, skip=False)


def _digits(number: int) -> list[int]:
    """Ones, tens, hundreds."""
    return [number % 10, number // 10 % 10, number // 100]


def _joined(sums: list[int]) -> int:
    """Return the number of the column sums: the last digit of each, and all digits of the highest."""
    total = sums[-1]
    for column in reversed(sums[:-1]):
        total = 10 * total + column % 10
    return total


def _add(columns: list[tuple[int, int]], start: int, carry: int, lines: list[str], *, skip: bool) -> list[int]:
    """Add the columns from place ``start`` on, writing a line for each; with ``skip``, carries are dropped."""
    sums = []
    for place, (x, y) in list(enumerate(columns))[start:]:
        total = x + y + carry
        line = f"{PLACES[place]}: {x} + {y} = {x + y}" + (f", plus 1 = {total}" if carry else "")
        if total > 9 and place < len(columns) - 1:
            line += f", write {total % 10}, {'drop' if skip else 'carry'} 1"
        line += ". No carry, so skip carries." if skip and place == 0 else "."
        lines.append(line)
        sums.append(total)
        carry = 0 if skip else total // 10
    return sums
