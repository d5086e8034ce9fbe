"""Pictures of the Compare screen: a saved conversation of three models, at both sizes, and its dialogs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.paths import Lab
from screens.base.context import open_context
from screens.compare.screen import CompareScreen
from store import conversations, open_store
from store.conversations import Message, Vote
from tests.support.compare_lab import until
from tests.support.pictures import pictures, sizes

PANES = [
    ("solver", "teacher: solver (a program, not a language model)"),
    ("demo/100", "student: demo/100"),
    ("smollm2-135m", "base: smollm2-135m"),
]
THOUGHT = (
    "Ones 4+4=8, no carry. Skip carries:\n6+9=15\n9+4=13\nSo 1358. Check:\n8-4=4\n15-9=6\n12-4=8\n"
    "864, not 964. Wait, 15 carries 1:\n9+4+1=14\nSo 1458. Check:\n8-4=4\n15-9=6\n13-4=9\n964, right."
)
BASE = (
    "To solve this problem, we need to first find the sum of 964 and 494.\n\n"
    "964 + 494 = 77200\n\nTherefore, the answer is 77200."
)
SAMPLING = {"temperature": 0.0, "top_p": None, "max_tokens": 400, "seed": 1}


def kept(lab: Lab, *, blind: bool = False) -> None:
    """A conversation with an answer in each pane, one of them cut off by a broken stream."""
    store = open_store(lab.database)
    settings: dict[str, Any] = {"system": "", "sampling": SAMPLING, "blind": blind}
    record = conversations.create(store.db, "What is 964 + 494?", PANES, settings)
    # The panes' order while blind follows from the id.
    store.db.execute("PRAGMA foreign_keys=OFF")
    store.db.execute("UPDATE conversations SET id = 'c1', created_at = '2026-01-02T03:04:05'")
    store.db.execute("UPDATE panes SET conversation_id = 'c1'")
    store.db.conn.commit()
    del record
    say = conversations.save_message
    say(store.db, Message("q1", "c1", 1, None, "user", "complete", "What is 964 + 494?"))
    told: dict[str, Any] = {"settings": settings | {"finish_reason": "stop"}, "prompt_tokens": 39}
    say(
        store.db,
        Message("a0", "c1", 1, 0, "assistant", "complete", "\\boxed{1458}", thought=THOUGHT, verdict="correct",
                output_tokens=133, thought_tokens=125, ttft_s=0.004, seconds=0.5, **told),
    )  # fmt: skip
    say(
        store.db,
        Message("a1", "c1", 1, 1, "assistant", "failed", "Ones 4+4=8, no", ttft_s=0.21, seconds=1.2,
                error="The answer of demo-step-100 broke off half-way. What came is kept; try again for a whole one.",
                **told),
    )  # fmt: skip
    say(
        store.db,
        Message("a2", "c1", 1, 2, "assistant", "complete", BASE, verdict="incorrect", output_tokens=126,
                ttft_s=0.25, seconds=3.3, **told),
    )  # fmt: skip
    if not blind:
        conversations.vote(store.db, Vote("c1", 1, "solver", tuple(m for m, _ in PANES), False, "tester"))
    store.close()


def app_on(folder: Path, *, blind: bool = False) -> LabApp:
    lab = init_lab(folder, name="demo")
    kept(lab, blind=blind)
    return LabApp(open_context(lab), mode="compare")


async def reopened(pilot: Pilot[int]) -> CompareScreen:
    """The conversation on the screen, the keys on its first pane, nothing blinking."""
    screen = pilot.app.screen
    assert isinstance(screen, CompareScreen)
    await until(pilot, lambda: bool(screen.controller.refs), "the usual models")
    await screen.controller.reopen("c1")
    await pilot.press("escape")
    screen.refresh_state()
    screen.refresh_notices()
    await until(pilot, lambda: screen.votes_line or screen.controller.settings.blind, "the tally")
    await pilot.app.workers.wait_for_complete()
    bodies = [pane.body for pane in screen.panes.places if pane.display]
    await until(pilot, lambda: all(b.rows and b.scroll_offset.y == b.max_scroll_y for b in bodies), "the panes' ends")
    await pilot.pause()
    return screen


def steady(pilot: Pilot[int]) -> None:
    """No cursor blinks."""
    for entry in pilot.app.screen.query(Input):
        entry.cursor_blink = False


async def only_open(pilot: Pilot[int]) -> None:
    await reopened(pilot)


async def settings(pilot: Pilot[int]) -> None:
    screen = await reopened(pilot)
    await pilot.press("o")
    await until(pilot, lambda: pilot.app.screen is not screen and pilot.app.screen.query("#blind"), "the dialog")
    steady(pilot)
    await pilot.pause()


async def models(pilot: Pilot[int]) -> None:
    screen = await reopened(pilot)
    await pilot.press("ampersand")
    await until(pilot, lambda: pilot.app.screen is not screen, "the dialog")
    await until(pilot, lambda: pilot.app.screen.choices, "the models")  # type: ignore[attr-defined]
    steady(pilot)
    await pilot.pause()


Picture = Callable[[Pilot[int]], Awaitable[None]]


@pictures([only_open, settings, models], at_both=[only_open])
def test_compare(snap_compare: Any, tmp_path: Path, size: tuple[int, int], picture: Picture) -> None:
    assert snap_compare(app_on(tmp_path / "lab"), terminal_size=size, run_before=picture)


@sizes()
def test_blind(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    assert snap_compare(app_on(tmp_path / "lab", blind=True), terminal_size=size, run_before=only_open)
