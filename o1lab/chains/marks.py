"""Think marks: the table of marks that models put around a thought. Every part that looks for marks uses this table.

Marks are compared in any case. A lab adds its own in ``[[marks]]`` of o1lab.toml, and :func:`use_marks_of` puts them in
use for this process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from o1lab.paths import Lab

_NAMED = re.compile(rb"^[ \t]*(?:\[\[?[ \t]*)?\"?marks\b", re.MULTILINE)
"""Marks in o1lab.toml, not commented out."""
PLAIN = "plain"
"""The format of a response without marks."""
UNMARKED = "unmarked"
"""The format of a thought without marks, perhaps with its conclusion."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one format. Each field holds alternatives; the longest that matches counts.

    Attributes:
        name: name of the format.
        opens: marks before the thought.
        closes: marks after the thought.
        solution_opens: marks before the solution, if the format has them.
        solution_closes: marks after the solution, if the format has them.
    """

    name: str
    opens: tuple[str, ...]
    closes: tuple[str, ...]
    solution_opens: tuple[str, ...] = ()
    solution_closes: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[str, ...]:
        return (*self.opens, *self.closes, *self.solution_opens, *self.solution_closes)


_BUILT_IN = (
    Marks("r1", ("<think>",), ("</think>",)),
    Marks(
        "sky-t1",
        ("<|begin_of_thought|>",),
        ("<|end_of_thought|>",),
        ("<|begin_of_solution|>",),
        ("<|end_of_solution|>",),
    ),
    Marks("marco-o1", ("<thought>",), ("</thought>",), ("<output>",), ("</output>",)),
    Marks("thinking", ("<thinking>",), ("</thinking>",)),
    Marks("reasoning", ("<reasoning>",), ("</reasoning>",)),
    Marks("magistral", ("[think]",), ("[/think]",)),
    Marks("kimi", ("◁think▷",), ("◁/think▷",)),
    Marks("seed", ("<seed:think>",), ("</seed:think>",)),
    Marks(
        "command-a",
        ("<|start_thinking|>",),
        ("<|end_thinking|>",),
        ("<|start_response|>",),
        ("<|end_response|>",),
    ),
    # The thought lasts until the final channel: a response may have several messages of analysis. The mark before the
    # solution closes the thought, so that the solution has no opening mark here.
    Marks(
        "gpt-oss",
        ("<|start|>assistant<|channel|>analysis<|message|>", "<|channel|>analysis<|message|>"),
        (
            "<|end|><|start|>assistant<|channel|>final<|message|>",
            "<|start|>assistant<|channel|>final<|message|>",
            "<|channel|>final<|message|>",
        ),
        (),
        ("<|return|>", "<|end|>"),
    ),
)


_in_use: tuple[Marks, ...] = _BUILT_IN


def table() -> tuple[Marks, ...]:
    """Return the marks of all formats, those of the lab first."""
    return _in_use


def use(own: Iterable[Marks]) -> None:
    """Put the marks of a lab in use, in addition to the built-in ones."""
    global _in_use  # noqa: PLW0603 - a process works in one lab, and parsing needs no lab otherwise
    _in_use = (*own, *_BUILT_IN)
    pattern.cache_clear()
    at_start.cache_clear()


def use_marks_of(lab: Lab) -> None:
    """Put the marks in the o1lab.toml of ``lab`` in use.

    Raises:
        LabError: o1lab.toml has marks and is not valid.
    """
    use(())
    try:
        named = _NAMED.search(lab.config.read_bytes())
    except OSError:
        named = None
    if not named:  # reading the configuration imports pydantic, which the first paint does not need
        return
    from o1lab.config import load_config

    use(_own(one.name, one.thought, one.solution) for one in load_config(lab).marks)


def _own(name: str, thought: Sequence[str], solution: Sequence[str]) -> Marks:
    opened, closed, solved, ended = ((folded(mark),) for mark in (*thought, *(solution or ("", ""))))
    return Marks(name, opened, closed, solved if solution else (), ended if solution else ())


def folded(text: str) -> str:
    """Return ``text`` in lower case with the same offsets: only İ would become two characters."""
    return text.replace("İ", "I").lower()


def first_of(folded_text: str, marks: tuple[str, ...], start: int = 0) -> tuple[int, int] | None:
    """Return [start, end) of the first of ``marks`` in a folded text from ``start`` on, the longest if several begin
    there; None without one."""
    found = [(at, -len(mark)) for mark in marks if (at := folded_text.find(mark, start)) >= 0]
    at, length = min(found) if found else (-1, 0)
    return (at, at - length) if found else None


@lru_cache(maxsize=1)
def pattern() -> re.Pattern[str]:
    """Return a pattern that matches any mark."""
    every = {mark for one in table() for mark in one.every}
    return re.compile("|".join(map(re.escape, sorted(every, key=len, reverse=True))), re.IGNORECASE)


@lru_cache(maxsize=1)
def at_start() -> re.Pattern[str]:
    """Return a pattern of white space and an opening mark; its ``lastindex`` is the format in the table, from 1."""
    opens = ("|".join(map(re.escape, sorted(one.opens, key=len, reverse=True))) for one in table())
    return re.compile(r"\s*(?:" + "|".join(f"({mark})" for mark in opens) + ")", re.IGNORECASE)
