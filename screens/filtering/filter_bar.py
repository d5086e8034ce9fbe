"""The filter bar of a list: an input with completion and history, with its help or its error below."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static
from textual.worker import Worker

from o1lab.remembered import Session
from o1lab.text import one_line, visible
from o1lab.widgets.dialogs import Dialog, PromptDialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.line_input import LineInput
from o1lab.widgets.text_pane import TallText
from screens.base.context import LabContext
from screens.base.screen import task
from store.errors import QueryError
from store.filters import Language, Query
from store.filters import saved as saved_filters

PAUSE_S = 0.2  # without a key, before the list is filtered


class _Completion(Suggester):
    """Completes field names, values, and names of saved filters."""

    def __init__(self, language: Language) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.language = language
        self.values: Mapping[str, Sequence[str]] = {}
        self.saved: Mapping[str, str] = {}

    async def get_suggestion(self, value: str) -> str | None:
        return saved_filters.complete(value, self.saved) or self.language.complete(value, self.values)


class FilterInput(LineInput):
    """The input of the bar. It is outside the focus chain, so that a screen that opens focuses its list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Use the filter", tooltip="Show what the filter finds"),
        Binding("tab", "complete", "Complete", show=False, tooltip="Complete the field or its value"),
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
        self.can_focus = True
        self.screen.set_focus(self)

    def action_complete(self) -> None:
        """Accept the completion after the cursor."""
        if self.cursor_at_end and self._suggestion:
            self.value = self._suggestion
            self.cursor_position = len(self.value)

    async def action_submit(self) -> None:
        """Use the filter. The focus moves at once, so that the next key goes to the list."""
        self._bar.submit()


SAVED_BINDINGS: list[BindingType] = [
    Binding("ctrl+s", "save_filter", "Save filter", show=False, tooltip="Save the filter under a name"),
    Binding("ctrl+o", "saved", "Saved filters", show=False, tooltip="Use a saved filter, or delete one"),
]
"""The keys for saved filters on a screen: the same as in the bar."""


