"""The chain reader: a thought of any length with its moves in a gutter and on a map, then the solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment as Drawn
from rich.text import Text
from textual import binding, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from o1lab.text import one_line
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_view import LineView
from o1lab.widgets.reader.body import THOUGHT, ReaderBody
from o1lab.widgets.reader.document import LabelKey, ReaderDocument, Segment, letter_of, style_of
from o1lab.widgets.reader.minimap import Minimap
from o1lab.widgets.reader.selecting import LETTERS, MARKING, keys_line, selection_line
from o1lab.widgets.typed_ahead import post_held


class SearchBar(Input):
    """The one-line input for a search, which runs while it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "Give up", show=False, tooltip="Close the search and forget it")
    ]

    @dataclass
    class GivenUp(Message):
        """Escape was pressed: the search is cleared."""

    def action_give_up(self) -> None:
        self.post_message(self.GivenUp())


class ReaderStatus(Widget):
    """One line of text that changes often, cut with an ellipsis if it is too long.

    A ``Static`` would lay it out as a page each time, which takes longer than scrolling the text above it.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = "ReaderStatus { height: 1; }"

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
        return Strip(Drawn.apply_style(text.render(self.app.console), self.visual_style.rich_style))


class ChainReader(Grid):
    """Shows a `ReaderDocument`. Focus goes to its body (``reader.focus()`` passes it on).

    Keys: those of LineView; ] [ next and previous move; r R next and previous reflect, b B backtrack;
    J K (shift+j, shift+k) select by moves; v starts a selection by moves, v again by characters
    (h j k l w b 0 $ move its end, o swaps ends), enter confirms, escape cancels; f folds the move,
    F folds all moves of its kind, = unfolds all; M shows the raw text; / searches, n p go to the next and previous hit.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *MARKING,
        Binding("slash", "open_search", "Search", key_display="/", tooltip="Search in this text"),
    ]
    DEFAULT_CSS = """
    ChainReader {
        height: 1fr;
        background: $background;
        grid-size: 2;
        grid-columns: 1fr 3;
        grid-rows: 1fr 1 1 1;
        ReaderBody { width: 1fr; height: 1fr; }
        ReaderStatus { column-span: 2; color: $text-muted; background: $surface; }
        SearchBar {
            column-span: 2; height: 1; border: none; padding: 0; display: none; background: $surface;
        }
        SearchBar:focus { border: none; }
        .reader--labels { display: none; }
        &.-labelling .reader--labels { display: block; }
    }
    """

    @dataclass
    class SpanSelected(Message):
        """The user selected the code points [start, end) of the thought and pressed enter."""

        reader: ChainReader
        start: int
        end: int

    @dataclass
    class Marked(Message):
        """The user gave spans of the thought a label (``kind`` is ``span``), or moves another kind (``move``)."""

        reader: ChainReader
        kind: str
        value: str
        spans: tuple[tuple[int, int], ...]

    def __init__(
        self,
        document: ReaderDocument | None = None,
        *,
        labelling: bool = False,
        correcting: bool = False,
        id: str | None = None,
    ) -> None:
        """Create the reader.

        Args:
            document: What it shows.
            labelling: Whether digits give labels to a selection.
            correcting: Whether capital letters correct the kinds of selected moves.
            id: The id of the widget.
        """
        super().__init__(id=id)
        self.labelling, self.correcting = labelling, correcting
        self.body = ReaderBody()
        self.body.correcting = correcting
        self._minimap = Minimap(self.body)
        self._status = ReaderStatus(classes="reader--status")
        self._labels = ReaderStatus(classes="reader--labels")
        self._search = SearchBar(placeholder="search this chain", select_on_focus=True, compact=True)
        self._hit = (0, 0)
        self._aside: Text | None = None
        self._place_before_search = 0
        self.body.load(document)

    def compose(self) -> ComposeResult:
        yield self.body
        yield self._minimap
        yield self._search
        yield self._labels
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

    def remark(self, document: ReaderDocument) -> None:
        """Show other kinds, spans and signs of the same text without scrolling."""
        self.body.remark(document)

    def set_aside(self, text: Text | None) -> None:
        """Show a text after the status, on a terminal without a line for it; None shows nothing."""
        self._aside = text
        self._show_status()

    @property
    def current_move(self) -> tuple[int, Segment] | None:
        """Number (from 1) and segment of the current move; None without moves."""
        return (self.body.current + 1, self.body.segments[self.body.current]) if self.body.current >= 0 else None

    def action_open_search(self) -> None:
        """Open the one-line search prompt."""
        self._place_before_search = self.place
        # At once: the next key may have been typed already, and as a key of the list it would decide about the chain.
        self._search.display = True
        self.screen.set_focus(self._search)

    @property
    def selected_moves(self) -> list[Segment]:
        """The moves of a selection by moves."""
        return self.body.selecting.moves(self.body.segments) if self.body.selecting else []

    @property
    def labels(self) -> Sequence[LabelKey]:
        """The labels of the lab."""
        return self.document.labels if self.document else ()

    def clear_selection(self) -> None:
        self.body.clear_selection()

    @property
    def place(self) -> int:
        """The code point of the thought at the top of the view, for ``restore``."""
        section, offset = self.body.top_place
        return offset if section == THOUGHT else len(self.document.thought) if self.document else 0

    def restore(self, place: int) -> None:
        """Scroll ``place`` to the top of the view again."""
        self.body.go_to_row(self.body.row_of(THOUGHT, place), (THOUGHT, place))

    # Events.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "give_label":
            return self.labelling and self.body.selecting is not None
        if action == "correct_kind":
            return self.correcting and self.body.selecting is not None
        return super().check_action(action, parameters)

    def in_footer(self, key: binding.Binding) -> bool:
        """Whether the footer shows a key: those for kinds, while moves are selected."""
        return bool(self.selected_moves) or not key.action.startswith("correct_kind")

    def action_give_label(self, digit: int) -> None:
        """Give the selection the label with a digit."""
        label = next((one for one in self.labels if one.digit == digit), None)
        if label is None:
            self.notify(f"No label has the digit {digit}. L changes the labels.", severity="warning", timeout=4)
        elif (span := self.body.selection_span) is not None:
            self.clear_selection()
            self.post_message(self.Marked(self, "span", label.name, (span,)))

    def action_correct_kind(self, kind: str) -> None:
        """Correct the kind of the selected moves that are of another kind."""
        moves = self.selected_moves
        if not moves:
            self.notify("only while moves are selected: esc, then v once", severity="warning", timeout=4)
            return
        spans = tuple((move.start, move.end) for move in moves if move.kind != kind)
        if spans:
            self.clear_selection()
            self.post_message(self.Marked(self, "move", kind, spans))
        else:
            what = "The selected moves are" if len(moves) > 1 else "The move is"
            self.notify(f"{what} {kind} already.", timeout=3)

    def _close_search(self) -> None:
        self._search.display = False
        self.screen.set_focus(self.body)

    @on(Input.Changed)
    def _search_as_typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._search.display:
            self.body.search(event.value)

    @on(Input.Submitted)
    def _search_entered(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value != self.body.query_text:
            self.body.search(event.value)
        self._close_search()

    @on(SearchBar.GivenUp)
    def _search_given_up(self, event: SearchBar.GivenUp) -> None:
        event.stop()
        self.body.search("")
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
        self._show_labels()
        self._show_place()

    def _show_place(self) -> None:
        """Update the minimap and the status line."""
        self._minimap.follow()
        self._show_status()

    @on(ReaderBody.Selected)
    def _pass_selection_on(self, event: ReaderBody.Selected) -> None:
        event.stop()
        post_held(self, self.SpanSelected(self, event.start, event.end))

    def _show_labels(self) -> None:
        """Show what the digits mean while something is selected."""
        shown = self.labelling and self.body.selecting is not None
        self.set_class(shown, "-labelling")
        if shown:
            self._labels.show(keys_line(self.labels, self.size.width))

    def _show_status(self) -> None:
        """Show the selection or the current move, the labels of its spans, the search and the position."""
        body = self.body
        parts: list[Text] = []
        if body.selecting is not None and (span := body.selection_span) is not None:
            kinds = LETTERS if self.correcting else ""
            taken = "own label" if self.labelling else "take"
            chosen = selection_line(span, len(self.selected_moves), kinds=kinds, enter=taken, width=self.size.width)
            parts.append(Text(chosen, style="bold"))
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
            parts += [
                Text.assemble((sign.sign, sign.style), f" {one_line(sign.label, 60)}")
                for sign in body.signs.get(body.current, ())
            ]
        if body.query_text:
            current, total = self._hit
            query = one_line(body.query_text, 20)
            parts.append(Text(f"“{query}” {current:,}/{total:,}" if total else f"“{query}” not found"))
        if body.raw:
            parts.append(Text("raw text"))
        if body.max_scroll_y > 0:
            parts.append(Text(f"{100 * body.scroll_offset.y // body.max_scroll_y}%"))
        line = Text(" · ").join(parts)
        if self._aside:
            line.append("  ").append_text(self._aside)
        self._status.show(line)
