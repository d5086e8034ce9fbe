"""The chain reader: a whole thought at once however long, its moves in a gutter, then the solution."""

from __future__ import annotations

from dataclasses import dataclass

from textual.containers import Vertical
from textual.message import Message

from o1lab.widgets.document import ReaderDocument


class ChainReader(Vertical):
    """Shows a `ReaderDocument`. Focus goes to its body (``reader.focus()`` passes it on).

    Keys: those of LineView; ] [ next and previous move; r R next and previous reflect, b B backtrack;
    J K (shift+j, shift+k) select by moves; v starts a selection by moves, v again by characters
    (h j k l w b 0 $ move its end, o swaps ends), enter confirms, escape gives up; f folds the move,
    F folds every move of its kind, = unfolds all; / searches, n p the hits.
    """

    @dataclass
    class SpanSelected(Message):
        """A person selected the code points [start, end) of the thought and pressed enter."""

        reader: ChainReader
        start: int
        end: int

        @property
        def control(self) -> ChainReader:
            return self.reader

    @dataclass
    class MoveChanged(Message):
        """Another move is the current one; ``index`` is its place in ``document.segments`` (-1: none)."""

        reader: ChainReader
        index: int
        kind: str

        @property
        def control(self) -> ChainReader:
            return self.reader

    document: ReaderDocument | None

    def __init__(
        self, document: ReaderDocument | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)

    def load(self, document: ReaderDocument | None) -> None:
        """Show a chain from its beginning (None: nothing); folds, search and selection start afresh."""

    def set_spans(self, spans: object) -> None:
        """Replace the annotated spans, keeping the place (``Sequence[Span | tuple[int, int, str]]``)."""

    def next_move(self, kind: str | None = None) -> bool:
        """Go to the next move (of a kind, by name or letter); False if there is none after this one."""
        raise NotImplementedError

    def previous_move(self, kind: str | None = None) -> bool:
        """Go to the previous move (of a kind); False if there is none before this one."""
        raise NotImplementedError

    def fold(self, kind: str | None = None, folded: bool | None = None) -> None:
        """Fold (True), unfold (False) or toggle (None) the current move, or every move of a kind."""

    def unfold_all(self) -> None: ...

    def search(self, query: str) -> int:
        """Highlight and count; see LineView.search. Folded moves that hold the hit gone to are opened."""
        raise NotImplementedError

    def open_search(self) -> None:
        """Open the one-line search prompt (the `/` key)."""

    @property
    def selection_span(self) -> tuple[int, int] | None:
        """What is selected now, in code points of the thought."""
        raise NotImplementedError

    def clear_selection(self) -> None: ...

    def go_to(self, offset: int) -> None:
        """Bring code point ``offset`` of the thought into sight (a jump from an annotation)."""

    @property
    def place(self) -> int:
        """The code point of the thought at the top of the view, to come back to with ``restore``."""
        raise NotImplementedError
