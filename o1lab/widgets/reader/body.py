"""The scrolling part of the chain reader: the thought with its gutter, folds and selection, then the solution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.segment import Segment as Drawn
from rich.style import Style
from textual import events, work
from textual.binding import BindingType
from textual.message import Message

from o1lab.widgets.keys import Binding
from o1lab.widgets.line_view import LineView
from o1lab.widgets.reader.document import Outline, ReaderDocument, Sign, Span, letter_of, style_of
from o1lab.widgets.reader.selecting import SELECTING, Selecting, Step, stepped
from o1lab.widgets.rendered import is_long, laid_out
from o1lab.widgets.sections import Mark, Section
from o1lab.widgets.typed_ahead import post_held
from o1lab.widgets.wrap import WrappedText

THOUGHT = 0
"""The section of the thought; the solution is the next one."""

_BOLD = Style(bold=True)
_FAINT = Style(dim=True, bold=False)


class ReaderBody(LineView):
    """The text of a `ChainReader`, which documents the keys."""

    MOVES = Binding.Group("Moves", compact=True)
    FOLDS = Binding.Group("Fold", compact=True)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "next_move('reflect')", "Next reflect", group=MOVES, tooltip="Go to the next reflection"),
        Binding("b", "backtrack_or_word", "Next backtrack", group=MOVES, tooltip="Go to the next backtracking"),
        Binding("R", "previous_move('reflect')", "Previous reflect", group=MOVES, show=False,
                tooltip="Go to the previous reflection"),
        Binding("B", "previous_move('backtrack')", "Previous backtrack", group=MOVES, show=False,
                tooltip="Go to the previous backtracking"),
        Binding("]", "next_move", "Next move", group=MOVES, show=False, tooltip="Go to the next move"),
        Binding("[", "previous_move", "Previous move", group=MOVES, show=False, tooltip="Go to the previous move"),
        Binding("f", "fold", "Fold move", group=FOLDS, tooltip="Fold or show this move"),
        Binding("F", "fold_kind", "Fold all of its kind", group=FOLDS, tooltip="Fold or show all moves of this kind"),
        Binding("=", "unfold_all", "Unfold all", group=FOLDS, show=False, tooltip="Show all moves whole"),
        *SELECTING,
    ]  # fmt: skip
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

        layout: bool = False
        """Whether the rows changed, so that the minimap must be recomputed."""

    @dataclass
    class Selected(Message):
        """The selection was confirmed: code points [start, end) of the thought."""

        start: int
        end: int

    gutter_width: ClassVar[int] = 4

    def __init__(self) -> None:
        super().__init__()
        self.document: ReaderDocument | None = None
        self.segments = Outline()
        self.spans: list[Span] = []
        self.signs: dict[int, list[Sign]] = {}
        """The signs of each move that has any, by its index."""
        self.current = -1
        self.selecting: Selecting | None = None
        self.shading: Callable[[int, int, int], Iterable[Mark]] = lambda _section, _start, _end: ()
        """Draws marks behind the others: of a section, from a code point to another. See ``marks``."""
        self._folded: set[int] = set()
        self._waiting = False  # for the width, to lay out a document
        self.correcting = False  # whether capital letters correct the kinds of selected moves

    # Loading.

    def load(self, document: ReaderDocument | None) -> None:
        """Show a document from its beginning, as soon as the width is known."""
        self.document = document
        self.segments = Outline(document.segments, len(document.thought)) if document else Outline()
        self.spans = sorted(Span(*span) for span in document.spans) if document else []
        self.signs = self.segments.placed(document.signs if document else ())
        self._folded.clear()
        if self.selecting is not None:
            self.selecting = None
            self.refresh_bindings()
        self.current = 0 if self.segments else -1
        self._waiting = not self.size.width
        if not self._waiting:
            self._show_document()

    def on_resize(self, event: events.Resize) -> None:
        if self._waiting:
            self._waiting = False
            self._show_document()
        self.post_message(self.Changed(layout=True))

    def _show_document(self) -> None:
        document = self.document
        sections = []
        if document is not None:
            sections.append(Section(self.laid_out(document.thought, self.segments.breaks(document.thought))))
            if document.solution:
                header = "solution" if document.thought else ""
                sections.append(Section(self.laid_out(document.solution), header=header))
        self.show_sections(sections)
        self._render_rest()
        self.post_message(self.Changed(layout=True))

    def laid_out(self, text: str, breaks: Sequence[int] = ()) -> WrappedText:
        place = self.top_place[1] if self.sections else 0
        return laid_out(text, self.text_width, breaks, rendered=not self.raw, whole=False, place=place)

    @work(thread=True, exclusive=True, group="render")
    def _render_rest(self) -> None:
        """Render the long texts whole, in the background, and keep the place when they replace the shown ones."""
        width = self.text_width
        for section in [] if self.raw else list(self.sections):
            if is_long(section.text.text):
                text = laid_out(section.text.text, width, section.text.breaks)
                self.app.call_from_thread(self._replace_text, section, text)

    def _replace_text(self, section: Section, text: WrappedText) -> None:
        if not self.raw and any(section is shown for shown in self.sections):
            text.rewrap(self.text_width)
            section.text = text
            self.rearrange()
            self.post_message(self.Changed(layout=True))

    def action_toggle_raw(self) -> None:
        super().action_toggle_raw()
        self._render_rest()
        self.post_message(self.Changed(layout=True))

    def set_spans(self, spans: Iterable[Span | tuple[int, int, str]], signs: Iterable[Sign] = ()) -> None:
        self.spans = sorted(Span(*span) for span in spans)
        self.signs = self.segments.placed(signs)
        self.restyle()
        self.post_message(self.Changed())

    def remark(self, document: ReaderDocument) -> None:
        """Show other kinds, spans and signs of the same text without scrolling."""
        self.document = document
        self.segments = Outline(document.segments, len(document.thought))
        self.set_spans(document.spans, document.signs)
        self.post_message(self.Changed(layout=True))

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
        first = self.sections[THOUGHT].text.line_of(segment.start) == line
        letter = letter_of(segment.kind) if first else "│"
        mark, drawn = " ", base
        if first and index in self.signs:
            mark, drawn = self.signs[index][0].sign, base + Style.parse(self.signs[index][0].style)
        elif first and index in self._folded:
            mark = "▸"
        elif span := next((one for one in self.spans if one.start < end and start < one.end), None):
            mark, drawn = span.mark, base + Style(color=span.colour or None, bold=bool(span.colour))
        return [
            Drawn(bar, base + _BOLD),
            Drawn(letter, style if first else style + _FAINT),
            Drawn(mark, drawn),
            Drawn(" ", base),
        ]

    def header_of(self, section: int) -> list[Drawn]:
        width = self.text_width + self.gutter_width
        rule = f"── {self.sections[section].header} ".ljust(width, "─")
        return [Drawn(rule, self.base_style + self.style_named("line-view--header"))]

    def marks(self, section: int, start: int, end: int) -> Iterable[Mark]:
        yield from self.shading(section, start, end)
        if section != THOUGHT:
            return
        style = self.style_named("reader--span")
        for span in self.spans:
            if span.start < end and start < span.end:
                yield Mark(span.start, span.end, style + Style(color=span.colour) if span.colour else style)
        if (selected := self.selection_span) is not None:
            yield Mark(*selected, self.style_named("line-view--selection"))
        if self.selecting is not None and self.selecting.by == "chars":
            at = self.selecting.end
            yield Mark(*self.sections[THOUGHT].text.whole(at), self.style_named("reader--cursor"))

    def tail(self, section: int, line: int) -> str:
        if section != THOUGHT or not self._folded:
            return ""
        text = self.sections[THOUGHT].text
        index = self.segments.at(text.span(line)[0])
        if index not in self._folded:
            return ""
        first, stop = text.lines_inside(*self.segments[index][1:])
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
        self.post_message(self.Changed())

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

    def _refold(self) -> None:
        if self.sections:
            self.sections[THOUGHT].hidden = [self.segments[index][1:] for index in sorted(self._folded)]
            self.rearrange()
            self.post_message(self.Changed(layout=True))

    def reveal(self, section: int, offset: int) -> None:
        if section == THOUGHT and (index := self.segments.at(offset)) in self._folded:
            self.fold([index], False)

    # Selection.

    @property
    def selection_span(self) -> tuple[int, int] | None:
        """The selection as (start, end) in code points of the thought; None without one."""
        if self.selecting is None:
            return None
        start, end = self.selecting.span(self.segments)
        text = self.sections[THOUGHT].text  # of a formula, all that is drawn together
        return (start, end) if self.selecting.by == "moves" else (text.whole(start)[0], text.whole(end - 1)[1])

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
        self.post_message(self.Changed())

    # Actions.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("take_selection", "swap_ends"):
            return self.selecting is not None
        if action == "cancel":
            return self.selecting is not None or bool(self.query_text)
        if action == "move_end":
            return self.selecting is not None and self.selecting.by == "chars"
        if action in ("previous_move", "fold_kind") and (parameters or action == "fold_kind"):
            return not (self.correcting and self.selecting is not None)  # the letter is a kind then
        return super().check_action(action, parameters)

    def action_line_down(self) -> None:
        super().action_line_down() if self.selecting is None else self._step_line("down")

    def action_line_up(self) -> None:
        super().action_line_up() if self.selecting is None else self._step_line("up")

    def _step_line(self, where: Literal["up", "down"]) -> None:
        if self.selecting is not None and self.selecting.by == "moves":
            self.action_select_moves(1 if where == "down" else -1)
        else:
            self.action_move_end(where)

    def action_move_end(self, step: Step) -> None:
        """Move the end of a selection that is made by characters."""
        if self.selecting is not None:
            self._select(self.selecting.to(stepped(self.selecting.end, step, self.sections[THOUGHT])))

    def action_backtrack_or_word(self) -> None:
        if self.selecting is not None and self.selecting.by == "chars":
            self.action_move_end("back")
        else:
            self.action_next_move("backtrack")

    def action_next_move(self, kind: str | None = None) -> None:
        self._go_on(1, kind, "below")

    def action_previous_move(self, kind: str | None = None) -> None:
        self._go_on(-1, kind, "above")

    def _go_on(self, step: Literal[1, -1], kind: str | None, where: str) -> None:
        if not self.step_move(step, kind):
            self.notify(f"No {kind} move {where}." if kind else f"No move {where}.", severity="warning", timeout=2)

    def action_fold(self) -> None:
        if self.current >= 0:
            self.fold([self.current], None)

    def action_fold_kind(self) -> None:
        if self.current >= 0:
            self.fold(self.segments.of_kind(self.segments[self.current].kind), None)

    def action_unfold_all(self) -> None:
        self._folded.clear()
        self._refold()

    def action_select(self) -> None:
        if self.document is not None and self.document.thought:
            section, offset = self.top_place
            place = offset if section == THOUGHT else 0
            self._select(Selecting.after(self.selecting, self.segments, self.current, place))

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
            post_held(self, self.Selected(*span))

    def action_cancel(self) -> None:
        self._select(None) if self.selecting is not None else self.search("")
