"""Texts of views with their LaTeX and Markdown rendered: what is visible at once, the rest of a long text later."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from rich.style import Style
from rich.text import Text

from o1lab.chains import mathtext
from o1lab.chains.mathtext import Look
from o1lab.text import one_line, visible
from o1lab.widgets.wrap import WrappedText

_AT_ONCE = 20_000
"""Code points that are rendered while a text opens, in about 10 ms."""

_LINE = 400
"""Characters of a text that is shown as one line."""

STYLES: dict[Look | None, Style] = {
    None: Style.null(),
    "code": Style.null(),
    "strong": Style(bold=True),
    "emphasis": Style(italic=True),
    "heading": Style(bold=True, underline=True),
}


def is_long(text: str) -> bool:
    """Whether only a part of ``text`` is rendered at once."""
    return len(text) > _AT_ONCE


def laid_out(
    text: str, width: int, breaks: Sequence[int] = (), *, rendered: bool = True, whole: bool = True, place: int = 0
) -> WrappedText:
    """Return a text wrapped to ``width`` cells.

    Args:
        text: The source.
        width: Cells of a line.
        breaks: Code points at which a line begins.
        rendered: Whether LaTeX and Markdown are rendered; otherwise the source is drawn unchanged.
        whole: Whether all of a long text is rendered, or only the part around ``place``.
        place: A code point.
    """
    if not rendered:
        return WrappedText(text, width, breaks)
    if whole or not is_long(text):
        return WrappedText(text, width, breaks, mathtext.render(text))
    near = takewhile(lambda part: part.start < place + _AT_ONCE, mathtext.parts_of(text))
    parts = [part for part in near if part.stop > place - _AT_ONCE // 4]
    return WrappedText(text, width, breaks, mathtext.render_parts(text, parts))


def rendered_text(text: str) -> Text:
    """Return a text with its LaTeX and Markdown rendered, safe to show, for a widget that is not a view of lines."""
    rendering = mathtext.render(text)
    drawn = Text()
    for _, _, start, stop, look in rendering.pieces(0, rendering.size):
        drawn.append(visible(rendering.text[start:stop]), STYLES[look])
    return drawn


def rendered_line(text: str) -> Text:
    """Return the beginning of a text as one line, rendered unless its formulas take several lines."""
    line = one_line(text, _LINE)
    drawn = rendered_text(line)
    return Text(line) if "\n" in drawn.plain else drawn
