"""Labs whose endpoints are fault servers, and an app on its Compare screen talking to them over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import tomlkit
from textual import events
from textual._context import visible_screen_stack
from textual.pilot import Pilot
from textual.screen import Screen

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.paths import Lab
from screens.base.context import LabContext, open_context
from screens.compare.screen import CompareScreen
from store import conversations, open_store
from tests.support.fault_server import FaultServer

ScreenT = TypeVar("ScreenT", bound=Screen[Any])
PATIENCE_S = 240.0  # of pauses between looks at a condition


def lab_with(folder: Path, servers: dict[str, FaultServer]) -> Lab:
    """A lab whose endpoints are ``servers`` by name, in their order."""
    lab = init_lab(folder, name="faults")
    document = tomlkit.document()
    document.add("name", "faults")
    endpoints = tomlkit.aot()
    for name, server in servers.items():
        endpoints.append(tomlkit.item({"name": name, "url": server.url, "model": name, "role": "other"}))
    document.add("endpoints", endpoints)
    lab.config.write_text(tomlkit.dumps(document), "utf-8")
    return lab


async def screen_shown(pilot: Pilot[int], kind: type[ScreenT], what: str) -> ScreenT:
    """Wait until the screen is of a kind; returns it."""
    await until(pilot, lambda: isinstance(pilot.app.screen, kind), what)
    screen = pilot.app.screen
    assert isinstance(screen, kind)
    return screen


def saved(lab: Lab, *, branches: bool = True) -> list[conversations.Message]:
    """Every message of the lab's only conversation, read by a connection of its own."""
    store = open_store(lab.database)
    try:
        (record,) = conversations.page(store.db)
        return conversations.messages(store.db, record.id, branches=branches)
    finally:
        store.close()


@asynccontextmanager
async def comparing(
    lab: Lab, models: tuple[str, ...], *, size: tuple[int, int] = (100, 30)
) -> AsyncIterator[tuple[Pilot[int], CompareScreen]]:
    """The app on its Compare screen with a pane for each of ``models``; the prompt has the focus."""
    context = open_context(lab)
    app = Recording(context, mode="compare")
    async with app.run_test(size=size) as pilot:
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        await until(pilot, lambda: bool(screen.controller.refs), "the usual models")
        screen.open(models, "")
        await until(pilot, lambda: [ref.id for ref in screen.controller.refs] == list(models), "the models asked for")
        yield pilot, screen


class Recording(LabApp):
    """Keeps what was said to the person."""

    def __init__(self, context: LabContext, *, mode: str) -> None:
        super().__init__(context, mode=mode)
        self.said: list[str] = []

    def notify(self, message: str, **options: object) -> None:  # type: ignore[override]
        self.said.append(message)
        super().notify(message, **options)  # type: ignore[arg-type]


async def until(pilot: Pilot[int], condition: Callable[[], object], what: str) -> None:
    """Let the app run until ``condition`` holds when all messages are handled.

    ``Pilot.pause`` sends a message to each widget, and a condition may draw the whole screen. Therefore the pilot is
    called only once the condition holds, and looks at what takes long become rarer.
    """
    pause, waited = 0.02, 0.0
    while waited < PATIENCE_S:
        if condition():
            if waited:
                await pilot.pause(0)
            if condition():
                return
        if pilot.app._exception is not None:
            raise pilot.app._exception
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * 1.1, 0.1)
    raise AssertionError(f"in vain waited for {what}; on the screen:\n{shown(pilot)}")


async def paste(pilot: Pilot[int], text: str) -> None:
    """Paste a text into the empty line that has the focus: a key for each letter takes much longer."""
    pilot.app.post_message(events.Paste(text))
    await until(pilot, lambda: getattr(pilot.app.focused, "value", "") == text, "the text")


async def filter_by(pilot: Pilot[int], text: str) -> None:
    """Replace the filter and submit it: typed slowly, its first letters would be a filter of their own."""
    await pilot.press("slash", "ctrl+u")
    await paste(pilot, text)
    await pilot.press("enter")


async def ask(pilot: Pilot[int], screen: CompareScreen, text: str) -> None:
    """Write a prompt and press enter."""
    controller, turn = screen.controller, screen.controller.turn
    screen.prompt.focus()
    screen.prompt.text = text
    await pilot.press("enter")
    await until(pilot, lambda: controller.turn == turn + 1 or controller.turn == 1, "the question on disk")


async def answered(pilot: Pilot[int], screen: CompareScreen) -> None:
    await until(pilot, lambda: screen.controller.turn and not screen.controller.busy, "all answers")
    await pilot.pause()


def shown(pilot: Pilot[int]) -> str:
    """Return the text on the screen. Of a dialog with a transparent background, the screen behind it shows, too."""
    visible_screen_stack.set(pilot.app._background_screens)  # a transparent screen draws them below itself
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def text_of(screen: CompareScreen, place: int) -> str:
    """Everything in the pane in ``place``, folded or not."""
    body = screen.panes.places[place].body
    body.flush()
    return "\n".join(section.text.text for section in body.sections)
