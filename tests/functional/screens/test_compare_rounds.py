"""Rounds in the Compare screen: a prompt set asked in the background, then voted through blind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from o1lab.chat.rounds.control import start
from o1lab.chat.rounds.directory import AskedPane, RoundFolder
from o1lab.chat.rounds.runner import drive
from o1lab.paths import Lab
from tests.support.compare_lab import comparing, lab_with, shown, text_of, until
from tests.support.fault_server import FaultServer

PROMPTS = ("What is 1 + 1?", "What is 2 + 2?", "What is 3 + 3?")


@pytest.fixture
def left() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.answer = ["From ", "the left."]
        yield server


@pytest.fixture
def right() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.answer = ["From ", "the right."]
        yield server


@pytest.fixture
def lab(tmp_path: Path, left: FaultServer, right: FaultServer) -> Lab:
    return lab_with(tmp_path / "lab", {"left": left, "right": right})


async def asked(lab: Lab) -> RoundFolder:
    """A round that has been asked to its end."""
    panes = [AskedPane(model=name, label=name, temperature=0.0) for name in ("left", "right")]
    folder = start(lab, "three", PROMPTS, panes)
    status = await drive(lab, folder)
    assert status.state == "finished"
    return folder


async def test_a_conversation_of_a_round_opens_blind(lab: Lab) -> None:
    folder = await asked(lab)
    async with comparing(lab, ("left",)) as (pilot, screen):
        await screen.controller.reopen(folder.conversation_id(0))
        assert screen.controller.hidden
        await until(pilot, lambda: "model A" in shown(pilot), "the hidden names")
        assert "other: " not in shown(pilot)
        texts = sorted(text_of(screen, place) for place in (0, 1))
        assert texts == [f"> {PROMPTS[0]}\nFrom the {name}." for name in ("left", "right")]
