"""The pool of the Distill screen, driven by its keys: the list, the filter, a person's word, the rules."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.distill.filters.pool import Progress
from o1lab.paths import Lab
from o1lab.widgets.columns import HELD_ROWS
from o1lab.widgets.line_view import LineView
from screens.base.context import open_context
from screens.distill import rules
from screens.distill.problem import RULED
from screens.distill.rules import OverruleDialog, RulesDialog
from screens.distill.screen import DistillScreen, worth_asking
from screens.lab.screen import OverviewScreen
from store import exclusions, open_store, problems
from store.records import NewProblem, Problem
from tests.support.compare_lab import filter_by, shown, until
from tests.support.piloted import burst

WIDE, NARROW = (120, 40), (80, 24)
HOSTILE = "What is [bold]3[/] + 4?\x1b]0;title\x07 \u202e"


def fill(lab: Lab, made: Iterable[NewProblem]) -> None:
    store = open_store(lab.database)
    with store.db.atomic():
        problems.add(store.db, made)
    store.close()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = init_lab(tmp_path / "lab", name="pool")
    fill(lab, [
        NewProblem("What is 1 + 2?", "sums", "a", "3", licence="MIT"),
        NewProblem("Prove that 3 is odd.", "proofs", "b", "so it is", licence="MIT"),
        NewProblem(HOSTILE, "sums", "c", "7", solution="3 + 4 = \\boxed{7}"),
        NewProblem("What is 5 + 6?", "aime24", "d", "11", licence="CC-BY-4.0"),
        NewProblem("What is  5  + 6 ?", "sums", "e", "11"),
        NewProblem("Look at the figure below. How long is AB?", "sums", "f", "4"),
    ])  # fmt: skip
    return lab


def app_on(lab: Lab) -> LabApp:
    return LabApp(open_context(lab), mode="distill")


async def opened(pilot: Pilot[int], number: int) -> DistillScreen:
    """The screen with all problems counted and listed and the first one read."""
    screen = pilot.app.screen
    assert isinstance(screen, DistillScreen)
    await until(pilot, lambda: screen.pool.counts and screen.pool.counts.total == number, "the counts")
    await until(pilot, lambda: screen.pool.table.total == number and screen.pool.shown, "the list")
    return screen


def excluded(lab: Lab) -> dict[str, str | None]:
    """What a fresh connection finds on disk: key -> excluded_by."""
    store = open_store(lab.database)
    try:
        return {one.key: one.excluded_by for one in problems.page(store.db)}
    finally:
        store.close()


def said(screen: DistillScreen) -> str:
    return str(screen.query_one("#pool-message", Static).content)


def whole(screen: DistillScreen) -> str:
    return "\n".join(f"{part.header}\n{part.text.text}" for part in screen.query_one(LineView).sections)


async def overrule(pilot: Pilot[int], key: str) -> None:
    await pilot.press("exclamation_mark")
    await until(pilot, lambda: isinstance(pilot.app.screen, OverruleDialog), "the dialog")
    await pilot.press(key)


async def test_an_empty_pool_says_how_to_fill_it(tmp_path: Path) -> None:
    app = app_on(init_lab(tmp_path / "empty"))
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "No problems in this lab yet" in shown(pilot), "the empty state")
        assert "o1lab import" in shown(pilot)


async def test_the_list_is_paged_and_never_all_in_memory(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "large")
    fill(lab, (NewProblem(f"What is {i} + 1?", "many", str(i), str(i + 1)) for i in range(5000)))
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, 5000)
        await pilot.press("G")
        await until(pilot, lambda: screen.pool.shown and screen.pool.shown.problem.key == "4999", "the last one")
        assert screen.pool.table.held <= HELD_ROWS
        assert "5,000 problems" in shown(pilot)


async def test_a_filter_narrows_the_list_and_escape_puts_it_back(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, 6)
        table = screen.pool.table
        await pilot.press("slash", *"source:proofs", "enter")
        await until(pilot, lambda: table.total == 1 and table.cursor_row, "the filter")
        assert screen.focused is table
        await until(pilot, lambda: "1 problems match" in said(screen), "how many")
        await pilot.press("slash", *" x", "escape")
        await until(pilot, lambda: screen.pool.filter_text == "source:proofs" and table.total == 1, "the filter before")
        assert screen.focused is table


async def test_a_filter_that_means_nothing_is_explained_and_stays(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, 6)
        await filter_by(pilot, "sorce:sums")
        await until(pilot, lambda: "! Unknown field 'sorce'. Did you mean source?" in shown(pilot), "the fault")
        assert screen.focused is not screen.pool.table and screen.pool.table.total == 6
        assert "slash" not in screen.active_bindings, "it is typed into the filter, the footer must not show it"


async def test_a_problem_is_shown_whole_and_literally(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, 6)
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: screen.pool.shown and screen.pool.shown.problem.key == "c", "the problem")
        await until(pilot, lambda: "statement" in shown(pilot), "its pane")
        text = shown(pilot)
        assert "What is [bold]3[/] + 4?␛]0;title␇" in text and "\x1b]0" not in text and "‹202e›" in text
        assert "\\boxed{7}" in whole(screen) and "licence unknown" in whole(screen)
        await pilot.press("n")
        await until(pilot, lambda: screen.pool.shown and screen.pool.shown.problem.key == "d", "the next one")
        await pilot.press("escape")
        await until(pilot, lambda: "left out by" in shown(pilot), "the list")


async def test_a_word_is_on_disk_before_it_is_confirmed_and_undo_takes_it_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, 6)
        on_disk: list[str | None] = []
        say = screen.pool.say

        def and_look(message: Any) -> None:
            on_disk.append(excluded(lab)["b"])
            say(message)

        monkeypatch.setattr(screen.pool, "say", and_look)
        await pilot.press("j")
        await overrule(pilot, "x")
        await until(pilot, lambda: "leave it out, by tester" in said(screen), "the word")
        assert on_disk[-1] == "person"  # read by another connection while it was being confirmed
        await until(pilot, lambda: "✗ left out by hand" in shown(pilot), "the problem read again")
        await overrule(pilot, "a")
        await until(pilot, lambda: "keep it, by tester" in said(screen), "the other word")
        assert excluded(lab)["b"] is None
        await pilot.press("u")
        await until(pilot, lambda: "again: leave it out" in said(screen), "the undo")
        assert excluded(lab)["b"] == "person"
        await pilot.press("u")
        await until(pilot, lambda: "again: as the rules say" in said(screen), "the second undo")
        assert excluded(lab)["b"] is None
        await pilot.press("u")
        await until(pilot, lambda: "No ruling was made in this session" in said(screen), "that there is no more")


async def test_a_key_means_the_problem_under_the_cursor_however_fast_it_came(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, 6)
        burst(pilot.app, "j", "j", "j", "exclamation_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverruleDialog), "the dialog")
        dialog = pilot.app.screen
        assert isinstance(dialog, OverruleDialog) and dialog.whole.problem.key == "d"


async def test_a_key_behind_one_that_reads_the_problem_goes_to_its_dialog(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, 6)
        burst(pilot.app, "exclamation_mark", "x")
        await until(pilot, lambda: RULED["exclude"] in said(screen), "the ruling of the dialog's key")


async def test_a_note_goes_with_the_word(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, 6)
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverruleDialog), "the dialog")
        dialog = pilot.app.screen
        await pilot.press("m")
        await until(pilot, lambda: pilot.app.screen is not dialog, "the line")
        await pilot.press(*"gold is wrong", "enter")
        await until(pilot, lambda: pilot.app.screen is dialog and "gold is wrong" in shown(pilot), "the note")
        await pilot.press("x")
        await until(pilot, lambda: "saved" in said(screen), "the word")
        await until(pilot, lambda: "gold is wrong" in whole(screen), "the note beside it")


async def rules_dialog(pilot: Pilot[int]) -> RulesDialog:
    await pilot.press("F")
    await until(pilot, lambda: isinstance(pilot.app.screen, RulesDialog), "the dialog")
    dialog = pilot.app.screen
    assert isinstance(dialog, RulesDialog)
    return dialog


async def test_rules_are_previewed_and_then_applied(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, 6)
        assert "no rule has run yet" in shown(pilot)
        await rules_dialog(pilot)
        await pilot.press("w")  # not before a preview
        await pilot.press("i")
        await until(pilot, lambda: "press w to apply" in shown(pilot), "the preview")
        text = shown(pilot)
        assert "6 problems: ✓ 2 kept, ✗ 4 left out" in text, text
        assert set(excluded(lab).values()) == {None}
        await pilot.press("w")
        await until(pilot, lambda: pilot.app.screen is screen and "saved: the rules" in said(screen), "applied")
        assert excluded(lab)["b"] is not None and "proof" in str(excluded(lab)["b"])
        await until(pilot, lambda: "✓ 2 kept" in shown(pilot) and "proof 1" in shown(pilot), "the new counts")
        await pilot.press("j", "enter")
        await until(pilot, lambda: "✗ proof" in whole(screen), "what the rule said")


async def test_a_twin_is_named_with_its_words(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, 6)
        await rules_dialog(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "press w to apply" in shown(pilot), "the preview")
        await pilot.press("w")
        await until(pilot, lambda: pilot.app.screen is screen, "applied")
        await pilot.press("j", "j", "j", "j")
        await until(pilot, lambda: screen.pool.shown and screen.pool.shown.problem.key == "e", "the other sum")
        await until(pilot, lambda: "its twin: aime24 d" in whole(screen), "the twin")


async def test_other_rules_need_another_preview(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot, 6)
        dialog = await rules_dialog(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "press w to apply" in shown(pilot), "the preview")
        await pilot.press("space")  # without the first rule
        await until(
            pilot, lambda: "[ ] image" in shown(pilot) and "press w to apply" not in shown(pilot), "another choice"
        )
        await pilot.press("w")
        await pilot.press("i")
        await until(pilot, lambda: "press w to apply" in shown(pilot), "the other preview")
        assert "✗ 3 left out" in shown(pilot) and len(dialog.chosen) == 7
        assert set(excluded(lab).values()) == {None}


async def test_a_look_can_be_stopped(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(*_: Any, progress: Progress, **__: Any) -> None:
        progress("checking problems", 500, 100_000)
        began.set()
        assert go_on.wait(60)
        progress("checking problems", 1000, 100_000)
        raise AssertionError("it went on")

    monkeypatch.setattr(rules, "filter_pool", slow)
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot, 6)
        dialog = await rules_dialog(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "500 of 100,000" in shown(pilot) and began.is_set(), "the progress")
        await pilot.press("s")
        go_on.set()
        await until(pilot, lambda: "Stopped. Nothing was written." in shown(pilot), "the stop")
        assert not dialog.working
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen, "the pool")


async def test_what_another_program_ruled_shows_when_one_comes_back(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, 6)
        await pilot.press("f1")
        await until(pilot, lambda: pilot.app.screen is not screen, "the lab")
        store = open_store(lab.database)
        first: Problem = problems.page(store.db)[0]
        exclusions.rule_on(store.db, [first.id], "exclude", annotator="somebody")
        store.close()
        await pilot.press("f3")
        await until(pilot, lambda: "by hand 1" in shown(pilot), "the new counts")


async def test_the_lab_screen_leads_to_what_has_no_trace(lab: Lab) -> None:
    app = LabApp(open_context(lab))
    async with app.run_test(size=NARROW) as pilot:
        assert isinstance(pilot.app.screen, OverviewScreen)
        await until(pilot, lambda: "6 problems have no trace yet" in shown(pilot), "the next step")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DistillScreen), "the Distill screen")
        screen = await opened(pilot, 6)
        assert screen.pool.filter_text == "excluded:no has:answer -has:trace"


def test_a_new_run_on_the_pools_filter_leaves_out_what_is_not_worth_a_call() -> None:
    assert worth_asking("source:sums") == "source:sums excluded:no has:answer"
    assert worth_asking("excluded:proof") == "excluded:proof has:answer"
    assert worth_asking("-excluded:image has:answer") == "-excluded:image has:answer"
