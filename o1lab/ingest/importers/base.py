"""What an importer is: a function that recognises a row by its keys and returns its problem and responses.

It is registered with :func:`importer`. Other packages add importers through the entry point group
``o1lab.importers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from o1lab.registry import DEFAULT_ORDER, Registry

STATEMENT = ("problem", "question", "Problem", "Question", "statement", "prompt", "query")
GOLD = ("gold_answer", "gold", "ground_truth", "expected_answer", "final_answer", "answer", "Answer")
REFERENCE = ("reference_solution", "solution", "Solution", "ground_truth_solution")
REASONING = ("reasoning_content", "reasoning", "thinking", "deepseek_reasoning")


class RowError(ValueError):
    """Why a row cannot be taken, in a few words."""


@dataclass(frozen=True, slots=True)
class TraceText:
    """One response of a row.

    Attributes:
        raw: its text, thought marks included.
        model: the model that wrote it, where the format implies one.
        synthesis: how it was made, where the format implies it.
        turns: how many answers the conversation has; the first is taken.
    """

    raw: str
    model: str | None = None
    synthesis: str | None = None
    turns: int = 1


@dataclass(frozen=True, slots=True)
class Found:
    """What an importer found in a row.

    Attributes:
        statement: the problem.
        responses: the responses to it; none for a problem alone.
        used: the keys that belong to the response, and so hold no gold answer or reference solution.
    """

    statement: str
    responses: Sequence[TraceText] = ()
    used: Sequence[str] = ()


Recognise = Callable[[Mapping[str, Any]], Found | None]


class Importer(NamedTuple):
    """A registered importer; ``own_name`` means its name describes a file better than the thought marks in it."""

    name: str
    recognise: Recognise
    own_name: bool


IMPORTERS: Registry[Importer] = Registry("importer", "o1lab.importers", "o1lab.ingest.importers")


def importer(name: str, *, order: int = DEFAULT_ORDER, own_name: bool = True) -> Callable[[Recognise], Recognise]:
    """Register a function that recognises rows of one format.

    The function takes a row and returns None if the row has another format, or raises :class:`RowError` if it has
    this format but cannot be used.

    Args:
        name: what import reports call the format.
        order: importers are tried from the lowest to the highest, and the first that recognises a row wins. Built-in
            ones take 10 to 70, from the most specific keys to the most general.
        own_name: False if reports should put the format of the thought marks first, as in ``r1 (alpaca)``.
    """

    def decorate(recognise: Recognise) -> Recognise:
        IMPORTERS.add(name, Importer(name, recognise, own_name), module=recognise.__module__, order=order)
        return recognise

    return decorate


def words(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the first value under these keys that is a non-empty string."""
    return next((text for name in names if (text := string(row.get(name))) is not None), None)


def string(value: Any) -> str | None:
    """Return ``value`` if it is a non-empty string. Some data sets write None as "None"; it counts as empty."""
    return value if isinstance(value, str) and value.strip() and value != "None" else None


def first(value: Any) -> str | None:
    """Return the first non-empty string of a list, or of a single value."""
    values = value if isinstance(value, list) else [value]
    return next((text for one in values if (text := string(one)) is not None), None)
