"""What is typed into the filter line, and the order that is chosen, decide what the list shows."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType

from o1lab.widgets.dialogs import PromptDialog
from screens.traces.filter_bar import FilterBar, with_sort
from screens.traces.panes import PanesScreen
from store.query import SORTS, TraceQuery, parse_query


class FilteringScreen(PanesScreen):
    """A list under a ``FilterBar``. ``query_now`` is its filter, ``wanted`` the trace under its cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", show=False),
        Binding("S", "sort", "Sort", show=False, tooltip="Choose the order of the list"),
    ]

    query_now: TraceQuery
    wanted: str | None

    def apply(self, query: TraceQuery, trace_id: str | None = None) -> None:
        """List the traces of ``query``, from the top or from ``trace_id``."""
        raise NotImplementedError

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        query = replace(event.query, ids=self.query_now.ids)
        if query != self.query_now or query.source != self.query_now.source:
            self.apply(query)
        if event.final:
            self.show_list()

    @on(FilterBar.GivenUp)
    def _filter_given_up(self) -> None:
        self.query_one(FilterBar).set_text(self._filter_before.source)
        if self.query_now != self._filter_before:
            self.apply(self._filter_before, self.wanted)
        self.show_list()

    def action_filter(self) -> None:
        """Type a filter: words, fields, an order."""
        self._filter_before = self.query_now
        self.remove_class("-reading")
        self.focus_now(self.query_one(FilterBar).line)

    @work
    async def action_sort(self) -> None:
        """Choose the order of the list."""
        now = ("-" if self.query_now.descending else "") + self.query_now.sort
        order = await self.app.push_screen_wait(
            PromptDialog("Sort by (a minus in front turns it round)", value=now, completions=[*SORTS, "-chars"])
        )
        if order is None:
            return
        text = with_sort(self.query_now.source, order.strip())
        try:
            query = replace(parse_query(text), ids=self.query_now.ids)
        except Exception as error:
            self.report(error)
            return
        self.query_one(FilterBar).set_text(text)
        self.apply(query, self.wanted)
