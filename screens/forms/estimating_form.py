"""A settings form with an estimate of the cost below its fields, updated while they are edited."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.widgets import Static

from o1lab.text import visible
from o1lab.widgets.dialogs import ConfirmDialog
from o1lab.widgets.keys import Binding
from screens.base.screen import task, words_of
from screens.forms.settings_form import Settings, SettingsForm

PAUSE_S = 0.4  # without a change before the estimate begins
Found = TypeVar("Found")
Result = TypeVar("Result")


class EstimatingForm(SettingsForm[Settings], Generic[Settings, Found]):
    """A form that shows an estimate and asks for confirmation before it launches a process.

    A subclass implements :meth:`estimate` and :meth:`estimate_text` for the cost, :meth:`confirmation` for the
    question before the launch, and :meth:`launch`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "go", "Launch", priority=True, tooltip="Show the estimate and, once confirmed, launch"),
        *SettingsForm.KEYS,
    ]
    GO = "Show the estimate and launch"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._last: tuple[Settings, Found] | None = None
        self._one_estimate = asyncio.Lock()

    @abstractmethod
    async def estimate(self, settings: Settings) -> Found:
        """Estimate the cost. It reads with :meth:`uncancelled`, and may :meth:`show` a first part."""

    @abstractmethod
    def estimate_text(self, settings: Settings, found: Found) -> Text:
        """Return the estimate in a few lines."""

    @abstractmethod
    async def confirmation(self, settings: Settings) -> tuple[str, Text]:
        """Return the question before the launch, and the cost."""

    @abstractmethod
    async def launch(self, settings: Settings) -> str:
        """Start the process and return the id of its run."""

    def no_estimate(self, settings: Settings) -> Text | None:
        """Return a text to show instead of an estimate; None if the estimate can be made."""
        return None

    async def estimated(self, settings: Settings) -> Found:
        """Return the estimate, from the last call if the settings are the same."""
        async with self._one_estimate:
            if self._last is None or self._last[0] != settings:
                self._last = (settings, await self.estimate(settings))
            return self._last[1]

    def compose_body(self) -> ComposeResult:
        yield from super().compose_body()
        yield Static(id="estimate", markup=False)

    def drawn(self) -> None:
        self._estimate_again()

    def edited(self) -> None:
        self._estimate_again()

    @work(exclusive=True, group="estimate")
    async def _estimate_again(self) -> None:
        settings, wrong = self.judge(self.texts())
        if settings is None:
            name, fault = next(iter(wrong.items()))
            self.show(Text(f"✗ {name.replace('_', ' ')}: {visible(fault)}", "yellow"))
            return
        if (instead := self.no_estimate(settings)) is not None:
            self.show(instead)
            return
        await asyncio.sleep(PAUSE_S)
        try:
            found = await self.estimated(settings)
        except Exception as error:
            self.show(Text(f"✗ {words_of(error)}", "yellow"))
        else:
            self.show(self.estimate_text(settings, found))

    @task(exclusive=True, group="launch", dialog=True)
    async def action_go(self) -> None:
        """Ask for confirmation, then launch a process that continues when the app is closed."""
        settings = await self.finished()
        if settings is None:
            return
        question, cost = await self.confirmation(settings)
        cost.append(budget_text(settings))
        if await self.app.push_screen_wait(ConfirmDialog(question, cost, yes="Launch", no="Not yet")):
            self.done(await self.launch(settings))

    async def uncancelled(self, read: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``read`` in a thread and wait for its end even if cancelled, so that the next one starts after it."""
        task = asyncio.ensure_future(self.in_thread(read, *arguments))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self.closing:
                await asyncio.wait([task])
            raise

    def show(self, text: Text) -> None:
        """Show a text as the estimate."""
        try:
            self.query_one("#estimate", Static).update(text)
        except NoMatches:
            return  # closed in the meantime


def budget_text(settings: Any) -> str:
    """Return a line with the budgets of the settings."""
    parts = [f"${settings.budget_usd:,g}"] if settings.budget_usd is not None else []
    parts += [f"{settings.budget_tokens:,} tokens"] if settings.budget_tokens is not None else []
    return f"\nstops before {' or '.join(parts)} are spent" if parts else "\nno budget is set"
