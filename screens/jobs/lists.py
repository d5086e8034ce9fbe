"""The two ways to list jobs, cells of two lines or a table, and the view of the selected one as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import OptionList, Static

from o1lab.widgets.cell_list import CellList
from o1lab.widgets.columns import Column, Page, Row
from o1lab.widgets.paged_table import PagedTable
from o1lab.widgets.text_pane import TextPane
from o1lab.widgets.typed_ahead import post_held
from screens.jobs.kind import DetailT, JobLine


class CursorMoved(Message):
    """The cursor of a list of jobs is on another job, or the list has new rows."""


@dataclass
class JobChosen(Message):
    """Enter was pressed on a job."""

    job_id: str


class JobCells(CellList):
    """Jobs as cells of two lines.

    Args:
        cell: Makes the cell of a job; takes the job and ``marked``.
        id: The widget's id.
    """

    def __init__(self, cell: Callable[..., Text], *, id: str) -> None:
        super().__init__(id=id)
        self._cell = cell

    def draw(self, lines: Sequence[JobLine], marked: Sequence[str]) -> None:
        cells = {line.id: self._cell(line, marked=line.id in marked) for line in lines}
        before, index = self.cursor_id, self.highlighted or 0
        target = before
        if target not in cells and cells:  # its job is gone, or this is the first drawing
            target = list(cells)[min(index, len(cells) - 1)]
        self.show(cells, target)
        if self.cursor_id != before:
            self.post_message(CursorMoved())

    def step(self, by: int) -> None:
        if self.option_count:
            self.highlighted = min(max((self.highlighted or 0) + by, 0), self.option_count - 1)

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.post_message(CursorMoved())

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        post_held(self, JobChosen(str(event.option_id)))


class JobTable(PagedTable):
    """Jobs as rows of a table.

    Args:
        columns: The initial columns.
        row: Makes the row of a job; takes the job and ``marked``.
        id: The widget's id.
    """

    def __init__(self, columns: Sequence[Column], row: Callable[..., Row], *, id: str) -> None:
        super().__init__(columns, id=id)
        self._row = row
        self._rows: dict[str, Row] = {}

    @property
    def cursor_id(self) -> str | None:
        key = self.cursor_key
        return None if key is None else str(key)

    def draw(self, lines: Sequence[JobLine], marked: Sequence[str]) -> None:
        rows = {line.id: self._row(line, marked=line.id in marked) for line in lines}
        before, self._rows = self._rows, rows
        if self._fetch is None:  # nothing is known before the first drawing
            self.set_source(self._page)
        elif list(rows) != list(before):
            self.reload()
        else:
            for job_id, row in rows.items():
                if row.cells != before[job_id].cells:
                    self.update_row(row)

    def point_at(self, job_id: str | None) -> None:
        if job_id in self._rows:
            self.move_to(list(self._rows).index(job_id))

    def step(self, by: int) -> None:
        self.action_step(by)

    async def _page(self, offset: int, limit: int) -> Page:
        rows = list(self._rows.values())
        return Page(rows[offset : offset + limit], len(rows))

    @on(PagedTable.PageLoaded)
    @on(PagedTable.RowHighlighted)
    def _moved(self, event: Message) -> None:
        event.stop()
        self.post_message(CursorMoved())

    @on(PagedTable.RowSelected)
    def _chosen(self, event: PagedTable.RowSelected) -> None:
        event.stop()
        post_held(self, JobChosen(str(event.row.key)))


class JobView(Vertical, Generic[DetailT]):
    """A view of the selected job."""

    def show(self, detail: DetailT) -> None:
        """Show a job."""
        raise NotImplementedError


class FactsView(JobView[Any]):
    """Heading and facts of a job. The widgets in it have the ids ``ID-head`` and ``ID-facts``.

    Args:
        title: The title of the pane of facts.
        header: Makes the heading of a job.
        facts: Makes its facts.
        id: The widget's id.
    """

    def __init__(self, title: str, header: Callable[[Any], Text], facts: Callable[[Any], Text], *, id: str) -> None:
        super().__init__(id=id)
        self._title, self._header, self._facts = title, header, facts
        self._job_id = ""

    def compose(self) -> ComposeResult:
        yield Static(id=f"{self.id}-head", markup=False)
        yield TextPane(self._title, id=f"{self.id}-facts")

    def show(self, detail: Any) -> None:
        """Show a job, from the top if it is not the job shown before."""
        pane, head, text = self.query_one(TextPane), self.query_one(Static), self._header(detail)
        if detail.line.id != self._job_id:
            self._job_id = detail.line.id
            pane.scroll_home(animate=False)
        if head.content != text:
            head.update(text)
        pane.show(self._facts(detail))

    def whole(self, detail: Any) -> Text:
        """Return heading and facts as one text."""
        return Text("\n").join([self._header(detail), self._facts(detail)])
