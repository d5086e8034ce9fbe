"""The table of runs: a line for each run at any width, with the columns that the lab keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from o1lab.text import one_line
from o1lab.train.runs.columns import COLUMNS, USUAL, RunColumn
from o1lab.widgets.columns import Column, Row
from o1lab.widgets.keys import Binding
from o1lab.widgets.plot_style import CurveStyles
from screens.jobs.kind import JobLine
from screens.jobs.lists import JobTable
from screens.jobs.text import sign
from screens.train.poller import RunLine

_STATE_WIDTH = 11
_MARK = Column("mark", "", 2)


class RunTable(JobTable):
    """Runs as rows. A run whose curve is drawn has the letter of its curve in front, a marked one a dot before it.

    Args:
        styles: The letters and colours of curves.
        id: The widget's id.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("S", "sort", "Sort", show=False, tooltip="Choose the order of the list"),
    ]

    class SortWanted(Message):
        """The key of the order was pressed."""

    def __init__(self, styles: CurveStyles, *, id: str) -> None:
        self._columns_chosen: list[RunColumn] = [COLUMNS[name] for name in USUAL]
        super().__init__(_screen_columns(self._columns_chosen), self._run_row, id=id)
        self._styles = styles
        self.drawn: frozenset[str] = frozenset()
        """The ids of the runs whose curves are drawn."""
        self._empty = "No run is listed. Press / for another filter; archived runs need archived:yes."

    def action_sort(self) -> None:
        self.post_message(self.SortWanted())

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self._columns_chosen]

    @property
    def left_out(self) -> list[str]:
        """The columns for which the table is too narrow."""
        shown = {column.key for column, _ in self._layout_of_row}
        return [column.title for column in self._columns_chosen if column.name not in shown] if shown else []

    def choose(self, columns: Sequence[RunColumn]) -> None:
        """Show these columns, in this order; the first stay where the table is narrow."""
        self._columns_chosen = list(columns)
        self.set_columns(_screen_columns(columns))
        self.reload()

    def draw(self, lines: Sequence[JobLine], marked: Sequence[str]) -> None:
        super().draw(lines, marked)
        if self.has_class("-fitted"):
            self.styles.height = max(len(lines), 1) + 2

    def _run_row(self, line: RunLine, *, marked: bool) -> Row:
        cells: dict[str, str | Text] = {one.name: one.cell(line.figures) for one in self._columns_chosen}
        if "state" in cells:
            cells["state"] = state_cell(line)
        if line.id in self.drawn:
            style = self._styles.of(line.id, self.drawn)
            dot = ("●" if marked else " ", "bold")
            cells["mark"] = Text.assemble(dot, (style.letter, f"bold {style.colour}"))
        return Row(line.id, cells, line)


def state_cell(line: RunLine) -> Text:
    """Format the state of a run: its sign, its name, and what a waiting run waits for."""
    symbol, style = sign(line.state)
    words = "silent" if line.info.stale and line.active else line.state
    if line.place:
        words += f", place {line.place}"
    elif line.status.after:
        words += f", after {one_line(line.status.after, 10)}"
    return Text(f"{symbol} {words}", style)


def _screen_columns(columns: Sequence[RunColumn]) -> list[Column]:
    return [
        _MARK,
        *(
            Column(
                one.name,
                one.title,
                _STATE_WIDTH if one.name == "state" else one.width,
                1 if one.name == "state" else one.flex,
                place,  # the first is never hidden
                "right" if one.right else "left",
            )
            for place, one in enumerate(columns)
        ),
    ]
