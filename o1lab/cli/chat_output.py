"""Print several answers to a plain terminal: the first unfinished one is streamed, the others are buffered."""

from __future__ import annotations

import sys

from o1lab.chat.panes import PaneEvent, Saved
from o1lab.inference.calls import LIMITS
from o1lab.inference.events import Delta, Done, Failed, Noted, Recast
from o1lab.text import one_line, visible


class Printer:
    """A listener of a conversation that prints the answers.

    Args:
        labels: The names of the models, by pane.
        quiet: Print nothing, because the result is printed as JSON.
    """

    def __init__(self, labels: list[str], *, quiet: bool) -> None:
        self._labels = labels
        self._quiet = quiet
        self._lines: list[list[str]] = [[] for _ in labels]
        self._ended: set[int] = set()
        self._current = 0
        self._kinds: list[str] = ["" for _ in labels]
        self._write(self._heading(0))

    def __call__(self, event: PaneEvent) -> None:
        pane = event.pane
        match event.event:
            case Delta(kind=kind, text=text):
                self._add(pane, self._switch(pane, kind) + visible(text))
            case Recast(answer=answer):
                self._kinds[pane] = "thought"
                above = "the text above" + (f", without {one_line(answer, 60)!r} before it," if answer.strip() else "")
                self._add(pane, f"\n({above} is the thought)")
            case Noted(text=text):
                self._add(pane, f"({visible(text)})\n")
            case Done() as done:
                speed = f", {done.tokens_per_second:.1f} tokens/s" if done.tokens_per_second else ""
                count = f"{done.completion_tokens} tokens, " if done.completion_tokens is not None else ""
                cut = ": cut off at its maximum length" if done.finish_reason.lower() in LIMITS else ""
                self._add(pane, f"\n({count}{done.seconds:.1f} s{speed}, {visible(done.finish_reason)}{cut})\n")
            case Failed(error=error):
                self._add(pane, f"\n! {visible(error.sentence)}\n  {visible(error.hint)}\n")
            case Saved(message=message):
                if message.verdict:
                    self._add(pane, f"(verdict: {message.verdict})\n")
                self._end(pane)

    def _switch(self, pane: int, kind: str) -> str:
        """Return the heading to print when the output changes between thought and answer."""
        if self._kinds[pane] == kind:
            return ""
        before, self._kinds[pane] = self._kinds[pane], kind
        return "(thought)\n" if kind == "thought" else "\n(answer)\n" if before else ""

    def _add(self, pane: int, text: str) -> None:
        if pane == self._current:
            self._write(text)
        else:
            self._lines[pane].append(text)

    def _end(self, pane: int) -> None:
        self._ended.add(pane)
        while self._current in self._ended and self._current + 1 < len(self._labels):
            self._current += 1
            self._write(self._heading(self._current) + "".join(self._lines[self._current]))

    def _heading(self, pane: int) -> str:
        return f"{'' if pane == 0 else chr(10)}== {visible(self._labels[pane])}\n"

    def _write(self, text: str) -> None:
        if self._quiet:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:  # the terminal or the reader of the pipe is gone; answers are saved all the same
            self._quiet = True
