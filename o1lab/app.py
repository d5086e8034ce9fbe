"""The terminal app: its modes, and the messages that switch between them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from importlib import import_module
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.console import Console
from rich.segment import Segment
from textual import on, work
from textual.app import SystemCommand
from textual.binding import ActiveBinding, BindingType
from textual.color import Color
from textual.filter import LineFilter, Monochrome, NoColor
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import AwaitMount

from o1lab.errors import LabError, O1LabError
from o1lab.files import write_text
from o1lab.paths import Lab, assets_dir, log_dir
from o1lab.text import visible, without_controls
from o1lab.widgets.keys import Binding
from o1lab.widgets.palette import DARK, LIGHT, theme_for
from o1lab.widgets.stylesheet import KeepingStylesheet
from o1lab.widgets.typed_ahead import TypedAheadApp
from screens.base.context import LabContext, open_context
from screens.base.messages import Visit
from screens.base.screen import ERRORS, LabScreen
from screens.base.session import SessionKeeper
from store.sqlite import prepare

if TYPE_CHECKING:
    from o1lab.config import NotifySettings

log = logging.getLogger("o1lab.app")


class Mode(NamedTuple):
    """A screen of the app.

    Attributes:
        key: Its key.
        name: Its name, which is also that of its folder in ``screens``.
        label: Its name for people.
        screen: Its class, in ``screens.NAME.screen``.
        about: What it is for.
    """

    key: str
    name: str
    label: str
    screen: str
    about: str


MODES = (
    Mode("f1,alt+1", "lab", "Lab", "OverviewScreen", "What is in the lab, and what to do next"),
    Mode("f2,alt+2", "traces", "Traces", "TracesScreen", "Read chains and decide on them"),
    Mode("f3,alt+3", "distill", "Distill", "DistillScreen", "The pool of problems, and what teachers are asked"),
    Mode("f4,alt+4", "train", "Train", "TrainScreen", "Training runs and their curves"),
    Mode("f5,alt+5", "compare", "Compare", "CompareScreen", "Ask several models the same, side by side"),
    Mode("f6,alt+6", "evaluate", "Evaluate", "EvaluateScreen", "Suites, samples, tables and plots"),
    Mode("f7,alt+7", "transparency", "Transparency", "TransparencyScreen", "What works, and this lab, publish"),
)
SETTLE_S = 0.5  # after the mount of the first screen, when it has been painted
WATCH_S, IDLE_S = 2.0, 4.0  # seconds between two polls of the jobs; the second while none is active


class _NoControls(LineFilter):
    """Removes control characters from all text that widgets draw: the last filter before the terminal.

    Widgets show such characters as symbols. This filter is for text that a widget of Textual draws unchanged, such as
    a suggestion.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.control else Segment(without_controls(segment.text), segment.style)
            for segment in segments
        ]


