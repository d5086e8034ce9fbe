"""A text as tall as what it says."""

from __future__ import annotations

from typing import Self

from textual.geometry import Region
from textual.widgets import Static


class TallText(Static):
    """A ``Static`` of height ``auto`` that may be told what to say at any moment.

    Textual keeps the height it found until the widget's count of layout requests rises, and the count rises only once
    until the widget is idle. A text that changes after a layout and before that moment, as the first text of a busy
    screen does, would keep the height of the text before it.
    """

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if layout:
            self._layout_updates += 1
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
