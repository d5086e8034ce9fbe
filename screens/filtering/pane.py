"""The base of a pane that lists things under a filter, and shows what other programs write."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from textual import on
from textual.containers import Vertical

from o1lab.widgets.paged_table import PagedTable
from screens.base.context import LabContext
from screens.base.screen import ScreenPart, task
from screens.base.writer import Writer
from screens.filtering.filter_bar import FilterBar
from store.filters import Query

QueryT = TypeVar("QueryT", bound=Query)


class FilteredPane(Vertical, ScreenPart, Generic[QueryT]):
    """A filter bar and a list, for any LabScreen. Subclasses compose them and implement ``apply`` and ``reload``.

    Attributes:
        writer: Writes to the database.
        query_now: The filter in use.
    """

    def __init__(self, context: LabContext, query: QueryT, *, id: str | None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.context = context
        self.query_now = query
        self._to_row = 0  # the remembered row, until the list has loaded
        self.writer = Writer(context.store)

    async def on_unmount(self) -> None:
        await self.writer.close()

    @property
    def table(self) -> PagedTable:
        return self.query_one(PagedTable)

    @property
    def filter_bar(self) -> FilterBar:
        return self.query_one(FilterBar)

    def restore(self) -> None:
        """Show the filter that was in use when the app closed, and the row that was under the cursor."""
        query = cast(QueryT, self.filter_bar.remembered())
        self.filter_bar.set_filter(query)
        self.to_remembered_row()
        self.apply(query)

    def to_remembered_row(self) -> None:
        """Move the cursor to the remembered row once the list has loaded."""
        self._to_row = self.context.session.get(self._row_key, 0)

    @property
    def _row_key(self) -> str:
        return f"{self.query_now.NAME}.row"

    @on(PagedTable.PageLoaded)
    def _go_to_remembered_row(self, event: PagedTable.PageLoaded) -> None:
        row, self._to_row = self._to_row, 0
        if 0 < row < event.total:
            self.table.move_to(row)

    @on(PagedTable.RowHighlighted)
    def _remember_row(self, event: PagedTable.RowHighlighted) -> None:
        if not self._to_row:
            self.context.session.set(self._row_key, event.index)

    def apply(self, query: QueryT) -> None:
        """List the things of a filter."""
        raise NotImplementedError

    def reload(self) -> None:
        """Read everything again after a change, and keep the cursor."""
        raise NotImplementedError

    @task(group="changes")  # not exclusive: a cancelled look would lose a change
    async def look_for_changes(self) -> None:
        """Show what another program or screen has written."""
        if self.can_change() and await self.writer.do(self.writer.others_wrote):
            self.reload()

    def can_change(self) -> bool:
        """Whether changes would be shown."""
        return True

    def action_filter(self) -> None:
        """Type a filter."""
        self.screen.set_focus(self.filter_bar.editable())

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        event.stop()
        if event.query != self.query_now:
            self.apply(cast(QueryT, event.query))
