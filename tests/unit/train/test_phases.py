"""Phases: several runs out of one recipe, and a run that waits for another one. No torch, no real process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import NotFoundError, RefusedError, UsageError
from o1lab.jobs.heartbeat import Heartbeat, StopSignal
from o1lab.paths import Lab, assets_dir
from o1lab.train import phases
from o1lab.train.launch import RUNS, launch
from o1lab.train.parent_run import awaited, origin, wait_for_origin
from o1lab.train.preflight.report import Preflight, Problem
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load, load_values, resolve
from o1lab.train.run_list import RunReader
from o1lab.train.runs.directory import RunDir, RunStatus
from screens.train.poller import RunLine, places
from screens.train.table import state_cell
from store import datasets, open_store, problems, runs, traces
from store.filters import TraceQuery
from store.records import NewProblem, NewTrace
from tests.support.fake_runs import write_run
from tests.support.training_lab import make_lab

TWO = {"dataset": "x", "phases": [{"dataset": "a", "phase": 1}, {"dataset": "b", "learning_rate": 1e-4}], "seed": 3}
SHAPE = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": ["q_proj", "k_proj"]}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def first_run(lab: Lab, state: str, *, saved: tuple[int, ...] = (), **more: Any) -> RunDir:
    """A run called aaaa, with adapters at ``saved``."""
    run = write_run(lab.runs, "aaaa", state, saved=saved, recipe=Recipe(dataset="a", base="tiny"), **more)
    for step in saved:
        (run.checkpoint(step) / "adapter_config.json").write_text(json.dumps(SHAPE))
        (run.checkpoint(step) / "adapter_model.safetensors").touch()
    return run


def second_run(lab: Lab) -> RunDir:
    return write_run(
        lab.runs, "bbbb", "starting", steps=0, recipe=Recipe(dataset="b", base="tiny", init_from="aaaa/end")
    )


def end_as(run: RunDir, state: str, message: str = "") -> None:
    run.write_status(replace(run.read_status(), state=state, message=message))


def wait(run: RunDir, sleep: Callable[[float], None]) -> tuple[Recipe | None, Heartbeat]:
    heartbeat = Heartbeat(run, RunStatus("starting", pid=os.getpid()))
    try:
        return wait_for_origin(run, load(run.recipe), heartbeat, StopSignal(run), sleep=sleep), heartbeat
    finally:
        heartbeat.end()


def never(_seconds: float) -> None:
    raise AssertionError("it waited")


def test_phases_share_the_values_next_to_them() -> None:
    values = {**TWO, "base": "tiny", "lora_r": 4, "init_from": "0000"}
    one, two = phases.split(values)
    assert one == {"dataset": "a", "phase": 1, "seed": 3, "base": "tiny", "lora_r": 4, "init_from": "0000"}
    assert two == {"dataset": "b", "learning_rate": 1e-4, "seed": 3, "base": "tiny", "lora_r": 4}


def test_base_and_adapter_of_the_first_phase_are_those_of_all() -> None:
    one, two = phases.split({"phases": [{"dataset": "a", "lora_r": 4, "base": "tiny"}, {"dataset": "b"}]})
    assert (two["lora_r"], two["base"]) == (one["lora_r"], one["base"]) == (4, "tiny")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"phases": []}, "a list, each with its dataset"),
        ({"phases": "two"}, "a list, each with its dataset"),
        ({"phases": [{"dataset": "a"}, "b"]}, "a list, each with its dataset"),
        ({"phases": [{"dataset": "a"}, {"dataset": "b", "lora_r": 4}]}, "phase 2 sets lora_r"),
        ({"phases": [{"dataset": "a"}, {"dataset": "b", "init_from": "c"}]}, "phase 2 sets init_from"),
        ({"phases": [{"dataset": "a"}, {}]}, "phase 2 has no dataset"),
        ({"phases": [{"dataset": "a"}, {"dataset": "b", "steps": 0}]}, "Phase 2: The recipe's steps"),
        ({"phases": [{"dataset": "a"}, {"dataset": "b", "odd": 1}]}, "Phase 2: The recipe's odd"),
    ],
)
def test_errors_of_phases_are_explained(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        phases.resolve_phases(phases.split(given))


def test_options_and_settings_hold_for_all_phases_and_the_origin_for_the_first() -> None:
    options = {"base": "tiny", "dataset": None, "init_from": "0000"}
    one, two = phases.laid_over(phases.split(TWO), options, ["steps=4", "lora_r=8"])
    assert (one["steps"], two["steps"], one["lora_r"], two["lora_r"]) == ("4", "4", "8", "8")
    assert (one["base"], two["base"], one["init_from"], two.get("init_from")) == ("tiny", "tiny", "0000", None)
    with pytest.raises(UsageError, match="its own dataset"):
        phases.laid_over(phases.split(TWO), options, ["dataset=c"])


def test_the_example_recipe_is_one_of_two_phases() -> None:
    values = load_values(assets_dir() / "recipes" / "two-phases.yaml")
    one, two = phases.resolve_phases(phases.split(values))
    assert (one.dataset, two.dataset, one.base == two.base, one.targets == two.targets) == (
        "format",
        "long",
        True,
        True,
    )
    with pytest.raises(UsageError, match="several phases"):
        phases.require_one(values)


def test_a_run_can_wait_for_an_active_run(lab: Lab) -> None:
    first_run(lab, "running")
    recipe = resolve({"dataset": "b", "base": "tiny", "init_from": "aa/end"})
    found = origin(lab, recipe)
    assert found["init_from"] == "aaaa/end"
    assert (found["lora_r"], found["lora_targets"]) == (16, "all-linear")
    assert awaited(recipe.model_copy(update=found)) == "aaaa"


def test_nothing_is_awaited_of_a_run_that_has_finished(lab: Lab) -> None:
    first_run(lab, "finished", saved=(50, 100))
    found = origin(lab, resolve({"dataset": "b", "base": "tiny", "init_from": "aaaa/end"}))
    assert (found["init_from"], found["lora_targets"]) == ("aaaa/step-100", "k_proj,q_proj")


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_run_that_will_not_finish_is_not_waited_for(lab: Lab, state: str) -> None:
    first_run(lab, state, message="Because.")
    with pytest.raises(RefusedError, match=r"aaaa, which this run starts from,.*Because"):
        origin(lab, resolve({"dataset": "b", "base": "tiny", "init_from": "aaaa/end"}))


def test_another_base_or_shape_is_refused_before_anything_waits(lab: Lab) -> None:
    first_run(lab, "running")
    with pytest.raises(RefusedError, match="trains tiny, not other"):
        origin(lab, resolve({"dataset": "b", "base": "other", "init_from": "aaaa/end"}))
    with pytest.raises(UsageError, match="has lora_r 16, but the recipe asks for 4"):
        origin(lab, resolve({"dataset": "b", "base": "tiny", "init_from": "aaaa/end", "lora_r": 4}))
    with pytest.raises(NotFoundError):
        origin(lab, resolve({"dataset": "b", "init_from": "cccc/end"}))


def test_the_worker_waits_and_then_continues_the_last_checkpoint(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    other, run = first_run(lab, "running"), second_run(lab)
    seen: list[RunStatus] = []
    os.utime(run.recipe, (1000.0, 1000.0))

    def sleep(_seconds: float) -> None:
        seen.append(run.read_status())
        if len(seen) == 3:
            for step in (50, 100):
                other.checkpoint(step).mkdir(parents=True)
                (other.checkpoint(step) / "adapter_config.json").write_text(json.dumps(SHAPE))
                (other.checkpoint(step) / "adapter_model.safetensors").touch()
            end_as(other, "finished")

    recipe, heartbeat = wait(run, sleep)
    assert len(seen) == 3
    assert {(status.state, status.after) for status in seen} == {("queued", "aaaa")}
    assert seen[0].message == "Waiting for run aaaa, which is running, to start from its last checkpoint."
    assert recipe is not None
    assert recipe.init_from == "aaaa/step-100"
    assert load(run.recipe) == recipe  # a resume waits for nobody
    assert run.created_at() == 1000.0  # lists keep its place
    assert (heartbeat.status.state, heartbeat.status.after) == ("starting", "")
    assert not (tmp_path / "cache").exists()  # it took no place in the device's queue while it waited
    assert wait(run, never)[0] == recipe


@pytest.mark.parametrize(
    ("state", "said"), [("failed", "has failed. Out of luck."), ("stopped", "was stopped. Out of luck.")]
)
def test_the_waiting_run_fails_with_the_one_it_waits_for(lab: Lab, state: str, said: str) -> None:
    other, run = first_run(lab, "running"), second_run(lab)
    with pytest.raises(RefusedError, match=said) as refused:
        wait(run, lambda _seconds: end_as(other, state, "Out of luck."))
    assert refused.value.hint == ("Finish that run first: `o1lab runs resume aaaa`, then `o1lab runs resume bbbb`.")
    assert load(run.recipe).init_from == "aaaa/end"  # so that a resume waits again


def test_the_waiting_run_fails_when_the_process_of_the_other_has_ended(lab: Lab) -> None:
    first_run(lab, "running", heartbeat=1.0, pid=2**22 + 7)
    with pytest.raises(RefusedError, match="has died"):
        wait(second_run(lab), lambda _seconds: None)


def test_one_failed_read_is_not_an_end(lab: Lab) -> None:
    other, run = first_run(lab, "running", saved=(100,)), second_run(lab)
    told = other.status_file.read_text()
    looks = iter(["{half", told])

    def sleep(_seconds: float) -> None:
        if (text := next(looks, None)) is None:
            end_as(other, "finished")
        else:
            other.status_file.write_text(text)

    recipe, _ = wait(run, sleep)
    assert recipe is not None
    assert recipe.init_from == "aaaa/step-100"


def test_a_finished_run_without_a_checkpoint_cannot_be_continued(lab: Lab) -> None:
    first_run(lab, "finished")
    with pytest.raises(RefusedError, match="without a checkpoint"):
        wait(second_run(lab), never)


def test_a_waiting_run_can_be_stopped(lab: Lab) -> None:
    first_run(lab, "running")
    run = second_run(lab)
    recipe, heartbeat = wait(run, lambda _seconds: run.ask_to_stop())
    assert recipe is None
    assert heartbeat.status.after == "aaaa"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The workers that would have been started: (run, resuming)."""
    found: list[tuple[str, bool]] = []

    def start(run: RunDir, *, resuming: bool = False) -> int:
        found.append((run.id, resuming))
        return 4000 + len(found)

    monkeypatch.setattr("o1lab.train.launch.start_worker", start)
    monkeypatch.setattr("o1lab.train.launch.require_trainer", lambda: None)
    return found


