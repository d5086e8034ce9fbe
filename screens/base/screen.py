"""The base of all screens: heading, footer, error reports, a notice when the terminal is too small."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

from rich.text import Text
from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import Worker

from o1lab.errors import O1LabError
from o1lab.text import visible
from o1lab.widgets.keys import Binding, KeyFooter
from o1lab.widgets.status_line import StatusLine
from o1lab.widgets.typed_ahead import TypedAheadApp
from screens.base.context import LabContext
from store.sqlite import Database

if TYPE_CHECKING:
    from o1lab.widgets.columns import FetchPage, Page
    from o1lab.widgets.paged_table import PagedTable

SMALLEST = (40, 8)
SHORT = 18
"""The height below which screens show less around what they are for, such as half of a split terminal."""
Options = ParamSpec("Options")
Result = TypeVar("Result")
ERRORS = (O1LabError, OSError)
"""Errors that are reported to the user; others are programming errors."""
log = logging.getLogger("o1lab.screens")


class LabScreen(Screen[None]):
    """The base of all screens. Subclasses implement ``compose_body`` and set ``TITLE``.

    Textual calls the ``on_*`` handlers of every class of a screen, those of the subclass first. Therefore a handler
    never calls ``super().on_*``.
    """

    TITLE = "LAB"
    VERTICAL_BREAKPOINTS = [(0, "-short"), (SHORT, "-tall")]  # noqa: RUF012 - declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?", tooltip="Show the keys that work here, or hide them"),
    ]

    def __init__(self, context: LabContext) -> None:
        super().__init__()
        self.context = context
        self._heading = ""

    def compose(self) -> ComposeResult:
        yield Static(id="heading", markup=False)
        with Vertical(id="body"):
            yield from self.compose_body()
        yield StatusLine(id="status-line")
        yield Static(id="too-small", markup=False)
        yield KeyFooter(show_command_palette=False, compact=True)

    def compose_body(self) -> ComposeResult:
        """Yield the widgets between heading and footer."""
        yield from ()

    def on_mount(self) -> None:
        self._draw_heading()

    def on_screen_resume(self) -> None:
        self.show_activity()

    def show_activity(self) -> None:
        """Show on the status line what runs, as the app last saw it."""
        self.query_one(StatusLine).show(self.context.activity)

    def set_heading(self, right: str) -> None:
        """Show ``right`` at the right end of the heading; the title of the screen and the lab are on the left."""
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
            size = f"{event.size.width}x{event.size.height}"
            need = f"{SMALLEST[0]}x{SMALLEST[1]}"
            self.query_one("#too-small", Static).update(f"{size} is too small: o1lab needs {need}. ctrl+q leaves.")
        self._draw_heading()

    def action_help(self) -> None:
        """Show the keys of the focused widget and of the screen, or hide them."""
        if self.query("HelpPanel"):
            self.app.action_hide_help_panel()
        else:
            from o1lab.widgets.help import KeysPanel

            self.mount(KeysPanel())

    def on_key(self, event: events.Key) -> None:
        """Close the help on escape, before other widgets handle it."""
        if event.key == "escape" and self.query("HelpPanel"):
            self.app.action_hide_help_panel()
            event.stop()
            event.prevent_default()

    def copy(self, text: str) -> None:
        """Copy a text to the clipboard, and show it."""
        self.app.copy_to_clipboard(visible(text))
        self.app.notify(visible(text), title="Copied", markup=False)

    def action_back(self) -> Any:
        """Close this screen."""
        self.dismiss()

    def on_paged_table_fetch_failed(self, event: PagedTable.FetchFailed) -> None:
        self.report(event.error)

    async def close_open(self) -> bool:
        """Close what is open on this screen, and return whether something was; a screen over another one closes."""
        if self.query("HelpPanel"):
            self.app.action_hide_help_panel()
            return True
        if len(self.app.screen_stack) > 1:
            await self.run_action("back")
            return True
        return False

    def would_lose(self) -> str:
        """Return a sentence about what is lost when the app closes now, or nothing."""
        return ""

    def report(self, error: BaseException) -> None:
        """Show an error in one sentence; the traceback of an unexpected one goes to the log."""
        report(self.app, error)

    async def in_thread(
        self, function: Callable[Options, Result], *args: Options.args, **kwargs: Options.kwargs
    ) -> Result:
        """Run ``function``, which reads files or blocks, in a thread.

        Raises:
            CancelledError: The screen was closed in the meantime.
        """
        result = await asyncio.to_thread(function, *args, **kwargs)
        if self.closing:
            raise asyncio.CancelledError
        return result

    async def read(
        self, query: Callable[Concatenate[Database, Options], Result], *args: Options.args, **kwargs: Options.kwargs
    ) -> Result:
        """Run a query on the lab's database in a thread, with that thread's connection.

        Args:
            query: A function whose first argument is the database, such as ``evaluations.get``.
            *args: Its other arguments.
            **kwargs: Its keyword arguments.

        Returns:
            What ``query`` returns.

        Raises:
            StoreError: The database cannot be read.
            CancelledError: The screen was closed in the meantime.
        """
        store = self.context.store

        def run() -> Result:
            with store.explained():
                return query(store.db, *args, **kwargs)

        return await self.in_thread(run)

    def pages(self, page: Callable[[Database, int, int], Page]) -> FetchPage:
        """Return the callback of a table that reads a page with ``page(db, offset, limit)``."""

        async def fetch(offset: int, limit: int) -> Page:
            return await self.read(page, offset, limit)

        return fetch

    @property
    def closing(self) -> bool:
        """Whether the screen is being removed; its widgets are removed first."""
        return self._pruning or not self.is_attached


class ScreenPart(Widget):
    """A part of a :class:`LabScreen`: the second base of a container or another widget of Textual."""

    @property
    def lab_screen(self) -> LabScreen:
        return cast(LabScreen, self.screen)


def report(app: App[Any], error: BaseException) -> None:
    """Show an error in one sentence; the traceback of an unexpected one goes to the log."""
    if isinstance(error, O1LabError):
        message, hint = error.message, error.hint
    else:
        log.error("unexpected", exc_info=error)
        message, hint = f"Something went wrong: {type(error).__name__}: {error}.", "The traceback is in the log."
    text = visible(f"{message}\n{hint}" if hint else message)
    app.notify(text, severity="error", timeout=10, markup=False)


def reported(
    method: Callable[Options, Awaitable[Result]],
) -> Callable[Options, Coroutine[None, None, Result | None]]:
    """Decorate an asynchronous method of a screen or a widget: errors are reported, and it returns None.

    Exceptions other than ``ERRORS`` are programming errors. They are logged and reported like the others, so that one
    fault does not end the app. In tests (headless) they reach Textual.
    """

    @wraps(method)
    async def run(*args: Options.args, **kwargs: Options.kwargs) -> Result | None:
        try:
            return await method(*args, **kwargs)
        except Exception as error:
            node = cast(DOMNode, args[0])
            if node.app.is_headless and not isinstance(error, ERRORS):
                raise
            report(node.app, error)
            return None

    return run


def hold_keys(app: App[Any]) -> Callable[[], None]:
    """Hold the keys typed behind an action that is about to open a dialog; see ``TypedAheadApp.hold_keys``."""
    return app.hold_keys() if isinstance(app, TypedAheadApp) else lambda: None


def task(
    *, group: str = "default", exclusive: bool = False, dialog: bool = False
) -> Callable[[Callable[Options, Awaitable[Result]]], Callable[Options, Worker[Result | None]]]:
    """Decorate an asynchronous method: it runs as a worker of Textual, and its errors are :func:`reported`.

    Args:
        group: the group of the worker.
        exclusive: whether it cancels the running workers of its group.
        dialog: whether it opens a dialog after reading something: keys typed ahead wait for the dialog.
    """

    def decorate(method: Callable[Options, Awaitable[Result]]) -> Callable[Options, Worker[Result | None]]:
        if not dialog:
            return work(reported(method), group=group, exclusive=exclusive)

        @wraps(method)
        def begin(*args: Options.args, **kwargs: Options.kwargs) -> Worker[Result | None]:
            release = hold_keys(cast(DOMNode, args[0]).app)

            async def run(*given: Options.args, **more: Options.kwargs) -> Result:
                try:
                    return await method(*given, **more)
                finally:
                    release()

            return work(reported(run), group=group, exclusive=exclusive)(*args, **kwargs)

        return begin

    return decorate


def words_of(error: Exception) -> str:
    """Return an error as one line of safe text."""
    if isinstance(error, O1LabError):
        return visible(f"{error.message} {error.hint or ''}".strip())
    return visible(f"{type(error).__name__}: {error}")
