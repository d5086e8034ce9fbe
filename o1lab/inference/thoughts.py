"""Separates thought and answer in streamed text, even if think tags are split across chunks."""

from __future__ import annotations

from o1lab.chains.marks import first_of, folded, table
from o1lab.inference.events import Delta, Recast


class ThoughtSplitter:
    """Splits content into events as it arrives, and keeps back text that could be part of a think tag.

    A thought opens only at the start, after optional white space; an opening tag later is ordinary text. A closing tag
    without an opening one turns the text before it into thought (:class:`Recast`).
    """

    def __init__(self) -> None:
        self._pending = ""
        self._formats = table()
        self._closings = tuple(mark for one in self._formats for mark in one.closes)
        self._state = "start"

    def feed(self, text: str) -> list[Delta | Recast]:
        """Return the events that ``text`` adds."""
        self._pending += text
        events: list[Delta | Recast] = []
        while self._step(events):
            pass
        return events

    def flush(self) -> list[Delta | Recast]:
        """Return the events of the remaining text at the end; a partial tag is text."""
        rest, self._pending = self._pending, ""
        if not rest or (self._state == "start" and not rest.strip()):
            return []
        return [Delta("thought" if self._state == "thought" else "answer", rest)]

    def _step(self, events: list[Delta | Recast]) -> bool:
        match self._state:
            case "start":
                return self._start()
            case "thought":
                if self._until(self._closings, "thought", events):
                    self._state = "after"
                    return True
            case "open":
                if self._until(self._closings, "answer", events):
                    events.append(Recast())
                    self._state = "after"
                    return True
            case "after":
                # White space between the closing tag and the answer belongs to neither.
                self._pending = self._pending.lstrip()
                if self._pending:
                    self._state = "answer"
                    return True
            case _:
                if self._pending:
                    events.append(Delta("answer", self._pending))
                    self._pending = ""
        return False

    def _start(self) -> bool:
        begun = self._pending.lstrip()
        text = folded(begun)
        for one in self._formats:
            for mark in one.opens:
                if text.startswith(mark):
                    self._pending, self._closings, self._state = begun[len(mark) :], one.closes, "thought"
                    return True
        if not begun or any(mark.startswith(text) for one in self._formats for mark in one.opens):
            return False
        self._state = "open"
        return True

    def _until(self, marks: tuple[str, ...], kind: str, events: list[Delta | Recast]) -> bool:
        """Add an event for the text before the first of ``marks``, and remove the mark; returns whether one exists."""
        text = folded(self._pending)
        found = first_of(text, marks)
        at, end = found or (len(text) - _half_mark(text, marks),) * 2
        if at:
            events.append(Delta("thought" if kind == "thought" else "answer", self._pending[:at]))
        self._pending = self._pending[end:]
        return found is not None


def _half_mark(text: str, marks: tuple[str, ...]) -> int:
    """Return the length of the longest suffix of ``text`` that is the beginning of a mark."""
    longest = min(len(text), max(map(len, marks)) - 1)
    return next((n for n in range(longest, 0, -1) if any(mark.startswith(text[-n:]) for mark in marks)), 0)
