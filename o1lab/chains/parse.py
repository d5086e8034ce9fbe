"""Split a response into thought and solution: the think formats of long-thought responses.

Offsets are in code points of the raw text, which is never changed. The formats:

==========  ==================================================================================
sky-t1      ``<|begin_of_thought|> … <|end_of_thought|> <|begin_of_solution|> … <|end_of_solution|>``
r1          ``<think> … </think> …``; the opening mark may be missing because templates put it in the prompt
marco-o1    ``<Thought> … </Thought> <Output> … </Output>``
plain       no marks: the whole text is the solution
==========  ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Span = tuple[int, int]


class ThinkFormat(StrEnum):
    """The marks around a thought."""

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
    """The parts of a response.

    Attributes:
        format: the marks it uses.
        thought: [start, end) in code points of the raw text, without surrounding whitespace; None without a thought.
        solution: the same for the text after the thought; None if the thought is not closed or nothing follows.
        complete: whether the thought is closed, a solution follows, and the solution's closing mark is present if its
            opening mark is. A plain response is complete if it is not empty: without marks a truncated one cannot be
            recognised.
    """

    format: ThinkFormat
    thought: Span | None
    solution: Span | None
    complete: bool

    def thought_of(self, raw: str) -> str:
        """Return the text of the thought, empty without one."""
        return raw[slice(*self.thought)] if self.thought else ""

    def solution_of(self, raw: str) -> str:
        """Return the text of the solution, empty without one."""
        return raw[slice(*self.solution)] if self.solution else ""


def parse(raw: str) -> ParsedResponse:
    """Split ``raw`` into thought and solution. Never fails; takes linear time.

    If there are several thoughts, only the first counts and the rest belongs to the solution, as in servers.
    """
    found = [(at, name) for name in _MARKS if (at := _first_mark(raw, _MARKS[name])) is not None]
    if not found:
        whole = _trim(raw, 0, len(raw))
        return ParsedResponse(ThinkFormat.PLAIN, None, whole, complete=whole is not None)
    name = min(found)[1]
    return _parse_marked(raw, name, _MARKS[name])


def join(thought: str | None, answer: str) -> str:
    """Join a response that came in two fields (such as ``reasoning_content`` and ``content``) to one raw text.

    The result has the format of the student, ``<think>`` and then the answer; both fields are unchanged.
    """
    return f"<think>\n{thought}\n</think>\n\n{answer}" if thought else answer


def _first_mark(raw: str, marks: _Marks) -> int | None:
    """Return where this format begins, or None if ``raw`` has another format.

    An opening mark without a closing one counts only at the start: elsewhere the text mentions the mark.
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
    """Return [start, end) without surrounding whitespace, or None if it is all whitespace."""
    text = raw[start:end]
    left = len(text) - len(text.lstrip())
    right = len(text.rstrip())
    return (start + left, start + right) if left < right else None
