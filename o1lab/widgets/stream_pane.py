"""A pane of a conversation with one model: deltas are added to it, and it is redrawn up to 20 times a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.style import Style
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from o1lab.text import one_line
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_view import LineView
from o1lab.widgets.sections import Mark, Section
from o1lab.widgets.wrap import WrappedText

FLUSHES_PER_SECOND = 20
ANSWER_HEADER = "─ answer"

Part = Literal["user", "note", "thought", "answer", "error"]
_STYLES: dict[Part, Style] = {
    "user": Style(bold=True),
    "note": Style(color="yellow"),
    "thought": Style(dim=True, italic=True),
    "answer": Style.null(),
    "error": Style(color="red", bold=True),
}


class StreamBody(LineView):
    """The scrolling part of a `StreamPane`: a section for each user turn, thought, answer and error."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "fold_thoughts", "Fold thought", tooltip="Fold or show the thoughts"),
        Binding("ctrl+r", "retry", "Retry", tooltip="Ask the failed answer again"),
    ]

    @dataclass
    class Retry(Message):
        """The retry key was pressed after a failed answer."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Part] = []
        self.folding = False
        """Whether thoughts are folded."""
        self.sticky = True
        self._tokens: dict[int, int] = {}
        self._pending: dict[int, list[str]] = {}

    def line_style(self, section: int) -> Style:
        return _STYLES[self.parts[section]]

    def marks(self, section: int, start: int, end: int) -> Iterable[Mark]:
        if self.parts[section] == "user" and start == 0:
            yield Mark(0, 2, Style(color="cyan", bold=True))

    # Adding text.

    def add(self, part: Part, text: str) -> int:
        """Append a section and return its index."""
        section = Section(WrappedText(text, self.text_width), folded=part == "thought" and self.folding)
        if part == "answer" and self.parts and self.parts[-1] == "thought":
            section.header = ANSWER_HEADER  # for terminals that show neither dim nor italic
        self.parts.append(part)
        self.sections.append(section)
        self.found.add(text)
        index = len(self.parts) - 1
        self._title(index)
        self.rearrange()
        self.stick()
        return index

    def feed(self, section: int, delta: str) -> None:
        """Buffer a delta until the next flush."""
        self._pending.setdefault(section, []).append(delta)

    def flush(self) -> None:
        """Draw the buffered deltas."""
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        for section, deltas in pending.items():
            self.extend(section, "".join(deltas))
            self._title(section)
        self.stick()

    def stick(self) -> None:
        """Scroll to the end, unless the user scrolled away from it."""
        if self.sticky:
            self.call_after_refresh(self._go_to_end)

    def _go_to_end(self) -> None:
        if self.sticky:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value != old_value:
            self.sticky = new_value >= self.max_scroll_y

    def go_to_row(self, row: int, place: tuple[int, int] | None = None) -> None:
        # Called by folding and resizing to keep the place: the user did not scroll.
        sticky = self.sticky
        super().go_to_row(row, place)
        self.sticky = sticky
        self.stick()

    def show_place(self, section: int, offset: int, *, margin: int = 2) -> None:
        self.sticky = False
        super().show_place(section, offset, margin=margin)

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` sections."""
        del self.parts[count:], self.sections[count:]
        self.sections.recount()
        self.found.keep(count)
        self._pending = {section: deltas for section, deltas in self._pending.items() if section < count}
        self._tokens = {section: tokens for section, tokens in self._tokens.items() if section < count}
        self.rearrange()
        self.stick()

    # Thoughts.

    def _title(self, section: int) -> None:
        """Update the header of a thought: ▸ thought (118 tokens)."""
        if self.parts[section] != "thought":
            return
        part = self.sections[section]
        size = len(part.text.text)
        count = f"{self._tokens[section]:,} tokens" if section in self._tokens else f"{size:,} chars"
        title = f"{'▸' if part.folded else '▾'} thought ({count})"
        if title != part.header:
            appeared, part.header = not part.header, title
            if appeared:
                self.count_rows()
                self.restyle(self.sections.tops[section])
            elif section < len(self.sections.tops):
                top = self.sections.tops[section]
                self.restyle_rows(top, top)

    def set_tokens(self, section: int, tokens: int | None) -> None:
        if tokens is None:
            self._tokens.pop(section, None)
        else:
            self._tokens[section] = tokens
        self._title(section)

    def action_fold_thoughts(self) -> None:
        """Fold or show all thoughts, future ones included."""
        self.folding = not self.folding
        for index, part in enumerate(self.parts):
            if part == "thought":
                self.sections[index].folded = self.folding
                self._title(index)
        self.rearrange()
        self.stick()

    def reveal(self, section: int, offset: int) -> None:
        if self.sections[section].folded:
            self.sections[section].folded = False
            self._title(section)
            self.rearrange()

    # Actions.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "retry":
            return bool(self.parts) and self.parts[-1] == "error"
        if action == "fold_thoughts":
            return "thought" in self.parts
        return super().check_action(action, parameters)

    def action_retry(self) -> None:
        self.post_message(self.Retry())

    def action_bottom(self) -> None:
        self.sticky = True
        self._go_to_end()


