"""The dialog of saved filters: use one, or delete one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.binding import BindingType

from o1lab.remembered import SavedFilters
from o1lab.text import one_line
from o1lab.widgets.dialogs.pick import Choice, ListDialog, among
from o1lab.widgets.keys import Binding
from screens.base.screen import reported


class SavedFiltersDialog(ListDialog[str]):
    """Choose a saved filter; returns its name."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+x", "delete", "Delete", show=False, priority=True,
            tooltip="Delete the saved filter under the cursor; its text is shown, so that it can be saved again",
        ),
    ]  # fmt: skip
    KEYS: ClassVar[str] = "type to search · enter use · ctrl+x delete · esc back"

    def __init__(self, filters: SavedFilters, kind: str, saved: Mapping[str, str]) -> None:
        self.filters, self.kind, self.saved = filters, kind, dict(saved)
        super().__init__(
            f"Saved filters of {kind}", self._among, empty="No filter is saved yet: ctrl+s saves the one in the bar."
        )

    async def _among(self, text: str) -> Sequence[Choice]:
        choices = [Choice(name, name, one_line(filter_text, 200)) for name, filter_text in self.saved.items()]
        return await among(choices)(text)

    def action_take(self) -> None:
        if (choice := self.current) is not None:
            self.dismiss(choice.id)

    @reported
    async def action_delete(self) -> None:
        """Delete the filter under the cursor."""
        if (choice := self.current) is None:
            return
        text = await asyncio.to_thread(self.filters.delete, self.kind, choice.id)
        self.saved.pop(choice.id, None)
        at = self.choices.index(choice)
        self.choices.remove(choice)
        self.fill(at)
        self.app.notify(f"Deleted {choice.id}: {one_line(text, 200)}", markup=False)