def test_both_runs_are_made_and_started_at_once(tmp_path: Path, started: list[tuple[str, bool]]) -> None:
    lab = make_lab(tmp_path / "lab", count=4)
    recipes = phases.resolve_phases([{"dataset": "sums", "phase": 1, "lora_r": 4}, {"dataset": "sums", "lora_r": 4}])
    (one, pid_one), (two, pid_two) = phases.launch_phases(lab, recipes)
    assert started == [(one.id, False), (two.id, False)]
    assert (pid_one, pid_two) == (4001, 4002)
    first, second = load(one.recipe), load(two.recipe)
    assert (first.init_from, second.init_from, second.lora_r) == (None, f"{one.id}/end", 4)
    assert (first.phase, second.phase, second.dataset_hash) == (1, 2, first.dataset_hash)
    rows = [json.loads(line) for run in (one, two) for line in run.data.read_text().splitlines()]
    assert [bool(row["thought"]) for row in rows] == [False] * 4 + [True] * 4
    store = open_store(lab.database)
    assert {run.id: run.init_from for run in runs.all_runs(store.db)} == {one.id: None, two.id: f"{one.id}/end"}
    store.close()


def test_each_phase_is_checked_and_its_problems_name_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def look(_lab: Lab, recipe: Recipe, *, store: Any = None) -> Preflight:
        asked.append(recipe.init_from)
        return Preflight(problems=[Problem(code="odd", message=f"{recipe.dataset} is odd.")], command="o1lab train")

    monkeypatch.setattr("o1lab.train.phases.run_preflight", look)
    recipes = phases.resolve_phases([{"dataset": "a", "init_from": "0000"}, {"dataset": "b"}])
    one, two = phases.preflight_phases(lab, recipes)
    assert [seen.problems[0].message for seen in (one, two)] == ["Phase 1: a is odd.", "Phase 2: b is odd."]
    assert (one.command, two.command) == ("o1lab train", "o1lab train --init-from RUN_OF_PHASE_1/end")
    assert asked == ["0000", "0000"]  # an adapter of the same shape stands in for the one that is not there yet


