"""Separates thought and answer, in whole responses and in streams whose chunks cut the marks anywhere."""

from __future__ import annotations

from typing import Literal

from o1lab.chains.marks import Marks, first_of, folded, table
from o1lab.inference.calls import Response
from o1lab.inference.events import Answer, Delta, Kind, Recast

State = Literal["start", "thought", "open", "after", "answer"]


def split(response: Response) -> tuple[str, str]:
    """Return the thought and the answer of a response, wherever the server puts them.

    Marks are removed. Text before the thought belongs to the answer; a refusal in a separate field is an answer.
    """
    text = response.answer or response.refusal
    splitter, parts = ThoughtSplitter(), Answer()
    if response.thought:
        splitter.thought_is_separate()
    for event in [*splitter.feed(text), *splitter.flush()]:
        parts.apply(event)
    if not splitter.found:
        return response.thought, text
    return "\n\n".join(filter(None, (response.thought, parts.thought.strip()))), parts.answer.strip()


class ThoughtSplitter:
    """Splits content into events as it arrives, and keeps back text that could be part of a mark.

    A thought opens at the start, after optional white space. A closing mark without an opening one at the start makes
    the text before it a thought, from the opening mark in it if there is one (:class:`Recast`); until then that text is
    an answer, because the text may only mention a mark. A response has one thought; later marks are text.
    """

    def __init__(self) -> None:
        self.found = False
        """Whether a thought was found, or a mark was removed."""
        self._pending = ""
        self._formats = table()
        self._closings = tuple(mark for one in self._formats for mark in one.closes)
        self._marks: Marks | None = None
        self._state: State = "start"
        self._separate = False
        self._so_far: list[str] = []

    def thought_is_separate(self) -> None:
        """Note that the server sends the thought in a separate field: then an opening mark alone is text."""
        self._separate = True

    def feed(self, text: str) -> list[Delta | Recast]:
        """Return the events that ``text`` adds."""
        self._pending += text
        events: list[Delta | Recast] = []
        while self._step(events):
            pass
        return events

    def flush(self) -> list[Delta | Recast]:
        """Return the events of the remaining text at the end; a partial mark is text."""
        rest, self._pending = self._pending, ""
        if not rest or (self._state == "start" and not rest.strip()):
            return []
        return [Delta("thought" if self._state == "thought" else "answer", rest)]

    def _step(self, events: list[Delta | Recast]) -> bool:
        """Use up some of the pending text; returns whether the state changed."""
        match self._state:
            case "start":
                return self._start()
            case "thought":
                if self._marks is not None and self._until(self._marks.closes, "thought", events):
                    self._state = "after"
                    return True
            case "open":
                if mark := self._until(self._closings, "answer", events):
                    events.append(self._recast(mark))
                    self._state, self.found = "after", True
                    return True
            case "after":
                return self._after()
            case "answer":
                marks = self._marks.solution_closes if self._marks is not None else ()
                return bool(self._until(marks, "answer", events))
        return False

    def _start(self) -> bool:
        begun = self._pending.lstrip()
        text = folded(begun)
        for one in self._formats if not self._separate else ():
            if opening := _longest(text, one.opens):
                self._pending, self._marks, self._state = begun[len(opening) :], one, "thought"
                self.found = True
                return True
        if not begun or (not self._separate and _may_become(text, [m for one in self._formats for m in one.opens])):
            return False
        self._state = "open"
        return True

    def _recast(self, closing: str) -> Recast:
        """Return the event that makes the text so far a thought, which ``closing`` has ended."""
        so_far, self._so_far = "".join(self._so_far), []
        self._marks = next(one for one in self._formats if closing in one.closes)
        opening = first_of(folded(so_far), self._marks.opens)
        return Recast(so_far[: opening[0]], so_far[opening[1] :]) if opening else Recast("", so_far)

    def _after(self) -> bool:
        """Skip the white space after the thought, which belongs to neither part, and the mark before the solution."""
        self._pending = self._pending.lstrip()
        text, opens = folded(self._pending), self._marks.solution_opens if self._marks is not None else ()
        if opening := _longest(text, opens):
            self._pending = self._pending[len(opening) :].lstrip()
        elif opens and self._marks is not None and text:
            if _may_become(text, opens):
                return False
            self._marks = None  # without the mark before the solution, the one after it is text
        if not self._pending and not opening:
            return False
        self._state = "answer"
        return True

    def _until(self, marks: tuple[str, ...], kind: Kind, events: list[Delta | Recast]) -> str:
        """Add an event for the text before the first of ``marks``, and remove the mark; returns it, or ""."""
        text = folded(self._pending)
        found = first_of(text, marks) if marks else None
        at, end = found or (len(text) - _half_mark(text, marks),) * 2
        if at:
            events.append(Delta(kind, self._pending[:at]))
            if self._state == "open":
                self._so_far.append(self._pending[:at])
        self._pending = self._pending[end:]
        return text[at:end]


class SeparateThought:
    """Removes the marks at the start and at the end of a thought that the server sends in a separate field."""

    def __init__(self) -> None:
        self._formats = table()
        self._begun = False
        self._held = ""

    def feed(self, text: str) -> str:
        """Return the text of the thought that ``text`` adds; what may be the mark at the end is kept back."""
        self._held += text
        if not self._begun:
            begun = self._held.lstrip()
            opens = [mark for one in self._formats for mark in one.opens]
            if opening := _longest(folded(begun), opens):
                self._held = begun[len(opening) :]
            elif not begun or _may_become(folded(begun), opens):
                return ""
            self._begun = True
        held, closes = folded(self._held), tuple(mark for one in self._formats for mark in one.closes)
        at = 0
        while (found := first_of(held, closes, at)) is not None:
            if not held[found[1] :].strip():  # perhaps the end
                break
            at = found[1]
        kept = found[0] if found is not None else len(held) - _half_mark(held, closes)
        out, self._held = self._held[:kept], self._held[kept:]
        return out

    def flush(self) -> str:
        """Return the rest of the thought, without the mark at its end."""
        rest, self._held = self._held, ""
        closes = tuple(mark for one in self._formats for mark in one.closes)
        found = first_of(folded(rest), closes)
        return rest if found is None else rest[: found[0]]


def _longest(text: str, marks: tuple[str, ...] | list[str]) -> str:
    """Return the longest of ``marks`` that a folded text begins with; empty if it begins with none."""
    return max((mark for mark in marks if text.startswith(mark)), key=len, default="")


def _may_become(text: str, marks: tuple[str, ...] | list[str]) -> bool:
    """Return whether more text could complete a mark at the start of a folded text."""
    return any(mark.startswith(text) for mark in marks)


def _half_mark(text: str, marks: tuple[str, ...]) -> int:
    """Return the length of the longest suffix of ``text`` that is the beginning of a mark."""
    longest = min(len(text), max(map(len, marks), default=1) - 1)
    firsts = {mark[0] for mark in marks}
    tails = (text[at:] for at in range(len(text) - longest, len(text)) if text[at] in firsts)
    return next((len(tail) for tail in tails if any(mark.startswith(tail) for mark in marks)), 0)
