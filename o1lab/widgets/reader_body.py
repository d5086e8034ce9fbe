"""The scrolling part of the chain reader: the thought with its gutter, folds and selection, then the solution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.segment import Segment as Drawn
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from o1lab.widgets.document import Outline, ReaderDocument, Span
from o1lab.widgets.kinds import letter_of, style_of
from o1lab.widgets.line_view import LineView, Mark
from o1lab.widgets.sections import Section
from o1lab.widgets.selecting import Selecting, Step, stepped
from o1lab.widgets.wrap import WrappedText, lines_inside

THOUGHT = 0
"""The section of the thought; the solution is the next one."""

_BOLD = Style(bold=True)
_FAINT = Style(dim=True, bold=False)


class ReaderBody(LineView):
    """The text of a `ChainReader`, which documents the keys."""

    MOVES = Binding.Group("Moves", compact=True)
    FOLDS = Binding.Group("Fold", compact=True)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "next_move('reflect')", "Next reflect", group=MOVES),
        Binding("b", "backtrack_or_word", "Next backtrack", group=MOVES),
        Binding("R", "previous_move('reflect')", "Previous reflect", group=MOVES, show=False),
        Binding("B", "previous_move('backtrack')", "Previous backtrack", group=MOVES, show=False),
        Binding("]", "next_move", "Next move", group=MOVES, show=False),
        Binding("[", "previous_move", "Previous move", group=MOVES, show=False),
        Binding("f", "fold", "Fold move", group=FOLDS),
        Binding("F", "fold_kind", "Fold all of its kind", group=FOLDS),
        Binding("=", "unfold_all", "Unfold all", group=FOLDS, show=False),
        Binding("v", "select", "Select"),
        Binding("J,shift+down", "select_moves(1)", "Select next move", show=False),
        Binding("K,shift+up", "select_moves(-1)", "Select previous move", show=False),
        Binding("enter", "take_selection", "Take selection"),
        Binding("escape", "cancel", "Cancel"),
        Binding("h,left", "move_end('left')", "Left", show=False),
        Binding("l,right", "move_end('right')", "Right", show=False),
        Binding("w", "move_end('word')", "Next word", show=False),
        Binding("0", "move_end('start')", "Line start", show=False),
        Binding("$", "move_end('end')", "Line end", show=False),
        Binding("o", "swap_ends", "Other end", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"reader--span", "reader--cursor"}
    DEFAULT_CSS = """
    ReaderBody {
        scrollbar-size-vertical: 0;
        & > .reader--span { text-style: underline; color: ansi_bright_cyan; }
        & > .reader--cursor { text-style: bold reverse underline; }
    }
    """

    @dataclass
    class Changed(Message):
        """The document, the current move, the selection or the folds changed for another reason than scrolling."""

        body: ReaderBody
        layout: bool = False
        """Whether the rows changed, so that the minimap must be recomputed."""

    @dataclass
    class Selected(Message):
        """The selection was confirmed: code points [start, end) of the thought."""

        body: ReaderBody
        start: int
        end: int

    gutter_width: ClassVar[int] = 4

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.document: ReaderDocument | None = None
        self.segments = Outline()
        self.spans: list[Span] = []
        self.current = -1
        self.selecting: Selecting | None = None
        self._folded: set[int] = set()
        self._waiting = False  # for the width, to lay out a document

    # Loading.

    def load(self, document: ReaderDocument | None) -> None:
        """Show a document from its beginning, as soon as the width is known."""
        self.document = document
        self.segments = Outline(document.segments, len(document.thought)) if document else Outline()
        self.spans = sorted(Span(*span) for span in document.spans) if document else []
        self._folded.clear()
        self.selecting = None
        self.current = 0 if self.segments else -1
        self._waiting = not self.size.width
        if not self._waiting:
            self._show_document()

    def on_resize(self, event: events.Resize) -> None:
        if self._waiting:
            self._waiting = False
            self._show_document()
        self.post_message(self.Changed(self, layout=True))

    def _show_document(self) -> None:
        document, width = self.document, self.text_width
        sections = []
        if document is not None:
            sections.append(Section(WrappedText(document.thought, width, self.segments.breaks(document.thought))))
            if document.solution:
                header = "solution" if document.thought else ""
                sections.append(Section(WrappedText(document.solution, width), header=header))
        self.show_sections(sections)
        self.post_message(self.Changed(self, layout=True))

    def set_spans(self, spans: Iterable[Span | tuple[int, int, str]]) -> None:
        self.spans = sorted(Span(*span) for span in spans)
        self.restyle()
        self.post_message(self.Changed(self))

    # Drawing.

    def gutter_of(self, section: int, line: int) -> list[Drawn]:
        base = self.base_style
        if section != THOUGHT:
            return [Drawn("  ┃ ", base + _FAINT)]
        start, end = self.sections[THOUGHT].text.span(line)
        index = self.segments.at(start)
        if index < 0:
            return [Drawn("    ", base)]
        segment = self.segments[index]
        style = base + style_of(segment.kind)
        bar = "▌" if index == self.current else " "
        first = segment.start == start
        letter = letter_of(segment.kind) if first else "│"
        mark = " "
        if first and index in self._folded:
            mark = "▸"
        elif any(span.start < end and start < span.end for span in self.spans):
            mark = "*"
        return [
            Drawn(bar, base + _BOLD),
            Drawn(letter, style if first else style + _FAINT),
            Drawn(mark + " ", base),
        ]

    def header_of(self, section: int) -> list[Drawn]:
        width = self.text_width + self.gutter_width
        rule = f"── {self.sections[section].header} ".ljust(width, "─")
        return [Drawn(rule, self.base_style + self.style_named("line-view--header"))]

    def marks(self, section: int, start: int, end: int) -> Iterable[Mark]:
        if section != THOUGHT:
            return
        style = self.style_named("reader--span")
        for span in self.spans:
            if span.start < end and start < span.end:
                yield Mark(span.start, span.end, style)
        if (selected := self.selection_span) is not None:
            yield Mark(*selected, self.style_named("line-view--selection"))
        if self.selecting is not None and self.selecting.by == "chars":
            at = self.selecting.end
            yield Mark(at, at + 1, self.style_named("reader--cursor"))

    def tail(self, section: int, line: int) -> str:
        if section != THOUGHT or not self._folded:
            return ""
        text = self.sections[THOUGHT].text
        index = self.segments.at(text.span(line)[0])
        if index not in self._folded:
            return ""
        first, stop = lines_inside(text, *self.segments[index][1:])
        return f" ⋯ {stop - first - 1} more" if line == first and stop > first + 1 else ""

    # The current move.

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._follow()

    def _follow(self) -> None:
        """Make the first visible move the current one if the current move was scrolled out of view."""
        if not self.segments or self.selecting is not None:
            return
        top, bottom = self.scroll_offset.y, self.scroll_offset.y + self.scrollable_content_region.height
        segment = self.segments[max(self.current, 0)]
        if self.row_of(THOUGHT, segment.start) >= bottom or self.row_of(THOUGHT, segment.end - 1) < top:
            section, offset = self.top_place
            if section == THOUGHT:
                self._set_current(self.segments.nearest(offset))

    def _set_current(self, index: int) -> None:
        if index != self.current:
            for changed in (self.current, index):
                if changed >= 0:
                    segment = self.segments[changed]
                    self.restyle_rows(self.row_of(THOUGHT, segment.start), self.row_of(THOUGHT, segment.end - 1))
            self.current = index

    def go_to_move(self, index: int) -> None:
        """Make a move the current one and scroll to its first line."""
        self._set_current(index)
        self.show_place(THOUGHT, self.segments[index].start)
        self.post_message(self.Changed(self))

    def step_move(self, step: Literal[1, -1], kind: str | None = None) -> bool:
        """Go to the next (1) or previous (-1) move, of a kind if given; return False if there is none."""
        index = self.segments.step(self.current, step, kind)
        if index is None:
            return False
        self.go_to_move(index)
        return True

    # Folds.

    def fold(self, indices: Iterable[int], folded: bool | None) -> None:
        """Fold, unfold or (None) toggle moves; toggling folds all of them unless all are folded."""
        chosen = set(indices)
        if folded is None:
            folded = not chosen <= self._folded
        self._folded = self._folded | chosen if folded else self._folded - chosen
        self._refold()

    def unfold_all(self) -> None:
        self._folded.clear()
        self._refold()

    def _refold(self) -> None:
        if self.sections:
            self.sections[THOUGHT].hidden = [self.segments[index][1:] for index in sorted(self._folded)]
            self.rearrange()
            self.post_message(self.Changed(self, layout=True))

    def reveal(self, section: int, offset: int) -> None:
        if section == THOUGHT and (index := self.segments.at(offset)) in self._folded:
            self.fold([index], False)

    # Selection.

    @property
    def selection_span(self) -> tuple[int, int] | None:
        """The selection as (start, end) in code points of the thought; None without one."""
        return None if self.selecting is None else self.selecting.span(self.segments)

    def selected_text(self) -> str:
        if self.document is None:
            return ""
        if (span := self.selection_span) is not None:
            return self.document.thought[slice(*span)]
        return "\n\n".join(part for part in (self.document.thought, self.document.solution) if part)

    def clear_selection(self) -> None:
        self._select(None)

    def _select(self, selecting: Selecting | None) -> None:
        self.selecting = selecting
        if selecting is not None:
            if selecting.by == "moves":
                self.current = selecting.end
                self.show_place(THOUGHT, self.segments[selecting.end].start)
            else:
                self.reveal(THOUGHT, selecting.end)
                self.show_place(THOUGHT, selecting.end)
        self.restyle()
        self.refresh_bindings()
        self.post_message(self.Changed(self))

    def _move_end(self, step: Step) -> None:
        """Move the end of a selection that is made by characters."""
        if self.selecting is not None:
            self._select(self.selecting.to(stepped(self.selecting.end, step, self.sections[THOUGHT])))

    # Actions.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("take_selection", "swap_ends"):
            return self.selecting is not None
        if action == "cancel":
            return self.selecting is not None or bool(self.query_text)
        if action == "move_end":
            return self.selecting is not None and self.selecting.by == "chars"
        return super().check_action(action, parameters)

    def action_line_down(self) -> None:
        self._step_line("down")

    def action_line_up(self) -> None:
        self._step_line("up")

    def _step_line(self, where: Literal["up", "down"]) -> None:
        if self.selecting is None:
            super().action_line_down() if where == "down" else super().action_line_up()
        elif self.selecting.by == "moves":
            self.action_select_moves(1 if where == "down" else -1)
        else:
            self._move_end(where)

    def action_move_end(self, step: Step) -> None:
        self._move_end(step)

    def action_backtrack_or_word(self) -> None:
        if self.selecting is not None and self.selecting.by == "chars":
            self._move_end("back")
        else:
            self.action_next_move("backtrack")

    def action_next_move(self, kind: str | None = None) -> None:
        if not self.step_move(1, kind):
            self.notify(f"No {kind or ''} move below.".replace("  ", " "), severity="warning", timeout=2, markup=False)

    def action_previous_move(self, kind: str | None = None) -> None:
        if not self.step_move(-1, kind):
            self.notify(f"No {kind or ''} move above.".replace("  ", " "), severity="warning", timeout=2, markup=False)

    def action_fold(self) -> None:
        if self.current >= 0:
            self.fold([self.current], None)

    def action_fold_kind(self) -> None:
        if self.current >= 0:
            self.fold(self.segments.of_kind(self.segments[self.current].kind), None)

    def action_unfold_all(self) -> None:
        self.unfold_all()

    def action_select(self) -> None:
        if self.document is None or not self.document.thought:
            return
        if self.selecting is None and self.segments:
            self._select(Selecting("moves", self.current, self.current))
        elif self.selecting is None:
            section, offset = self.top_place
            at = offset if section == THOUGHT else 0
            self._select(Selecting("chars", at, at))
        elif self.selecting.by == "moves":
            at = self.segments[self.selecting.end].start
            self._select(Selecting("chars", at, at))
        else:
            self._select(None)

    def action_select_moves(self, step: int) -> None:
        if not self.segments:
            return
        if self.selecting is None or self.selecting.by == "chars":
            self._select(Selecting("moves", self.current, self.current))
        else:
            end = max(min(self.selecting.end + step, len(self.segments) - 1), 0)
            self._select(self.selecting.to(end))

    def action_swap_ends(self) -> None:
        if self.selecting is not None:
            self._select(self.selecting.swapped())

    def action_take_selection(self) -> None:
        if (span := self.selection_span) is not None:
            self._select(None)
            self.post_message(self.Selected(self, *span))

    def action_cancel(self) -> None:
        if self.selecting is not None:
            self._select(None)
        else:
            self.search("")
