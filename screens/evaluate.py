"""Evaluate: a lab's evaluations, their samples, the paper's tables for one's own models, and the plots."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from o1lab.locations import assets_dir
from o1lab.widgets.dialogs import EmptyState
from screens.base import LabScreen
from screens.context import LabContext

# Pane -> its view, what has the focus in it (or holds what has), its title, and the key of its view.
PANES = {
    "list": ("evaluations", "#evaluations", "Evaluations", "1"),
    "samples": ("samples", "#samples", "Samples", "2"),
    "tables": ("tables", "#tables", "Tables", "3"),
    "plots": ("plots", "#plots", "Plots", "4"),
}
VIEWS = tuple(dict.fromkeys(view for view, *_ in PANES.values()))


class EvaluateScreen(LabScreen):
    """Four views: the evaluations, the samples of one, the tables, and the plots."""

    TITLE = "EVALUATE"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "evaluate.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show_pane('list')", "Evaluations", show=False, tooltip="The evaluations"),
        Binding("2", "show_pane('samples')", "Samples", show=False, tooltip="The samples of the evaluation"),
        Binding("3", "show_pane('tables')", "Tables", show=False, tooltip="The paper's tables, one's own rows below"),
        Binding("4", "show_pane('plots')", "Plots", show=False, tooltip="Accuracy against tokens"),
        Binding("tab", "pane(1)", "Next pane", show=False),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False),
        Binding("escape", "back", "Back to the list", show=False),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self.pane = "list"

    def compose_body(self) -> ComposeResult:
        yield Static(id="strip", markup=False)
        with Vertical(id="evaluations"):
            yield EmptyState("No evaluation yet.", "`o1lab eval SUITE --model M` makes one.")
        with Vertical(id="samples"):
            yield EmptyState("No samples to show.", "Press 1 and enter on an evaluation.")
        with Vertical(id="tables"):
            yield EmptyState("No tables yet.", "Press 1 and then a to set up an evaluation.")
        with Vertical(id="plots"):
            yield EmptyState("No plots yet.", "Press 1 and then a to set up an evaluation.")

    def on_mount(self) -> None:
        super().on_mount()
        self.show_pane(self.pane)

    # Panes.

    def action_pane(self, by: int) -> None:
        """The next pane; over the end to the first."""
        names = list(PANES)
        self.show_pane(names[(names.index(self.pane) + by) % len(names)])

    def action_show_pane(self, name: str) -> None:
        """A pane by its name."""
        self.show_pane(name)

    def action_back(self) -> None:
        """To the list of evaluations."""
        self.show_pane("list")

    def show_pane(self, name: str) -> None:
        """Bring a pane into sight, the focus in it."""
        self.pane = name
        view, holder, *_ = PANES[name]
        for other in PANES:
            self.set_class(other == name, f"-pane-{other}")
        for other in VIEWS:
            self.set_class(other == view, f"-view-{other}")
        self._draw_strip()
        self.call_after_refresh(self._focus_in, self.query_one(holder))

    def _focus_in(self, holder: Widget) -> None:
        """The focus on a widget, or on the first in it that takes it."""
        found = next((widget for widget in holder.query(Widget) if widget.focusable and widget.display), None)
        target = holder if holder.focusable else found
        if target is not None and self.focused is not target:
            self.set_focus(target)

    def _draw_strip(self) -> None:
        text, view = Text(), ""
        for name, (its_view, _, title, key) in PANES.items():
            if its_view != view:
                text.append(f"{'   ' if view else ''}{key} ", "dim")
                view = its_view
            here = name == self.pane
            text.append(f"[{title}]" if here else f" {title} ", "bold reverse" if here else "dim")
        self.query_one("#strip", Static).update(text)

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.set_heading()
