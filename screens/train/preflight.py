"""Preflight: shows what the trainer does with a recipe, from the trainer's own tensors, and launches the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from o1lab.paths import assets_dir
from o1lab.text import visible
from o1lab.train import launch
from o1lab.train.preflight.report import Preflight, run_preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.widgets.dialogs import PreviewDialog
from o1lab.widgets.keys import Binding
from o1lab.widgets.text_pane import TallText, TextPane
from screens.base.context import LabContext
from screens.base.screen import LabScreen, task
from screens.train.preflight_text import report_text


class PreflightScreen(LabScreen):
    """Runs preflight in a separate process and shows its report; launches only a recipe without problems."""

    TITLE = "TRAIN  preflight"
    CSS_PATH: ClassVar[list[Any]] = [assets_dir() / "styles" / "train.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "launch", "Launch", tooltip="Start the training"),
        Binding("Y", "copy_command", "Copy command", tooltip="Copy the command that starts this training"),
        Binding("r", "check", "Check again", tooltip="Run preflight again"),
        Binding("escape", "back", "Back to the form", tooltip="Close preflight; the form is kept"),
    ]

    def __init__(self, context: LabContext, recipe: Recipe, *, launched: Callable[[str], None]) -> None:
        super().__init__(context)
        self.recipe = recipe
        self.launched = launched
        self.found: Preflight | None = None
        self.run_id: str | None = None
        self._cancelled = threading.Event()
        self._rows = (0, 0)

    def compose_body(self) -> ComposeResult:
        yield TallText(id="verdict", markup=False)
        yield TextPane("what the trainer will see", id="preflight")

    def on_mount(self) -> None:
        self.query_one("#preflight").focus()
        self.action_check()

    def on_unmount(self) -> None:
        self._cancelled.set()

    @work(exclusive=True, group="preflight")
    async def action_check(self) -> None:
        """Build the tensors and check them."""
        self._cancelled.set()
        cancelled = self._cancelled = threading.Event()
        self.found = None
        self.refresh_bindings()
        self.query_one("#preflight", TextPane).show(Text())
        started = time.monotonic()
        self._rows = (0, 0)
        clock = self.set_interval(0.5, lambda: self._say_waiting(started))
        self._say_waiting(started)
        try:
            self.found = await self.in_thread(
                lambda: run_preflight(
                    self.context.lab,
                    self.recipe,
                    store=self.context.store,
                    cancelled=cancelled.is_set,
                    progress=self._count,
                )
            )
        except Exception as error:
            if not cancelled.is_set():
                self.report(error)
                self.query_one("#verdict", Static).update(Text(f"✗ {visible(str(error))}", "bold red"))
            return
        finally:
            clock.stop()
        self._show(self.found)

    def _say_waiting(self, started: float) -> None:
        elapsed, (done, total) = time.monotonic() - started, self._rows
        if not total:
            now = "Loading the trainer's libraries"
        elif done < total:
            now = f"Tokenizing as the trainer will: row {done:,} of {total:,}"
        else:
            now = f"Checking the base with {total:,} rows"
        self.query_one("#verdict", Static).update(f"… {now}: {elapsed:.0f} s. esc cancels.")

    def _count(self, done: int, total: int) -> None:
        """Called in the thread that waits for preflight."""
        self._rows = (done, total)

    def _show(self, found: Preflight) -> None:
        if found.ok:
            verdict = Text("✓ Ready. Press enter to launch.", "bold green")
        else:
            count = len(found.problems)
            problems = f"{count} problem{'s' if count != 1 else ''}"
            verdict = Text(f"✗ {problems} to fix. Press esc to go back to the form.", "bold red")
        self.query_one("#verdict", Static).update(verdict)
        self.query_one("#preflight", TextPane).show(report_text(found, self.recipe))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the launch only for a recipe without problems."""
        if action == "launch":
            return bool(self.found and self.found.ok) or None
        return self.found is not None or None if action in ("copy_command", "check") else True

    @task(exclusive=True, group="launch")
    async def action_launch(self) -> None:
        """Start the run as a separate process that continues after the app closes."""
        if self.run_id or not (self.found and self.found.ok):
            return
        run, _ = await self.in_thread(lambda: launch.launch(self.context.lab, self.recipe, store=self.context.store))
        launched = await self.in_thread(run.launch)
        self.run_id = run.id
        if launched is not None and launched.commands:
            text = "\n\n".join(launched.commands)
            dialog = PreviewDialog("Start these commands, one on each node", text, action="copy them")
            if await self.app.push_screen_wait(dialog):
                self.app.copy_to_clipboard(visible(text))
        else:
            self.app.notify(f"Run {run.id} is starting. It continues when you close o1lab.", markup=False)
        self._leave()

    def on_screen_resume(self) -> None:
        self._leave()

    def _leave(self) -> None:
        """Show the run once it is launched; if another mode is shown, when this one is shown again."""
        if self.run_id and self.is_current:
            self.app.pop_screen()
            self.launched(self.run_id)

    def action_copy_command(self) -> None:
        """Copy the command that starts this run, and show it."""
        if self.found:
            self.copy(self.found.command)

    def action_back(self) -> None:
        """Go back to the form and cancel a running check."""
        self._cancelled.set()
        self.app.pop_screen()
