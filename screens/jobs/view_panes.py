"""The panes of a screen: which one is shown, the strip that names them, and the focus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.text import Text
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static


@dataclass(frozen=True)
class Pane:
    """A pane of a screen.

    Attributes:
        view: The view it is part of; a wide terminal shows all panes of a view.
        holder: Selector of the widget that takes the focus, or that contains the one that does.
        title: Its title on the strip.
        key: The key of its view, if it has one.
    """

    view: str
    holder: str
    title: str
    key: str = ""


class ViewPanes:
    """Shows one pane at a time: sets the classes ``-pane-NAME`` and ``-view-NAME``, which the stylesheet uses.

    Args:
        screen: The screen.
        panes: Its panes by name, in tab order.
        strip: Selector of the ``Static`` that shows their titles.
    """

    def __init__(self, screen: Screen[None], panes: Mapping[str, Pane], strip: str) -> None:
        self.screen, self.panes, self.strip = screen, panes, strip
        self.current = next(iter(panes))

    @property
    def view(self) -> str:
        """The view that is shown."""
        return self.panes[self.current].view

    def step(self, by: int) -> str:
        """Return the name of the next or previous pane; the first follows the last."""
        names = list(self.panes)
        return names[(names.index(self.current) + by) % len(names)]

    def show(self, name: str, focus: Widget | None = None) -> None:
        """Show a pane and give it the focus, or ``focus`` if given."""
        self.current = name
        for other, pane in self.panes.items():
            self.screen.set_class(other == name, f"-pane-{other}")
            self.screen.set_class(pane.view == self.view, f"-view-{pane.view}")
        self.screen.query_one(self.strip, Static).update(self._strip_text())
        holder = focus or self.screen.query_one(self.panes[name].holder)
        self.screen.set_focus(first_focusable(holder))
        if self.screen.focused is None:  # not displayed before the next layout
            self.screen.call_after_refresh(self._focus_later, name, holder)

    def _focus_later(self, name: str, holder: Widget) -> None:
        if name == self.current and (target := first_focusable(holder)) is not None:
            self.screen.set_focus(target)

    def pane_of(self, widget: Widget) -> str | None:
        """Return the other pane of this view that ``widget`` holds, or None."""
        return next(
            (
                name
                for name, pane in self.panes.items()
                if pane.holder == f"#{widget.id}" and name != self.current and pane.view == self.view
            ),
            None,
        )

    def _strip_text(self) -> Text:
        text, view = Text(), ""
        for name, pane in self.panes.items():
            if pane.view != view:
                text.append(f"{'   ' if view else ''}{pane.key}{' ' if pane.key else ''}", "dim")
                view = pane.view
            text.append(*((f"[{pane.title}]", "bold reverse") if name == self.current else (f" {pane.title} ", "dim")))
        return text


def first_focusable(holder: Widget) -> Widget | None:
    """Return the first displayed widget that can take the focus, from ``holder`` on; None if there is none."""
    return next((one for one in (holder, *holder.query(Widget)) if one.focusable and _displayed(one)), None)


def _displayed(widget: Widget) -> bool:
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))
