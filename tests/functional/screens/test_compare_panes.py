"""Settings of single panes, a model compared with itself, and withdrawing a vote, by the keys of Compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from o1lab.paths import Lab
from screens.compare.dialogs import SettingsDialog
from screens.compare.screen import CompareScreen
from store import conversations, open_store
from tests.support.compare_lab import answered, ask, comparing, lab_with, shown, until
from tests.support.fault_server import FaultServer

QUESTION = "What is 964 + 494?"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, server: FaultServer) -> Lab:
    return lab_with(tmp_path / "lab", {"left": server})


async def test_a_model_is_compared_with_itself(lab: Lab, server: FaultServer) -> None:
    async with comparing(lab, ("left",), size=(120, 30)) as (pilot, screen):
        await pilot.press("escape", "quotation_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsDialog), "the settings of the new pane")
        pilot.app.screen.query_one("#temperature", Input).value = "0.7"
        pilot.app.screen.query_one("#system").text = "Be brief.\nGive a number."
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.controller.refs) == 2 and pilot.app.screen is screen, "two panes")
        await until(
            pilot, lambda: "2 other: left · temperature 0.7, system" in shown(pilot), "the title of the new pane"
        )
        assert "panes differ" in shown(pilot)
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        assert sorted(request["temperature"] for request in server.requests) == [0, 0.7]
        systems = [message["content"] for one in server.requests for message in one["messages"][:-1]]
        assert systems == ["Be brief.\nGive a number."]
        await pilot.press("escape", "2")
        await until(pilot, lambda: screen.controller.ballot is not None, "the vote")
        await pilot.press("u")
        await until(pilot, lambda: screen.controller.ballot is None, "the vote to be withdrawn")
        await pilot.press("1", "at")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsDialog), "the settings of this pane")
        pilot.app.screen.query_one("#max_tokens", Input).value = "99"
        await pilot.press("enter")
        await until(pilot, lambda: "1 other: left · max 99" in shown(pilot), "the title of the first pane")
        identity = screen.controller.session.record.id
        await screen.controller.begin(screen.controller.refs)
        await screen.controller.reopen(identity)
        assert "1 other: left · max 99" in shown(pilot)
    store = open_store(lab.database)
    (ballot,) = conversations.votes(store.db)
    store.close()
    assert (ballot.winner, ballot.winner_pane) == ("left", 0)
    assert [one["temperature"] for one in ballot.contestants] == [0, 0.7]


async def vote(pilot: Pilot[int], screen: CompareScreen, key: str) -> None:
    """Withdraw the vote on this turn, if there is one, and vote."""
    if screen.controller.ballot is not None:
        await pilot.press("u")
        await until(pilot, lambda: screen.controller.ballot is None, "the vote to be withdrawn")
    await pilot.press(key)
    await until(pilot, lambda: screen.controller.ballot is not None, "the vote")


async def test_a_vote_after_the_names_were_seen_is_not_blind(lab: Lab) -> None:
    async with comparing(lab, ("left",)) as (pilot, screen):
        await screen.controller.begin([*screen.controller.refs, *screen.controller.refs])
        await pilot.press("escape", "B")
        await until(pilot, lambda: screen.controller.settings.blind, "blind")
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        await pilot.press("escape", "1")
        await until(pilot, lambda: screen.controller.ballot is not None, "the vote")
        await pilot.press("u")
        await until(pilot, lambda: screen.controller.ballot is None, "the vote to be withdrawn")
        assert "A was other: left" in shown(pilot)
        await vote(pilot, screen, "2")
        controller = screen.controller
        controller.regenerate(0)
        await answered(pilot, screen)
        await pilot.press("u")
        await until(pilot, lambda: controller.ballot is None, "the vote to be withdrawn")
        first = next(one for one in controller.session.history if one.pane == 0)
        await screen.branching.show(first)
        await vote(pilot, screen, "1")  # another version, in the same place
        await pilot.press("u")
        await until(pilot, lambda: controller.ballot is None, "the vote to be withdrawn")
        await controller.reopen(controller.session.record.id)
        assert "A was other: left" in shown(pilot)
        await vote(pilot, screen, "2")
        await ask(pilot, screen, "And what is 2 + 2?")
        await answered(pilot, screen)
        await pilot.press("escape")
        assert controller.hidden
        await vote(pilot, screen, "1")
    store = open_store(lab.database)
    rows = store.db.execute("SELECT turn, blind FROM votes ORDER BY rowid").fetchall()
    assert [tuple(row) for row in rows] == [(1, 1), (1, 0), (1, 0), (1, 0), (2, 1)]
    store.close()
