"""Keeps what the screens of a person look like while the app runs."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from textual.app import App

from o1lab.errors import LabError
from o1lab.remembered import Session
from o1lab.text import visible

SAVE_S = 1.0  # between looks at whether the screens have something to remember
log = logging.getLogger("o1lab.session")


class SessionKeeper:
    """Writes a session in a thread: once a second if something changed, and when the app closes."""

    def __init__(self, app: App[Any], session: Session) -> None:
        self.app, self.session = app, session

    def start(self, *, forced: str | None) -> None:
        """Remember the theme from now on (but not ``forced``, which the terminal needs), and write what changes."""
        if self.session.fault:
            fault = f"{self.session.fault} It is ignored, and the screens start as new."
            self.app.notify(visible(fault), severity="warning", timeout=20, markup=False)

        def remember(theme: Any) -> None:
            if theme.name != forced:
                self.session.set("theme", theme.name)

        self.app.theme_changed_signal.subscribe(self.app, remember)
        self._timer = self.app.set_interval(SAVE_S, self._look)

    def _look(self) -> None:
        if self.session.unsaved:
            self.app.run_worker(self._save(), group="session")

    async def _save(self) -> None:
        try:
            await asyncio.to_thread(self.session.save)
        except (OSError, LabError) as error:
            self._timer.stop()
            message = f"What the screens look like is not remembered: {error}"
            self.app.notify(visible(message), severity="warning", markup=False)

    async def close(self) -> None:
        """Write what has changed."""
        try:
            await asyncio.to_thread(self.session.save)
        except (OSError, LabError):
            log.warning("what the screens look like was not saved", exc_info=True)