class FilterBar(Vertical):
    """The filter of a list, and the input that changes it.

    The bar parses the text while it is typed, and posts ``Changed`` after a pause, on enter and on escape. Escape
    restores the filter from before the input got the focus. Up and down show earlier filters. When it is opened
    with its key, typing replaces the filter; `end` keeps it. The lab stores the filter in use, the history, and saved
    filters.
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

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "recall(-1)", "Earlier filter", show=False, tooltip="Show the previous filter of the history"),
        Binding("down", "recall(1)", "Later filter", show=False, tooltip="Show the next filter of the history"),
        Binding("ctrl+s", "save_filter", "Save", tooltip="Save the filter under a name, to use it as saved:NAME"),
        Binding("ctrl+o", "saved", "Saved", tooltip="Use a saved filter, or delete one"),
        Binding("escape", "restore", "Back", tooltip="Leave the filter as it was"),
    ]

    @dataclass
    class Changed(Message):
        """Another filter is in use, or the input was left.

        Attributes:
            query: The filter in use.
            final: Whether the input was left, by enter or escape.
            restored: Whether escape restored this filter.
        """

        query: Query
        final: bool = False
        restored: bool = False

    def __init__(
        self,
        kind: type[Query],
        list_selector: str,
        *,
        placeholder: str,
        context: LabContext | None = None,
        id: str | None = None,
    ) -> None:
        """Create the bar.

        Args:
            kind: The class of the parsed filter; its language completes, explains and checks the text.
            list_selector: The widget of the screen that gets the focus when the input is left.
            placeholder: The text of the empty input.
            context: The lab that stores filters; None: the history lasts as long as the bar.
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
        self._lab = context
        self._session = context.session if context is not None else Session()
        self._recalled = 0
        self._pause: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield FilterInput(self, self._placeholder, self._completion)
        yield TallText(id="filter-help", markup=False)

    @property
    def input(self) -> FilterInput:
        return self.query_one(FilterInput)

    def set_values(self, values: Mapping[str, Sequence[str]]) -> None:
        """Set the values in this lab by field, which completion offers and the filter is checked against.

        The same values again leave the help as it is, such as the confirmation of a saved filter.
        """
        if values != self._completion.values:
            self._completion.values = values
            self._read(self.input.value, complete=False)

    def remembered(self) -> Query:
        """Return the filter that was in use when the app closed; if it is no longer valid, say so."""
        text = self._session.get(f"{self.kind.NAME}.filter", "")
        try:
            return self.kind.parse(text)
        except QueryError as error:
            message = f"The last filter, {one_line(text, 80)}, is not used. {error.message}"
            self.app.notify(visible(message), severity="warning", markup=False)
            return self.kind()

    def _use(self, query: Query) -> None:
        self.filter = query
        self._session.set(f"{self.kind.NAME}.filter", query.source)

    def set_filter(self, query: Query) -> None:
        """Set the filter and show it; nothing is posted."""
        self._before = query
        self._use(query)
        self._show(query.source)
        self._show_help(self._explain(query.source))

    def editable(self) -> FilterInput:
        """Return the input, ready to get the focus: what is typed replaces its text, as in an address bar."""
        self.input.can_focus = True
        self.input.select_all()
        return self.input

    def submit(self) -> None:
        """Use the typed filter, if it is valid, and leave the input."""
        self._cancel_pause()
        text = self.input.value
        query = self._read(text, complete=True)
        if query is None:
            return
        if query.source != text:
            self._show(query.source)  # saved filters are replaced by their text
        if query.source.strip():
            self._session.add_earlier(self.kind.NAME, query.source)
        self._leave(query)

    def action_restore(self) -> None:
        """Restore the filter from before the input got the focus, and leave the input."""
        self._cancel_pause()
        self._show(self._before.source)
        self._show_help(self._explain(self._before.source))
        self._leave(self._before, restored=True)

    def action_recall(self, step: int) -> None:
        """Show an earlier (-1) or later (1) filter of the history in the input; after the last one it is empty."""
        earlier = self._session.earlier(self.kind.NAME)
        self._recalled = max(0, min(self._recalled + step, len(earlier)))
        if earlier:
            self.input.value = [*earlier, ""][self._recalled]
            self.input.cursor_position = len(self.input.value)

    def on_descendant_focus(self) -> None:
        if not self.has_class("-typing"):
            self._before, self._recalled = self.filter, len(self._session.earlier(self.kind.NAME))
            self._read_saved()
        self._show_help(self._explain(self.input.value))
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
            self._use(query)
            self.post_message(self.Changed(query))

    # Saved filters.

    @task(group="saved", exclusive=True)
    async def _read_saved(self) -> None:
        """Read the saved filters, which another program may have changed."""
        if self._lab is not None:
            self._completion.saved = await asyncio.to_thread(self._lab.saved_filters.of, self.kind.NAME)

    @task(group="saved-dialog", dialog=True)
    async def action_save_filter(self) -> None:
        """Ask for a name, and save the typed filter under it."""
        if self._lab is None or (query := self._read(self.input.value, complete=True)) is None:
            return
        if not query.source.strip():
            self._show_help("Type the filter that you want to save.", wrong=True)
            return
        title = f"Name of the filter {one_line(query.source, 50)}"
        name = await self._ask(PromptDialog(title, completions=list(self._completion.saved)))
        if name is None:
            return
        replaced = self._completion.saved.get(name.strip())
        await asyncio.to_thread(self._lab.saved_filters.save, self.kind, name.strip(), query.source)
        self._read_saved()
        before = f"; it replaces {one_line(replaced, 100)}" if replaced not in (None, query.source) else ""
        self._show_help(f"saved: use it as saved:{name.strip()}{before}")

    @task(group="saved-dialog", dialog=True)
    async def action_saved(self) -> None:
        """Choose a saved filter, and use it."""
        from screens.filtering.saved import SavedFiltersDialog

        if self._lab is None:
            return
        filters = self._lab.saved_filters
        dialog = SavedFiltersDialog(filters, self.kind.NAME, await asyncio.to_thread(filters.of, self.kind.NAME))
        name = await self._ask(dialog)
        self._completion.saved = dialog.saved
        if name is not None:
            self.input.value = dialog.saved[name]
            self.submit()

    async def ask_order(self, query: Query) -> Query | None:
        """Ask for another order of a filter, and show the filter with it; None if the dialog was cancelled.

        Raises:
            QueryError: There is no such order.
        """
        now = ("-" if query.descending else "") + query.sort
        orders = [*self.language.sorts, *(f"-{name}" for name in self.language.sorts)]
        title = "Sort by (a minus in front reverses it)"
        order = await self.app.push_screen_wait(PromptDialog(title, value=now, completions=orders))
        if order is None:
            return None
        sorted_query = self.kind.parse(self.language.with_sort(query.source, order.strip()))
        self.set_filter(sorted_query)
        return sorted_query

    async def _ask(self, dialog: Dialog[str]) -> str | None:
        """Show a dialog, then give the input the focus again; escape still restores the filter from before it."""
        before = self._before if self.has_class("-typing") else self.filter
        answer = await self.app.push_screen_wait(dialog)
        self.input.can_focus = True
        self.screen.set_focus(self.input)
        self._before = before
        return answer

    def _leave(self, query: Query, *, restored: bool = False) -> None:
        self._use(query)
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
        naming = saved_filters.typed_name(text) is not None
        try:
            query = self.kind.parse(saved_filters.expand(text, self._completion.saved))
        except QueryError as error:
            typing = not complete and (unfinished or naming or text.endswith(("-", '"')))
            if typing and (unfinished or naming):
                self._show_help(self._explain(text))
            else:
                self._show_help(f"{error.message} {error.hint}", wrong=not typing)
            return None
        typed_on = self.has_class("-typing") and not complete and not text.endswith(" ")  # the last value may go on
        settled = query.conditions[:-1] if typed_on else query.conditions
        unknown = self.language.unknown(settled, self._completion.values)
        self._show_help(unknown or self._explain(text), wrong=bool(unknown))
        return None if unfinished and not complete else query

    def _explain(self, text: str) -> str:
        """Return help on the word at the end of a filter."""
        if saved_filters.typed_name(text) is not None:
            return f"{saved_filters.HELP}. {saved_filters.names(self._completion.saved)}"
        return self.language.explain(text, self._completion.values)

    def _show_help(self, text: str, *, wrong: bool = False) -> None:
        self.set_class(wrong, "-wrong")
        self.query_one("#filter-help", Static).update(Text(("! " if wrong else "") + visible(text)))
