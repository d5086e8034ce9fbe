"""The teacher runs of the Distill screen: set up, launched as real processes, followed, stopped, made a dataset of."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Label, Static

from o1lab.app import LabApp
from o1lab.distill import runs
from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.inference.journal import FaultCount
from o1lab.inference.prompts import begin_version, find_prompt, keep_version
from o1lab.ingest.edit import run_editor
from o1lab.paths import Lab
from o1lab.settings import values_of
from o1lab.widgets.cell_list import CellList
from o1lab.widgets.dialogs import ConfirmDialog, PreviewDialog, PromptDialog
from o1lab.widgets.form import FieldRow
from o1lab.widgets.text_pane import TextPane
from screens.base.context import open_context
from screens.distill import text as distill_text
from screens.distill.form import DistillForm
from screens.distill.poller import Poller, RunDetail
from screens.distill.prompts import PromptsScreen
from screens.distill.screen import DistillScreen
from screens.forms import estimating_form
from screens.forms.dataset import DatasetForm
from screens.jobs import kind
from screens.jobs import text as job_text
from screens.traces.screen import TracesScreen
from screens.train.form import TrainForm
from store import datasets, open_store
from tests.support.compare_lab import shown, until
from tests.support.distill_lab import make_lab, run, start
from tests.support.distill_server import DistillServer
from tests.support.forms import field, form_of, write

WIDE, NARROW = (120, 40), (80, 24)


@pytest.fixture
def server() -> Iterator[DistillServer]:
    with DistillServer() as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path, server: DistillServer) -> Iterator[Lab]:
    lab = make_lab(tmp_path / "lab", server.url, 6, input_usd=1.0, output_usd=10.0)
    yield lab
    server.release.set()
    for path in lab.distill.glob("*"):
        end(RunFolder(path))


def end(folder: RunFolder) -> None:
    """Stop a run that a test launched, and wait until its process is gone."""
    while (info := folder.info()).active and info.status.pid is not None:
        folder.stop_file.touch()
        folder.pause_file.unlink(missing_ok=True)
        time.sleep(0.05)  # the poll of an outside process, not a wait for a moment


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "LIVE_S", 0.1)
    monkeypatch.setattr(kind, "IDLE_S", 0.1)
    monkeypatch.setattr(estimating_form, "PAUSE_S", 0.0)


def app_on(lab: Lab) -> LabApp:
    return LabApp(open_context(lab), mode="distill")


async def opened(pilot: Pilot[int]) -> DistillScreen:
    """The screen with its runs in sight."""
    screen = pilot.app.screen
    assert isinstance(screen, DistillScreen)
    await until(pilot, lambda: screen.jobs.snapshot, "the first look")
    await pilot.press("2")
    return screen


async def seen(pilot: Pilot[int], screen: DistillScreen, folder: RunFolder, state: str) -> None:
    """This run selected, in this state on the screen."""
    screen.open_run(folder.id)
    await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == folder.id, "the run")
    await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.state == state, f"it {state}")
    await until(pilot, lambda: state in str(screen.query_one("#teacher-run-head", Static).content), "its head")


def facts(screen: DistillScreen) -> str:
    return str(screen.query_one("#teacher-run-facts", TextPane).query_one(Static).content)


async def test_the_first_form_has_a_field_for_every_setting_and_only_those_of_the_method_are_shown(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "No teacher runs yet." in shown(pilot), "the empty state")
        assert "Press ctrl+n to set one up" in shown(pilot)
        form = await form_of(pilot, DistillForm)
        names = {row.field.name for row in form.query(FieldRow)}
        assert names == set(runs.TeacherRunSettings.model_fields)
        assert all(row.field.help for row in form.query(FieldRow))
        assert field(form, "problems").display and not field(form, "critic").display
        field(form, "method").set_text("debate")
        await until(pilot, lambda: field(form, "critic").display and field(form, "rounds").display, "its fields")
        (trees,) = [one for one in form.query(".section").results(Label) if str(one.content) == "Search trees"]
        assert not trees.display  # none of its fields matters
        field(form, "method").set_text("tree_search")
        await until(pilot, lambda: field(form, "dead_ends").display and trees.display, "its fields")
        assert field(form, "problems").display and not field(form, "rounds").display
        field(form, "method").set_text("translate")
        await until(pilot, lambda: field(form, "traces").display and not field(form, "problems").display, "its fields")


async def test_the_form_counts_and_estimates_while_it_is_written(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        form = await form_of(pilot, DistillForm)
        await until(pilot, lambda: "6 items × 1 = 6 samples, 6 calls" in shown(pilot), "the estimate")
        await write(pilot, form, "n", "3")
        await until(pilot, lambda: "6 items × 3 = 18 samples" in shown(pilot), "another estimate")
        await write(pilot, form, "max_tokens", "1000")
        await until(pilot, lambda: "18,000 tokens out, $0.18" in shown(pilot), "the most it costs")
        await write(pilot, form, "problems", "sorce:x")
        await until(pilot, lambda: "✗ Unknown field 'sorce'" in shown(pilot), "the fault of the filter")
        await write(pilot, form, "n", "0")
        await until(pilot, lambda: "greater than or equal to 1" in shown(pilot), "the fault of the field")
        await pilot.press("escape")
        form = await form_of(pilot, DistillForm)
        assert field(form, "n").text == "0" and field(form, "problems").text == "sorce:x"  # what was typed is kept


async def test_a_run_is_launched_from_the_form_and_followed_to_its_end(lab: Lab, server: DistillServer) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        form = await form_of(pilot, DistillForm)
        await write(pilot, form, "max_tokens", "64")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
        assert "Ask teacher for 6 samples?" in shown(pilot) and server.asked.total() == 0
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.screen is screen and screen.pane == "run", "the run")
        await until(pilot, lambda: "✓ finished" in shown(pilot), "its end")
        assert "6 of 6 done (100 %)" in shown(pilot) and server.asked.total() == 6
        await until(pilot, lambda: "right 4" in shown(pilot) and "wrong 2" in shown(pilot), "its figures")
        assert not screen.draft


async def test_a_run_goes_on_without_the_app_and_is_there_again(lab: Lab, server: DistillServer) -> None:
    server.mode = "blocks"
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        form = await form_of(pilot, DistillForm)
        await write(pilot, form, "max_tokens", "64")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.screen is screen and screen.jobs.detail, "the run")
        await until(pilot, lambda: server.asked.total() == 6, "all asked")
    server.release.set()
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: "✓ finished" in shown(pilot), "the run at its end")
    assert set(server.asked.values()) == {1}


async def test_a_run_is_paused_goes_on_is_stopped_and_resumed(tmp_path: Path) -> None:
    with DistillServer(latency_s=0.1) as server:  # more than it can answer before we are through
        lab = make_lab(tmp_path / "lab", server.url, 3000)
        folder = start(lab, concurrency=1)
        runs.TEACHER_RUNS.launch(folder)
        try:
            app = app_on(lab)
            async with app.run_test(size=WIDE, notifications=True) as pilot:
                screen = await opened(pilot)
                await seen(pilot, screen, folder, "running")
                await pilot.press("P")
                await seen(pilot, screen, folder, "paused")
                await pilot.press("r")  # resume continues a paused run as well
                await seen(pilot, screen, folder, "running")
                await pilot.press("s")
                await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
                await pilot.press("y")
                await seen(pilot, screen, folder, "stopped")
                await until(pilot, lambda: "Stopped by a person" in facts(screen), "why")
                before = server.asked.total()
                await pilot.press("s")
                await until(pilot, lambda: "Nothing to stop" in shown(pilot), "that it has stopped")
                await pilot.press("r")
                await seen(pilot, screen, folder, "running")
                await until(pilot, lambda: server.asked.total() > before, "more asked")
        finally:
            end(folder)
        assert set(server.asked.values()) == {1}


async def test_a_spent_budget_is_raised_before_a_run_is_resumed_and_a_second_stop_is_told(
    lab: Lab, server: DistillServer
) -> None:
    folder, status = await run(lab, concurrency=1, budget_tokens=110)
    assert status.stopped_by == "budget_tokens"
    app = app_on(lab)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        screen = await opened(pilot)
        await seen(pilot, screen, folder, "stopped")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptDialog), "the question")
        assert f"{folder.id} has spent its budget of 110 tokens. New budget:" in shown(pilot)
        await pilot.press("end", "ctrl+u", *"111", "enter")
        told = app._notifications
        await until(pilot, lambda: any("is stopped again" in one.message for one in told), "that it stopped again")
        assert any("Stopped by its budget in tokens." in one.message for one in told)
        await seen(pilot, screen, folder, "stopped")
        await pilot.press("r")
        await until(pilot, lambda: "budget of 111 tokens" in shown(pilot), "the question again")
        await pilot.press("end", "ctrl+u", *"9000", "enter")
        await seen(pilot, screen, folder, "finished")
    assert server.asked.total() == 6


async def test_a_max_tokens_that_does_not_fit_is_changed_before_a_run_is_resumed(
    lab: Lab, server: DistillServer
) -> None:
    server.mode = "too-many-tokens"
    folder, status = await run(lab, concurrency=1)
    assert status.stopped_by == "max_tokens"
    async with app_on(lab).run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        await seen(pilot, screen, folder, "stopped")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptDialog), "the question")
        assert f"{folder.id} asked for max_tokens " in shown(pilot) and "which does not fit" in shown(pilot)
        await pilot.press("enter")  # what fits is proposed
        await seen(pilot, screen, folder, "finished")
    assert folder.settings().max_tokens == 50
    assert server.asked.total() == 1 + 6  # the one that was refused, and all


async def test_a_dead_run_says_so_and_that_it_can_go_on(lab: Lab) -> None:
    folder = start(lab)
    host = os.uname().nodename
    folder.write_status(TeacherRunStatus("running", 2**22 + 1, 1.0, host, time.time(), requested=6, done=2))
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        await seen(pilot, screen, folder, "dead")
        assert "Press r to resume" in facts(screen)
        await until(pilot, lambda: "† dead" in shown(pilot), "it on the screen")
        await pilot.press("r")
        await seen(pilot, screen, folder, "finished")
        await until(pilot, lambda: "6 of 6 done" in shown(pilot), "all of it")


def test_a_raw_response_is_shown_literally_and_not_all_of_it(lab: Lab) -> None:
    folder = start(lab)
    fault = FaultCount("html", 3, "[bold]It is a page.", "k", "<html>\x1b[2J[red]" + "x" * 1_000_000)
    text = distill_text.facts(RunDetail(folder.info(), folder, {}, {}, (fault,), False)).plain
    assert "<html>␛[2J[red]xxx" in text and "[bold]It is a page." in text
    assert "(1,000,015 characters)" in text and len(text) < 10_000


async def test_failures_show_their_reason_and_the_last_response_literally(lab: Lab, server: DistillServer) -> None:
    server.treat = lambda question, _: "moderated" if question[0] == 101 else "ok"
    folder, status = await run(lab)
    assert status.failed == 1
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        await seen(pilot, screen, folder, "finished")
        text = facts(screen)
        assert "rejected or failed, and why" in text and "failed calls, with the last raw response" in text
        assert "filtered by our content policy" in text
        assert "× failed 1" in text


async def test_the_traces_and_a_dataset_out_of_a_run(lab: Lab) -> None:
    folder, _ = await run(lab)
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        await seen(pilot, screen, folder, "finished")
        await pilot.press("T")
        await until(pilot, lambda: isinstance(pilot.app.screen, TracesScreen), "the other screen")
        traces = cast(TracesScreen, pilot.app.screen)
        await until(
            pilot, lambda: traces.query_now.source == f"run:{folder.id}" and traces.table.total == 6, "its traces"
        )
        await pilot.press("f3")
        await until(pilot, lambda: pilot.app.screen is screen, "the runs again")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DatasetForm), "the dialog")
        dialog = pilot.app.screen
        await until(pilot, lambda: "4 rows of 6 traces" in shown(pilot), "what would be in it")
        assert "2  wrong answer" in shown(pilot)
        dialog.query_one("#row-keep", FieldRow).set_text("all")
        await until(pilot, lambda: "6 rows of 6 traces" in shown(pilot), "the wrong ones as well")
        dialog.query_one("#row-keep", FieldRow).set_text("verified")
        name = dialog.query_one("#row-name", FieldRow)
        name.editor.focus()
        await pilot.press("end", "ctrl+u", *"no/good", "ctrl+s")
        await until(pilot, lambda: "✗ A name has up to 80" in shown(pilot), "the fault")
        await pilot.press("end", "ctrl+u", *"sums-right", "ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, PreviewDialog), "the dataset")
        assert "left out 2" in shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainForm), "the form to train on it")
        assert cast(TrainForm, pilot.app.screen).values["dataset"] == "sums-right"
    store = open_store(lab.database)
    made = datasets.get(store.db, "sums-right")
    assert made.rows == 4 and made.query == f"run:{folder.id}"
    assert datasets.drop_counts(store.db, "sums-right") == {"wrong answer": 2}
    store.close()


async def test_a_run_without_a_response_makes_no_dataset(lab: Lab) -> None:
    folder = start(lab)
    app = app_on(lab)
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        screen = await opened(pilot)
        await seen(pilot, screen, folder, "starting")
        await pilot.press("d")
        said = app._notifications
        await until(pilot, lambda: any("has no response yet" in one.message for one in said), "the word on it")
        assert pilot.app.screen is screen


async def test_new_like_this_begins_with_the_settings_of_a_run(lab: Lab) -> None:
    folder, _ = await run(lab, n=2, temperature=0.25, problems="source:sums", limit=3)
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        await seen(pilot, screen, folder, "finished")
        form = await form_of(pilot, DistillForm, "U")
        texts = form.texts()
        assert (texts["n"], texts["temperature"], texts["problems"], texts["limit"]) == (
            "2",
            "0.25",
            "source:sums",
            "3",
        )


async def test_the_list_follows_and_keeps_its_place(lab: Lab) -> None:
    first, _ = await run(lab)
    second, _ = await run(lab, n=2)
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        listed = screen.query_one("#teacher-runs", CellList)
        await until(pilot, lambda: [option.id for option in listed.options] == [second.id, first.id], "both")
        await pilot.press("j")
        await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == first.id, "the first")
        third = start(lab)
        await until(pilot, lambda: listed.option_count == 3, "the third")
        assert screen.jobs.selected == first.id and listed.highlighted == 2
        assert listed.options[0].id == third.id


async def test_a_prompt_is_edited_as_a_new_version_of_this_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    script = lab.root / "editor.sh"
    script.write_text('#!/bin/sh\nprintf "\\nCheck it.\\n" >> "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    monkeypatch.delenv("VISUAL", raising=False)
    before = find_prompt(lab, "long-thought")
    draft = begin_version(lab, "long-thought")
    assert find_prompt(lab, "long-thought") == before  # a draft is no prompt yet
    assert keep_version(draft, before) is None and not draft.exists()
    draft = begin_version(lab, "long-thought")
    draft.write_text("no prompt at all")
    with pytest.raises(Exception, match="is not a prompt"):
        keep_version(draft, before)
    assert begin_version(lab, "long-thought") == draft  # gone on with
    draft.unlink()
    draft = begin_version(lab, "long-thought")
    run_editor(draft)
    made = keep_version(draft, before)
    assert made is not None and made.version == before.version + 1 and made.path.parent == lab.root / "prompts"
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        await opened(pilot)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptsScreen), "the prompts")
        await until(pilot, lambda: made.label in shown(pilot) and "this lab" in shown(pilot), "the new one")


def test_faults_are_read_again_only_when_another_came(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = start(lab)
    folder.write_status(TeacherRunStatus("finished", faults={"timeout": 1}))
    read: list[str] = []
    monkeypatch.setattr(type(folder), "faults", lambda folder: read.append(folder.id) or [])
    store = open_store(lab.database)
    watch = Poller(lab, store)
    watch.poll(None)
    watch.poll(None)
    assert len(read) == 1
    folder.write_status(TeacherRunStatus("finished", faults={"timeout": 2}))
    watch.poll(None)
    assert len(read) == 2
    store.close()


def test_an_empty_field_takes_its_default_and_none_is_null() -> None:
    texts = {"endpoint": "solver", "temperature": " none ", "top_p": "", "problems": "", "n": "4", "critic": "x"}
    settings = runs.TeacherRunSettings.model_validate(values_of(runs.TeacherRunSettings, texts))
    assert settings.temperature is None and settings.top_p == 0.95 and settings.problems == "" and settings.n == 4
    assert settings.critic is None  # the method is no debate


def test_a_progress_bar_shows_every_kind_without_colour() -> None:
    bar = distill_text.progress_bar(
        TeacherRunStatus("running", requested=100, done=60, correct=50, incorrect=1, failed=1)
    ).plain
    assert len(bar) == job_text.BAR + 2
    assert {"█", "▓", "▒", "×", "·"} <= set(bar)
    assert distill_text.progress_bar(TeacherRunStatus("starting")).plain == "▕" + "·" * job_text.BAR + "▏"


def test_settings_that_mean_nothing_for_the_method_are_not_shown() -> None:
    shown_ = distill_text.relevant(runs.TeacherRunSettings(endpoint="solver", method="translate", traces="run:a"))
    assert "traces" in shown_ and "problems" not in shown_ and "critic" not in shown_ and "limit" not in shown_
    assert json.dumps(shown_)
