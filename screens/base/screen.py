"""What all screens of the laboratory share: header, footer, clear errors, a notice when the terminal is too small."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import ClassVar, Concatenate, ParamSpec, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Static

from o1lab.errors import O1LabError, from_store
from o1lab.text import visible
from o1lab.widgets.key_footer import KeyFooter
from screens.base.context import LabContext
from store.errors import StoreError
from store.sqlite import Database

SMALLEST = (60, 18)
Options = ParamSpec("Options")
Result = TypeVar("Result")
log = logging.getLogger("o1lab.screens")


class LabScreen(Screen[None]):
    """A mode of the laboratory. Subclasses fill ``compose_body`` and name themselves in ``TITLE``.

    Textual calls the ``on_*`` handlers of every class of a screen by itself, the subclass's first: a handler never
    calls ``super().on_*``.
    """

    TITLE = "LAB"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__()
        self.context = context
        self._heading = ""

    def compose(self) -> ComposeResult:
        yield Static(id="heading", markup=False)
        with Vertical(id="body"):
            yield from self.compose_body()
        yield Static(id="too-small", markup=False)
        yield KeyFooter(show_command_palette=False, compact=True)

    def compose_body(self) -> ComposeResult:
        """The widgets between heading and footer."""
        yield from ()

    def on_mount(self) -> None:
        self._draw_heading()

    def set_heading(self, right: str) -> None:
        """Show ``right`` at the right end of the heading; the names of the screen and the lab are on the left."""
        self._heading = right
        self._draw_heading()

    def _draw_heading(self) -> None:
        left = f"{self.TITLE}  lab {self.context.name}"
        gap = max(self.app.size.width - len(left) - len(self._heading) - 2, 2)
        self.query_one("#heading", Static).update(Text(visible(left + " " * gap + self._heading), no_wrap=True))

    def on_resize(self, event: events.Resize) -> None:
        small = event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1]
        self.set_class(small, "-too-small")
        if small:
            self.query_one("#too-small", Static).update(
                f"This terminal is {event.size.width}x{event.size.height}; o1lab needs {SMALLEST[0]}x{SMALLEST[1]}. "
                "Make it larger, or press ctrl+q to leave."
            )
        self._draw_heading()

    def action_help(self) -> None:
        """Show the keys of the focused widget and of the screen, or hide them."""
        if self.query("HelpPanel"):
            self.app.action_hide_help_panel()
        else:
            self.app.action_show_help_panel()

    def on_key(self, event: events.Key) -> None:
        """Escape closes the help before it means anything else."""
        if event.key == "escape" and self.query("HelpPanel"):
            self.app.action_hide_help_panel()
            event.stop()
            event.prevent_default()

    def report(self, error: BaseException) -> None:
        """Show an error in one sentence; a traceback that a person cannot use goes to the log."""
        if isinstance(error, StoreError):
            error = from_store(error)
        if isinstance(error, O1LabError):
            message, hint = error.message, error.hint
        else:
            log.error("unexpected", exc_info=error)
            message, hint = f"Something went wrong: {type(error).__name__}: {error}.", "The traceback is in the log."
        text = visible(f"{message}\n{hint}" if hint else message)
        self.app.notify(text, severity="error", timeout=10, markup=False)

    async def in_thread(
        self, function: Callable[Options, Result], *args: Options.args, **kwargs: Options.kwargs
    ) -> Result:
        """Run ``function``, which reads files or waits, in a thread.

        Raises:
            CancelledError: The screen was closed in the meantime, so there is nowhere to show the result.
        """
        result = await asyncio.to_thread(function, *args, **kwargs)
        if self.closing:
            raise asyncio.CancelledError
        return result

    async def read(
        self, query: Callable[Concatenate[Database, Options], Result], *args: Options.args, **kwargs: Options.kwargs
    ) -> Result:
        """Run a query on the lab's database in a thread, over that thread's own connection.

        Args:
            query: A function whose first argument is the database, such as ``evaluations.get``.
            *args: Its other arguments.
            **kwargs: Its keyword arguments.

        Returns:
            What ``query`` returns.

        Raises:
            StoreError: The database cannot be read, with a sentence that says why.
            CancelledError: The screen was closed in the meantime.
        """
        store = self.context.store

        def run() -> Result:
            with store.explained():
                return query(store.db, *args, **kwargs)

        return await self.in_thread(run)

    @property
    def closing(self) -> bool:
        """Whether the screen is being taken down; its widgets go before it does."""
        return self._pruning or not self.is_attached


def words_of(error: Exception) -> str:
    """An error in one line, safe to show."""
    if isinstance(error, StoreError):
        error = from_store(error)
    if isinstance(error, O1LabError):
        return visible(f"{error.message} {error.hint or ''}".strip())
    return visible(f"{type(error).__name__}: {error}")
