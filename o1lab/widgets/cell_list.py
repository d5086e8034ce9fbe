"""A list of cells that is updated live: only the cells that changed are redrawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from o1lab.widgets.keys import Binding
from o1lab.widgets.typed_ahead import post_held


class CellList(OptionList):
    """An option list whose options are cells of text, each with an id."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False, tooltip="Go to the next line"),
        Binding("k", "cursor_up", "Up", show=False, tooltip="Go to the previous line"),
        Binding("g", "first", "First", show=False, tooltip="Go to the first line"),
        Binding("G", "last", "Last", show=False, tooltip="Go to the last line"),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._shown: dict[str, Text] = {}

    def show(self, cells: Mapping[str, Text], selected: str | None) -> None:
        """Draw ``cells``. The cursor stays on its cell; if the ids changed, it moves to ``selected``."""
        if list(cells) != list(self._shown):
            with self.prevent(OptionList.OptionHighlighted):
                self.set_options([Option(cell, id=cell_id) for cell_id, cell in cells.items()])
                self.point_at(selected)
        else:
            for cell_id, cell in cells.items():
                if cell != self._shown[cell_id]:
                    self.replace_option_prompt(cell_id, cell)
        self._shown = dict(cells)

    def action_select(self) -> None:
        if (at := self.highlighted) is not None:
            post_held(self, self.OptionSelected(self, self.get_option_at_index(at), at))

    @property
    def cursor_id(self) -> str | None:
        """The id of the cell under the cursor; None in an empty list."""
        option = self.highlighted_option
        return None if option is None else option.id

    def point_at(self, cell_id: str | None) -> None:
        """Put the cursor on a cell, if it is in the list."""
        if cell_id in self._shown or (cell_id and any(option.id == cell_id for option in self.options)):
            self.highlighted = self.get_option_index(cell_id)
