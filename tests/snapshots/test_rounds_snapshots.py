"""Pictures of rounds in Compare at both sizes: the list, voting, the results, and a round among the conversations."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Input

from o1lab.app import LabApp
from o1lab.chat.rounds import control, runner
from o1lab.chat.rounds.directory import RoundFolder, RoundPane
from o1lab.config import init_lab
from o1lab.inference.calls import Response
from o1lab.jobs.directory import CountedStatus
from o1lab.labs import open_lab
from o1lab.paths import Lab
from o1lab.widgets.dialogs import PickDialog
from screens.base.context import open_context
from screens.compare import rounds as rounds_screen
from screens.compare.rounds import RoundsScreen
from screens.compare.screen import CompareScreen
from screens.compare.voting import VotingScreen
from store import conversations
from store.conversations import Message, Vote
from tests.support.compare_lab import screen_shown, shown, until
from tests.support.pictures import pictures

WHOLE, RUNNING = "9e00bb02", "7f3a12cd"
SUMS = [(964, 494), (381, 529), (127, 208), (640, 75)]
PANES = (
    RoundPane(model="student", label="student", temperature=0.0, seed=1),
    RoundPane(model="student", label="student", temperature=0.7, seed=1, system="Check every carry."),
)
WON = (0, 0, 1, None)
"""The pane that wins each prompt of the whole round; None is a tie."""


def round_in(lab: Lab, name: str, prompt_set: str, status: CountedStatus, answered: int) -> RoundFolder:
    """A round under a name that stays the same from picture to picture, with so many prompts answered."""
    prompts = [f"What is {a} + {b}?" for a, b in SUMS]
    made = control.start(lab, prompt_set, prompts, PANES)
    folder = RoundFolder(made.path.with_name(name))
    made.path.rename(folder.path)
    folder.write_status(status)
    asked = [runner._Asked(n, prompts[n], pane) for n in range(answered) for pane in (0, 1)]
    messages = []
    for one in asked:
        a, b = SUMS[one.number]
        total = a + b - (100 if WON[one.number] == 1 - one.pane else 0)
        thought = f"Ones: {a % 10} + {b % 10} = {a % 10 + b % 10}.\n\nWait, I check the carries."
        text = f"<think>\n{thought}\n</think>\n\nThe sum of {a} and {b} is \\boxed{{{total}}}."
        response = Response(one.key, "done", answer=text, finish_reason="stop", output_tokens=40 + one.number)
        messages.append(runner.as_message(folder, PANES[one.pane], PANES[one.pane].system or "", one, response))
    with closing(open_lab(lab)) as store:
        runner.save(store, folder, folder.settings(), asked, messages)
    return folder


def fill(lab: Lab) -> None:
    """A round that is asked, of which three prompts are voted on; one that runs; and a conversation."""
    lab.config.write_text(
        'name = "demo"\n[[endpoints]]\nname = "student"\nurl = "http://127.0.0.1:9/v1"\nmodel = "student"\n'
    )
    spent = {"input_tokens": 320, "output_tokens": 332}
    whole = round_in(lab, WHOLE, "sums", CountedStatus("finished", requested=8, done=8, **spent), 4)
    here = {"pid": os.getpid(), "host": "another-host", "heartbeat": time.time() + 3600}
    running = CountedStatus("running", **here, requested=8, done=5, failed=1, seconds_left=109, input_tokens=200,
                            output_tokens=210)  # fmt: skip
    round_in(lab, RUNNING, "carries", running, 2)
    with closing(open_lab(lab)) as store:
        for number, winner in enumerate(WON[:3]):
            models = tuple(one.model for one in PANES)
            _, *answers = conversations.messages(store.db, whole.conversation_id(number))
            asked_with = tuple({"pane": one.pane, "answer": one.id, **one.settings["sampling"],
                                "system": ("", PANES[1].system)[one.pane or 0]} for one in answers)  # fmt: skip
            vote = Vote(whole.conversation_id(number), 1, "student", models, True, "tester", asked_with, winner)
            conversations.vote(store.db, vote)
        record = conversations.create(store.db, "Are whales fish?", [("student", "student")], {})
        conversations.save_message(store.db, Message("q", record.id, 1, None, "user", "complete", "Are whales fish?"))
        store.db.execute("UPDATE conversations SET created_at = '2026-01-02T03:04:05'")
        store.db.execute("UPDATE conversations SET updated_at = coalesce(round, 'b')")
        store.db.conn.commit()


async def compare(pilot: Pilot[int]) -> CompareScreen:
    screen = pilot.app.screen
    assert isinstance(screen, CompareScreen)
    await until(pilot, lambda: bool(screen.controller.refs), "the usual models")
    await pilot.press("escape")
    return screen


async def listed(pilot: Pilot[int]) -> None:
    await compare(pilot)
    await pilot.press("b")
    await until(pilot, lambda: isinstance(pilot.app.screen, RoundsScreen) and "3/4" in shown(pilot), "the rounds")
    await pilot.press("down")
    await until(pilot, lambda: f"{WHOLE} " in shown(pilot) and "vote on 1 prompt" in shown(pilot), "the whole round")
    await pilot.pause()


async def voting(pilot: Pilot[int]) -> None:
    await listed(pilot)
    await pilot.press("enter")
    screen = await screen_shown(pilot, VotingScreen, "the voting")
    await until(pilot, lambda: screen.shown is not None and not screen.busy, "the prompt")
    await until(pilot, lambda: "boxed" in shown(pilot), "its answers")
    await pilot.pause()


async def results(pilot: Pilot[int]) -> None:
    await voting(pilot)
    await pilot.press("0")
    await until(pilot, lambda: "You have voted on every prompt" in shown(pilot), "the end")
    await pilot.press("number_sign")
    await until(pilot, lambda: "STRENGTH" in shown(pilot), "the strengths")
    await pilot.pause()


async def among_conversations(pilot: Pilot[int]) -> None:
    await compare(pilot)
    await pilot.press("ctrl+o")
    await until(pilot, lambda: isinstance(pilot.app.screen, PickDialog) and "Round sums" in shown(pilot), "the list")
    for entry in pilot.app.screen.query(Input):
        entry.cursor_blink = False
    await pilot.pause()


Picture = Callable[[Pilot[int]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are not in the pictures."""
    said = rounds_screen.facts

    def facts(detail: rounds_screen.Detail) -> Text:
        found = said(detail)
        return found[: found.plain.index("\nfolder  ")]

    monkeypatch.setattr(rounds_screen, "facts", facts)


@pictures([listed, voting, results, among_conversations], at_both=[voting], large=(160, 45))
def test_rounds(snap_compare: Any, tmp_path: Path, size: tuple[int, int], picture: Picture) -> None:
    lab = init_lab(tmp_path / "lab", name="demo")
    fill(lab)
    assert snap_compare(LabApp(open_context(lab), mode="compare"), terminal_size=size, run_before=picture)
