"""A table with any number of rows, fetched page by page by a callback; at most a thousand are in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from o1lab.text import one_line
from o1lab.widgets.columns import Column, FetchPage, HeldPages, Locate, Page, Row, RowKey, called, draw_row, share_width
from o1lab.widgets.keys import Binding
from o1lab.widgets.typed_ahead import post_held

_PAGE = 100  # rows of a page
_MARGIN = 2  # the cells left of the first column, for the cursor


class PagedTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Keys: j k (arrows) a row, pgup pgdn a page, g G the ends, enter opens.

    Pages are fetched one at a time, visible ones first. Rows that are being fetched are shown as `…`; rows from before
    the last ``reload`` are dim until they are fetched again.
    """

    ALLOW_SELECT = False
    MOVING = Binding.Group("Move", compact=True)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "step(1)", "Down", id="row_down", group=MOVING, show=False, tooltip="Go to the next line"),
        Binding("k,up", "step(-1)", "Up", id="row_up", group=MOVING, show=False, tooltip="Go to the previous line"),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", id="rows_down", group=MOVING, show=False,
                tooltip="Go down a page"),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", id="rows_up", group=MOVING, show=False, tooltip="Go up a page"),
        Binding("g,home", "top", "Top", group=MOVING, show=False, tooltip="Go to the first line"),
        Binding("G,end", "bottom", "Bottom", group=MOVING, show=False, tooltip="Go to the last line"),
        Binding("enter", "select", "Open", id="open", tooltip="Open the line under the cursor"),
    ]  # fmt: skip
    COMPONENT_CLASSES: ClassVar[set[str]] = {"paged-table--header", "paged-table--cursor"}
    DEFAULT_CSS = """
    PagedTable {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        background: $background;
        color: $foreground;
        & > .paged-table--header { text-style: bold underline; }
        & > .paged-table--cursor { text-style: bold; }
        &:focus > .paged-table--cursor { text-style: bold reverse; }
    }
    """

    @dataclass
    class RowHighlighted(Message):
        """The cursor is on another row that has loaded, or its row was loaded again by a reload."""

        index: int
        row: Row

    @dataclass
    class RowSelected(Message):
        """Enter or a double click on a row; posted once its page has loaded."""

        index: int
        row: Row

    @dataclass
    class PageLoaded(Message):
        """A page has loaded; ``total`` is the number of rows of the table."""

        total: int

    @dataclass
    class FetchFailed(Message):
        """The fetch or locate callback raised an exception; nothing is fetched until the next reload."""

        error: Exception

    def __init__(
        self,
        columns: Sequence[Column],
        fetch: FetchPage | None = None,
        *,
        locate: Locate | None = None,
        empty: str = "No rows.",
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._columns = columns
        self._layout_of_row: list[tuple[Column, int]] = []
        self._fetch = fetch
        self._locate = locate
        self._pages = HeldPages(_PAGE)
        self._empty = empty
        self._total = 0
        self._known = False  # whether a fetch has returned the total
        self._cursor = 0
        self._sought: RowKey | None = None  # the row that the cursor follows over a reload
        self._busy = False
        self._broken = False
        self._generation = 0
        self._highlighted: tuple[int, Row] | None = None  # as last posted
        self._to_open = False  # enter was pressed on a row that is being fetched
        self._base = Style.null()

    # State.

    @property
    def total(self) -> int:
        """Number of rows, as of the last fetch."""
        return self._total

    @property
    def cursor(self) -> int:
        """The index of the row under the cursor."""
        return self._cursor

    @property
    def cursor_row(self) -> Row | None:
        """The row under the cursor; None while it is fetched, and while the row drawn there is one of another source.

        While the same rows are fetched again, it is the row that is drawn.
        """
        return self._pages.placed_row(self._cursor)

    @property
    def no_row(self) -> str:
        """Why there is no row under the cursor, for a person; empty if there is one."""
        if self.cursor_row is not None:
            return ""
        return "The list is loading: press the key again." if self._busy else "There is nothing under the cursor."

    @property
    def cursor_key(self) -> RowKey | None:
        """The key of the row under the cursor."""
        row = self.cursor_row
        return None if row is None else row.key

    @property
    def held(self) -> int:
        """Number of rows in memory."""
        return self._pages.held

    @property
    def busy(self) -> bool:
        """Whether a page is being fetched."""
        return self._busy

    def row_at(self, index: int) -> Row | None:
        """Return the row at an index if it is in memory."""
        return self._pages.row(index)

    # The interface for screens.

    def set_source(self, fetch: FetchPage, *, locate: Locate | None = None) -> None:
        """Show other rows, fetched by ``fetch``, from the top."""
        self._fetch, self._locate = fetch, locate
        self._to_open = False
        self._cursor = 0
        self.scroll_to(y=0, animate=False)
        self.reload(keep=False)

    def reload(self, *, keep: bool = True) -> None:
        """Fetch all pages again, each when it becomes visible; until then its rows are dim."""
        self._generation += 1
        self._pages.expire()
        self._broken = False
        self._highlighted = None
        if keep and self._sought is None:
            self._sought = self.cursor_key
        elif not keep:
            self._sought = None
            self._pages.displace()
        self.refresh()
        self._fetch_next()

    def move_to(self, index: int) -> None:
        """Move the cursor to a row and scroll to it."""
        self._sought, self._to_open = None, False
        self._set_cursor(index)
        self._fetch_next()

    def update_row(self, row: Row) -> None:
        """Replace the row with the same key at once, without a fetch (used after a decision was saved)."""
        if self._pages.replace(row):
            self.refresh()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns of the same rows."""
        self._columns = columns
        self._lay_out()

    # Fetching.

    @property
    def _height(self) -> int:
        """Number of visible rows below the header."""
        return max(self.scrollable_content_region.height - 1, 1)

    def on_mount(self) -> None:
        self._fetch_next()

    def _wanted(self) -> int | None:
        """Return the page to fetch next: under the cursor, else visible, else the one after."""
        top = self.scroll_offset.y
        bottom = top + self._height - 1
        wanted = (self._cursor, top, bottom, bottom + self._pages.size)
        return self._pages.missing(wanted, self._total if self._known else None)

    def _fetch_next(self) -> None:
        """Fetch the next page, unless a fetch is running (it calls this again when it is done)."""
        if self._fetch is None or self._busy or self._broken or not self.is_attached:
            return
        if self._sought is not None and self._locate is not None and self._pages.stale:
            self._busy = True
            self.run_worker(self._find(self._locate, self._sought, self._generation), group="paged-table")
        elif (number := self._wanted()) is not None:
            self._busy = True
            self.run_worker(self._load(self._fetch, number, self._generation), group="paged-table")

    async def _find(self, locate: Locate, key: RowKey, generation: int) -> None:
        try:
            index: int | None = await called(locate, key)
        except Exception as error:
            self._fail(error, generation)
        else:
            if generation == self._generation and self._sought == key:  # the cursor was not moved meanwhile
                self._sought = None
                if index is not None:
                    if index != self._cursor:
                        self._pages.displace()
                    shown_at = self._cursor - self.scroll_offset.y
                    if index >= self._total:
                        self._set_total(index + 1)
                    self._set_cursor(index, top=index - shown_at)
        self._done()

    async def _load(self, fetch: FetchPage, number: int, generation: int) -> None:
        try:
            page: Page = await called(fetch, number * self._pages.size, self._pages.size)
        except Exception as error:
            self._fail(error, generation)
        else:
            if generation == self._generation:
                self._take(number, page)
        self._done()

    def _done(self) -> None:
        self._busy = False
        self._fetch_next()

    def _fail(self, error: Exception, generation: int) -> None:
        if generation == self._generation:
            self._broken = True
            self.post_message(self.FetchFailed(error))

    def _take(self, number: int, page: Page) -> None:
        """Store a fetched page."""
        self._pages.put(number, page.rows, here=self.scroll_offset.y + self._height // 2)
        self._known = True
        self._set_total(page.total)
        if self._sought is not None:
            self._seek(number)
        self.refresh()
        self.post_message(self.PageLoaded(page.total))
        self._post_highlighted()
        self._to_open = self._to_open and bool(page.total)

    def _seek(self, number: int) -> None:
        """Without ``locate``: find the row that was under the cursor in the page that was fetched."""
        index = self._pages.find(number, self._sought)
        if index is not None:
            self._sought = None
            self._set_cursor(index)
        elif number == self._pages.number(self._cursor):
            self._sought = None

    def _set_total(self, total: int) -> None:
        self._total = total
        self._pages.cut(total)
        self.virtual_size = Size(self.scrollable_content_region.width, total + 1)
        if self._cursor >= total:
            self._set_cursor(total - 1)

    # The cursor.

    def _set_cursor(self, index: int, top: int | None = None) -> None:
        self._cursor = max(min(index, self._total - 1), 0)
        first = self.scroll_offset.y if top is None else max(top, 0)
        if self._cursor < first:
            first = self._cursor
        elif self._cursor >= first + self._height:
            first = self._cursor - self._height + 1
        if first != self.scroll_offset.y:
            self.scroll_to(y=first, animate=False, force=True)
        self.refresh()
        self._post_highlighted()

    def _post_highlighted(self) -> None:
        """Post the row under the cursor, once."""
        row = self.cursor_row
        if row is None or self._pages.is_stale(self._cursor) or self._sought is not None:
            return
        last = self._highlighted
        if last is None or last[0] != self._cursor or last[1] is not row:
            self._highlighted = (self._cursor, row)
            self.post_message(self.RowHighlighted(self._cursor, row))
        if self._to_open:
            self._to_open = False
            self.action_select()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._fetch_next()

    def action_step(self, rows: int) -> None:
        self.move_to(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        self.move_to(self._cursor + pages * self._height)

    def action_top(self) -> None:
        self.move_to(0)

    def action_bottom(self) -> None:
        self.move_to(self._total - 1)

    def action_select(self) -> None:
        if (row := self.cursor_row) is not None:
            post_held(self, self.RowSelected(self._cursor, row))
        elif self._busy:
            self._to_open = True

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.y - 1
        if event.y and index < self._total:
            self.move_to(index)
            if event.chain > 1:
                self.action_select()

    # Drawing.

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()
        self._set_cursor(self._cursor)
        self._fetch_next()

    def _lay_out(self) -> None:
        self._layout_of_row = share_width(self._columns, self.scrollable_content_region.width - _MARGIN)
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        self._base = self.rich_style  # walks up the whole tree: once for all the lines
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        base = self._base
        index = self.scroll_offset.y + y - 1
        row = self.row_at(index) if y else None
        if y == 0:
            style = base + self.get_component_rich_style("paged-table--header", partial=True)
            segments = [Segment(" " * _MARGIN, base), *self._draw(lambda column: column.title, style)]
        elif row is not None and index < self._total:
            here = index == self._cursor
            style = base + Style(dim=self._pages.is_stale(index) or None)
            if here:
                style += self.get_component_rich_style("paged-table--cursor", partial=True)
            cells = row.cells
            segments = [
                Segment("▸ " if here else "  ", style),
                *self._draw(lambda column: cells.get(column.key, ""), style),
            ]
        elif index < self._total:
            segments = [Segment("▸ …" if index == self._cursor else "  …", base + Style(dim=True))]
        elif self._known and not self._total and y == 2:
            segments = [Segment("  " + one_line(self._empty, max(width - 2, 1)), base + Style(dim=True))]
        else:
            segments = []
        return Strip(segments).adjust_cell_length(width, base)

    def _draw(self, cell: Callable[[Column], str | Text], style: Style) -> list[Segment]:
        return draw_row(self._layout_of_row, cell, style, self.app.console)