def test_if_one_cannot_be_made_none_is(tmp_path: Path, started: list[tuple[str, bool]]) -> None:
    lab = make_lab(tmp_path / "lab", count=4)
    recipes = phases.resolve_phases([{"dataset": "sums"}, {"dataset": "absent"}])
    with pytest.raises(NotFoundError, match="absent"):
        phases.launch_phases(lab, recipes)
    assert started == []
    assert list(lab.runs.iterdir()) == []
    store = open_store(lab.database)
    assert runs.all_runs(store.db) == []
    store.close()


def test_a_run_that_failed_waiting_can_be_resumed(lab: Lab, started: list[tuple[str, bool]]) -> None:
    run = second_run(lab)
    end_as(run, "failed", "The run aaaa has failed.")
    assert RUNS.resume(lab, RUNS.find(lab, "bbbb")).pid == 4001
    assert started == [("bbbb", True)]
    assert (run.read_status().state, load(run.recipe).init_from) == ("queued", "aaaa/end")


def test_the_train_screen_distinguishes_waiting_for_a_run_from_waiting_for_a_device(lab: Lab) -> None:
    queued = write_run(lab.runs, "cccc", "queued", steps=0)
    run = second_run(lab)
    run.write_status(replace(run.read_status(), state="queued", after="aaaa", message="Waits for run aaaa."))
    states = [queued.info(), run.info()]
    assert places(states) == {"cccc": 1}
    waiting, queueing = (RunReader(lab).entry(one).figures for one in (run, queued))
    assert "queued, after aaaa" in state_cell(RunLine(run, run.info(), waiting)).plain
    assert "queued, place 1" in state_cell(RunLine(queued, queued.info(), queueing, 1)).plain


def test_phase_1_is_refused_rows_that_have_no_solution(tmp_path: Path, started: list[tuple[str, bool]]) -> None:
    lab = make_lab(tmp_path / "lab", count=2)
    store = open_store(lab.database)
    problem = NewProblem("What is 9 + 9?", "sums", answer="18")
    raw = "<think>\nnine and nine"
    with store.db.atomic():
        problems.add(store.db, [problem])
        cut = NewTrace(problem.id, "solver", raw, (8, len(raw)), (len(raw), len(raw)), False, "r1", "sums")
        traces.add(store.db, [(cut, problem.statement)])
    datasets.create(store.db, "long", TraceQuery())
    assert datasets.create(store.db, "format", TraceQuery(), phase=1).rows == 2
    store.close()
    with pytest.raises(RefusedError, match="1 rows of long have no solution") as caught:
        launch(lab, resolve({"dataset": "long", "phase": 1}))
    assert caught.value.code == "no_solution"
    launch(lab, resolve({"dataset": "format"}))
    assert len(started) == 1
