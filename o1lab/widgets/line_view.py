"""A scrolling view of long text that renders only the visible lines (Textual's line API).

The base of the chain reader and of the streaming pane: sections of wrapped text, a gutter, highlights, a search
that counts its hits, and a scroll position that is kept when the terminal is resized.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from o1lab.text import visible
from o1lab.widgets.keys import Binding
from o1lab.widgets.rendered import STYLES, laid_out
from o1lab.widgets.sections import HEADER, Hits, Mark, Section, Sections
from o1lab.widgets.wrap import WrappedText

UNSEEN_WIDTH = 80  # cells: the width for text that arrives before its pane was first visible
_COPY_LIMIT = 100_000  # characters: terminals drop or choke on larger clipboard sequences


class LineView(ScrollView, can_focus=True, inherit_bindings=False):
    """Keys: j k (or arrows) a line, space/pgdn and pgup a page, g G the ends, n p the next and previous hit,
    M the raw text and back, y copies the selection (or everything), made safe with ``o1lab.text.visible``."""

    ALLOW_SELECT = False
    MOVING = Binding.Group("Move", compact=True)
    HITS = Binding.Group("Hits", compact=True)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "line_down", "Down", group=MOVING, show=False, tooltip="Scroll down"),
        Binding("k,up", "line_up", "Up", group=MOVING, show=False, tooltip="Scroll up"),
        Binding("space,pagedown,ctrl+f", "page(1)", "Page down", group=MOVING, show=False,
                tooltip="Scroll down a page"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", group=MOVING, show=False, tooltip="Scroll up a page"),
        Binding("g,home", "top", "Top", group=MOVING, show=False, tooltip="Go to the top"),
        Binding("G,end", "bottom", "Bottom", group=MOVING, show=False, tooltip="Go to the end"),
        Binding("n", "next_hit", "Next hit", group=HITS, tooltip="Go to the next hit of the search"),
        Binding("p,N", "previous_hit", "Previous hit", group=HITS, tooltip="Go to the previous hit"),
        Binding("M", "toggle_raw", "Raw text", show=False, tooltip="Show the text as it is stored, or rendered"),
        Binding("y", "copy", "Copy", show=False, tooltip="Copy the selected text, or all of it"),
    ]  # fmt: skip
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line-view--hit",
        "line-view--current-hit",
        "line-view--selection",
        "line-view--header",
    }
    DEFAULT_CSS = """
    LineView {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
        & > .line-view--hit { background: #ffd75f; color: #000000; }
        & > .line-view--current-hit { background: #ffff5f; color: #000000; text-style: bold underline; }
        & > .line-view--selection { text-style: reverse; }
        & > .line-view--header { color: $text-muted; text-style: bold; }
    }
    """

    @dataclass
    class Searched(Message):
        """The search or its current hit changed: ``current`` counts from 1 (0: no hit)."""

        current: int
        total: int

    gutter_width: ClassVar[int] = 0

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.sections = Sections()
        self.found = Hits()
        self._strips: LRUCache[int, Strip] = LRUCache(1024)
        """Rendered lines by row."""
        self._rendered_for: object = None
        """The width and the styles that they were rendered for."""
        self._named: dict[str, Style] = {}
        self.base_style = Style.null()
        """The style of the widget, under all others."""
        self._anchor: tuple[int, tuple[int, int]] = (0, (0, 0))
        self._width = UNSEEN_WIDTH
        """Its width in cells when it was last visible."""
        self.raw = False
        """Whether texts are drawn unchanged: their LaTeX and Markdown is not rendered."""

    # What a subclass overrides.

    def gutter_of(self, section: int, line: int) -> list[Segment]:
        """Return the ``gutter_width`` cells to the left of a line."""
        return []

    def header_of(self, section: int) -> list[Segment]:
        """Return the row above a section with a header."""
        style = self.base_style + self.style_named("line-view--header")
        return [Segment(visible(self.sections[section].header), style)]

    def line_style(self, section: int) -> Style:
        """Return the style of the text of a section."""
        return Style.null()

    def marks(self, section: int, start: int, end: int) -> Iterable[Mark]:
        """Return styles for parts of the line [start, end): later ones over earlier ones, search hits over all."""
        return ()

    def tail(self, section: int, line: int) -> str:
        """Return a text that is drawn over the right end of a line."""
        return ""

    def selected_text(self) -> str:
        """Return the text that the copy key copies."""
        return "\n".join(section.text.text for section in self.sections)

    def reveal(self, section: int, offset: int) -> None:
        """Unfold what hides a code point, before scrolling to it."""
        self.sections[section].folded = False

    # Layout.

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.sections.rows

    @property
    def text_width(self) -> int:
        """The width of a line of text in cells; of a hidden view, its last or its likely width."""
        return max((self.scrollable_content_region.width or self._width) - self.gutter_width, 2)

    def laid_out(self, text: str, breaks: Sequence[int] = ()) -> WrappedText:
        """Return a text for a section of this view, rendered unless raw texts are shown."""
        return laid_out(text, self.text_width, breaks, rendered=not self.raw)

    def set_text(self, text: str) -> None:
        """Show a text from its beginning, unchanged."""
        self.show_sections([Section(WrappedText(text, self.text_width))])

    def show_sections(self, sections: Sequence[Section]) -> None:
        """Replace all sections, scroll to the top and clear the search."""
        self.sections = Sections(sections)
        self.found = Hits()
        self._anchor = (0, (0, 0))
        self.rearrange(keep_place=False)
        self.scroll_to(y=0, animate=False)

    def rearrange(self, *, keep_place: bool = True) -> None:
        """Recount the rows after sections, folds or wrapping changed, and keep the position in the text."""
        place = self.top_place
        for section in self.sections:
            section.find_lines()
        self.count_rows()
        self.restyle()
        if keep_place:
            self.go_to_row(self.row_of(*place), place)

    def count_rows(self) -> None:
        """Recompute where each section begins, and the height of the content."""
        self.sections.recount()
        self.virtual_size = Size(self.text_width + self.gutter_width, self.rows)

    def restyle(self, first_row: int = 0) -> None:
        """Redraw the lines from ``first_row`` on."""
        if first_row:
            for row in [row for row in self._strips.keys() if row >= first_row]:  # noqa: SIM118 (no dict)
                self._strips.discard(row)
        else:
            self._strips.clear()
        self.refresh()

    def restyle_rows(self, first: int, last: int) -> None:
        """Redraw some rows."""
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if last - first > self._strips.maxsize:
            self._strips.clear()
        for row in range(first, min(last, first + self._strips.maxsize) + 1):
            self._strips.discard(row)
        if first < top + height and last >= top:
            self.refresh()

    def extend(self, section: int, delta: str) -> None:
        """Append text to a section; only its last line is laid out and drawn again."""
        target = self.sections[section]
        known, rows = len(target.text.text), target.rows
        first = target.text.append(delta)
        if section == len(self.sections) - 1:
            if target.rows != rows:
                self.virtual_size = Size(self.virtual_size.width, self.rows)
        else:
            self.count_rows()
        self.found.extend(section, target.text.text, known)
        self.restyle(self.sections.tops[section] + target.row_of(first))

    # Positions: a place is (section, code point); rows are what the view scrolls by.

    def row_of(self, section: int, offset: int) -> int:
        """Return the row with a code point."""
        return self.sections.row_of(section, offset)

    @property
    def top_place(self) -> tuple[int, int]:
        """(section, code point) at the top of the view."""
        row = self.scroll_offset.y
        put_at, place = self._anchor
        if row == put_at and place[0] < len(self.sections):  # not scrolled since: the exact place
            return place
        return self.sections.offset_at(row)

    def go_to_row(self, row: int, place: tuple[int, int] | None = None) -> None:
        """Scroll a row to the top of the view."""
        row = max(min(row, self.rows - self.scrollable_content_region.height), 0)
        self.scroll_to(y=row, animate=False)
        if place is not None:
            self._anchor = (row, place)

    def show_place(self, section: int, offset: int, *, margin: int = 2) -> None:
        """Scroll until a code point is visible; after scrolling, ``margin`` rows above it are visible too."""
        row = self.row_of(section, offset)
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if not top <= row < top + height:
            self.go_to_row(row - min(margin, height // 2))

    def on_resize(self, event: events.Resize) -> None:
        self._width = self.scrollable_content_region.width or self._width
        place = self.top_place
        if self.sections.rewrap(self.text_width):
            self.virtual_size = Size(self.text_width + self.gutter_width, self.rows)
            # The scroll range is updated with the layout.
            self.call_after_refresh(lambda: self.go_to_row(self.row_of(*place), place))
        self.restyle()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        if self.styles.scrollbar_size_vertical:
            super().watch_scroll_y(old_value, new_value)
        elif round(old_value) != round(new_value):  # updating a hidden scrollbar would cause a full layout
            self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._named.clear()
        self._strips.clear()

    # Rendering.

    def style_named(self, name: str) -> Style:
        """Return the style of a component class."""
        if name not in self._named:
            self._named[name] = self.get_component_rich_style(name, partial=True)
        return self._named[name]

    def render_lines(self, crop: Region) -> list[Strip]:
        # Rendered lines are cached by row, so that scrolling by a line renders one line: Textual caches them by their
        # position on the screen and would render all of them. Since the objects are the same, the compositor's own
        # caches (cropped strips, terminal output) remain valid too.
        gutter, (width, height), row_at_top = self.gutter, self.outer_size, self.scroll_offset.y
        look = (width, self.visual_style, self.background_colors, self.opacity, *self.get_line_filters())
        if look != self._rendered_for:
            self._rendered_for, self.base_style = look, self.visual_style.rich_style
            self._strips.clear()
        inside = range(gutter.top, height - gutter.bottom)
        lines = {y: self._strips.get(row_at_top + y - gutter.top) if y in inside else None for y in crop.line_range}
        missing = [y for y, strip in lines.items() if strip is None]
        for _, numbered in groupby(enumerate(missing), lambda pair: pair[1] - pair[0]):
            run = [y for _, y in numbered]
            for y, strip in zip(run, super().render_lines(Region(0, run[0], width, len(run))), strict=True):
                lines[y] = strip
                if y in inside:
                    self._strips[row_at_top + y - gutter.top] = strip
        strips = [strip for strip in lines.values() if strip is not None]
        return strips if crop.column_span == (0, width) else [strip.crop(*crop.column_span) for strip in strips]

    def render_line(self, y: int) -> Strip:
        row = self.scroll_offset.y + y
        width = self.scrollable_content_region.width
        return self._draw(row, width) if row < self.rows else Strip.blank(width, self.base_style)

    def _draw(self, row: int, width: int) -> Strip:
        index, line = self.sections.place_at(row)
        base = self.base_style
        if line == HEADER:
            return Strip(self.header_of(index)).adjust_cell_length(width, base)
        text = self.sections[index].text
        start, end = text.span(line)
        marks = [*self.marks(index, start, end), *self._hit_marks(index, start, end)]
        plain = base + self.line_style(index)
        segments = [*self.gutter_of(index, line)]
        cuts = [cut for mark in marks for cut in mark[:2]]
        for first, stop, drawn, _, look in text.pieces(line, cuts):
            over = [mark.style for mark in marks if mark.start < stop and first < mark.end]
            segments.append(Segment(drawn, Style.chain(plain, STYLES[look], *over)))
        if on_newline := [mark.style for mark in marks if mark.start < end <= mark.end and text.text[end - 1] == "\n"]:
            segments.append(Segment(" ", Style.chain(plain, *on_newline)))
        strip = Strip(segments)
        if tail := self.tail(index, line):
            strip = strip.adjust_cell_length(max(width - len(tail), 0), base)
            strip = Strip([*strip, Segment(tail, base + Style(dim=True, italic=True))])
        return strip.adjust_cell_length(width, base)

    # Search.

    @property
    def query_text(self) -> str:
        """The text of the search, empty without one."""
        return self.found.query

    @property
    def hits(self) -> int:
        """Number of hits of the search."""
        return len(self.found)

    def search(self, query: str) -> int:
        """Highlight every occurrence, scroll to the first one at or after the top, and return the number of hits.

        Case matters only if ``query`` has a capital. An empty query clears the search.
        """
        self.found = Hits(query, (section.text.text for section in self.sections) if query else ())
        if self.hits:
            self._go_to_hit(self.found.first_from(*self.top_place))
        else:
            self.restyle()
            self._post_searched()
        return self.hits

    def _go_to_hit(self, number: int) -> None:
        self.found.current = number % self.hits
        if (place := self.found.place) is not None:
            self.reveal(*place)
            self.restyle()
            self.show_place(*place, margin=self.scrollable_content_region.height // 3)
            self._post_searched()

    def _post_searched(self) -> None:
        self.post_message(self.Searched(self.found.current + 1, self.hits))

    def _hit_marks(self, section: int, start: int, end: int) -> Iterable[Mark]:
        for first, stop, is_current in self.found.inside(section, start, end):
            yield Mark(first, stop, self.style_named("line-view--current-hit" if is_current else "line-view--hit"))

    # Actions.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("next_hit", "previous_hit"):
            return bool(self.query_text)
        return True

    def action_line_down(self) -> None:
        self.scroll_to(y=self.scroll_offset.y + 1, animate=False)

    def action_line_up(self) -> None:
        self.scroll_to(y=self.scroll_offset.y - 1, animate=False)

    def action_page(self, pages: int) -> None:
        height = max(self.scrollable_content_region.height - 1, 1)  # one row stays visible for orientation
        self.scroll_to(y=self.scroll_offset.y + pages * height, animate=False)

    def action_top(self) -> None:
        self.scroll_to(y=0, animate=False)

    def action_bottom(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def action_next_hit(self) -> None:
        if self.hits:  # after the last, the first
            self._go_to_hit(self.found.current + 1)

    def action_previous_hit(self) -> None:
        if self.hits:
            self._go_to_hit(self.found.current - 1)

    def action_toggle_raw(self) -> None:
        self.raw = not self.raw
        for section in self.sections:
            section.text = self.laid_out(section.text.text, section.text.breaks)
        self.rearrange()

    def action_copy(self) -> None:
        text = self.selected_text()
        self.app.copy_to_clipboard(visible(text[:_COPY_LIMIT]))
        cut = f", the first {_COPY_LIMIT:,} of {len(text):,}" if len(text) > _COPY_LIMIT else ""
        self.notify(f"Copied {min(len(text), _COPY_LIMIT):,} characters{cut}.", markup=False)