class LabApp(TypedAheadApp):
    """The app. Screens are imported when their mode is first shown."""

    TITLE = "o1lab"
    CSS_PATH: ClassVar[list[str | Any]] = [assets_dir() / "styles" / "o1lab.tcss"]
    DEFAULT_MODE = "lab"
    ENABLE_COMMAND_PALETTE = True
    ansi_theme_dark, ansi_theme_light = Reactive(DARK, init=False), Reactive(LIGHT, init=False)
    watches: ClassVar[bool] = True
    """Whether the app polls the jobs of the lab; tests that do not need it turn it off."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(one.key, f"switch_mode('{one.name}')", one.label, priority=True, tooltip=one.about) for one in MODES),
        Binding("ctrl+g", "go_to", "Go to", show=False, priority=True, tooltip="Then 1 to 7 goes to a screen"),
        Binding("ctrl+q", "quit", "Quit now", show=False, priority=True, tooltip="Leave at once"),
        Binding(
            "ctrl+z", "suspend_process", "Suspend", show=False, priority=True, tooltip="Back to the shell; fg returns"
        ),
        Binding(
            "q", "close", "Quit", show=False, tooltip="Close what is open, else leave; asks if something would be lost"
        ),
    ]

    def __init__(self, context: LabContext, *, mode: str = "lab", theme: str | None = None) -> None:
        self.DEFAULT_MODE = mode  # type: ignore[misc]  # the app starts with this screen, and makes no other
        super().__init__()
        # No colours at all, instead of the greys that Textual makes of the colours of its themes.
        self._filters = [NoColor() if isinstance(one, Monochrome) else one for one in self._filters]
        self._filters.append(_NoControls())
        self.context = context
        self.first_theme = theme
        self._leaving = threading.Event()
        self._last_error = ""
        for one in MODES:
            self.add_mode(one.name, partial(self._screen, one))
        self.set_keymap(context.keys)
        self.keeper = SessionKeeper(self, context.session)
        if mode != LabApp.DEFAULT_MODE:
            context.session.set("mode", mode)
        last = context.session.get("theme", "")
        known = last in self.available_themes and "TEXTUAL_THEME" not in os.environ
        self.theme = theme or (last if known else self.theme)
        self.stylesheet = KeepingStylesheet(variables=self.get_css_variables())

    def _screen(self, mode: Mode) -> Screen[Any]:
        screen: type[LabScreen] = getattr(import_module(f"screens.{mode.name}.screen"), mode.screen)
        return screen(self.context)

    async def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))  # the terminal was cleared
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread, as in some tests
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                    asyncio.get_running_loop().add_signal_handler(number, self._end_on_signal, number)
        self.set_timer(SETTLE_S, self._settle)
        self.keeper.start(forced=self.first_theme)

    def switch_mode(self, mode: str) -> AwaitMount:
        self.context.session.set("mode", mode)
        return super().switch_mode(mode)

    def _end_on_signal(self, number: int) -> None:
        """Quit as with the key, so that partial answers are saved."""
        if number == signal.SIGHUP and self._driver is not None:
            # The terminal is gone: its writer has ended, and its queue would block when it is full.
            self._driver.write = lambda data: None  # type: ignore[method-assign]  # of this driver only
        self.exit(return_code=128 + number)

    def _settle(self) -> None:
        """Do what is not needed for the first paint."""
        if not gc.isenabled():  # the command line turned it off during the start
            gc.freeze()  # existing objects are permanent: later collections skip them
            gc.enable()
        self.run_worker(self._keep_up(), group="upkeep", exit_on_error=False)
        if self.watches:
            self.run_worker(self._watch_jobs(), group="watch", exit_on_error=False)

    async def _watch_jobs(self) -> None:
        """Show the active jobs on every screen and notify of events, until the app closes."""
        made = await asyncio.to_thread(import_module, "screens.jobs.monitor")
        monitor = made.Monitor(self.context.lab, self.context.name)
        while True:
            try:
                notices = await asyncio.to_thread(monitor.poll, self._notify_settings(), self.current_mode)
            except ERRORS:  # the lab is on a disk that is gone for a moment; screens report what they need
                log.warning("the jobs cannot be read", exc_info=True)
                notices = []
            self.context.activity = monitor.parts
            for screen in self.screen_stack:
                if isinstance(screen, LabScreen):
                    screen.show_activity()
            for one in notices:
                self.notify(one.text, severity="warning" if one.is_warning else "information", timeout=20, markup=False)
                if one.sequences and self._driver is not None:
                    self._driver.write(one.sequences)
            await asyncio.sleep(WATCH_S if monitor.parts else IDLE_S)

    def _notify_settings(self) -> NotifySettings:
        from o1lab.config import NotifySettings

        try:
            return self.context.config.notify
        except O1LabError:  # reported at the start
            return NotifySettings()

    async def _keep_up(self) -> None:
        """Prepare for the first write; then measure and label pending traces, and new ones."""
        await asyncio.to_thread(self._make_ready)
        made = await asyncio.to_thread(import_module, "screens.base.upkeep")
        tell = partial(self.call_from_thread, self.notify, markup=False)
        upkeep = made.Upkeep(self.context, tell, self._leaving.is_set)
        await asyncio.to_thread(self._reported, upkeep.catch_up)
        while self.watches:
            await asyncio.sleep(IDLE_S)
            await asyncio.to_thread(self._reported, upkeep.poll)

    def _make_ready(self) -> None:
        """Import what the first write needs, and check o1lab.toml."""
        prepare()
        if self.context.store.read_only:
            self.call_from_thread(
                self.notify, self.context.store.note, title="Read-only", severity="warning", timeout=30, markup=False
            )
        self._reported(self._check_settings)

    def _reported(self, work: Callable[[], None]) -> None:
        """Run ``work`` and show its error, unless the last error was the same. Call it in a thread."""
        before, self._last_error = self._last_error, ""
        try:
            work()
        except Exception as error:  # background work continues
            log.warning("Work in the background failed", exc_info=error)
            self._last_error = str(error) if isinstance(error, O1LabError) else repr(error)
            if self._last_error != before:
                self.call_from_thread(self.notify, self._last_error, severity="error", timeout=20, markup=False)

    def _check_settings(self) -> None:
        """Report problems of o1lab.toml and its keys."""
        _ = self.context.config
        if self.context.keys:
            from o1lab.keymap import all_keys, faults

            for fault in faults(all_keys(type(self), self.context.keys), self.context.keys):
                self.call_from_thread(self.notify, fault, severity="warning", timeout=20, markup=False)

    async def on_unmount(self) -> None:
        self._leaving.set()
        await self.keeper.close()
        await self.context.close()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Yield the commands of the palette: all modes, all actions with a key on this screen, and Textual's own."""
        for one in MODES:
            key = self.context.keys.get(f"switch_mode_{one.name}", one.key).replace(",", ", ")
            yield SystemCommand(f"{one.label} ({key})", one.about, partial(self.switch_mode, one.name))
        for keys, active in self._actions(screen).values():
            binding = active.binding
            yield SystemCommand(
                f"{binding.description} ({', '.join(keys)})",
                binding.tooltip,
                lambda active=active: self._run_binding(active.binding.action, active.node),
            )
        yield from super().get_system_commands(screen)

    def _actions(self, screen: Screen[Any]) -> dict[tuple[str, str], tuple[list[str], ActiveBinding]]:
        """Return the actions of the active keys, each once with all its keys."""
        actions: dict[tuple[str, str], tuple[list[str], ActiveBinding]] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            # Those without a tooltip are Textual's, for example to move the cursor of an editor.
            if binding.tooltip and active.enabled and not binding.action.startswith("switch_mode"):
                keys, _ = actions.setdefault((binding.action, binding.description), ([], active))
                keys.append(self.get_key_display(binding))
        return actions

    def _run_binding(self, action: str, node: Any) -> None:
        self.call_later(self.run_action, action, node)

    @work(exclusive=True, group="go")
    async def action_go_to(self) -> None:
        """Ask for the digit of a screen, and go there."""
        from o1lab.widgets.dialogs import GoDialog  # editors and rendering, which the first paint does not need

        if not isinstance(self.screen, GoDialog):
            place = await self.push_screen_wait(GoDialog([one.label for one in MODES]))
            if place is not None:
                await self.switch_mode(MODES[place].name)

    @work(exclusive=True, group="close")
    async def action_close(self) -> None:
        """Close what is open on this screen; else leave the app, after a question if something would be lost."""
        screen = self.screen
        if isinstance(screen, LabScreen) and await screen.close_open():
            return
        from o1lab.widgets.dialogs import ConfirmDialog  # as above

        lost = [loss for one in self._screens() if (loss := one.would_lose())]
        if not lost or await self.push_screen_wait(
            ConfirmDialog("Leave o1lab?", "Lost: " + " ".join(lost), yes="Leave", no="Stay", danger=True)
        ):
            self.exit()

    def _screens(self) -> Iterator[LabScreen]:
        """Yield the open screens of all modes."""
        for one in MODES:
            with contextlib.suppress(KeyError):  # not shown yet
                yield from (screen for screen in self.get_screen_stack(one.name) if isinstance(screen, LabScreen))

    @on(Visit)
    async def _visit(self, message: Visit) -> None:
        await self.switch_mode(message.mode)
        message.act_on(self.get_screen_stack(message.mode)[0])  # below any dialog

    def deliver_screenshot(
        self, filename: str | None = None, path: str | None = None, time_format: str | None = None
    ) -> str | None:
        """Save a picture of the screen in the exports of the lab: there may be no folder for downloads."""
        if self.is_web:  # the browser gets it
            return super().deliver_screenshot(filename, path, time_format)
        name = filename or f"{self.context.name}-{datetime.now():{time_format or '%Y-%m-%d-%H-%M-%S'}}.svg"
        self._save_screenshot(Path(path or self.context.lab.exports) / Path(name).name, self.export_screenshot())
        return None

    @work
    async def _save_screenshot(self, path: Path, picture: str) -> None:
        try:
            await asyncio.to_thread(write_text, path, picture, durable=False)
        except OSError as error:
            self.notify(visible(f"No screenshot: {path}: {error.strerror}."), severity="error", markup=False)
        else:
            self.notify(visible(f"Saved the screenshot {path}."), timeout=8, markup=False)

    def _handle_exception(self, error: Exception) -> None:
        """Quit with an error in one sentence, and write the traceback to the log only.

        Textual calls this for uncaught exceptions. In tests (headless) its own handling raises the exception.
        """
        log.critical("the app stopped", exc_info=error)
        if self.is_headless or os.environ.get("O1LAB_DEBUG"):
            super()._handle_exception(error)
            return
        self._return_code = 3
        self._closing_error = (
            error
            if isinstance(error, O1LabError)
            else O1LabError(
                f"o1lab stopped: {type(error).__name__}: {error}.",
                f"Everything confirmed is saved; the traceback is in {log_dir() / 'o1lab.log'}.",
                code="internal",
            )
        )
        self.exit(3, return_code=3)

    _closing_error: O1LabError | None = None


