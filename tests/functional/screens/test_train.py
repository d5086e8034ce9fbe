"""The Train screen, driven by its keys, on run directories in the contract's format."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static
from textual.worker import Worker

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.files import write_json
from o1lab.format import number
from o1lab.jobs.directory import JobInfo
from o1lab.paths import Lab
from o1lab.train import launch
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.run_list import RunReader
from o1lab.train.runs.directory import RunDir, RunState, RunStatus
from o1lab.train.runs.metrics_reader import Metrics
from o1lab.widgets.dialogs import PreviewDialog
from o1lab.widgets.loss_plot import LossPlot
from screens.base.context import LabContext, open_context
from screens.base.messages import OpenCompare, OpenTraces
from screens.base.screen import SMALLEST
from screens.jobs import kind
from screens.jobs.pane import JobsPane
from screens.train import panes
from screens.train import text as train_text
from screens.train.panes import LogPane, overlap
from screens.train.poller import Poller, View, places, seconds_left
from screens.train.screen import TrainScreen
from screens.train.table import RunTable
from store import open_store
from tests.support.compare_lab import shown, until
from tests.support.fake_runs import PROBES, append, metric_line, write_run

WIDE = (120, 40)


class Asked(LabApp):
    """The app, but what a screen asks of another is only written down."""

    def __init__(self, context: LabContext, *, mode: str) -> None:
        super().__init__(context, mode=mode)
        self.asked: list[Any] = []

    async def on_open_compare(self, message: OpenCompare) -> None:
        self.asked.append(message)

    async def on_open_traces(self, message: OpenTraces) -> None:
        self.asked.append(message)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab", name="test")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "LIVE_S", 0.1)
    monkeypatch.setattr(kind, "IDLE_S", 0.1)
    monkeypatch.setattr(panes, "LOG_S", 0.1)


def app_on(lab: Lab) -> Asked:
    return Asked(open_context(lab), mode="train")


def screen_of(pilot: Pilot[int]) -> TrainScreen:
    screen = pilot.app.screen
    assert isinstance(screen, TrainScreen)
    return screen


async def opened(pilot: Pilot[int], run_id: str) -> TrainScreen:
    """The screen with this run chosen and its curve given to the plot."""
    screen = screen_of(pilot)
    screen.open_run(run_id)
    await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == run_id, f"the run {run_id}")
    return screen


def points(screen: TrainScreen, run_id: str) -> int:
    """How many points of a run the plot holds."""
    plot = screen.query_one(LossPlot)
    return len(plot._curves[run_id].steps) if run_id in plot.names else 0


def sample(step: int, answer: str, *, correct: bool | None, prompt: int = 0) -> dict[str, Any]:
    probe = PROBES[prompt]
    final = answer.rsplit(maxsplit=1)[-1]
    told = {"step": step, "prompt": probe.prompt, "gold": probe.gold, "answer": answer, "final": final}
    return {**told, "correct": correct, "tokens": 7}


async def test_an_empty_lab_names_the_next_action(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "No runs yet" in shown(pilot), "the empty state")
        await until(pilot, lambda: "Press ctrl+n to set one up" in shown(pilot), "what to do")


async def test_runs_are_listed_newest_first_with_state_step_and_loss(lab: Lab) -> None:
    write_run(lab.runs, "aaaa0001", age=50)
    write_run(lab.runs, "bbbb0002", "stopped", steps=40, age=10, saved=[40])
    write_run(lab.runs, "cccc0003", "running", steps=9, age=30, heartbeat=1.0, pid=2**22 + 1, log="Killed\n")
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        runs = screen_of(pilot).query_one(RunTable)
        await until(pilot, lambda: runs.total == 3, "the list")
        assert [row.key for at in range(3) if (row := runs.row_at(at))] == ["bbbb0002", "cccc0003", "aaaa0001"]
        text = shown(pilot)
        last = json.loads(RunDir(lab.runs / "bbbb0002").metrics.read_text().splitlines()[-1])["loss"]
        assert "■" in text and "40/100" in text and number(last) in text
        assert "† " in text and "dead" in text and "✓" in text


async def test_a_run_that_has_ended_or_is_in_trouble_says_why(lab: Lab) -> None:
    log = "".join(f"line {n}\n" for n in range(300)) + "Out of memory: killed \x1b[31mhere\n"
    write_run(lab.runs, "cccc0003", "running", steps=9, heartbeat=1.0, pid=2**22 + 1, log=log)
    write_run(lab.runs, "dddd0004", "failed", steps=12, message="The loss became nan at step 12.", hint="Lower it.")
    spike = "Loss spikes: 1. The last: Loss spike at step 28: 9."
    write_run(lab.runs, "eeee0005", "running", steps=30, warnings=[spike])
    texts = ["First \x1b[31m.", "Second.", "Third.", "Fourth.", spike]
    write_run(lab.runs, "ffff0006", "running", warnings=texts)
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "cccc0003")
        await until(pilot, lambda: screen.query_one(LogPane).rows > 1, "the log")
        await until(pilot, lambda: "Out of memory: killed ␛[31mhere" in shown(pilot), "the log's end")
        text = shown(pilot)
        assert "† dead" in text and "The process was killed" in text
        assert "line 299" in text
        assert "\x1b" not in text
        await opened(pilot, "dddd0004")
        await until(pilot, lambda: "✗ The loss became nan at step 12. Lower it." in shown(pilot), "the reason")
        await opened(pilot, "eeee0005")
        await until(pilot, lambda: f"! {spike}" in shown(pilot), "the spike")
        await opened(pilot, "ffff0006")
        notice = screen.query_one("#run-notice", Static)
        below = ["! Third.", "! Fourth.", f"! {spike}", "! 2 more: i shows all"]
        await until(pilot, lambda: str(notice.content).splitlines() == below, "the warnings")
        await pilot.press("i")
        await until(pilot, lambda: "First" in shown(pilot) and "[31m." in shown(pilot), "the facts")


def test_a_dead_run_is_to_be_resumed_only_if_it_has_a_checkpoint(lab: Lab) -> None:
    gone: dict[str, Any] = {"steps": 9, "heartbeat": 1.0, "pid": 2**22 + 1}
    with_checkpoint = write_run(lab.runs, "cccc0003", "running", saved=[5], **gone)
    without = write_run(lab.runs, "dddd0004", "running", **gone)
    assert "o1lab runs resume cccc0003" in with_checkpoint.info().status.hint
    assert "resume dddd0004" not in without.info().status.hint


async def test_the_header_says_what_a_run_is_doing(lab: Lab) -> None:
    asking = write_run(lab.runs, "eeee0005", "running", steps=30, message="Asking probes 3/8.")
    write_run(lab.runs, "eeee0006", "queued", steps=0, message="Waiting for run 7f3a of lab demo on cpu.")
    async with app_on(lab).run_test(size=WIDE) as pilot:
        await opened(pilot, "eeee0005")
        await until(pilot, lambda: "▶ running: asking probes 3/8 · step 30/100" in shown(pilot), "the probes")
        await opened(pilot, "eeee0006")
        await until(pilot, lambda: "queued: waiting for run 7f3a of lab demo on cpu · step 0" in shown(pilot), "whom")
        await opened(pilot, "eeee0005")
        asking.ask_to_stop()
        await until(pilot, lambda: "◼ stopping" in shown(pilot) and "elapsed 1m26s" in shown(pilot), "the request")
        asking.write_status(replace(asking.read_status(), state="stopped", message=""))
        await until(pilot, lambda: "■ stopped" in shown(pilot) and "took 1m26s" in shown(pilot), "the end")
        asking.clear_control_files()
        status = RunStatus("starting", os.getpid(), host=socket.gethostname(), heartbeat=time.time() + 3600)
        asking.write_status(replace(status, step=3, total_steps=80))
        await until(pilot, lambda: "○ starting · step 3/80" in shown(pilot), "the step it resumes from")


async def test_the_smallest_terminal_shows_the_run_under_the_cursor(lab: Lab) -> None:
    spike = "Loss spikes: 22. The last: Loss spike at step 99: 0.72, usually about 0.0143."
    write_run(lab.runs, "aaaa0001", "running", warnings=[spike])
    app = app_on(lab)
    async with app.run_test(size=SMALLEST) as pilot:
        await until(pilot, lambda: "Loss spikes" in shown(pilot), "the run")
        assert [line for line in shown(pilot).splitlines() if line.startswith("▸") and "aaaa0001" in line]


async def test_what_a_run_writes_appears(lab: Lab) -> None:
    run = write_run(lab.runs, "eeee0005", "running", steps=10, samples=[sample(0, "77200", correct=False)])
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "eeee0005")
        await until(pilot, lambda: points(screen, "eeee0005") == 10, "ten points")
        await until(pilot, lambda: "base ✗ 77200" in shown(pilot), "the base's answer")
        append(run.metrics, [metric_line(11, 100)])
        with run.metrics.open("a") as file:
            file.write('{"step": 12, "lo')  # the worker is in the middle of a line
        append(run.samples, [sample(11, "<think>ones</think> 1458", correct=True)])
        with run.log.open("a") as file:
            file.write("one more line\n")
        await until(pilot, lambda: points(screen, "eeee0005") == 11, "the eleventh point")
        await until(pilot, lambda: "11 ✓ 1458" in shown(pilot), "the student's answer")
        await until(pilot, lambda: "one more line" in shown(pilot), "the log's new line")
        with run.metrics.open("a") as file:
            file.write('ss": 0.5}\n')
        await until(pilot, lambda: points(screen, "eeee0005") == 12, "the line's end")
        await until(pilot, lambda: "step 12/100" in shown(pilot), "the step")
        append(run.metrics, [{"event": "resumed", "step": 8}, metric_line(9, 100)])
        await until(pilot, lambda: points(screen, "eeee0005") == 9, "the curve cut at 8 and gone on")


def followers(app: LabApp) -> list[Worker[object]]:
    return [worker for worker in app.workers if worker.group == "poll" and worker.is_running]


async def test_nobody_reads_while_another_screen_is_shown(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(lab.runs, "eeee0005", "running", steps=10)
    looks = []
    plain = Poller.poll
    monkeypatch.setattr(Poller, "poll", lambda self, *args: (looks.append(1), plain(self, *args))[1])
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: len(looks) > 3, "a few looks")
        assert followers(app)
        await pilot.press("f1")
        await until(pilot, lambda: not followers(app), "the end of the looks")
        before = len(looks)
        await pilot.press("f4")
        await until(pilot, lambda: len(looks) > before, "looks again")


async def test_runs_laid_over_each_other_and_other_metrics(lab: Lab) -> None:
    write_run(lab.runs, "aaaa0001", age=50)
    write_run(lab.runs, "bbbb0002", steps=40, seed=2, age=10)
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "aaaa0001")
        plot = screen.query_one(LossPlot)
        await until(pilot, lambda: plot.names == ["aaaa0001"], "the first curve")
        await pilot.press("space", "comma")
        await until(pilot, lambda: points(screen, "bbbb0002") == 40 and points(screen, "aaaa0001") == 100, "both")
        assert "●" in shown(pilot)
        await pilot.press("right_square_bracket", "right_square_bracket")
        await until(pilot, lambda: "learning rate" in shown(pilot), "the metric's name")
        await until(pilot, lambda: sorted(plot.names) == ["aaaa0001", "bbbb0002"], "both again")
        await pilot.press("left_square_bracket", "left_square_bracket")
        await pilot.press("full_stop", "space", "comma")
        await until(pilot, lambda: plot.names == ["bbbb0002"], "the mark gone, the other run chosen")


async def test_a_run_on_pairs_has_curves_of_rewards(lab: Lab) -> None:
    write_run(lab.runs, "aaaa0001", age=50)
    pairs = write_run(lab.runs, "bbbb0002", steps=0, total=20, age=10)
    append(pairs.metrics, [metric_line(n, 20, reward_margin=n / 10, reward_accuracy=0.75) for n in range(1, 21)])
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "bbbb0002")
        await until(pilot, lambda: "margin 2  pairs right 75%" in shown(pilot), "the figures")
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "reward margin" in shown(pilot), "the metric's name")
        await until(pilot, lambda: points(screen, "bbbb0002") == 20, "its points")
        await opened(pilot, "aaaa0001")
        await until(pilot, lambda: screen.curves.metric == "loss" and points(screen, "aaaa0001") == 100, "the loss")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "tokens/s" in shown(pilot), "the last metric, which is no reward")


async def test_stop_asks_first_and_then_creates_the_file(lab: Lab) -> None:
    run = write_run(lab.runs, "eeee0005", "running", steps=10)
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "eeee0005")
        await pilot.press("s")
        await until(pilot, lambda: "Stop the run eeee0005?" in shown(pilot), "the question")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen, "the way back")
        assert not run.stop_file.exists()
        await pilot.press("s")
        await until(pilot, lambda: pilot.app.screen is not screen, "the question again")
        await pilot.press("y")
        await until(pilot, run.stop_file.exists, "control/stop")


class HeldPoller:
    """Lets polls end only while ``open`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.open.set()
        plain = Poller.poll

        def poll(poller: Poller, *args: Any) -> Any:
            snapshot = plain(poller, *args)
            assert self.open.wait(60)
            return snapshot

        monkeypatch.setattr(Poller, "poll", poll)


async def test_the_run_under_the_cursor_is_resumed_however_late_the_next_poll(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(lab.runs, "aaaa0001", "stopped", steps=40, saved=[40], age=50)
    write_run(lab.runs, "bbbb0002", "stopped", steps=40, saved=[40])
    resumed: list[str] = []
    monkeypatch.setattr(launch, "start_worker", lambda run, **_: resumed.append(run.id))
    polls = HeldPoller(monkeypatch)
    async with app_on(lab).run_test(size=WIDE) as pilot:
        await opened(pilot, "bbbb0002")
        screen_of(pilot).query_one(RunTable).focus()
        polls.open.clear()
        await pilot.press("down", "r")
        await until(pilot, lambda: resumed, "the resuming")
        polls.open.set()
        assert resumed == ["aaaa0001"]


async def test_the_question_before_a_stop_names_the_run_under_the_cursor_and_stops_that_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_run(lab.runs, "aaaa0001", "running", steps=40, age=50)
    second = write_run(lab.runs, "bbbb0002", "running", steps=40)
    polls = HeldPoller(monkeypatch)
    async with app_on(lab).run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "bbbb0002")
        screen.query_one(RunTable).focus()
        polls.open.clear()
        await pilot.press("down", "s")
        await until(pilot, lambda: "Stop the run" in shown(pilot), "the question")
        assert "Stop the run aaaa0001?" in shown(pilot)
        await pilot.press("y")
        await until(pilot, first.stop_file.exists, "its stop file")
        polls.open.set()
        assert not second.stop_file.exists()
        assert screen.jobs.selected == "aaaa0001"


async def test_a_finished_run_is_not_resumed_and_no_run_is_paused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(lab.runs, "aaaa0001")
    resumed: list[str] = []
    monkeypatch.setattr(launch, "start_worker", lambda run, **_: resumed.append(run.id))
    async with app_on(lab).run_test(size=WIDE, notifications=True) as pilot:
        await opened(pilot, "aaaa0001")
        await pilot.press("P", "r")
        await until(pilot, lambda: "Nothing to resume: the run aaaa0001" in shown(pilot), "the reason")
        assert not resumed and "p Pause" not in shown(pilot)


async def test_the_keys_of_a_finished_run(lab: Lab) -> None:
    answers = [sample(0, "<think>ones: 8</think> 1458", correct=True)]
    run = write_run(lab.runs, "aaaa0001", samples=answers, saved=[50, 100])
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "aaaa0001")
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == "aaaa0001", "the id on the clipboard")
        await pilot.press("Y")
        await until(pilot, lambda: app.clipboard == run.command.read_text().strip(), "the command on the clipboard")
        await pilot.press("s")
        await until(pilot, lambda: any("Nothing to stop" in one.message for one in app._notifications), "a word")
        assert not run.stop_file.exists()
        await pilot.press("i")
        await until(pilot, lambda: "checkpoints" in shown(pilot) and "step 100" in shown(pilot), "the facts")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen, "the way back")
        pane = screen.pane
        await pilot.press("question_mark")
        await until(pilot, lambda: bool(screen.query("HelpPanel")), "the help")
        await pilot.press("escape")
        await until(pilot, lambda: not screen.query("HelpPanel"), "its end")
        assert screen.pane == pane
        await pilot.press("v")
        await until(pilot, lambda: "<think>ones: 8</think> 1458  (7 tokens)" in shown(pilot), "the whole answer")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen, "the way back")
        await pilot.press("C")
        await until(pilot, lambda: app.asked, "the message")
        message = app.asked.pop()
        assert message.models == ("solver", "aaaa0001/100", "smollm2-135m")
        assert message.prompt == PROBES[0].prompt
        await pilot.press("f4")
        await until(pilot, lambda: pilot.app.screen is screen, "the way back")
        await pilot.press("T")
        await until(pilot, lambda: app.asked, "the message")
        assert app.asked.pop().query == 'dataset:"col-add-400"'


async def test_compare_without_a_checkpoint_says_what_to_do(lab: Lab) -> None:
    write_run(lab.runs, "eeee0005", "running", steps=3)
    write_run(lab.runs, "ffff0006", "failed", steps=3)
    app = app_on(lab)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await opened(pilot, "ffff0006")
        await pilot.press("C")
        await until(pilot, lambda: "ffff0006 has no checkpoint." in shown(pilot), "the reason")
        assert "Press s to save" not in shown(pilot)
        await opened(pilot, "eeee0005")
        await pilot.press("C")
        await until(pilot, lambda: "eeee0005 has no checkpoint yet" in shown(pilot), "the reason")
        assert "Press s to save one" in shown(pilot)
        assert not app.asked


async def test_a_refused_resume_says_why(lab: Lab) -> None:
    write_run(lab.runs, "bbbb0002", "stopped", steps=40)
    app = app_on(lab)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await opened(pilot, "bbbb0002")
        await pilot.press("r")
        await until(pilot, lambda: "no checkpoint to continue" in shown(pilot), "the reason")


async def test_a_run_is_named_noted_and_removed_after_a_question_that_names_it(lab: Lab) -> None:
    first = write_run(lab.runs, "aaaa0001", age=50)
    second = write_run(lab.runs, "bbbb0002", "stopped", steps=40)
    write_run(lab.runs, "cccc0003", "running", steps=3, age=-50)
    async with app_on(lab).run_test(size=WIDE, notifications=True) as pilot:
        screen = await opened(pilot, "bbbb0002")
        screen.query_one(RunTable).focus()
        await pilot.press("e")
        await until(pilot, lambda: "Name of bbbb0002:" in shown(pilot), "the question")
        await pilot.press(*"best", "enter")
        await until(pilot, lambda: "best " in shown(pilot), "the name in the list")
        await pilot.press("m")
        await until(pilot, lambda: "Note on bbbb0002:" in shown(pilot), "the question")
        await pilot.press(*"again", "enter")
        await until(pilot, lambda: second.info().notes == ("again",), "the note")
        await pilot.press("D")
        await until(pilot, lambda: "Remove the run bbbb0002?" in shown(pilot), "the question")
        await pilot.press("y")
        await until(pilot, lambda: not second.path.exists(), "its end")
        await until(pilot, lambda: screen.jobs.snapshot and len(screen.jobs.snapshot.lines) == 2, "the list")
        assert screen.jobs.selected == "aaaa0001" and first.path.exists()
        plot = screen.query_one(LossPlot)
        await until(pilot, lambda: list(plot.names) == ["aaaa0001"], "the curve of the next run alone")
        await pilot.press("up", "D")
        told = pilot.app._notifications
        await until(pilot, lambda: any("stop it before you remove it" in one.message for one in told), "a refusal")


async def test_one_pane_at_a_time_on_a_narrow_terminal(lab: Lab) -> None:
    write_run(lab.runs, "aaaa0001", log="the last words\n", samples=[sample(0, "12", correct=False)])
    app = app_on(lab)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await until(pilot, lambda: screen.jobs.detail, "the run")
        await until(pilot, lambda: "[Runs]" in shown(pilot), "the list")
        assert "the last words" not in shown(pilot) and "smoothed" not in shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "[Curve]" in shown(pilot) and "smoothed" in shown(pilot), "the curve")
        await pilot.press("tab")
        await until(pilot, lambda: "base ✗ 12" in shown(pilot), "the answers")
        await pilot.press("tab")
        await until(pilot, lambda: "the last words" in shown(pilot), "the log")
        await pilot.press("escape")
        await until(pilot, lambda: "[Runs]" in shown(pilot), "the list again")


async def test_every_action_is_in_the_palette(lab: Lab) -> None:
    write_run(lab.runs, "aaaa0001")
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "aaaa0001")
        titles = " ".join(command.title for command in app.get_system_commands(screen))
        for binding in (*TrainScreen.BINDINGS, *JobsPane.BINDINGS):
            if binding.action == "pause":  # type: ignore[union-attr]
                continue  # a training run cannot be paused
            assert binding.description and binding.description in titles  # type: ignore[union-attr]
        commands = list(app.get_system_commands(screen))
        assert len({command.title for command in commands}) == len(commands)
        helps = " ".join(command.help for command in commands)
        assert "RunTable" not in helps and "TrainScreen" not in helps


def test_a_look_gives_only_what_is_new(lab: Lab) -> None:
    run = write_run(lab.runs, "eeee0005", "running", steps=10)
    store = open_store(lab.database)
    watch = Poller(lab, store)
    first = watch.poll(None, (), View()).points[0]
    assert first.replaces and len(first.xs) == 10
    assert watch.poll(None, (), View()).points == ()
    append(run.metrics, [metric_line(11, 100)])
    second = watch.poll(None, (), View()).points[0]
    assert not second.replaces and list(second.xs) == [11.0]
    assert watch.poll(None, (), View(metrics=("grad_norm",))).points[0].replaces
    watch.forget("eeee0005")
    assert len(watch.poll(None, (), View(metrics=("grad_norm",))).points[0].xs) == 11
    store.close()


def test_forgetting_a_curve_does_not_wait_for_a_poll(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(lab.runs, "eeee0005", "running", steps=10)
    store = open_store(lab.database)
    watch = Poller(lab, store)
    watch.poll(None, (), View())
    reading, go_on, read = threading.Event(), threading.Event(), RunReader.read

    def slow(reader: RunReader, budget_s: float) -> Any:
        reading.set()
        assert go_on.wait(30)
        return read(reader, budget_s)

    monkeypatch.setattr(RunReader, "read", slow)
    poll = threading.Thread(target=watch.poll, args=(None, (), View()), daemon=True)
    forget = threading.Thread(target=watch.forget, args=("eeee0005",), daemon=True)
    poll.start()
    assert reading.wait(30)
    forget.start()
    forget.join(5)
    waited = forget.is_alive()
    go_on.set()
    poll.join()
    assert not waited
    assert len(watch.poll(None, (), View()).points[0].xs) == 10
    store.close()


async def test_hostile_words_of_a_run_are_notified_literally(lab: Lab) -> None:
    write_run(lab.runs, "aaaa0001", "failed", message="\x1b]0;owned\x07 out of memory")
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "aaaa0001")
        screen.jobs.resumed["aaaa0001"] = None  # as after r
        await until(pilot, lambda: any("again: " in one.message for one in app._notifications), "the end")
        (message,) = (one.message for one in app._notifications if "again: " in one.message)
        assert "␛]0;owned␇ out of memory" in message and message.isprintable()


def test_evaluations_have_no_gaps_between_them(lab: Lab) -> None:
    run = write_run(lab.runs, "aaaa0001", steps=10)
    append(run.metrics, [{"step": 5, "eval_loss": 1.0}, metric_line(11, 100), {"step": 11, "eval_loss": 0.5}])
    store = open_store(lab.database)
    found = Poller(lab, store).poll(None, (), View(metrics=("eval_loss",))).points[0]
    assert list(found.values) == [0.5] or not any(map(math.isnan, found.values))
    assert found.xs[-1] == 11.0
    store.close()


def test_time_left_follows_the_pace_of_the_last_steps(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl")
    append(metrics_path := tmp_path / "metrics.jsonl", ({"step": s, "elapsed_s": s * 2.0} for s in range(1, 41)))
    append(metrics_path, ({"step": s, "elapsed_s": 80.0 + (s - 40) * 3.0} for s in range(41, 62)))
    metrics.poll()
    state = JobInfo("r", "running", RunStatus("running", step=61, total_steps=100), 0.0)
    assert seconds_left(metrics, state) == pytest.approx(39 * 3.0)
    ended = JobInfo("r", "finished", RunStatus("finished", step=61, total_steps=61), 0.0)
    assert seconds_left(metrics, ended) is None


def test_places_in_the_queue_by_device() -> None:
    def waiting(run_id: str, started: float, device: str = "cpu") -> RunState:
        return JobInfo(run_id, "queued", RunStatus("queued", host="box", pid_started=started, device=device), 0.0)

    running = JobInfo("now", "running", RunStatus("running", host="box", device="cpu"), 0.0)
    states = [waiting("late", 3.0), running, waiting("early", 1.0), waiting("other", 2.0, "cuda:0")]
    assert places(states) == {"early": 1, "late": 2, "other": 1}


@pytest.mark.parametrize(
    ("before", "now", "known"),
    [("", "abc", 0), ("abc", "abcd", 3), ("abc", "bcd", 2), ("abc", "xyz", 0), ("aaa", "aaa", 3)],
)
def test_overlap_of_two_tails(before: str, now: str, known: int) -> None:
    assert overlap(tuple(before), tuple(now)) == known


def test_hostile_answers_are_shown_literally(lab: Lab) -> None:
    run = write_run(
        lab.runs, "aaaa0001", recipe=Recipe(dataset="d", probes=PROBES),
        samples=[{"step": 0, "prompt": "\x1b]0;owned\x07 [bold]?", "answer": "\x1b[2J[red]no[/]", "correct": ["?"]}],
    )  # fmt: skip
    store = open_store(lab.database)
    detail = Poller(lab, store).poll(run.id, (), View()).detail
    assert detail is not None
    text = train_text.answers(detail).plain + train_text.full_answers(detail).plain
    assert "\x1b" not in text and "␛[2J[red]no[/]" in text and "[bold]?" in text
    store.close()


def test_figures_call_out_what_is_not_a_number() -> None:
    assert "loss NaN!" in train_text.figures({"loss": math.nan, "learning_rate": 1e-4}).plain


async def test_the_runs_of_a_group_are_compared_and_drawn_together(lab: Lab) -> None:
    for seed in (1, 2, 3):
        run = write_run(lab.runs, f"seed{seed}", seed=seed, age=10 - seed)
        write_json(run.group_file, {"name": "seeds", "varies": {"seed": seed}})
    write_run(lab.runs, "alone", age=20)
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot, "seed2")
        assert "seeds" in shown(pilot)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, PreviewDialog), "the comparison")
        assert "3 runs, 3 finished" in shown(pilot) and " ± " in shown(pilot) and "seed3" in shown(pilot)
        await pilot.press("escape", "asterisk")
        plot = screen.query_one(LossPlot)
        await until(pilot, lambda: {"seed1", "seed2", "seed3"} <= set(plot.names), "the curves")
        await pilot.press("asterisk")
        await until(pilot, lambda: list(plot.names) == ["seed2"], "the curve of the run alone")
        await opened(pilot, "alone")
        await pilot.press("b")
        await until(pilot, lambda: any("is in no group" in one.message for one in app._notifications), "the refusal")
        (lab.runs / "seed1" / "group.json").write_text("{")
        await opened(pilot, "seed1")
        await until(pilot, lambda: "unreadable: group.json" in shown(pilot), "the damage")
