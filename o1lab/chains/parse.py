"""Split a response into thought and solution by the think marks of :mod:`o1lab.chains.marks`.

Offsets are in code points of the raw text, which is never changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from o1lab.chains.answers import Answer, extract_answer, stated_at
from o1lab.chains.marks import PLAIN, UNMARKED, Marks, at_start, first_of, folded, table

Span = tuple[int, int]
_VISIBLE = re.compile(r"\S")
_HEADING = re.compile(
    r"^[ \t#>*_]*(?:(?:the\s+)?(?:final|complete|full)\s+(?:answer|solution|response|result)|conclusion|in\s+conclusion"
    r"|final\s+write-?up|最终(?:答案|解答|结论)|结论|总结)[ \t]*[*_]*[ \t]*(?:[:：.,，]|$)",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]*]*\s+|(?<=[.!?])(?=[A-Z][a-z])|(?<=[。！？])\s*|\n+")
_LONGEST_SENTENCE = 1000
_LONGEST_REST = 600
"""A sentence with the answer is the conclusion only if at most this many characters follow it."""


@dataclass(frozen=True)
class ParsedResponse:
    """The parts of a response.

    Attributes:
        format: the name of the marks it uses, or ``plain``.
        thought: [start, end) in code points of the raw text, without surrounding whitespace; None without a thought.
        solution: the same for the text after the thought; None if the thought is not closed or nothing follows.
        outside: the text before the thought, between thought and solution, and after the solution: [start, end) of each
            that is not empty, without marks and surrounding whitespace.
        complete: whether the thought is closed, a solution follows, and the solution's closing mark is present if its
            opening mark is. A plain response is complete if it is not empty: without marks a truncated one cannot be
            recognised.
    """

    format: str
    thought: Span | None
    solution: Span | None
    complete: bool
    outside: tuple[Span, ...] = ()

    def thought_of(self, raw: str) -> str:
        """Return the text of the thought, empty without one."""
        return raw[slice(*self.thought)] if self.thought else ""

    def solution_of(self, raw: str) -> str:
        """Return the text of the solution, empty without one."""
        return raw[slice(*self.solution)] if self.solution else ""

    def answer_of(self, raw: str) -> Answer | None:
        """Return the final answer; None if the response has none."""
        return extract_answer(self.solution_of(raw), self.thought_of(raw))

    def fields(self, raw: str) -> dict[str, Any]:
        """Return the fields of a trace with this text, by their names in ``store.records.NewTrace``."""
        end = (len(raw), len(raw))
        return {
            "raw": raw, "thought": self.thought or (0, 0), "solution": self.solution or end,
            "complete": self.complete, "format": self.format, "outside": self.outside,
        }  # fmt: skip


def parse(raw: str) -> ParsedResponse:
    """Split ``raw`` into thought and solution. Never fails; takes linear time.

    If there are several thoughts, only the first counts and the rest belongs to the solution, as in servers. The
    opening mark may be missing, because templates put it in the prompt; an opening mark without a closing one counts
    only at the start, because elsewhere the text mentions the mark.
    """
    formats = table()
    if begun := at_start().match(raw):
        number = begun.lastindex or 1
        return _parsed(raw, formats[number - 1], (begun.start(number), begun.end()))
    text = folded(raw)
    found = [(where, one) for one in formats if (where := _opening(text, one)) is not None]
    if found:
        where, one = min(found, key=lambda pair: pair[0])
        return _parsed(raw, one, where)
    whole = _trim(raw, 0, len(raw))
    return ParsedResponse(PLAIN, None, whole, complete=whole is not None)


def join(thought: str | None, answer: str, *, closed: bool | None = None) -> str:
    """Join a response that came in two fields (such as ``reasoning_content`` and ``content``) to one raw text.

    The result has the format of the student, ``<think>`` and then the answer; both fields are unchanged.

    Args:
        thought: the thought, if there is one.
        answer: the answer, perhaps empty.
        closed: whether the thought ended. By default it did if an answer follows: else it may have been cut off.
    """
    if not thought:
        return answer
    closed = bool(answer.strip()) if closed is None else closed
    return f"<think>\n{thought}\n</think>\n\n{answer}" if closed else f"<think>\n{thought}"


def _opening(text: str, marks: Marks) -> Span | None:
    """Return where a thought in the middle of a folded text opens: (0, 0) if only its closing mark is there."""
    closing = first_of(text, marks.closes)
    if closing is None:
        return None
    opening = first_of(text, marks.opens)
    if opening is None or opening[0] > closing[0]:
        return (0, 0)
    return opening


def _parsed(raw: str, marks: Marks, opening: Span) -> ParsedResponse:
    start = opening[1]
    closing = _find(raw, marks.closes, start)
    if closing is None:
        return ParsedResponse(marks.name, _trim(raw, start, len(raw)), None, complete=False)
    thought = _trim(raw, start, closing[0])
    opened = _find(raw, marks.solution_opens, closing[1])
    begin = opened[1] if opened else closing[1]
    closed = _find(raw, marks.solution_closes, begin) if opened or not marks.solution_opens else None
    end, after = closed or (len(raw), len(raw))
    solution = _trim(raw, begin, end)
    pieces = ((0, opening[0]), (closing[1], opened[0] if opened else closing[1]), (after, len(raw)))
    outside = tuple(span for piece in pieces if (span := _trim(raw, *piece)) is not None)
    complete = solution is not None and (closed is not None or opened is None)
    return ParsedResponse(marks.name, thought, solution, complete, outside)


def _find(raw: str, marks: tuple[str, ...], start: int) -> Span | None:
    """Return [start, end) of the first of ``marks`` from ``start`` on. Only text without them as written is folded."""
    return first_of(raw, marks, start) or first_of(folded(raw), marks, start) if marks else None


def _trim(raw: str, start: int, end: int) -> Span | None:
    """Return [start, end) without surrounding whitespace, or None if it is all whitespace."""
    first = _VISIBLE.search(raw, start, end)
    if first is None:
        return None
    while raw[end - 1].isspace():
        end -= 1
    return (first.start(), end)


def split_unmarked(raw: str) -> ParsedResponse:
    """Return the thought and the conclusion of a text without marks, such as the ``longCOT`` of O1 Journey.

    Only a text that says so is split: it has a heading such as ``**Final Answer**``, or its last sentences state or box
    the answer. Otherwise all of it is the thought. A conclusion alone is a solution. Takes linear time for every text.
    """
    end = len(raw.rstrip())
    start = len(raw) - len(raw.lstrip())
    if start >= end:
        return ParsedResponse(UNMARKED, None, None, complete=False)
    at = _conclusion(raw, end)
    if at is None:
        return ParsedResponse(UNMARKED, (start, end), None, complete=False)
    if at <= start:
        return ParsedResponse(PLAIN, None, (start, end), complete=True)
    return ParsedResponse(UNMARKED, (start, len(raw[:at].rstrip())), (at, end), complete=True)


def _conclusion(raw: str, end: int) -> int | None:
    """Return where the conclusion begins; None if the text does not say that it has one."""
    headings = [match for match in _HEADING.finditer(raw) if raw[match.end() : end].strip()]
    if headings and headings[-1].start() >= end // 2:
        return headings[-1].start() + len(headings[-1].group()) - len(headings[-1].group().lstrip())
    answer = stated_at(raw)
    if answer is None:
        return None
    first = max(0, answer - _LONGEST_SENTENCE)
    starts = [first + match.end() for match in _SENTENCE.finditer(raw[first:answer])]
    begin = starts[-1] if starts else first if first == 0 else answer
    sentence_end = _SENTENCE.search(raw, answer)
    rest = end - (sentence_end.start() if sentence_end else end)
    return begin if rest <= _LONGEST_REST else None
