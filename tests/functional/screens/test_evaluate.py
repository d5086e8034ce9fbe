"""The Evaluate screen: evaluations set up, launched as processes, followed, stopped, scored again; tables and plots."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.evaluate import sample_moves
from o1lab.evaluate.run import control
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.paths import Lab
from o1lab.widgets.dialogs import ConfirmDialog, PromptDialog
from o1lab.widgets.form import FieldRow
from o1lab.widgets.text_pane import TextPane
from screens.base.context import open_context
from screens.evaluate import poller
from screens.evaluate import text as evaluate_text
from screens.evaluate.form import EvaluateForm
from screens.evaluate.poller import Poller
from screens.evaluate.screen import EvaluateScreen
from screens.forms import estimating_form
from screens.jobs import kind
from screens.jobs.kind import Snapshot
from screens.jobs.pane import JobsPane
from screens.lab.screen import OverviewScreen
from store import evaluations, open_store
from store.evaluations import Tally
from store.sqlite import Database
from tests.support import evaluate_lab
from tests.support.compare_lab import shown, until
from tests.support.distill_lab import FakeClock
from tests.support.distill_server import DistillServer
from tests.support.evaluate_screen_lab import RAW, STUDENT, add, lab_with_suite, three, write_suite
from tests.support.forms import field, form_of, write
from tests.support.tables_lab import evaluated

WIDE, NARROW = (120, 40), (80, 24)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab", name="demo")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "LIVE_S", 0.1)
    monkeypatch.setattr(kind, "IDLE_S", 0.1)
    monkeypatch.setattr(estimating_form, "PAUSE_S", 0.0)


def app_on(lab: Lab) -> LabApp:
    return LabApp(open_context(lab), mode="evaluate")


async def opened(pilot: Pilot[int]) -> EvaluateScreen:
    """The screen once every evaluation has its figures."""
    screen = pilot.app.screen
    assert isinstance(screen, EvaluateScreen)
    await until(pilot, lambda: (found := screen.jobs.snapshot) and not found.partial, "a poll")
    return screen


def facts(screen: EvaluateScreen) -> str:
    return str(screen.query_one("#evaluation-facts", TextPane).query_one(Static).content)


async def stands(pilot: Pilot[int], screen: EvaluateScreen, identity: str, state: str) -> None:
    """This evaluation under the cursor, in this state on the screen."""
    screen.open_evaluation(identity)
    pane = screen.jobs
    await until(pilot, lambda: pane.selected == identity, f"the cursor on {identity}")
    await until(pilot, lambda: pane.detail and pane.detail.line.id == identity, "its detail")
    await until(pilot, lambda: pane.detail and pane.detail.line.state == state, f"it {state}")


# The list and one evaluation.


async def test_without_an_evaluation_every_view_names_the_next_action(lab: Lab) -> None:
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "No evaluations yet." in shown(pilot), "the empty state")
        assert "Press ctrl+n to set one up" in shown(pilot)
        await until(pilot, lambda: app.screen.focused is None, "no focus")  # no key of a list that is not there
        await pilot.press("2")
        await until(pilot, lambda: "No evaluation is chosen." in shown(pilot), "the samples' word")
        for key in ("3", "4"):
            await pilot.press(key)
            await until(pilot, lambda: "None of your evaluations is in this" in shown(pilot), f"the word of view {key}")
            await until(pilot, lambda: "AIME2024" in shown(pilot), "what was published")  # it is there all the same


async def test_a_view_opened_just_as_the_list_turns_empty_stays_open(lab: Lab) -> None:
    """The list of evaluations takes the focus when it appears or disappears, a refresh later; a key may come first."""
    add(lab, "e1", STUDENT, ["+"], EvalStatus("finished", requested=1, done=1))
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: "1 evaluation, none active" in shown(pilot), "the heading")
        screen.jobs.stop_polling()
        screen.jobs._show(Snapshot((), None))
        screen._count(JobsPane.Polled(Snapshot((), None)))  # asks for the focus to move after the next refresh
        screen.action_show_pane("samples")  # the key 2, read before that refresh
        await pilot.pause()
        await pilot.pause()
        assert screen.pane == "samples"


async def test_the_list_shows_figures_and_where_there_is_no_room_the_other_outcomes_on_a_key(lab: Lab) -> None:
    three(lab)
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "3 evaluations, 1 active" in shown(pilot), "the counts")
        text = shown(pilot)
        assert "26/200" in text and "76.9 (58–89)" in text and "$0.5000" in text and "1m49s" in text
        assert "60/60" in text and "$1.2500" in text and "incomplete" not in text
        await pilot.press("vertical_line")
        await until(pilot, lambda: "incomplete unextracted unscored failed" in shown(pilot), "the other columns")
        live = next(line for line in shown(pilot).splitlines() if "xstest" in line)
        assert live.split()[-4:] == ["0", "0", "1", "2"]
        await pilot.press("left")
        await until(pilot, lambda: "tokens" in shown(pilot), "the columns of before")


async def test_one_in_detail_has_every_outcome_in_words_and_its_faults_as_they_came(lab: Lab) -> None:
    three(lab)
    app = app_on(lab)
    async with app.run_test(size=WIDE) as pilot:
        screen = await opened(pilot)
        await stands(pilot, screen, "11fe0003", "running")
        await until(pilot, lambda: "refusal@1" in facts(screen), "its facts")
        text = facts(screen)
        assert "accuracy so far 76.9 % (57.9 to 89.0): 20 of all 26 samples" in text
        for words in ("correct       20", "unscored        1", "failed        2", "no response", "8 calls in flight"):
            assert words in text
        assert "The server sent a page instead" in text and "<html>␛[2J[red]It is a page.[/]</html>" in text
        assert "\x1b" not in text and "\x1b" in RAW
        await stands(pilot, screen, "ba5e0001", "stopped")
        await until(pilot, lambda: "Stopped by its budget in money" in facts(screen), "why it stopped")
        assert "Press r to resume" in facts(screen) and "30 × 2 samples" in facts(screen)


async def test_two_are_marked_and_open_side_by_side_and_enter_opens_the_samples(lab: Lab) -> None:
    three(lab)
    app = app_on(lab)
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        screen = await opened(pilot)
        await stands(pilot, screen, "57ade002", "finished")
        await pilot.press("V")
        await until(pilot, lambda: "Mark two evaluations of one suite" in shown(pilot), "what to do")
        await pilot.press("space")
        assert screen.jobs.marked == ["57ade002"]
        await until(pilot, lambda: "●✓ aime24@1" in shown(pilot), "the mark")
        await pilot.press("E")
        await written(pilot, "marked.json")
        path = lab.exports / "marked.json"
        await until(pilot, path.exists, "the table of what is marked")
        sections = json.loads(path.read_text("utf-8"))["sections"]
        assert [row["label"] for section in sections for row in section["rows"]] == ["7f3a/100, student"]
        await pilot.press("enter")
        await until(pilot, lambda: screen.pane == "samples" and "What is it?" in shown(pilot), "its samples")
        await pilot.press("escape", "j", "V")
        await until(pilot, lambda: pilot.app.screen is not screen, "the pairs")
        assert type(pilot.app.screen).__name__ == "PairsScreen"


def test_what_a_name_holds_never_acts_on_the_terminal(lab: Lab) -> None:
    status = EvalStatus("failed", requested=2, done=1, message="\x1b[2J[bold]gone", notes=["\x1b]0;x\x07"])
    add(lab, "e1", "[red]m\x1b[31m", ["+"], status, scorer="exact@1(\x1b[0m)")
    look = Poller(lab, open_store(lab.database)).poll(None)
    assert look.detail is not None
    text = evaluate_text.header(look.detail).plain + evaluate_text.facts(look.detail).plain
    assert "\x1b" not in text and "\x07" not in text and "[bold]gone" in text and "[red]m" in text


def test_figures_that_take_long_come_later_and_are_not_read_again_in_vain(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(lab)
    store = open_store(lab.database)
    watch = Poller(lab, store)
    monkeypatch.setattr(poller, "BUDGET_S", -1.0)
    look = watch.poll("57ade002")
    assert look.partial and [line.figures for line in look.lines] == [None] * 3
    monkeypatch.setattr(poller, "BUDGET_S", 60.0)
    look = watch.poll("57ade002")
    assert not look.partial and all(line.figures and line.figures.interval for line in look.lines)
    read: list[str] = []
    whole = evaluations.tally

    def tally(db: Database, one: str, scorer: str) -> Tally:
        read.append(one)
        return whole(db, one, scorer)

    monkeypatch.setattr(evaluations, "tally", tally)
    watch.poll("57ade002")
    assert not read  # nothing was written meanwhile
    monkeypatch.setattr(poller, "SHARE", 1e9)
    evaluated(store, "e4", "aime24", STUDENT, ["+"])
    assert len(watch.poll(None).lines) == 4 and "e4" in read
    store.close()


def test_of_many_samples_the_value_is_shown_before_its_interval(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    three(lab)
    store = open_store(lab.database)
    watch = Poller(lab, store)
    monkeypatch.setattr(poller, "AT_ONCE", 50)
    look = watch._figures(evaluations.get(store.db, "57ade002"), whole=False)
    assert evaluate_text.value_words(look) == "41.7 (…)"
    names = watch.poll(None)
    assert names.partial and [line.figures for line in names.lines] == [None] * 3
    assert not watch.poll(None).partial  # there was time for all in one look
    store.close()


def test_an_evaluation_whose_folder_is_gone_keeps_its_figures(lab: Lab) -> None:
    store = open_store(lab.database)
    evaluated(store, "e1", "aime24", STUDENT, ["+", "-"])
    with store.db.atomic():
        store.db.conn.execute("UPDATE samples SET cost_usd = 0.25")
    look = Poller(lab, store).poll("e1")
    store.close()
    assert look.detail is not None and look.lines[0].state == "no folder" and look.lines[0].done == 2
    said = evaluate_text.facts(look.detail).plain
    assert "Its folder is gone" in said
    assert "$0.5000 for its samples; the cost of a judge is not known" in said


# The form.


@pytest.fixture
def server() -> Iterator[DistillServer]:
    with DistillServer() as running:
        yield running


def end(lab: Lab) -> None:
    """Stop what a test launched, and wait until the processes are gone."""
    for folder in (EvalFolder(path) for path in lab.evals.glob("*")):
        info = folder.info()
        if info.active and info.status.pid is not None:
            folder.stop_file.touch()
            folder.pause_file.unlink(missing_ok=True)
            with suppress(psutil.NoSuchProcess):
                psutil.Process(info.status.pid).wait(60)


async def test_the_form_says_what_is_missing_what_it_comes_to_and_what_is_wrong(tmp_path: Path) -> None:
    lab = lab_with_suite(tmp_path / "lab", input_usd=1.0, output_usd=10.0)
    write_suite(lab, "far", {"file": "far.jsonl", "needs": "A JSONL file with question and answer."})
    write_suite(lab, "judged", {"file": "sums.jsonl", "fields": {"gold": "answer"}}, scorer={"name": "judge"})
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        form = await form_of(pilot, EvaluateForm)
        assert {row.field.name for row in form.query(FieldRow)} == set(EvaluationSettings.model_fields)
        assert all(row.field.help for row in form.query(FieldRow))
        assert not field(form, "judge").display
        field(form, "suite").set_text("sums")
        field(form, "model").set_text("teacher")
        await until(pilot, lambda: "6 items × 1 = 6 samples, 6 calls" in shown(pilot), "the estimate")
        await write(pilot, form, "samples", "3")
        await until(pilot, lambda: "1,152 tokens out, $0.0115" in shown(pilot), "the most it costs, by the suite's 64")
        await write(pilot, form, "samples", "0")
        await until(pilot, lambda: "greater than or equal to 1" in shown(pilot), "the fault of the field")
        await write(pilot, form, "samples", "1")
        field(form, "suite").set_text("far")
        await until(pilot, lambda: "A JSONL file with question and answer." in shown(pilot), "what it needs")
        field(form, "suite").set_text("judged")
        await until(pilot, lambda: field(form, "judge").display, "the field of the judge")
        await until(pilot, lambda: "needs a judge: choose a model" in shown(pilot), "that a judge is needed")


async def test_an_evaluation_is_launched_from_the_form_followed_to_its_end_and_scored_again(
    tmp_path: Path, server: DistillServer
) -> None:
    lab = lab_with_suite(tmp_path / "lab", server.url)
    app = app_on(lab)
    try:
        async with app.run_test(size=WIDE) as pilot:
            screen = await opened(pilot)
            form = await form_of(pilot, EvaluateForm)
            field(form, "suite").set_text("sums")
            field(form, "model").set_text("teacher")
            await until(pilot, lambda: "6 items" in shown(pilot), "the estimate")
            await pilot.press("ctrl+r")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
            assert "Evaluate teacher on sums?" in shown(pilot) and server.asked.total() == 0
            await pilot.press("y")
            await until(pilot, lambda: pilot.app.screen is screen and screen.jobs.selected, "the evaluation")
            await until(pilot, lambda: "✓ finished" in shown(pilot), "its end")
            await until(pilot, lambda: "4 of all 6 samples" in facts(screen), "its figures")
            assert server.asked.total() == 6 and not screen.draft
            await pilot.press("R")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
            await pilot.press("y")
            await until(pilot, lambda: pilot.app.screen is screen, "the screen again")
            form = await form_of(pilot, EvaluateForm)
            field(form, "suite").set_text("sums")
            field(form, "model").set_text("teacher")
            await until(pilot, lambda: "0 calls, 6 samples already answered" in shown(pilot), "that it is known")
    finally:
        end(lab)
    assert server.asked.total() == 6


async def test_a_spent_budget_is_raised_before_an_evaluation_goes_on(tmp_path: Path, server: DistillServer) -> None:
    lab = lab_with_suite(tmp_path / "lab", server.url)
    values = {"suite": "sums", "model": "teacher", "concurrency": 1, "budget_tokens": 110}
    folder = control.start(lab, control.read_settings(lab, values))
    assert (await EvaluationRunner(lab, folder, clock=FakeClock()).work()).stopped_by == "budget_tokens"
    app = app_on(lab)
    try:
        async with app.run_test(size=WIDE) as pilot:
            screen = await opened(pilot)
            await stands(pilot, screen, folder.id, "stopped")
            await pilot.press("r")
            await until(pilot, lambda: "has spent its budget of 110 tokens" in shown(pilot), "the question")
            await pilot.press("end", "ctrl+u", *"9000", "enter")
            await stands(pilot, screen, folder.id, "finished")
    finally:
        end(lab)
    assert server.asked.total() == 6


async def test_an_evaluation_is_paused_goes_on_is_stopped_and_resumed(tmp_path: Path) -> None:
    with DistillServer(latency_s=0.1) as server:  # more than it can answer before we are through
        lab = lab_with_suite(tmp_path / "lab", server.url, 3000)
        folder = control.start(lab, control.read_settings(lab, {"suite": "sums", "model": "teacher", "concurrency": 1}))
        control.EVALUATIONS.launch(folder)
        try:
            app = app_on(lab)
            async with app.run_test(size=WIDE, notifications=True) as pilot:
                screen = await opened(pilot)
                await stands(pilot, screen, folder.id, "running")
                await pilot.press("P")
                await stands(pilot, screen, folder.id, "paused")
                await pilot.press("P")
                await stands(pilot, screen, folder.id, "running")
                await pilot.press("s")
                await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
                await pilot.press("y")
                await stands(pilot, screen, folder.id, "stopped")
                await until(pilot, lambda: "Stopped by a person" in facts(screen), "why")
                before = server.asked.total()
                await pilot.press("r")
                await stands(pilot, screen, folder.id, "running")
                await until(pilot, lambda: server.asked.total() > before, "more asked")
        finally:
            end(lab)
        assert set(server.asked.values()) == {1}


# Tables and plots.


async def written(pilot: Pilot[int], name: str) -> None:
    """Name a file in the dialog and press enter."""
    await until(pilot, lambda: isinstance(pilot.app.screen, PromptDialog), "the question where to")
    await pilot.press("end", "ctrl+u", *name, "enter")


async def test_tables_are_read_copied_and_written_never_over_another_unasked(lab: Lab) -> None:
    three(lab)
    app = app_on(lab)
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        screen = await opened(pilot)
        await pilot.press("3")
        await until(pilot, lambda: "7f3a/100, student" in shown(pilot), "one's own row")
        assert max(map(len, shown(pilot).splitlines())) == 80
        await pilot.press("y")
        assert "| o1-preview (published) |" in app.clipboard
        for name, begins in (("t.md", "## "), ("t.tex", "% needs"), ("t.json", "{")):
            await pilot.press("E")
            await written(pilot, name)
            path = lab.exports / name
            await until(pilot, path.exists, name)
            assert path.read_text("utf-8").startswith(begins)
        assert json.loads((lab.exports / "t.json").read_text("utf-8"))["table"] == "accuracy"
        (lab.exports / "t.md").write_text("mine", "utf-8")
        await pilot.press("E")
        await written(pilot, "t.md")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog), "the question")
        await pilot.press("n")
        await until(pilot, lambda: pilot.app.screen is screen, "the screen")
        assert (lab.exports / "t.md").read_text("utf-8") == "mine"
        await pilot.press("n")
        await until(pilot, lambda: "WildSafety" in shown(pilot), "the second table")
        await pilot.press("E")
        await written(pilot, "t.doc")
        await until(pilot, lambda: "has no known file ending" in shown(pilot), "what is wrong with it")


async def test_the_behaviour_of_models_is_the_last_table_and_counts_moves_once(lab: Lab) -> None:
    store = open_store(lab.database)
    for name, model in (("base-1", evaluate_lab.BASE), ("student-1", evaluate_lab.STUDENT)):
        evaluate_lab.put(store, evaluate_lab.evaluation(name, model), evaluate_lab.SAYS[model])
    app = app_on(lab)
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("3", "p")
        await until(pilot, lambda: "self-reflection" in shown(pilot), "the table")
        assert max(map(len, shown(pilot).splitlines())) == 80
        counted = store.db.execute("SELECT count(*) FROM sample_moves").fetchone()[0]
        assert counted == 11  # of 12 samples, one of which failed
        await pilot.press("E")
        await written(pilot, "behaviour.csv")
        path = lab.exports / "behaviour.csv"
        await until(pilot, path.exists, "the file")
        assert path.read_text("utf-8").startswith("section,model,published,accuracy,accuracy_low")
    store.close()


async def test_counting_moves_ends_with_the_screen_and_keeps_what_it_has(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_moves, "_BATCH", 2)
    store = open_store(lab.database)
    one = evaluate_lab.evaluation("student-1", evaluate_lab.STUDENT)
    evaluate_lab.put(store, one, evaluate_lab.SAYS[evaluate_lab.STUDENT])
    store.close()
    app = app_on(lab)
    async with app.run_test(size=NARROW) as pilot:
        screen = await opened(pilot)
        pane = screen.tables
        monkeypatch.setattr(EvaluateScreen, "closing", property(lambda self: True))
        counted = []
        for _ in range(2):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.to_thread(pane._made, app.context.store.db, "profile", ())
            counted.append(app.context.store.db.execute("SELECT count(*) FROM sample_moves").fetchone()[0])
        assert counted == [2, 4]


async def test_plots_stand_in_80_columns_and_are_written_as_svg(lab: Lab) -> None:
    three(lab)
    app = app_on(lab)
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("4")
        await until(pilot, lambda: "accuracy, %" in shown(pilot) and "10k" in shown(pilot), "the plot")
        await pilot.press("E", "enter")
        path = lab.exports / "plot-tokens.svg"
        await until(pilot, path.exists, "the picture")
        assert path.read_text("utf-8").startswith("<svg") and "o1-preview" in path.read_text("utf-8")
        await pilot.press("n")
        await until(pilot, lambda: "median" in shown(pilot), "right and wrong")


async def test_the_first_screen_names_the_evaluations_and_leads_to_them(lab: Lab) -> None:
    three(lab)
    app = LabApp(open_context(lab))
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "3 on 2 suites, the newest" in shown(pilot), "what was evaluated")
        steps = pilot.app.screen.query_one("#steps", OptionList)
        await pilot.press("j")
        assert steps.highlighted == 1
        await pilot.press("k")
        assert steps.highlighted == 0
        lab_screen = pilot.app.screen
        assert isinstance(lab_screen, OverviewScreen)
        steps.highlighted = [step.title for step in lab_screen.steps].index("Open the evaluations (f6)")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, EvaluateScreen), "the other screen")
        screen = await opened(pilot)
        await until(pilot, lambda: screen.jobs.selected == "11fe0003", "the newest")
