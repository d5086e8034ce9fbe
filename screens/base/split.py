"""Two panes side by side whose sizes a person can change; the lab remembers them."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container
from textual.layouts.horizontal import HorizontalLayout
from textual.widget import Widget

from o1lab.remembered import Session
from o1lab.widgets.keys import Binding

SMALLEST, STEP = 20, 5
"""Percent of the width: the least that a pane keeps, and what a key moves the border by."""
_BORDER = Binding.Group("Move the border", compact=True)


class Split(Container):
    """Two panes. The stylesheet decides their sizes until a key moves the border between them.

    While the stylesheet shows only one of the panes, on a narrow terminal, its sizes apply.
    """

    DEFAULT_CSS = "Split { layout: horizontal; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"move_border({by})", f"Border {where}", key_display=sign, group=_BORDER, show=False,
                tooltip=f"Give the list {what} room; the lab remembers the sizes")
        for key, by, where, sign, what in (
            ("left_parenthesis", -STEP, "left", "(", "less"), ("right_parenthesis", STEP, "right", ")", "more"),
        )
    ]  # fmt: skip

    def __init__(self, *children: Widget, session: Session, name: str, id: str | None = None) -> None:
        """Create the panes.

        Args:
            children: Both panes, if the class does not compose them.
            session: What the screens remember.
            name: What the sizes are remembered by.
            id: The id of the widget.
        """
        super().__init__(*children, id=id)
        self.session = session
        self._key = f"{name}.share"

    @property
    def _both(self) -> tuple[Widget, Widget] | None:
        """The panes, if both are shown side by side."""
        panes = [one for one in self.children if one.display]
        return (panes[0], panes[1]) if len(panes) == 2 and isinstance(self.layout, HorizontalLayout) else None

    def on_mount(self) -> None:
        self.call_after_refresh(self._lay_out)

    def on_resize(self) -> None:
        self.call_after_refresh(self._lay_out)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "move_border" or self._both is not None

    def action_move_border(self, by: int) -> None:
        """Give the first pane more room, or less."""
        if (both := self._both) is not None:
            width = both[0].outer_size.width
            share = self.session.get(self._key, 0) or round(100 * width / max(self.size.width, 1))
            self.session.set(self._key, max(SMALLEST, min(share + by, 100 - SMALLEST)))
            self._lay_out()

    def _lay_out(self) -> None:
        share, both = self.session.get(self._key, 0), self._both
        if both is not None and SMALLEST <= share <= 100 - SMALLEST:
            for pane, part in zip(both, (share, 100 - share), strict=True):
                pane.styles.width, pane.styles.min_width, pane.styles.max_width = f"{part}fr", 0, "100%"
        else:
            for pane in self.children:
                for rule in ("width", "min_width", "max_width"):
                    pane.styles.clear_rule(rule)
