"""A tree searcher for the solver's family: the sum of two 3-digit numbers by columns.

It guesses for each column whether it carries 1 into the next, and checks the whole sum by subtraction at the end, so
most branches are wrong. A leaf has the value of a quick estimate: how near its sum is to the sum of both numbers when
they are rounded to hundreds. Inner nodes have the mean of their leaves. The estimate may prefer a wrong branch.
"""

from __future__ import annotations

from typing import Any

from o1lab.serve.solver import PLACES, columns_of, joined, read_question

_GUESSES = ("0", "1")


def search_tree(question: str) -> list[dict[str, Any]] | None:
    """Search for the answer to a question.

    Returns:
        The nodes of the search, as :func:`~o1lab.chains.trees.tree.read_tree` reads them; None if the question is not
        the sum of two 3-digit numbers.
    """
    operands = read_question(question)
    return None if operands is None else _Search(*operands).nodes()


class _Search:
    """The search for one sum; nodes have ids such as ``r10``: the carries that were guessed."""

    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b
        self.columns = columns_of(a, b)
        self.estimate = round(a, -2) + round(b, -2)

    def nodes(self) -> list[dict[str, Any]]:
        root = f"We want {self.a} + {self.b}. We add column by column and guess each carry."
        found: list[dict[str, Any]] = [{"id": "r", "parent": None, "value": None, "text": root, "correct": None}]
        for first in _GUESSES:
            for second in _GUESSES:
                found += self._branch(first, second, found)
        values = {node["id"]: node["value"] for node in found if node["value"] is not None}
        for node in found:
            if node["value"] is None:
                below = [value for name, value in values.items() if name.startswith(node["id"])]
                node["value"] = round(sum(below) / len(below), 3)
        return found

    def _branch(self, first: str, second: str, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the nodes of one pair of guesses that are not known yet."""
        tens, hundreds = f"r{first}", f"r{first}{second}"
        made = [] if any(node["id"] == tens for node in known) else [self._step(tens, "r", 0, 0, int(first))]
        made.append(self._step(hundreds, tens, 1, int(first), int(second)))
        total = self._total(int(first), int(second))
        found = total - self.b
        right = found == self.a
        check = f"{total} - {self.b} = {found}" + ("" if right else f", not {self.a}")
        text = f"{self._column(2, int(second))}. So {total}. Check {'holds' if right else 'fails'}: {check}."
        value = round(1 - abs(total - self.estimate) / self.estimate, 3)
        last = {"id": f"{hundreds}c", "parent": hundreds, "value": value, "text": text, "correct": right}
        answer = {"id": f"{hundreds}a", "parent": f"{hundreds}c", "value": value, "text": rf"\boxed{{{total}}}"}
        return [*made, last, answer | {"correct": True}] if right else [*made, last]

    def _step(self, name: str, parent: str, place: int, carry: int, guess: int) -> dict[str, Any]:
        total = sum(self.columns[place]) + carry
        text = f"{self._column(place, carry)}, write {total % 10}, carry {guess}."
        return {"id": name, "parent": parent, "value": None, "text": text, "correct": None}

    def _column(self, place: int, carry: int) -> str:
        x, y = self.columns[place]
        return f"{PLACES[place]}: {x} + {y} = {x + y}" + (f", plus 1 = {x + y + 1}" if carry else "")

    def _total(self, first: int, second: int) -> int:
        ones, tens, hundreds = (x + y for x, y in self.columns)
        return joined([ones, tens + first, hundreds + second])
