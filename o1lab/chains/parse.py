"""Where the thought ends and the solution begins: the think formats of long-thought responses.

Offsets are code points into the raw text, which is never changed. The formats:

==========  ==================================================================================
sky-t1      ``<|begin_of_thought|> … <|end_of_thought|> <|begin_of_solution|> … <|end_of_solution|>``
r1          ``<think> … </think> …``; the opening mark may be missing, because templates put it in the prompt
marco-o1    ``<Thought> … </Thought> <Output> … </Output>``
plain       no marks: all of it is the solution
==========  ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Span = tuple[int, int]


class ThinkFormat(StrEnum):
    """How a response marks its thought."""

    SKY_T1 = "sky-t1"
    R1 = "r1"
    MARCO_O1 = "marco-o1"
    PLAIN = "plain"


@dataclass(frozen=True)
class _Marks:
    thought_open: str
    thought_close: str
    solution_open: str = ""
    solution_close: str = ""


_MARKS = {
    ThinkFormat.SKY_T1: _Marks(
        "<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>"
    ),
    ThinkFormat.R1: _Marks("<think>", "</think>"),
    ThinkFormat.MARCO_O1: _Marks("<Thought>", "</Thought>", "<Output>", "</Output>"),
}


@dataclass(frozen=True)
class ParsedResponse:
    """A response taken apart.

    Attributes:
        format: the marks it was written with.
        thought: [start, end) in code points of the raw text, whitespace at both ends left out; None without one.
        solution: the same for what follows the thought; None when the thought never closed or nothing follows.
        complete: the thought closed, a solution follows, and the solution's own closing mark is there where the
            format has one and it was opened. A plain response is complete when it is not empty: without marks
            nothing tells whether it was cut off.
    """

    format: ThinkFormat
    thought: Span | None
    solution: Span | None
    complete: bool

    def thought_of(self, raw: str) -> str:
        """The thought's text, empty without one."""
        return raw[slice(*self.thought)] if self.thought else ""

    def solution_of(self, raw: str) -> str:
        """The solution's text, empty without one."""
        return raw[slice(*self.solution)] if self.solution else ""


def parse(raw: str) -> ParsedResponse:
    """Tell thought from solution in ``raw``. Never fails; linear in its length.

    With several thoughts the first counts and the rest belongs to the solution, as servers do it.
    """
    found = [(at, name) for name in _MARKS if (at := _first_mark(raw, _MARKS[name])) is not None]
    if not found:
        whole = _trim(raw, 0, len(raw))
        return ParsedResponse(ThinkFormat.PLAIN, None, whole, complete=whole is not None)
    name = min(found)[1]
    return _parse_marked(raw, name, _MARKS[name])


def join(thought: str | None, answer: str) -> str:
    """One raw text of a response that came in two fields (``reasoning_content`` and ``content``, say).

    It is the student's own format, ``<think>`` and then the answer, and both fields stand in it unchanged.
    """
    return f"<think>\n{thought}\n</think>\n\n{answer}" if thought else answer


def _first_mark(raw: str, marks: _Marks) -> int | None:
    """Where this format begins, or None if ``raw`` is not of it.

    An opening mark without a closing one counts only at the very start: elsewhere it is talk about the mark.
    """
    opening = raw.find(marks.thought_open)
    closing = raw.find(marks.thought_close)
    if opening >= 0 and (closing > opening or not raw[:opening].strip()):
        return opening
    return 0 if closing >= 0 else None


def _parse_marked(raw: str, name: ThinkFormat, marks: _Marks) -> ParsedResponse:
    closing = raw.find(marks.thought_close)
    opening = raw.find(marks.thought_open)
    start = opening + len(marks.thought_open) if opening >= 0 and (closing < 0 or opening < closing) else 0
    if closing < 0:
        return ParsedResponse(name, _trim(raw, start, len(raw)), None, complete=False)
    thought = _trim(raw, start, closing)
    begin, end = closing + len(marks.thought_close), len(raw)
    complete = True
    if marks.solution_open and (opened := raw.find(marks.solution_open, begin)) >= 0:
        begin = opened + len(marks.solution_open)
        closed = raw.find(marks.solution_close, begin)
        complete = closed >= 0
        end = closed if complete else end
    solution = _trim(raw, begin, end)
    return ParsedResponse(name, thought, solution, complete=complete and solution is not None)


def _trim(raw: str, start: int, end: int) -> Span | None:
    """[start, end) without the whitespace at its ends, or None if nothing else is in it."""
    text = raw[start:end]
    left = len(text) - len(text.lstrip())
    right = len(text.rstrip())
    return (start + left, start + right) if left < right else None
