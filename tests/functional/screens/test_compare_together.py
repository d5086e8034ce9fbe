"""Two answers together in Compare: panes that scroll together, the word diff, tags of the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from o1lab.labs import open_lab
from o1lab.paths import Lab
from o1lab.widgets.dialogs import PromptDialog
from screens.compare.together import DiffView, place_of, row_at
from store import prompt_tags
from tests.support.compare_lab import answered, ask, comparing, lab_with, shown, until
from tests.support.fault_server import FaultServer

QUESTION = "What is 964 + 494?"


@pytest.fixture
def left() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def right() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, left: FaultServer, right: FaultServer) -> Lab:
    return lab_with(tmp_path / "lab", {"left": left, "right": right})


async def test_panes_scroll_together_by_turn_and_part(lab: Lab, left: FaultServer, right: FaultServer) -> None:
    async with comparing(lab, ("left", "right")) as (pilot, screen):
        for turn, lines in ((1, (5, 60)), (2, (70, 60))):
            for server, number in zip((left, right), lines, strict=True):
                server.answer = ["\n".join(f"line {n}" for n in range(number))]
            await ask(pilot, screen, f"Question {turn}?")
            await answered(pilot, screen)
        one, other = (pane.body for pane in screen.panes.places)
        await pilot.press("escape", "equals_sign")
        await until(pilot, lambda: screen.panes.together, "the toggle")
        one.focus()
        one.scroll_to(y=one.sections.tops[3] + 10, animate=False, force=True, immediate=True)
        await until(pilot, lambda: place_of(other) == (2, "answer", 10), "the same line of the second answer")
        one.scroll_to(y=one.sections.tops[1] + 3, animate=False, force=True, immediate=True)
        await until(pilot, lambda: place_of(other) == (1, "answer", 3), "the first answer")
        assert row_at(one, (1, "answer", 50)) == one.sections.tops[1] + one.sections[1].rows - 1  # it is shorter
        assert row_at(one, (9, "answer", 0)) is None
        await pilot.press("equals_sign")
        await until(pilot, lambda: not screen.panes.together, "the toggle")
        before = other.scroll_offset.y
        one.scroll_to(y=0, animate=False, force=True, immediate=True)
        await pilot.pause()
        assert other.scroll_offset.y == before


async def test_the_word_diff_is_read_without_colours(lab: Lab, left: FaultServer, right: FaultServer) -> None:
    left.answer, right.answer = ["The answer is 1458."], ["The sum is 1458."]
    async with comparing(lab, ("left", "right")) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        await pilot.press("escape", "V")
        await until(pilot, lambda: "The [-answer-]{+sum+} is 1458." in shown(pilot), "the diff")
        assert "[-only in answer 1-] {+only in answer 2+}" in shown(pilot)
        assert isinstance(pilot.app.focused, DiffView)
        await pilot.press("2")
        await until(pilot, lambda: screen.controller.ballot is not None, "a vote from the diff")
        await pilot.press("V")
        await until(pilot, lambda: not screen.panes.diffing, "the panes")
        await pilot.press("right", "V")
        await until(pilot, lambda: "The [-sum-]{+answer+} is 1458." in shown(pilot), "the other way round")
        await ask(pilot, screen, "And now?")
        assert not screen.panes.diffing


async def test_a_prompt_gets_tags(lab: Lab) -> None:
    async with comparing(lab, ("left",)) as (pilot, screen):
        await ask(pilot, screen, QUESTION)
        await answered(pilot, screen)
        await pilot.press("escape", "t")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptDialog), "the dialog")
        await pilot.press(*"sums,Easy", "enter")
        await until(pilot, lambda: pilot.app.screen is screen, "the dialog's end")
        await until(pilot, lambda: any("Tags saved" in one for one in pilot.app.said), "the tags on disk")
    with closing(open_lab(lab)) as store:
        assert prompt_tags.given(store.db, QUESTION) == ["easy", "sums"]