def run_app(lab: Lab, *, fresh: bool = False) -> int:
    """Run the app in this terminal until the user quits, and return the exit status: 128 + N after signal N.

    Args:
        lab: The lab.
        fresh: Whether the screens start without their state of last time.

    Raises:
        LabError: There is no terminal, or the lab cannot be opened.
    """
    in_browser = os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver")  # started by `o1lab web`
    if not in_browser and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise LabError(
            "The app needs a terminal, but standard input or output is not one.",
            "Use the commands instead (`o1lab --help`), or `o1lab demo --headless`.",
            code="no_terminal",
        )
    if os.environ.get("TERM") in ("dumb", "unknown"):
        raise LabError(
            f"The app needs a terminal that can move its cursor, but TERM is {os.environ['TERM']}.",
            "Use the commands instead (`o1lab --help`), or set TERM if this terminal can do more, as in TERM=xterm.",
            code="no_terminal",
        )
    context = open_context(lab, fresh=fresh)
    _log_to_file()
    colours = None if in_browser else Console(file=sys.__stdout__).color_system
    mode = context.session.get("mode", LabApp.DEFAULT_MODE)
    mode = mode if mode in {one.name for one in MODES} else LabApp.DEFAULT_MODE
    app = LabApp(context, mode=mode, theme=theme_for(os.environ, colours))
    app.run()
    gc.unfreeze()
    gc.collect()  # closes the connections of other threads; closing the last one checkpoints the WAL
    if app._closing_error is not None:
        raise app._closing_error
    return app.return_code or 0


def _log_to_file() -> None:
    """Log to a file, since the app uses the terminal."""
    try:
        log_dir().mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = RotatingFileHandler(log_dir() / "o1lab.log", maxBytes=2_000_000, backupCount=1)
    except OSError:
        handler = logging.NullHandler()  # the app works without a log
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
