"""A form below which stands what its settings will come to, counted while it is being written."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.css.query import NoMatches
from textual.widgets import Static

from o1lab.text import visible
from screens.base.screen import words_of
from screens.forms.form_screen import FormScreen, Settings

PAUSE_S = 0.4  # of not typing, before it is counted
Found = TypeVar("Found")
Looked = TypeVar("Looked")


class EstimatingForm(FormScreen[Settings], Generic[Settings, Found]):
    """Says in ``estimate`` and ``estimate_words`` what its settings come to, and asks ``estimated`` before it goes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._last: tuple[Settings, Found] | None = None
        self._one_look = asyncio.Lock()

    @abstractmethod
    async def estimate(self, settings: Settings) -> Found:
        """What these settings come to; it looks by ``whole``, and may ``say`` on its way what it knows."""

    @abstractmethod
    def estimate_words(self, settings: Settings, found: Found) -> Text:
        """That as text of a few lines."""

    def instead(self, settings: Settings) -> Text | None:
        """What is said of settings whose cost cannot be known yet."""
        return None

    async def estimated(self, settings: Settings) -> Found:
        """What these settings come to, looked for only if it is not known."""
        async with self._one_look:
            if self._last is None or self._last[0] != settings:
                self._last = (settings, await self.estimate(settings))
            return self._last[1]

    def compose_body(self) -> ComposeResult:
        yield from super().compose_body()
        yield Static(id="estimate", markup=False)

    def drawn(self) -> None:
        self._count_again()

    def edited(self) -> None:
        self._count_again()

    @work(exclusive=True, group="estimate")
    async def _count_again(self) -> None:
        """A look that has begun is waited for."""
        settings, faults = self.judge(self.texts())
        if settings is None:
            name, fault = next(iter(faults.items()))
            self.say(Text(f"✗ {name.replace('_', ' ')}: {visible(fault)}", "yellow"))
            return
        if (words := self.instead(settings)) is not None:
            self.say(words)
            return
        await asyncio.sleep(PAUSE_S)
        try:
            found = await self.estimated(settings)
        except Exception as error:
            self.say(Text(f"✗ {words_of(error)}", "yellow"))
        else:
            self.say(self.estimate_words(settings, found))

    async def whole(self, look: Callable[..., Looked], *arguments: Any) -> Looked:
        """Wait for a look in a thread to its end even when we are cancelled: the next does not begin beside it."""
        task = asyncio.ensure_future(self.in_thread(look, *arguments))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self.closing:
                await asyncio.wait([task])
            raise

    def say(self, text: Text) -> None:
        """Show this where the estimate stands."""
        try:
            self.query_one("#estimate", Static).update(text)
        except NoMatches:
            return  # closed meanwhile


def budget_words(budget_usd: float | None, budget_tokens: int | None) -> str:
    """Where it stops, on a line of its own."""
    parts = [f"${budget_usd:,.2f}"] if budget_usd is not None else []
    parts += [f"{budget_tokens:,} tokens"] if budget_tokens is not None else []
    return f"\nit stops before {' or '.join(parts)} are spent" if parts else "\nno budget: nothing stops it but you"
