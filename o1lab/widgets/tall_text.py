"""A text whose height follows its content."""

from __future__ import annotations

from typing import Self

from textual.geometry import Region
from textual.widgets import Static


class TallText(Static):
    """A ``Static`` of height ``auto`` whose text can be updated at any time.

    Textual caches the height of a widget until its count of layout requests rises, and the count rises only once until
    the widget is idle. A text updated after a layout and before the widget is idle, as on a screen that is starting,
    would keep the height of the previous text.
    """

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if layout:
            self._layout_updates += 1
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
