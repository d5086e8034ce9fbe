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


def resume(prompt: str, written: str) -> str:
    """Return the solver's continuation of a response.

    It keeps the columns that are right, from the ones on, writes the rest of the addition and checks the sum. After a
    thought that is closed, it gives the answer that this thought has found: the sum once all columns are right, before
    that the last sum that is written, or the digits of the columns that are right.

    Args:
        prompt: the question.
        written: the beginning of the response, in the student's format; it may be cut off anywhere.

    Returns:
        The text after ``written``, with the mark that closes the thought; a sentence if the question is out of scope.
    """
    operands = read_question(prompt)
    if operands is None:
        return OUTSIDE
    a, b = operands
    columns = columns_of(a, b)
    thought, closed, begun = written.partition("</think>")
    if closed:
        answer = f"{_answer_of(columns, thought)}}}"
        if begun.endswith(r"\boxed{"):
            return answer
        return ("" if written.endswith("\n") else "\n\n") + rf"\boxed{{{answer}"
    sums, is_wrong = _right_columns(columns, written)
    lines: list[str] = []
    if is_wrong:
        lines.append(f"Wait, the {PLACES[len(sums)].lower()} are wrong.")
    elif written.strip() and written.rstrip(" ")[-1] not in ".\n>":
        lines.append("Wait, once more.")
    if len(sums) < len(columns):
        carry = sums[-1] // 10 if sums else 0
        sums += _add(columns, len(sums), carry, lines, skip=False)
    total = joined(sums)
    lines.append(f"So {total}. Check holds: {total} - {b} = {total - b}.")
    opened = "" if "<think>" in written else "<think>\n"
    space = "\n" if written.strip() and not written.endswith("\n") else ""
    return f"{opened}{space}" + "\n".join(lines) + f"\n</think>\n\n\\boxed{{{total}}}"


_STATED = re.compile(r"^So (\d+)\.", re.MULTILINE)
_COLUMN = re.compile(r"(Ones|Tens|Hundreds): (\d) \+ (\d) = (\d+)(?:, plus 1 = (\d+))?(?=[,.\n])")


def _answer_of(columns: list[tuple[int, int]], thought: str) -> str:
    """Return the sum that a thought has found so far; a question mark if it has no column yet."""
    sums, _ = _right_columns(columns, thought + "\n")
    if len(sums) == len(columns):
        return str(joined(sums))
    stated = _STATED.findall(thought)
    return stated[-1] if stated else "".join(str(one % 10) for one in reversed(sums)) or "?"


def _right_columns(columns: list[tuple[int, int]], written: str) -> tuple[list[int], bool]:
    """Return the sums of the columns that are right, from the ones on, and whether the next one is written wrongly."""
    sums: list[int] = []
    is_wrong = False
    for found in _COLUMN.finditer(written):
        place = PLACES.index(found[1])
        if place > len(sums):
            is_wrong = True  # a column before it is missing or wrong
            continue
        carry = sums[place - 1] // 10 if place else 0
        is_right = (int(found[2]), int(found[3])) in (columns[place], columns[place][::-1])
        if is_right and int(found[5] or found[4]) == sum(columns[place]) + carry:
            sums[place:] = [sum(columns[place]) + carry]
            is_wrong = False
        else:
            sums[place:], is_wrong = [], True
    return sums, is_wrong and len(sums) < len(columns)


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
    columns = columns_of(a, b)
    lines: list[str] = []
    cheap = sum(columns[0]) < 10
    sums = _add(columns, 0, 0, lines, skip=cheap)
    while True:
        total = joined(sums)
        found = total - b
        if found == a:
            lines.append(f"So {total}. Check holds: {total} - {b} = {found}.")
            return "\n".join(lines), total
        # A carry was skipped: find the lowest column that has one; all columns above it change.
        skipped = next(place for place, column in enumerate(sums) if column > 9)
        lines.append(f"So {total}. Check fails: {total} - {b} = {found}, not {a}.")
        lines.append(f"Wait, the {PLACES[skipped].lower()} carry 1.")
        sums[skipped + 1 :] = _add(columns, skipped + 1, 1, lines, skip=False)


def columns_of(a: int, b: int) -> list[tuple[int, int]]:
    """Return the digits of two numbers of three digits by place: ones, tens, hundreds."""
    return [(a // 10**place % 10, b // 10**place % 10) for place in range(len(PLACES))]


def joined(sums: list[int]) -> int:
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
