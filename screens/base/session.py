"""Saves the state of a person's screens while the app runs."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from textual.app import App

from o1lab.errors import LabError
from o1lab.remembered import Session
from o1lab.text import visible

SAVE_S = 1.0  # seconds between checks for unsaved changes
log = logging.getLogger("o1lab.session")


class SessionKeeper:
    """Writes a session in a thread: once a second if something changed, and when the app closes."""

    def __init__(self, app: App[Any], session: Session) -> None:
        self.app, self.session = app, session

    def start(self, *, forced: str | None) -> None:
        """Begin to save: changes of the state, and the theme, except ``forced``, which the terminal needs."""
        if self.session.fault:
            fault = f"{self.session.fault} It is ignored, and the screens start fresh."
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
            message = f"The state of the screens cannot be saved: {error}"
            self.app.notify(visible(message), severity="warning", markup=False)

    async def close(self) -> None:
        """Write what has changed."""
        try:
            await asyncio.to_thread(self.session.save)
        except (OSError, LabError):
            log.warning("the state of the screens was not saved", exc_info=True)
