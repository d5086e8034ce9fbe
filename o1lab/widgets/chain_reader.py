"""The chain reader: a thought of any length with its moves in a gutter, then the solution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from o1lab.text import one_line
from o1lab.widgets.document import ReaderDocument, Span
from o1lab.widgets.kinds import letter_of, style_of
from o1lab.widgets.line_view import LineView
from o1lab.widgets.minimap import Minimap
from o1lab.widgets.reader_body import THOUGHT, ReaderBody


class SearchBar(Input):
    """The one-line input for a search, which runs while it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Give up", show=False)]

    @dataclass
    class GivenUp(Message):
        """Escape was pressed: the search is cleared."""

    def action_give_up(self) -> None:
        self.post_message(self.GivenUp())


class StatusLine(Widget):
    """One line of text that changes often, cut with an ellipsis if it is too long.

    A ``Static`` would lay it out as a page each time, which takes longer than scrolling the text above it.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = "StatusLine { height: 1; }"

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._text = Text()

    def show(self, text: Text) -> None:
        """Show ``text``, whose content must have gone through ``visible``."""
        if text != self._text:
            self._text = text
            self.refresh()

    def render(self) -> Text:
        return self._text

    def render_line(self, y: int) -> Strip:
        text = self._text.copy()
        text.truncate(self.size.width, overflow="ellipsis")
        return Strip(Segment.apply_style(text.render(self.app.console), self.visual_style.rich_style))


class ChainReader(Grid):
    """Shows a `ReaderDocument`. Focus goes to its body (``reader.focus()`` passes it on).

    Keys: those of LineView; ] [ next and previous move; r R next and previous reflect, b B backtrack;
    J K (shift+j, shift+k) select by moves; v starts a selection by moves, v again by characters
    (h j k l w b 0 $ move its end, o swaps ends), enter confirms, escape cancels; f folds the move,
    F folds all moves of its kind, = unfolds all; / searches, n p go to the next and previous hit.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("slash", "open_search", "Search", key_display="/")]
    DEFAULT_CSS = """
    ChainReader {
        height: 1fr;
        background: $background;
        grid-size: 2;
        grid-columns: 1fr 3;
        grid-rows: 1fr 1 1;
        ReaderBody { width: 1fr; height: 1fr; }
        StatusLine { column-span: 2; color: $text-muted; background: $surface; }
        SearchBar {
            column-span: 2; height: 1; border: none; padding: 0; display: none; background: $surface;
        }
        SearchBar:focus { border: none; }
        &.-searching SearchBar { display: block; }
    }
    """

    @dataclass
    class SpanSelected(Message):
        """The user selected the code points [start, end) of the thought and pressed enter."""

        reader: ChainReader
        start: int
        end: int

        @property
        def control(self) -> ChainReader:
            return self.reader

    def __init__(
        self, document: ReaderDocument | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.body = ReaderBody()
        self._minimap = Minimap(self.body)
        self._status = StatusLine(classes="reader--status")
        self._search = SearchBar(placeholder="search this chain", select_on_focus=True, compact=True)
        self._hit = (0, 0)
        self._place_before_search = 0
        self.body.load(document)

    def compose(self) -> ComposeResult:
        yield self.body
        yield self._minimap
        yield self._search
        yield self._status

    def on_mount(self) -> None:
        # Watched instead of notified by message, so that minimap and status line are painted together with the text.
        self.watch(self.body, "scroll_y", self._show_place, init=False)

    def focus(self, scroll_visible: bool = True) -> ChainReader:
        self.body.focus(scroll_visible)
        return self

    # The interface for screens.

    @property
    def document(self) -> ReaderDocument | None:
        return self.body.document

    def load(self, document: ReaderDocument | None) -> None:
        """Show a chain from its beginning (None: nothing); folds, search and selection are reset."""
        self._hit = (0, 0)
        self.body.load(document)

    def set_spans(self, spans: Iterable[Span | tuple[int, int, str]]) -> None:
        """Replace the annotated spans without scrolling."""
        self.body.set_spans(spans)

    def next_move(self, kind: str | None = None) -> bool:
        """Go to the next move (of a kind, by name or letter); return False if there is none."""
        return self.body.step_move(1, kind)

    def previous_move(self, kind: str | None = None) -> bool:
        """Go to the previous move (of a kind); return False if there is none."""
        return self.body.step_move(-1, kind)

    def fold(self, kind: str | None = None, folded: bool | None = None) -> None:
        """Fold (True), unfold (False) or toggle (None) the current move, or every move of a kind."""
        if kind is not None:
            self.body.fold(self.body.segments.of_kind(kind), folded)
        elif self.body.current >= 0:
            self.body.fold([self.body.current], folded)

    def unfold_all(self) -> None:
        self.body.unfold_all()

    def search(self, query: str) -> int:
        """Highlight all hits and return their number; unfold the move of the current hit."""
        return self.body.search(query)

    def open_search(self) -> None:
        """Open the one-line search prompt (the `/` key)."""
        self._place_before_search = self.place
        self.add_class("-searching")
        self._search.focus()

    @property
    def selection_span(self) -> tuple[int, int] | None:
        """The selection as (start, end) in code points of the thought; None without one."""
        return self.body.selection_span

    def clear_selection(self) -> None:
        self.body.clear_selection()

    def go_to(self, offset: int) -> None:
        """Scroll until code point ``offset`` of the thought is visible."""
        self.body.reveal(THOUGHT, offset)
        self.body.show_place(THOUGHT, offset)

    @property
    def place(self) -> int:
        """The code point of the thought at the top of the view, for ``restore``."""
        section, offset = self.body.top_place
        return offset if section == THOUGHT else len(self.document.thought) if self.document else 0

    def restore(self, place: int) -> None:
        """Scroll ``place`` to the top of the view again."""
        self.body.go_to_row(self.body.row_of(THOUGHT, place), (THOUGHT, place))

    # Events.

    def action_open_search(self) -> None:
        self.open_search()

    def _close_search(self) -> None:
        self.remove_class("-searching")
        self.body.focus()

    @on(Input.Changed)
    def _search_as_typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("-searching"):
            self.search(event.value)

    @on(Input.Submitted)
    def _search_entered(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value != self.body.query_text:
            self.search(event.value)
        self._close_search()

    @on(SearchBar.GivenUp)
    def _search_given_up(self, event: SearchBar.GivenUp) -> None:
        event.stop()
        self.search("")
        self.restore(self._place_before_search)
        self._close_search()

    @on(LineView.Searched)
    def _count_hits(self, event: LineView.Searched) -> None:
        event.stop()
        self._hit = (event.current, event.total)
        self.body.refresh_bindings()
        self._show_status()

    @on(ReaderBody.Changed)
    def _follow_body(self, event: ReaderBody.Changed) -> None:
        event.stop()
        if event.layout:
            self._minimap.lay_out()
        self._show_place()

    def _show_place(self) -> None:
        """Update the minimap and the status line."""
        self._minimap.follow()
        self._show_status()

    @on(ReaderBody.Selected)
    def _pass_selection_on(self, event: ReaderBody.Selected) -> None:
        event.stop()
        self.post_message(self.SpanSelected(self, event.start, event.end))

    def _show_status(self) -> None:
        """Show the selection or the current move, the labels of its spans, the search and the position."""
        body = self.body
        parts: list[Text] = []
        if body.selecting is not None and (span := body.selection_span) is not None:
            size = span[1] - span[0]
            if body.selecting.by == "moves":
                moves = abs(body.selecting.end - body.selecting.anchor) + 1
                what = f"SELECT {moves} move{'s' * (moves > 1)}, {size:,} chars · j k more · v by characters"
            else:
                what = f"SELECT {size:,} chars · h j k l w b move the end · o other end"
            parts.append(Text(f"{what} · enter take · esc", style="bold"))
        elif body.current >= 0:
            segment = body.segments[body.current]
            parts.append(
                Text.assemble(
                    (letter_of(segment.kind), style_of(segment.kind)),
                    f" {one_line(segment.kind, 20)} {body.current + 1}/{len(body.segments)}",
                )
            )
            labels = [span.label for span in body.spans if span.start < segment.end and segment.start < span.end]
            if labels:
                parts.append(Text("* " + one_line(", ".join(labels), 60)))
        if body.query_text:
            current, total = self._hit
            query = one_line(body.query_text, 20)
            parts.append(Text(f"“{query}” {current:,}/{total:,}" if total else f"“{query}” not found"))
        if body.max_scroll_y > 0:
            parts.append(Text(f"{100 * body.scroll_offset.y // body.max_scroll_y}%"))
        self._status.show(Text(" · ").join(parts))
