"""Writing a chain on the Distill screen: what shows as saved is on disk, and nothing typed is lost."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from o1lab.chains.segmentation.moves import MoveKind
from o1lab.distill.drafts import Draft, Line, draft_path, read_draft, save_draft
from o1lab.errors import LabError
from o1lab.paths import Lab
from o1lab.widgets.dialogs import ConfirmDialog, PickDialog, PromptDialog
from screens.distill import write
from screens.distill.screen import DistillScreen
from screens.distill.write import WriteScreen
from store import open_store, problems, traces
from store.filters import TraceQuery
from store.records import NewProblem, Problem
from tests.functional.screens.test_distill import HOSTILE, NARROW, WIDE, app_on, fill, opened
from tests.support.compare_lab import shown, until
from tests.support.lab_seed import HOSTILE as HOSTILE_TEXT
from tests.support.piloted import burst


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    from o1lab.config import init_lab

    lab = init_lab(tmp_path / "lab", name="writing")
    fill(lab, [NewProblem(HOSTILE, "sums", "c", "7"), NewProblem("What is 5 + 6?", "aime24", "d", "11")])
    return lab


def problem_of(lab: Lab, key: str) -> Problem:
    store = open_store(lab.database)
    try:
        return next(one for one in problems.page(store.db) if one.key == key)
    finally:
        store.close()


def on_disk(lab: Lab, key: str = "c") -> Draft:
    return read_draft(draft_path(lab, problem_of(lab, key).id, "tester"))[0]


async def writing(pilot: Pilot[int]) -> WriteScreen:
    """The writing screen of the first problem, with its draft read."""
    await opened(pilot, 2)
    await pilot.press("w")
    await until(pilot, lambda: isinstance(pilot.app.screen, WriteScreen), "the screen")
    screen = pilot.app.screen
    assert isinstance(screen, WriteScreen)
    await until(pilot, lambda: screen.checked is not None and screen.focused is screen.line, "the draft")
    return screen


async def test_a_chain_is_written_verified_as_it_is_typed_and_recorded(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        await writing(pilot)
        assert "What is [bold]3[/] + 4?␛]0;title␇" in shown(pilot)
        await pilot.press(*"I guess 8.", "alt+c", "enter", *"Wait, 8 - 4 is not 3.", "enter")
        await until(pilot, lambda: len(on_disk(lab).lines) == 2 and "all saved" in shown(pilot), "two moves on disk")
        await pilot.press(*"No. Back to the start.", "ctrl+t", "ctrl+t", "enter")
        await until(pilot, lambda: "3 moves · all saved" in shown(pilot), "the third")
        assert on_disk(lab).lines == (
            Line("I guess 8.", MoveKind.COMPUTE), Line("Wait, 8 - 4 is not 3.", None),
            Line("No. Back to the start.", MoveKind.PLAN),
        )  # fmt: skip
        await pilot.press("tab", *"It is \\boxed{8}")
        await until(pilot, lambda: "answer 8 ✗ incorrect" in shown(pilot), "the verdict")
        await pilot.press("backspace", "backspace", *"7}.", "enter", *"So.")
        await until(pilot, lambda: "answer 7 ✓ correct" in shown(pilot) and "solution saved" in shown(pilot), "another")
        assert on_disk(lab).solution == "It is \\boxed{7}.\nSo."
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptDialog), "the licence")
        await pilot.press(*"CC0-1.0", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DistillScreen), "the pool")
        await until(pilot, lambda: "correct, written by tester" in shown(pilot), "the message")
    store = open_store(lab.database)
    [row] = traces.page(store.db, TraceQuery.parse("synthesis:human"))
    assert (row.model, row.verdict, row.licence, row.complete) == ("tester", "correct", "CC0-1.0", True)
    assert row.moves is not None and (row.moves["compute"], row.moves["reflect"], row.moves["plan"]) == (1, 1, 1)
    store.close()
    assert not draft_path(lab, problem_of(lab, "c").id, "tester").exists()


async def test_keys_behind_tab_go_to_the_next_part(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await writing(pilot)
        burst(app, "tab", "4", "2")
        await until(pilot, lambda: screen.solution.text == "42", "the solution")
        assert screen.line.text == ""


async def test_a_line_shows_as_saved_only_when_it_is_on_disk(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, real = threading.Event(), write.save_draft

    def held(*arguments: Any) -> bytes:
        assert gate.wait(30)
        return real(*arguments)

    monkeypatch.setattr(write, "save_draft", held)
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await writing(pilot)
        await pilot.press(*"One.", "enter", *"Two.", "enter", *"Thr")
        await until(pilot, lambda: len(screen.draft.lines) == 2, "both lines")
        assert "2 not saved" in shown(pilot) and on_disk(lab) == Draft()
        assert [sign.sign for signs in screen.reader.body.signs.values() for sign in signs] == ["…", "…"]
        gate.set()
        await until(pilot, lambda: "2 moves · all saved" in shown(pilot), "the save")
        assert [line.text for line in on_disk(lab).lines] == ["One.", "Two."]
        assert screen.line.text == "Thr" and not screen.reader.body.signs


async def test_a_failed_save_keeps_the_text_and_is_repeated_with_the_next_line(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write.save_draft

    def full(*_: Any) -> bytes:
        raise LabError("The disk is full.", "Make room.")

    monkeypatch.setattr(write, "save_draft", full)
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await writing(pilot)
        await pilot.press(*"One.", "enter")
        await until(pilot, lambda: "NOT saved: The disk is full." in shown(pilot), "the failure")
        assert "1 not saved" in shown(pilot) and screen.draft.lines == (Line("One."),)
        monkeypatch.setattr(write, "save_draft", real)
        await pilot.press(*"Two.", "enter")
        await until(pilot, lambda: "2 moves · all saved" in shown(pilot), "the next save")
        assert [line.text for line in on_disk(lab).lines] == ["One.", "Two."]


async def test_a_draft_goes_on_where_it_was_and_is_listed(lab: Lab) -> None:
    problem = problem_of(lab, "d")
    lines = (Line(f"See {HOSTILE_TEXT}", MoveKind.VERIFY), Line("Then 5 + 6."))
    path = draft_path(lab, problem.id, "tester")
    save_draft(path, problem, Draft(lines, "So \\boxed{11}"), b"")
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, 2)
        await pilot.press("W")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickDialog) and "2 moves" in shown(pilot), "the list")
        await pilot.press("enter")
        await until(pilot, lambda: "answer 11 ✓ correct" in shown(pilot), "the draft")
        assert "\x1b" not in shown(pilot) and "opened the draft" in shown(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, WriteScreen)
        # A move is changed, another gets another kind, and an emptied one is removed.
        await pilot.press("shift+tab", "enter")
        await until(pilot, lambda: screen.line.text == "Then 5 + 6.", "the move in the line")
        await pilot.press(*" It is 11.", "enter")
        await until(pilot, lambda: on_disk(lab, "d").lines[-1].text == "Then 5 + 6. It is 11.", "the change")
        await pilot.press(*"Slip", "enter")
        await until(pilot, lambda: len(on_disk(lab, "d").lines) == 3, "a third move")
        await pilot.press("shift+tab", "alt+b")
        await until(pilot, lambda: on_disk(lab, "d").lines[2] == Line("Slip", MoveKind.BACKTRACK), "its kind")
        await pilot.press("enter")
        await until(pilot, lambda: screen.line.text == "Slip", "the third move in the line")
        await pilot.press("ctrl+u", "enter")
        await until(pilot, lambda: len(on_disk(lab, "d").lines) == 2, "the removal")
        assert on_disk(lab, "d").lines[0] == lines[0]


async def test_nothing_is_dropped_without_a_word(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await writing(pilot)
        await pilot.press(*"It ends </think> here", "enter")
        await until(pilot, lambda: "cannot contain a mark" in shown(pilot), "the refusal")
        assert screen.line.text == "It ends </think> here"
        await pilot.press("escape")
        await until(pilot, lambda: "esc again drops it" in shown(pilot), "the warning")
        await pilot.press("ctrl+u", *"One.", "enter", "ctrl+s")
        await until(pilot, lambda: "The solution is empty." in shown(pilot), "what is missing")
        await pilot.press("tab", *"\\boxed{8}", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
        await until(pilot, lambda: "The answer is incorrect." in shown(pilot), "its words")
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is screen, "the screen")
        await pilot.press("shift+tab")
        assert [line.text for line in on_disk(lab).lines] == ["One."]
        path = draft_path(lab, problem_of(lab, "c").id, "tester")
        path.write_text(path.read_text("utf-8") + "from an editor", "utf-8")
        await pilot.press(*"Two.", "enter")
        await until(pilot, lambda: "NOT saved: Another program has changed the draft" in shown(pilot), "the conflict")
        assert path.read_text("utf-8").endswith("from an editor")
        # Saving fails again on leaving: it says so once, and a second escape leaves.
        await pilot.press("escape")
        await until(pilot, lambda: "NOT saved; esc again drops it" in shown(pilot), "the warning")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is not screen, "the pool")
        assert path.read_text("utf-8").endswith("from an editor")


async def test_a_solution_is_saved_when_the_app_ends_right_after_a_key(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "IDLE_S", 600)
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await writing(pilot)
        await pilot.press("tab", *"So 8.")
        await until(pilot, lambda: screen.draft.solution == "So 8.", "the solution")
        assert on_disk(lab) == Draft()
        app.exit()
    assert on_disk(lab).solution == "So 8."
