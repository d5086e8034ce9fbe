"""The Transparency screen: works, answers with evidence, and the lab's own score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from o1lab.app import LabApp
from o1lab.paths import Lab
from o1lab.train.recipes.recipe import Recipe
from o1lab.widgets.cell_list import CellList
from o1lab.widgets.dialogs import PromptDialog
from screens.base.context import open_context
from screens.transparency.screen import LESSON, TransparencyScreen
from store import open_store
from store import transparency as log
from tests.support import curve_lab, evaluate_lab, lab_seed, training_lab
from tests.support.compare_lab import shown, until
from tests.support.fake_runs import write_run

INDEX = "o1-journey-2"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("O1LAB_ANNOTATOR", "ann")
    return evaluate_lab.make_lab(tmp_path / "lab")


async def opened(pilot: Pilot[int]) -> TransparencyScreen:
    screen = pilot.app.screen
    assert isinstance(screen, TransparencyScreen)
    await until(pilot, lambda: screen.board is not None, "the works")
    return screen


def reported(app: LabApp) -> str:
    return "\n".join(one.message for one in app._notifications)


def answers(lab: Lab, work: str) -> list[tuple[str, str, str, str]]:
    store = open_store(lab.database)
    found = [(one.item, one.answer, one.evidence, one.scorer) for one in log.current(store.db, INDEX, work)]
    store.close()
    return found


async def test_a_work_is_added_and_scored(lab: Lab) -> None:
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        assert screen.query_one("#works").has_focus
        assert "O1-Journey (Part 2)" in shown(pilot) and "79" in shown(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog), "the name")
        await pilot.press(*"Mine", "enter")
        await until(pilot, lambda: screen.work_key == "own:Mine" and "no answer yet" in shown(pilot), "the new work")
        await pilot.press("tab", "j", "a")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog), "the evidence")
        await pilot.press(*"page 3", "enter")
        await until(pilot, lambda: "data.characteristics yes is recorded" in shown(pilot), "the answer")
        assert answers(lab, "Mine") == [("data.characteristics", "yes", "page 3", "ann")]
        await until(pilot, lambda: "3 Mine" in shown(pilot), "the total")
        await pilot.press("x")
        await until(pilot, lambda: "data.characteristics no is recorded" in shown(pilot), "the other answer")
        await pilot.press("backspace")
        await until(pilot, lambda: "withdrawn is recorded" in shown(pilot), "the withdrawal")
        assert answers(lab, "Mine") == []


async def test_evidence_that_points_nowhere_is_refused(lab: Lab) -> None:
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog), "the evidence")
        await pilot.press(*"http://", "enter")
        await until(pilot, lambda: "has no host" in reported(app), "the fault")
        await pilot.press("z")
        await until(pilot, lambda: "is not an answer to data.sources" in reported(app), "the other fault")
        assert answers(lab, "this lab") == []


async def test_an_answer_is_to_the_item_under_the_cursor_at_once(lab: Lab) -> None:
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        screen.query_one("#items", CellList).action_cursor_down()
        screen.action_answer("no")  # before the message of the cursor is handled
        await until(pilot, lambda: "is recorded" in shown(pilot), "the answer")
        assert [one[0] for one in answers(lab, "this lab")] == ["data.characteristics"]


async def test_a_published_work_has_no_items_to_answer(lab: Lab) -> None:
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("j", "j", "j")
        await until(pilot, lambda: "were not published" in shown(pilot), "the published work")
        await pilot.press("a")
        await until(pilot, lambda: "Choose an item" in shown(pilot), "the advice")
        assert screen.work_key == "published:O1-Journey (Part 2)"


async def test_the_lab_scores_itself_and_says_what_changed(lab: Lab) -> None:
    run = write_run(lab.runs, "r1", saved=(100,))
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert "not scored yet" in shown(pilot)
        await pilot.press("r")
        await until(pilot, lambda: screen.board.lab is not None, "the score")  # type: ignore[union-attr]  # waited for
        await until(pilot, lambda: "this lab, run r1" in shown(pilot), "the list")
        run.command.unlink()
        await pilot.press("r")
        await until(pilot, lambda: "method.pipeline yes → no" in shown(pilot), "the change")


async def test_without_a_finished_run_the_screen_says_what_to_do(lab: Lab) -> None:
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("r")
        await until(pilot, lambda: "no training run" in reported(app), "the advice")
        assert screen.board is not None and screen.board.lab is None


async def test_the_synthesis_methods_are_side_by_side(lab: Lab) -> None:
    store = open_store(lab.database)
    lab_seed.fill(store, 4)
    store.close()
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("j")
        await until(pilot, lambda: "4 chains, none decided" in shown(pilot), "the methods")
        await until(pilot, lambda: "→ o1lab distill --endpoint NAME" in shown(pilot), "what is missing")
        await pilot.press("a")
        await until(pilot, lambda: "Choose an item" in shown(pilot), "the advice")
        await pilot.press("tab", "G")
        await until(pilot, lambda: "reflections per 1,000 tokens" in shown(pilot), "the figures")
        assert screen.item_id == "solver"
        await pilot.press("E")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog), "the file")
        await pilot.press("enter")
        await until(pilot, lambda: "written to" in reported(app), "the file")
    assert "| solver | not recorded | 4 |" in (lab.exports / "methods.md").read_text("utf-8")


async def test_the_leaderboard_is_written(lab: Lab) -> None:
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("E")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog), "the file")
        await pilot.press("enter")
        await until(pilot, lambda: "written to" in reported(app), "the file")
    assert "| O1-Journey" in (lab.exports / "tti.md").read_text("utf-8")


async def test_text_from_elsewhere_is_shown_literally(lab: Lab) -> None:
    hostile = "[red]x[/]\x1b]0;owned\x07"
    store = open_store(lab.database)
    log.add(store.db, INDEX, hostile, "data.sources", "yes", scorer=hostile, evidence=hostile)
    store.close()
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        works = screen.query_one("#works", OptionList)
        works.highlighted = works.get_option_index(f"own:{hostile}")
        await until(pilot, lambda: "[red]x[/]␛]0;owned␇" in shown(pilot), "the evidence")
        assert "\x1b" not in shown(pilot)


async def test_the_lesson_page_shows_curves_and_what_is_missing(tmp_path: Path) -> None:
    lab = training_lab.make_lab(tmp_path / "lab")
    with closing(open_store(lab.database)) as store:
        curve_lab.add_curve(lab, store)
    write_run(lab.runs, "alone", recipe=Recipe(dataset="gone", dataset_hash="0" * 16), age=-10)
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("j", "j")
        await until(pilot, lambda: screen.work_key == LESSON and "number of chains (log)" in shown(pilot), "the curve")
        assert "curve sums on sums@1" in shown(pilot) and "3 sizes" in shown(pilot)
        await pilot.press("E")
        await until(pilot, lambda: isinstance(app.screen, PromptDialog), "the name of the file")
        await pilot.press("enter")
        await until(pilot, (lab.exports / "curve.svg").exists, "the file")
        assert (lab.exports / "curve.svg").read_text("utf-8").startswith("<svg")

        await pilot.press("tab", "j")
        await until(pilot, lambda: screen.item_id == "alone" and "missing" in shown(pilot), "the lesson of a run")
        assert "→ o1lab eval SUITE --model alone" in shown(pilot)
        assert "→ o1lab lesson curve gone --suite SUITE" in shown(pilot)
        await pilot.press("j")
        await until(pilot, lambda: screen.item_id == "c0243" and "the ceiling" in shown(pilot), "a student")
        assert "0 only the student, 2 only the teacher of" in shown(pilot)
        await pilot.press("tab", "G")
        await until(pilot, lambda: "the teacher solver" in shown(pilot), "the curve below the lesson")
        await pilot.press("shift+tab", "a")
        await until(pilot, lambda: "Choose an item of this lab" in shown(pilot), "the refusal")


async def test_a_lab_without_a_run_says_what_the_lesson_needs(tmp_path: Path) -> None:
    lab = training_lab.make_lab(tmp_path / "lab")
    app = LabApp(open_context(lab), mode="transparency")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("j", "j")
        await until(pilot, lambda: screen.lesson_page is not None and "o1lab train" in shown(pilot), "the hint")
        await pilot.press("E")
        await until(pilot, lambda: "There is no lesson yet" in shown(pilot), "the refusal")
