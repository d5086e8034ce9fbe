"""The base of the screens of jobs: panes in views, the heading, and the form for a new job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from o1lab.widgets.keys import Binding
from screens.base.context import LabContext
from screens.base.screen import LabScreen
from screens.jobs.kind import Snapshot
from screens.jobs.pane import JobsPane
from screens.jobs.text import counts


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


class JobsScreen(LabScreen):
    """Views with panes, one of which lists jobs. A narrow terminal shows one pane at a time.

    The shown pane sets the classes ``-pane-NAME`` and ``-view-VIEW``, which the stylesheet uses.

    Attributes:
        PANES: The panes by name, in tab order.
        LIST: The pane that lists the jobs.
        RESTORED: The panes that are shown at once if they were shown when the app closed.
        STRIP: Selector of the ``Static`` that shows the titles of the panes.
    """

    PANES: ClassVar[Mapping[str, Pane]]
    LIST: ClassVar[str] = "runs"
    RESTORED: ClassVar[tuple[str, ...]] = ()
    STRIP: ClassVar[str] = "#strip"
    AUTO_FOCUS = ""  # each pane declares its focus; Textual would also focus a list that is hidden
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "pane(1)", "Next pane", show=False, tooltip="Go to the next pane"),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False, tooltip="Go to the previous pane"),
        Binding("escape", "back", "Back to the list", show=False, tooltip="Show the list"),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__(context)
        self._pane_key = f"{self.TITLE.lower()}.pane"  # of the session
        remembered = context.session.get(self._pane_key, "")
        self.pane = remembered if remembered in self.RESTORED else next(iter(self.PANES))
        """The name of the pane that is shown."""
        self.draft: dict[str, str] = {}
        """The text of the form that has not been launched yet."""
        self._counts = ""
        self._empty = False

    @property
    def jobs(self) -> JobsPane[Any, Any]:
        """The pane of the jobs."""
        return self.query_one(JobsPane)

    def form(self, values: dict[str, Any]) -> Screen[Any]:
        """Return the form of a new job with these values."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.show_pane(self.pane)

    def on_screen_resume(self) -> None:
        self.jobs.start_polling()

    def on_screen_suspend(self) -> None:
        self.jobs.stop_polling()

    @on(JobsPane.Polled)
    def _count(self, event: JobsPane.Polled) -> None:
        words = self.count_words(event.snapshot)
        if words != self._counts:
            self._counts = words
            self.set_heading(words)
        if (not words) != self._empty:
            self._empty = not words
            self.call_after_refresh(self._list_appeared)

    def count_words(self, snapshot: Snapshot[Any, Any]) -> str:
        """Return the number of jobs for the heading; empty without jobs."""
        return counts(self.jobs.kind.noun, snapshot)

    def _list_appeared(self) -> None:
        """Move the focus after the list was shown or hidden, unless another view is open."""
        if self.view == self.PANES[self.LIST].view:
            self.show_pane(self.pane)

    # Panes.

    @property
    def view(self) -> str:
        """The view that is shown."""
        return self.PANES[self.pane].view

    def show_pane(self, name: str, focus: Widget | None = None) -> None:
        """Show a pane and give it the focus, or ``focus`` if given."""
        self.pane = name
        self.context.session.set(self._pane_key, name)
        panes = {f"-pane-{other}": other == name for other in self.PANES}
        self.update_classes(panes | {f"-view-{pane.view}": pane.view == self.view for pane in self.PANES.values()})
        self.query_one(self.STRIP, Static).update(self._strip_text())
        holder = focus or self.query_one(self.PANES[name].holder)
        self.set_focus(first_focusable(holder))
        if self.focused is None:  # not displayed before the next layout
            self.call_after_refresh(self._focus_later, name, holder)

    def _focus_later(self, name: str, holder: Widget) -> None:
        if name == self.pane and (target := first_focusable(holder)) is not None:
            self.set_focus(target)

    def _strip_text(self) -> Text:
        text, view = Text(), ""
        for name, pane in self.PANES.items():
            if pane.view != view:
                text.append(f"{'   ' if view else ''}{pane.key}{' ' if pane.key else ''}", "dim")
                view = pane.view
            text.append(*((f"[{pane.title}]", "bold reverse") if name == self.pane else (f" {pane.title} ", "dim")))
        return text

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click gave the focus to another pane of this view."""
        if event.widget is not self.focused:
            return  # it has moved on
        for name, pane in self.PANES.items():
            ids = {f"#{one.id}" for one in event.widget.ancestors_with_self}
            if pane.holder in ids and name != self.pane and pane.view == self.view:
                self.show_pane(name)
                return

    def action_pane(self, by: int) -> None:
        """Show the next or previous pane; the first follows the last."""
        names = list(self.PANES)
        self.show_pane(names[(names.index(self.pane) + by) % len(names)])

    def action_show_pane(self, name: str) -> None:
        """Show a pane."""
        self.show_pane(name)

    async def close_open(self) -> bool:
        """Close the view of a job first."""
        if await super().close_open():
            return True
        before = self.pane
        self.action_back()
        return self.pane != before

    def would_lose(self) -> str:
        return f"The form of a new {self.jobs.kind.noun}, which was not launched." if self.draft else ""

    def action_back(self) -> None:
        """Show the first pane of the view, which is its list."""
        self.show_pane(next(name for name, pane in self.PANES.items() if pane.view == self.view))

    # The form.

    def open_form(self, values: dict[str, Any] | None = None) -> None:
        """Open the form of a new job, with these values if given (the app calls it)."""
        if values:
            self.draft.clear()
        self.app.push_screen(self.form(values or {}))

    def action_new_run(self) -> None:
        """Open the form."""
        self.open_form()

    @on(JobsPane.NewLikeThis)
    def _new_like_this(self, event: JobsPane.NewLikeThis) -> None:
        self.open_form(event.values)


def first_focusable(holder: Widget) -> Widget | None:
    """Return the first displayed widget that can take the focus, from ``holder`` on; None if there is none."""
    return next((one for one in (holder, *holder.query(Widget)) if one.focusable and _displayed(one)), None)


def _displayed(widget: Widget) -> bool:
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))
