"""Two answers together: panes that scroll together, and the word diff of two answers."""

from __future__ import annotations

from collections.abc import Iterable

from rich.style import Style

from o1lab.chat.word_diff import Kind, marked, word_diff
from o1lab.widgets.line_view import LineView
from o1lab.widgets.sections import Mark, Section
from o1lab.widgets.stream_pane import StreamBody
from o1lab.widgets.wrap import WrappedText
from store.conversations import Message

_STYLES: dict[Kind, Style] = {
    "first": Style(color="red", strike=True),
    "second": Style(color="green", bold=True, underline=True),
}
Diffed = list[tuple[str, str, list[tuple[int, int, Kind]]]]
"""(header, text, differences) of each part of two answers."""


def place_of(body: StreamBody) -> tuple[int, str, int] | None:
    """Return (turn, part, row in the part) at the top of a pane; None if it is empty."""
    if not body.sections.tops:
        return None
    section, _ = body.sections.place_at(round(body.scroll_offset.y))
    turn = body.parts[: section + 1].count("user")
    return turn, body.parts[section], round(body.scroll_offset.y) - body.sections.tops[section]


def row_at(body: StreamBody, place: tuple[int, str, int]) -> int | None:
    """Return the row of the same place in another pane: the same turn and part; None if it has none of them.

    Thought and answer have other lengths there, so that a row beyond the end of a part is its last one.
    """
    turn, part, row = place
    found, number = None, 0
    for section, name in enumerate(body.parts):
        number += name == "user"
        if number == turn and name == part:
            found = body.sections.tops[section] + min(row, max(body.sections[section].rows - 1, 0))
    return found


def differences(first: Message, second: Message) -> Diffed:
    """Compare the answers of two messages word by word, and their thoughts if both have one. Takes a while."""
    parts = [("answer", first.content, second.content)]
    if first.thought and second.thought:
        parts.append(("thought", first.thought, second.thought))
    return [(name, *marked(word_diff(one, other))) for name, one, other in parts]


class DiffView(LineView):
    """The word diff of two answers: a section for the answers, and one for the thoughts."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._spans: list[list[tuple[int, int, Kind]]] = []

    def show_differences(self, names: tuple[str, str], found: Diffed) -> None:
        """Show a diff.

        Args:
            names: What the two answers are called.
            found: What :func:`differences` returned.
        """
        only = f"[-only in {names[0]}-] {{+only in {names[1]}+}}"
        self._spans = [spans for _, _, spans in found]
        sections = []
        for name, text, spans in found:
            alike = "" if spans else ": no difference"
            sections.append(Section(WrappedText(f"{text}\n", self.text_width), f"{name}{alike}  {only}"))
        self.show_sections(sections)

    def marks(self, section: int, start: int, end: int) -> Iterable[Mark]:
        for first, stop, kind in self._spans[section] if section < len(self._spans) else ():
            if first < end and start < stop:
                yield Mark(first, stop, _STYLES[kind])
