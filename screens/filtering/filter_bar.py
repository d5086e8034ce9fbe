"""The filter bar of a list: an input with completion and history, with its help or its error below."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static
from textual.worker import Worker

from o1lab.text import visible
from o1lab.widgets.line_input import LineInput
from o1lab.widgets.tall_text import TallText
from store.errors import QueryError
from store.filters import Language, Query

PAUSE_S = 0.2  # without a key, before the list is filtered


class _Completion(Suggester):
    """Completes field names and values."""

    def __init__(self, language: Language) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.language = language
        self.values: Mapping[str, Sequence[str]] = {}

    async def get_suggestion(self, value: str) -> str | None:
        return self.language.complete(value, self.values)


class FilterInput(LineInput):
    """The input of the bar. It is outside the focus chain, so that a screen that opens focuses its list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Use the filter"),
        Binding("tab", "complete", "Complete", show=False),
        Binding("up", "recall(-1)", "Earlier filter", show=False),
        Binding("down", "recall(1)", "Later filter", show=False),
        Binding("escape", "restore", "Back"),
    ]

    def __init__(self, bar: FilterBar, placeholder: str, completion: Suggester) -> None:
        super().__init__(
            placeholder=placeholder, suggester=completion, select_on_focus=False, compact=True, id="filter-line"
        )
        self._bar = bar

    def on_mount(self) -> None:
        self.can_focus = False

    def on_blur(self) -> None:
        if self.app.app_focus:  # otherwise the terminal lost the focus, and the input gets it back
            self.can_focus = False

    def on_click(self) -> None:
        self.screen.set_focus(self._bar.editable())

    def action_complete(self) -> None:
        """Accept the completion after the cursor."""
        if self.cursor_at_end and self._suggestion:
            self.value = self._suggestion
            self.cursor_position = len(self.value)

    def action_recall(self, step: int) -> None:
        """Show an earlier or a later filter of the history."""
        self._bar.recall(step)

    async def action_submit(self) -> None:
        """Use the filter. The focus moves at once, so that the next key goes to the list."""
        self._bar.submit()

    def action_restore(self) -> None:
        """Leave the input and restore the previous filter."""
        self._bar.restore()


class FilterBar(Vertical):
    """The filter of a list, and the input that changes it.

    The bar parses the text while it is typed, and posts ``Changed`` after a pause, on enter and on escape. Escape
    restores the filter from before the input got the focus. Up and down show earlier filters.
    """

    DEFAULT_CSS = """
    FilterBar {
        height: auto;
        #filter-line { height: 1; border: none; padding: 0 1; background: $surface; }
        #filter-help { height: auto; max-height: 3; padding: 0 1; color: $text-muted; display: none; }
        &.-typing #filter-help, &.-wrong #filter-help { display: block; }
        &.-wrong #filter-help { color: $text-warning; text-style: bold; }
    }
    """

    class Changed(Message):
        """Another filter is in use, or the input was left.

        Attributes:
            query: The filter in use.
            final: Whether the input was left, by enter or escape.
            restored: Whether escape restored this filter.
        """

        def __init__(self, query: Query, *, final: bool = False, restored: bool = False) -> None:
            super().__init__()
            self.query = query
            self.final = final
            self.restored = restored

    def __init__(self, kind: type[Query], list_selector: str, *, placeholder: str, id: str | None = None) -> None:
        """Create the bar.

        Args:
            kind: The class of the parsed filter; its language completes, explains and checks the text.
            list_selector: The widget of the screen that gets the focus when the input is left.
            placeholder: The text of the empty input.
            id: The id of the bar.
        """
        super().__init__(id=id)
        self.kind = kind
        self.language = kind.LANGUAGE
        self.list_selector = list_selector
        self.filter: Query = kind()
        self._placeholder = placeholder
        self._completion = _Completion(self.language)
        self._before: Query = self.filter
        self._history: list[str] = []
        self._recalled = 0
        self._pause: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield FilterInput(self, self._placeholder, self._completion)
        yield TallText(id="filter-help", markup=False)

    @property
    def input(self) -> FilterInput:
        return self.query_one(FilterInput)

    def set_values(self, values: Mapping[str, Sequence[str]]) -> None:
        """Set the values for completion, by field."""
        self._completion.values = values

    def set_filter(self, query: Query) -> None:
        """Show a filter that is in use already; nothing is posted."""
        self.filter = self._before = query
        self._show(query.source)
        self._show_help(self.language.explain(query.source))

    def editable(self) -> FilterInput:
        """Return the input, ready to get the focus."""
        self.input.can_focus = True
        return self.input

    def submit(self) -> None:
        """Use the typed filter, if it is valid, and leave the input."""
        self._cancel_pause()
        text = self.input.value
        query = self._read(text, complete=True)
        if query is None:
            return
        if text.strip() and text not in self._history[-1:]:
            self._history.append(text)
        self._leave(query)

    def restore(self) -> None:
        """Restore the filter from before the input got the focus, and leave the input."""
        self._cancel_pause()
        self._show(self._before.source)
        self._show_help(self.language.explain(self._before.source))
        self._leave(self._before, restored=True)

    def recall(self, step: int) -> None:
        """Show an earlier (-1) or later (1) filter of the history in the input; after the last one it is empty."""
        self._recalled = max(0, min(self._recalled + step, len(self._history)))
        if self._history:
            self.input.value = [*self._history, ""][self._recalled]
            self.input.cursor_position = len(self.input.value)

    def on_descendant_focus(self) -> None:
        if not self.has_class("-typing"):
            self._before, self._recalled = self.filter, len(self._history)
        self._show_help(self.language.explain(self.input.value))
        self.add_class("-typing")

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        if self.app.app_focus:
            self.remove_class("-typing")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._cancel_pause()
        query = self._read(event.value, complete=False)
        if query is not None and not self.language.may_become_field(event.value):
            self._pause = self._follow(query)

    @work(exclusive=True, group="typing")
    async def _follow(self, query: Query) -> None:
        """Use a filter after a pause. Not a timer, since Textual skips a late one on a busy machine."""
        await asyncio.sleep(PAUSE_S)
        if query != self.filter:
            self.filter = query
            self.post_message(self.Changed(query))

    def _leave(self, query: Query, *, restored: bool = False) -> None:
        self.filter = query
        self.post_message(self.Changed(query, final=True, restored=restored))
        self.screen.set_focus(self.screen.query_one(self.list_selector))

    def _cancel_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()

    def _show(self, text: str) -> None:
        with self.prevent(Input.Changed):
            self.input.value = text
            self.input.cursor_position = len(text)

    def _read(self, text: str, *, complete: bool) -> Query | None:
        """Parse a filter and show its help or its error.

        Args:
            text: The filter.
            complete: Whether the text is complete, so that an unfinished filter is an error.
        """
        unfinished = self.language.is_unfinished(text)
        try:
            query = self.kind.parse(text)
        except QueryError as error:
            typing = not complete and (unfinished or text.endswith(("-", '"')))
            if typing and unfinished:
                self._show_help(self.language.explain(text))
            else:
                self._show_help(f"{error.message} {error.hint}", wrong=not typing)
            return None
        self._show_help(self.language.explain(text))
        return None if unfinished and not complete else query

    def _show_help(self, text: str, *, wrong: bool = False) -> None:
        self.set_class(wrong, "-wrong")
        self.query_one("#filter-help", Static).update(Text(("! " if wrong else "") + visible(text)))
