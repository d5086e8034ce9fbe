"""List and chain beside each other on a wide terminal, one of them at a time on a narrow one."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget

from o1lab.widgets.chain_reader import ChainReader
from o1lab.widgets.paged_table import PagedTable
from screens.base.screen import LabScreen
from screens.traces.reading import Chain

WIDE = 110


class PanesScreen(LabScreen):
    """Which pane has the focus, and on a narrow terminal is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "next_pane", "Other pane", show=False)]

    shown: Chain | None = None
    _to_read = False  # enter was pressed on a row whose chain is on its way

    @property
    def table(self) -> PagedTable:
        return self.query_one(PagedTable)

    @property
    def reader(self) -> ChainReader:
        return self.query_one("#reader", ChainReader)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.set_class(event.size.width < WIDE, "-narrow")
        if event.size.width < WIDE and self.reader.has_focus_within:
            self.add_class("-reading")

    def on_descendant_focus(self) -> None:
        """The narrow screen shows the pane that has the focus."""
        if self.reader.has_focus_within:
            self.add_class("-reading")
        elif self.table.has_focus:
            self.remove_class("-reading")

    def show_reader(self, *, when_it_comes: bool = False) -> None:
        """Go to the chain; with ``when_it_comes`` as soon as there is one."""
        self._to_read = when_it_comes and self.shown is None
        if self.shown is not None:
            self.add_class("-reading")
            self.focus_now(self.reader.body)

    def chain_came(self) -> None:
        """Go to the chain that was waited for."""
        if self._to_read and self.shown is not None:
            self.show_reader()

    def show_list(self) -> None:
        """Go to the list."""
        self._to_read = False
        self.remove_class("-reading")
        self.focus_now(self.table)

    def focus_now(self, widget: Widget) -> None:
        """Move the focus before the next key is read: what is typed ahead must not land in the pane that was left."""
        if widget.focusable:
            self.set_focus(widget)
        else:
            widget.focus()  # it is not laid out yet

    def action_next_pane(self) -> None:
        """From list to chain and back."""
        self.show_list() if self.reader.has_focus_within else self.show_reader()
