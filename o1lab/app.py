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
from collections.abc import Callable, Iterable
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.segment import Segment
from textual.app import SystemCommand
from textual.binding import ActiveBinding, Binding, BindingType
from textual.color import Color
from textual.filter import LineFilter
from textual.screen import Screen

from o1lab.errors import LabError, O1LabError, from_store
from o1lab.paths import Lab, assets_dir, log_dir
from o1lab.text import without_controls
from o1lab.widgets.typed_ahead import TypedAheadApp
from screens.base import messages
from screens.base.context import LabContext, open_context
from screens.base.screen import LabScreen
from store.errors import StoreError
from store.sqlite import prepare

if TYPE_CHECKING:
    from screens.compare.screen import CompareScreen
    from screens.distill.screen import DistillScreen
    from screens.evaluate.screen import EvaluateScreen
    from screens.traces.screen import TracesScreen
    from screens.train.screen import TrainScreen

log = logging.getLogger("o1lab.app")

MODES: tuple[tuple[str, str, str], ...] = (
    ("f1", "lab", "Lab"),
    ("f2", "traces", "Traces"),
    ("f3", "distill", "Distill"),
    ("f4", "train", "Train"),
    ("f5", "compare", "Compare"),
    ("f6", "evaluate", "Evaluate"),
    ("f7", "transparency", "Transparency"),
)
SETTLE_S = 0.5  # after the mount of the first screen, when it has been painted


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
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"switch_mode('{mode}')", label, show=True, priority=True) for key, mode, label in MODES),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, priority=True),
        Binding("q", "quit", "Quit", show=False),
    ]

    def __init__(self, context: LabContext, *, mode: str = "lab") -> None:
        super().__init__(ansi_color=bool(os.environ.get("O1LAB_ANSI")))
        self._filters.append(_NoControls())
        self.context = context
        self.first_mode = mode
        self._leaving = threading.Event()
        for name, factory in self._factories().items():
            self.add_mode(name, factory)

    def _factories(self) -> dict[str, Callable[[], Screen[Any]]]:
        def lab() -> LabScreen:
            from screens.lab.screen import OverviewScreen

            return OverviewScreen(self.context)

        def traces() -> LabScreen:
            from screens.traces.screen import TracesScreen

            return TracesScreen(self.context)

        def distill() -> LabScreen:
            from screens.distill.screen import DistillScreen

            return DistillScreen(self.context)

        def train() -> LabScreen:
            from screens.train.screen import TrainScreen

            return TrainScreen(self.context)

        def compare() -> LabScreen:
            from screens.compare.screen import CompareScreen

            return CompareScreen(self.context)

        def evaluate() -> LabScreen:
            from screens.evaluate.screen import EvaluateScreen

            return EvaluateScreen(self.context)

        def transparency() -> LabScreen:
            from screens.transparency.screen import TransparencyScreen

            return TransparencyScreen(self.context)

        return {
            "lab": lab, "traces": traces, "distill": distill, "train": train, "compare": compare, "evaluate": evaluate,
            "transparency": transparency,
        }  # fmt: skip

    async def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))  # the terminal was cleared
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread, as in some tests
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                    asyncio.get_running_loop().add_signal_handler(number, self._end_on_signal, number)
        self.theme = "textual-ansi" if self.ansi_color else "textual-dark"
        if self.first_mode != self.DEFAULT_MODE:
            await self.switch_mode(self.first_mode)
        self.set_timer(SETTLE_S, self._settle)

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
        self.run_worker(self._make_ready, thread=True, exit_on_error=False)

    def _make_ready(self) -> None:
        """Import what the first write needs, check o1lab.toml, and measure pending traces."""
        prepare()
        if self.context.store.read_only:
            self.call_from_thread(
                self.notify, self.context.store.note, title="Read-only", severity="warning", timeout=30, markup=False
            )
        try:
            _ = self.context.config
            self._measure_pending()
        except (O1LabError, StoreError) as error:
            self.call_from_thread(self.notify, str(error), severity="error", timeout=20, markup=False)

    def _measure_pending(self) -> None:
        """Measure traces that an import or a newer segmenter left unmeasured, in a thread, until the app closes."""
        from o1lab.ingest.measuring import MEASURED_BY, measure_pending
        from store import traces

        pending = traces.count_unmeasured(self.context.store.db, MEASURED_BY)
        if not pending or self.context.store.read_only:
            return
        self.call_from_thread(self.notify, f"Measuring {pending:,} traces in the background.", markup=False)
        report = measure_pending(self.context.store, stop=self._leaving.is_set)
        if not report.stopped:
            done = f"Measured {report.measured:,} traces. Reload a list to see the new values."
            self.call_from_thread(self.notify, done, markup=False)

    async def on_unmount(self) -> None:
        self._leaving.set()
        await self.context.close()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Yield the commands of the palette: all modes, all actions with a key on this screen, and Textual's own."""
        for key, mode, label in MODES:
            yield SystemCommand(
                f"{label} ({key})", f"Go to the {label} screen", lambda mode=mode: self.switch_mode(mode)
            )
        for keys, active in self._actions(screen).values():
            binding = active.binding
            yield SystemCommand(
                f"{binding.description} ({', '.join(keys)})",
                binding.tooltip or f"On {screen.title or 'this screen'}",
                lambda active=active: self._run_binding(active.binding.action, active.node),
            )
        yield from super().get_system_commands(screen)

    def _actions(self, screen: Screen[Any]) -> dict[tuple[str, str], tuple[list[str], ActiveBinding]]:
        """Return the actions of the active keys, each once with all its keys."""
        actions: dict[tuple[str, str], tuple[list[str], ActiveBinding]] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.description and active.enabled and not binding.action.startswith("switch_mode"):
                keys, _ = actions.setdefault((binding.action, binding.description), ([], active))
                keys.append(self.get_key_display(binding))
        return actions

    def _run_binding(self, action: str, node: Any) -> None:
        self.call_later(self.run_action, action, node)

    async def on_open_traces(self, message: messages.OpenTraces) -> None:
        await self.switch_mode("traces")
        screen = cast("TracesScreen", self.get_screen_stack("traces")[0])  # below any dialog
        screen.open(message.query, message.trace_id)

    async def on_open_distill(self, message: messages.OpenDistill) -> None:
        await self.switch_mode("distill")
        screen = cast("DistillScreen", self.get_screen_stack("distill")[0])  # below any dialog
        if message.form:
            screen.open_form({"problems": message.problems} if message.problems else None)
        else:
            screen.open_pool(message.problems)

    async def on_open_run(self, message: messages.OpenRun) -> None:
        await self.switch_mode("train")
        screen = cast("TrainScreen", self.get_screen_stack("train")[0])  # below any dialog
        screen.open_run(message.run_id)

    async def on_open_training(self, message: messages.OpenTraining) -> None:
        await self.switch_mode("train")
        screen = cast("TrainScreen", self.get_screen_stack("train")[0])  # below any dialog
        screen.open_form(message.dataset)

    async def on_open_compare(self, message: messages.OpenCompare) -> None:
        await self.switch_mode("compare")
        screen = cast("CompareScreen", self.get_screen_stack("compare")[0])  # below any dialog
        screen.open(message.models, message.prompt)

    async def on_open_evaluation(self, message: messages.OpenEvaluation) -> None:
        await self.switch_mode("evaluate")
        screen = cast("EvaluateScreen", self.get_screen_stack("evaluate")[0])  # below any dialog
        if message.evaluation_id is not None:
            screen.open_evaluation(message.evaluation_id)
        else:
            screen.open_form({"model": message.model} if message.model else None)

    def _handle_exception(self, error: Exception) -> None:
        """Quit with an error in one sentence, and write the traceback to the log only.

        Textual calls this for uncaught exceptions. In tests (headless) its own handling raises the exception.
        """
        log.critical("the app stopped", exc_info=error)
        if self.is_headless or os.environ.get("O1LAB_DEBUG"):
            super()._handle_exception(error)
            return
        self._return_code = 3
        if isinstance(error, StoreError):
            error = from_store(error)
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


def run_app(lab: Lab, *, mode: str = "lab") -> int:
    """Run the app in this terminal until the user quits, and return the exit status: 128 + N after signal N.

    Raises:
        LabError: There is no terminal, or the lab cannot be opened.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise LabError(
            "The app needs a terminal, but standard input or output is not one.",
            "Use the commands instead (`o1lab --help`), or `o1lab demo --headless`.",
            code="no_terminal",
        )
    context = open_context(lab)
    _log_to_file()
    app = LabApp(context, mode=mode)
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