class StreamPane(Vertical):
    """The turns of user and assistant, with thought and answer in different styles.

    The pane stays scrolled to the end unless the user scrolls up. Call its methods in the app's thread only. The title
    is in the top border, the status line in the bottom border. Keys: those of LineView; f folds or unfolds thoughts.
    """

    DEFAULT_CSS = """
    StreamPane {
        border: round $foreground 50%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground;
        height: 1fr;
        width: 1fr;
        background: $background;
        &:focus-within { border: heavy $border; }
        StreamBody { height: 1fr; }
    }
    """

    @dataclass
    class RetryRequested(Message):
        """The user pressed ctrl+r on a pane whose last answer failed."""

        pane: StreamPane

    def __init__(self, title: str = "", *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self.body = StreamBody()
        self._streaming = False
        self._thought: int | None = None
        self._answer: int | None = None
        self._timer: Timer | None = None
        self.set_title(title)

    def compose(self) -> ComposeResult:
        yield self.body

    def on_mount(self) -> None:
        self._timer = self.set_interval(1 / FLUSHES_PER_SECOND, self.body.flush, pause=not self._streaming)

    def focus(self, scroll_visible: bool = True) -> StreamPane:
        self.body.focus(scroll_visible)
        return self

    # The frame.

    def set_title(self, title: str) -> None:
        # Content, because a string would be parsed as markup.
        self.border_title = Content(one_line(title, 200))

    def set_status(self, status: str) -> None:
        """Show a line about the answer (tokens, ttft, tok/s, verdict) in the bottom border."""
        self.border_subtitle = Content(one_line(status, 200))

    # Turns.

    def add_user(self, text: str) -> None:
        """Add a user's turn."""
        self.body.add("user", f"> {text}")

    def begin_assistant(self) -> None:
        """Start an assistant's turn; deltas go to it until ``finish`` or ``fail``."""
        self._streaming = True
        self._thought = self._answer = None
        if self._timer is not None:
            self._timer.resume()

    def add_note(self, text: str) -> None:
        """Add a note about the request to the current assistant turn, unless an earlier turn shows it."""
        line, body = f"• {text}", self.body
        if not any(body.sections[i].text.text == line for i, part in enumerate(body.parts) if part == "note"):
            body.add("note", line)

    def append_thought(self, delta: str) -> None:
        """Add to the thought of the current assistant turn (drawn at the next flush)."""
        if self._thought is None:
            self._thought = self.body.add("thought", "")
        self.body.feed(self._thought, delta)

    def append_answer(self, delta: str) -> None:
        """Add to the answer of the current assistant turn (drawn at the next flush)."""
        if self._answer is None:
            delta = delta.lstrip("\n")
            if not delta:
                return
            self._answer = self.body.add("answer", "")
        self.body.feed(self._answer, delta)

    def set_thought_tokens(self, tokens: int | None) -> None:
        """Set the token count in the header of the thought; None: show the number of characters."""
        if self._thought is not None:
            self.body.set_tokens(self._thought, tokens)

    def finish(self) -> None:
        """End the assistant's turn: flush now."""
        self._streaming = False
        self.body.flush()
        if self._timer is not None:
            self._timer.pause()

    def fail(self, message: str, hint: str = "ctrl+r to try again") -> None:
        """End the turn with an error and a hint; text received so far is kept."""
        self.finish()
        self.body.add("error", f"✗ {message}" + (f"\n  {hint}" if hint else ""))
        self.body.refresh_bindings()

    def add_assistant(self, answer: str, thought: str = "", thought_tokens: int | None = None) -> None:
        """Add a whole assistant turn at once (a saved conversation)."""
        self.begin_assistant()
        if thought:
            self.append_thought(thought)
            self.set_thought_tokens(thought_tokens)
        self.append_answer(answer)
        self.finish()

    def drop_last_assistant(self) -> None:
        """Remove the last assistant turn with its error (regenerate, retry)."""
        count = len(self.body.parts)
        while count and self.body.parts[count - 1] != "user":
            count -= 1
        self.body.truncate(count)
        self._thought = self._answer = None

    def clear(self) -> None:
        """Remove all turns."""
        self.finish()
        self.body.truncate(0)
        self._thought = self._answer = None

    # State.

    @property
    def streaming(self) -> bool:
        """Whether an assistant's turn has not ended yet."""
        return self._streaming

    @property
    def last_thought(self) -> str:
        """The thought of the last assistant turn, as received so far."""
        if self._thought is None:
            return ""
        self.body.flush()
        return self.body.sections[self._thought].text.text

    def on_stream_body_retry(self, event: StreamBody.Retry) -> None:
        event.stop()
        self.post_message(self.RetryRequested(self))
