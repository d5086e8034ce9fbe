"""The table of twenty runs in the Train screen: filter, order, columns, tags, archive, recipes and curves."""

from __future__ import annotations

import asyncio
import shutil
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.paths import Lab
from o1lab.remembered import SavedFilters, session_file
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs import metrics_reader
from o1lab.train.runs.directory import RunDir
from o1lab.widgets.dialogs import PreviewDialog, PromptDialog
from o1lab.widgets.loss_plot import LossPlot
from screens.base.context import open_context
from screens.jobs import kind
from screens.train.poller import Poller, View
from screens.train.screen import TrainScreen
from store import open_store
from tests.support.compare_lab import filter_by, paste, shown, until
from tests.support.fake_runs import write_run
from tests.support.many_runs import write_runs

WIDE, NARROW = (120, 40), (80, 24)
OF_RUN = {"space", "right_square_bracket", "C", "T", "V", "M", "Y", "v", "b", "asterisk"}
"""Keys that need a run."""


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with the runs, which is copied for each test."""
    lab = init_lab(tmp_path_factory.mktemp("twenty") / "lab", name="test")
    write_runs(lab.runs)
    return lab.root


@pytest.fixture
def lab(tmp_path: Path, twenty: Path) -> Lab:
    return Lab(shutil.copytree(twenty, tmp_path / "lab"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "LIVE_S", 0.1)
    monkeypatch.setattr(kind, "IDLE_S", 0.1)


def app_on(lab: Lab) -> LabApp:
    return LabApp(open_context(lab), mode="train")


async def ready(pilot: Pilot[int]) -> TrainScreen:
    screen = pilot.app.screen
    assert isinstance(screen, TrainScreen)
    await until(pilot, lambda: screen.jobs.detail and screen.table.cursor_id, "the list")
    return screen


def listed(screen: TrainScreen) -> list[str]:
    return [line.id for line in screen.jobs.snapshot.lines] if screen.jobs.snapshot else []


def offered(screen: TrainScreen) -> set[str]:
    """The keys that work now."""
    return {key for key, active in screen.active_bindings.items() if active.enabled}


def letters(screen: TrainScreen) -> dict[str, str]:
    """The letter of each drawn run in the legend of the first plot."""
    legend = str(screen.query(LossPlot).first().query_one(".plot--legend", Static).content).split()
    return {run: letter for letter, run in pairwise(legend) if len(letter) == 1 and run[:3] == "run"}


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_each_run_is_one_line_at_any_width(lab: Lab, size: tuple[int, int]) -> None:
    async with app_on(lab).run_test(size=size) as pilot:
        screen = await ready(pilot)
        await until(pilot, lambda: "0.62" in shown(pilot), "the losses on held-out rows")
        lines = shown(pilot).splitlines()
        rows = [line for line in lines if "run0" in line and "/100" in line and "step" not in line]
        assert len(rows) == 8 and "19 of 20 runs" in lines[0] and "1 archived" in lines[0]
        words = "6 columns hidden"
        await until(pilot, lambda: (words in shown(pilot).splitlines()[0]) is (size == NARROW), "what is hidden")
        assert screen.table.has_focus


async def test_runs_are_filtered_and_sorted(lab: Lab) -> None:
    async with app_on(lab).run_test(size=NARROW) as pilot:
        screen = await ready(pilot)
        await until(pilot, lambda: offered(screen) >= OF_RUN, "the keys of a run")
        await pilot.press(*"/stat:x ")
        await until(pilot, lambda: "Did you mean state?" in shown(pilot), "the suggestion")
        await pilot.press("escape")
        assert len(listed(screen)) == 19
        await filter_by(pilot, "rank>=64")
        await until(pilot, lambda: listed(screen) == ["run02", "run05", "run08", "run11", "run14", "run17"], "ranks")
        await pilot.press("S", *"-be", "tab", "enter")  # reversed orders are completed, too
        await until(pilot, lambda: listed(screen)[:2] == ["run08", "run17"], "the order")
        assert screen.table.cursor_id == "run02"  # the cursor stays on its run
        await filter_by(pilot, "tag:nothing")
        await until(pilot, lambda: "No run is listed" in shown(pilot), "an empty list")
        assert not screen.jobs.has_class("-empty")
        await until(pilot, lambda: not OF_RUN & offered(screen), "no key of a run")
        assert "slash" in offered(screen), "the way out of the filter"
        screen.open_run("run03")
        await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == "run03", "the run")
        assert len(listed(screen)) == 19
        await until(pilot, lambda: offered(screen) >= OF_RUN, "the keys again")


async def test_an_archived_run_is_opened_with_the_filter_that_lists_it(lab: Lab) -> None:
    async with app_on(lab).run_test(size=WIDE, notifications=True) as pilot:
        screen = await ready(pilot)
        assert "run07" not in listed(screen)
        screen.open_run("run07")
        await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == "run07", "the archived run")
        assert screen.filter_bar.input.value == "archived:yes" and listed(screen) == ["run07"]
        await until(pilot, lambda: "The filter is now archived:yes, to show the run run07." in shown(pilot), "why")
        screen.open_run("run03")
        await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == "run03", "the other run")
        assert screen.filter_bar.input.value == "" and len(listed(screen)) == 19


async def test_an_archived_run_is_opened_before_the_list_was_read(lab: Lab) -> None:
    async with app_on(lab).run_test(size=WIDE) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, TrainScreen)
        screen.open_run("run07")
        await until(pilot, lambda: screen.jobs.detail and screen.jobs.detail.line.id == "run07", "the archived run")


async def test_the_lab_keeps_filters_of_runs(lab: Lab) -> None:
    async with app_on(lab).run_test(size=WIDE) as pilot:
        screen = await ready(pilot)
        await pilot.press("slash")
        await paste(pilot, "rank>=64")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Name of the filter rank>=64" in shown(pilot), "the question")
        await pilot.press(*"big", "enter")
        await until(pilot, lambda: "use it as saved:big" in shown(pilot), "the confirmation")
        assert SavedFilters(lab).of("runs") == {"big": "rank>=64"}
        await pilot.press("ctrl+u")
        await paste(pilot, "saved:big sort:best")
        await pilot.press("enter")
        await until(pilot, lambda: screen.filter_bar.input.value == "rank>=64 sort:best", "the filter of the name")
        await until(pilot, lambda: len(listed(screen)) == 6, "its runs")
        await pilot.press("slash", "ctrl+u")
        await paste(pilot, "state:failed group:sweep ")
        await until(pilot, lambda: "sweep" in screen.runs.source and not listed(screen), "no run")
        assert not screen.filter_bar.has_class("-wrong"), "a group that is not listed exists"
        await pilot.press("escape")
    async with app_on(lab).run_test(size=WIDE) as pilot:
        screen = await ready(pilot)
        assert screen.filter_bar.input.value == screen.runs.source == "rank>=64 sort:best"
        assert len(listed(screen)) == 6
        await pilot.press("slash", "ctrl+u", "up")
        assert screen.filter_bar.input.value == "rank>=64 sort:best"


async def test_a_lab_without_runs_offers_no_key_of_a_run_and_hides_no_focus(tmp_path: Path) -> None:
    async with app_on(init_lab(tmp_path / "other", name="other")).run_test(size=WIDE) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, TrainScreen)
        await until(pilot, lambda: screen.jobs.snapshot and not (OF_RUN | {"slash"}) & offered(screen), "few keys")
        await until(pilot, lambda: "Overlay" not in shown(pilot) and "Metric" not in shown(pilot), "the footer")
        assert "New run" in shown(pilot)
        await pilot.press("slash", "vertical_line")
        await until(pilot, lambda: isinstance(pilot.app.screen, PromptDialog), "the columns")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen, "the way back")
        await pilot.pause()
        assert screen.focused is None
        await pilot.press("question_mark")
        await until(pilot, lambda: bool(screen.query("HelpPanel")), "a key of the screen")


async def test_the_lab_keeps_the_chosen_columns(lab: Lab) -> None:
    async with app_on(lab).run_test(size=NARROW, notifications=True) as pilot:
        screen = await ready(pilot)
        await pilot.press("vertical_line", "ctrl+u", *"name, seed, colour", "enter")
        await until(pilot, lambda: "There is no column 'colour'" in shown(pilot), "the refusal")
        await pilot.press("vertical_line", "ctrl+u", *"name, seed, took", "enter")
        await until(pilot, lambda: screen.table.names == ["name", "seed", "took"], "the columns")
        await until(pilot, lambda: "took" in shown(pilot).splitlines()[2], "the heading")
        assert "dataset" not in shown(pilot).splitlines()[2]
    file = session_file(lab, "tester")
    with file.changing() as values:
        assert values["runs.columns"] == ["name", "seed", "took"]
        values["runs.columns"] = ["name", "gone", "best"]
    async with app_on(lab).run_test(size=NARROW) as pilot:
        screen = await ready(pilot)
        await until(pilot, lambda: screen.table.names == ["name", "best"], "the columns of the lab")


async def test_a_run_is_tagged_and_archived(lab: Lab) -> None:
    async with app_on(lab).run_test(size=WIDE, notifications=True) as pilot:
        screen = await ready(pilot)
        await pilot.press("t")
        await until(pilot, lambda: "Tags of run00" in shown(pilot), "the question")
        await pilot.press(*"Good, keep", "enter")
        await until(pilot, lambda: RunDir(lab.runs / "run00").info().tags == ("good", "keep"), "the tags")
        await pilot.press("underscore")
        await until(pilot, lambda: "run00" not in listed(screen), "its end in the list")
        await until(pilot, lambda: "2 archived" in shown(pilot).splitlines()[0], "the count")
        await filter_by(pilot, "archived:yes")
        await until(pilot, lambda: listed(screen) == ["run00", "run07"], "the archive")
        await pilot.press("g", "underscore")
        await until(pilot, lambda: listed(screen) == ["run07"], "the run back")


async def test_removing_names_what_is_freed_and_refuses_a_run_that_others_start_from(lab: Lab) -> None:
    write_run(lab.runs, "child", age=-9, recipe=Recipe(dataset="d", init_from="run00/step-9"))
    async with app_on(lab).run_test(size=WIDE, notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("D")
        await until(pilot, lambda: "Remove the run child?" in shown(pilot), "the question")
        assert "which frees" in shown(pilot) and "kB" in shown(pilot)
        await pilot.press("n", "down", "D")
        await until(pilot, lambda: "Other runs start from the run run00: child" in shown(pilot), "the refusal")
        assert (lab.runs / "child").exists() and (lab.runs / "run00").exists()


async def test_the_recipes_of_marked_runs_are_compared(lab: Lab) -> None:
    async with app_on(lab).run_test(size=WIDE, notifications=True) as pilot:
        await ready(pilot)
        await pilot.press("V")
        await until(pilot, lambda: "Two runs are needed" in shown(pilot), "what to do")
        await pilot.press("space", "down", "V")
        await until(pilot, lambda: isinstance(pilot.app.screen, PreviewDialog), "the difference")
        assert "learning_rate" in shown(pilot) and "fields are the same" in shown(pilot)


async def test_curves_are_drawn_over_tokens_and_time_and_a_run_keeps_its_letter(lab: Lab) -> None:
    async with app_on(lab).run_test(size=WIDE) as pilot:
        screen = await ready(pilot)
        plot = screen.query_one(LossPlot)
        for axis, end, words in (("tokens", 128_000, "100k"), ("time", 287.0, "3m20s"), ("steps", 100, "80")):
            await pilot.press("right_curly_bracket")
            await until(pilot, lambda end=end: plot.names and plot._curves["run00"].steps[-1] == end, axis)
            await until(pilot, lambda words=words: words in shown(pilot), f"the labels of {axis}")
        for number in range(3):
            await until(pilot, lambda number=number: f"run0{number}" in letters(screen), "the curve")
            await pilot.press("space", "down")
        await until(pilot, lambda: len(letters(screen)) == 4, "four curves")
        first = letters(screen)
        assert list(first.items()) == [("run00", "A"), ("run01", "B"), ("run02", "C"), ("run03", "D")]
        for key in (
            "right_square_bracket",
            "left_square_bracket",
            "M",
            "M",
            "right_curly_bracket",
            "right_curly_bracket",
            "right_curly_bracket",
        ):
            await pilot.press(key)
            await until(pilot, lambda: letters(screen).items() <= first.items() and len(letters(screen)) >= 2, key)
        await pilot.press("g", "space", "G")  # A is no longer drawn, and the last run is
        await until(pilot, lambda: "run19" in letters(screen), "the last run")
        assert letters(screen) == {"run01": "B", "run02": "C", "run19": "E"}
        row = screen.table.row_at(1)
        assert row is not None and str(row.cells["mark"]) == "●B"


async def test_all_metrics_are_drawn_at_once_on_a_wide_terminal(lab: Lab) -> None:
    async with app_on(lab).run_test(size=WIDE, notifications=True) as pilot:
        screen = await ready(pilot)
        await pilot.press("M")
        await until(pilot, lambda: len(screen.query(LossPlot)) == 6, "six plots")
        await until(pilot, lambda: all(plot.names == ["run00"] for plot in screen.query(LossPlot)), "their curves")
        await until(pilot, lambda: "token accuracy" in shown(pilot) and "learning rate" in shown(pilot), "titles")
        screen.query(LossPlot).first().focus()
        await pilot.press("+")
        await until(pilot, lambda: len({plot.view for plot in screen.query(LossPlot)}) == 1, "one range")
        assert screen.query(LossPlot).last().view is not None
        await pilot.press("M")
        await until(pilot, lambda: len(screen.query(LossPlot)) == 1, "one plot")
        await pilot.resize_terminal(*NARROW)
        await until(pilot, lambda: screen.size.width == NARROW[0], "the narrow terminal")
        await pilot.press("M")
        await until(pilot, lambda: "All metrics at once need" in shown(pilot), "the reason")
        assert len(screen.query(LossPlot)) == 1


async def test_no_metrics_file_is_read_in_the_thread_of_the_screen(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: set[int] = set()
    plain = metrics_reader.open_file

    def watched(path: Path) -> object:
        readers.add(threading.get_ident())
        return plain(path)

    monkeypatch.setattr(metrics_reader, "open_file", watched)
    store = open_store(lab.database)
    first = await asyncio.to_thread(Poller(lab, store).poll, None, (), View())
    assert first.partial and all(line.loss and line.figures["best_loss"] is None for line in first.lines)
    store.close()
    async with app_on(lab).run_test(size=WIDE) as pilot:
        await ready(pilot)
        await until(pilot, lambda: "0.62" in shown(pilot), "the losses on held-out rows")
    assert readers and threading.get_ident() not in readers


async def test_an_empty_screen_names_the_dataset_to_train_on(tmp_path: Path) -> None:
    from tests.support.training_lab import make_lab

    async with app_on(make_lab(tmp_path / "other")).run_test(size=NARROW) as pilot:
        await until(pilot, lambda: "to train a student on sums." in shown(pilot), "the dataset")
        assert "accept traces" not in shown(pilot)
