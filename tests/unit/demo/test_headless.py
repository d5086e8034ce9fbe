"""The demo's measuring: evaluations of its suites over the real protocol, and the tables made of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import tomlkit

from o1lab.demo import headless
from o1lab.demo.evaluation import ELSEWHERE, SUMS, Score, behaviour, changes, sample_answers
from o1lab.demo.headless import NOTE, PLUMBING_NOTE, Replayed, Report, as_text, demo_recipe
from o1lab.demo.replay import ANSWER_TOKENS, SHARE, STEPS, answer_prompts, with_replay
from o1lab.demo.seed import DATASET, draw, seed_demo
from o1lab.distill.datasets.replay import general_prompts
from o1lab.errors import LabError, UsageError
from o1lab.evaluate.run.measure import measure
from o1lab.serve.manager import ServerManager
from o1lab.serve.records import SOLVER
from o1lab.transparency.replay_price import Figure, ReplayPrice, SuitePrice
from tests.support.distill_lab import make_lab
from tests.support.fault_server import FaultServer


@pytest.fixture
async def round_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Report]:
    """The demo's measuring, with the solver in every role: over real HTTP, under two names."""
    seeded = seed_demo(tmp_path / "lab")
    async with ServerManager(seeded.lab) as manager:
        server = await manager.ensure_server(SOLVER)
        monkeypatch.setenv("DEMO_KEY", server.token)
        endpoint = {"name": "twin", "url": server.url, "model": SOLVER, "key_env": "DEMO_KEY", "role": "student"}
        seeded.lab.config.write_text(tomlkit.dumps({"name": "demo", "endpoints": [endpoint]}), "utf-8")
        counted: list[tuple[int, int]] = []
        scores, elsewhere = [], []
        for role, model in (("base", SOLVER), ("student", "twin"), ("student_replay", "twin")):
            told = lambda done, of: counted.append((done, of))  # noqa: E731 - shorter than its def
            scores.append(Score(role, await measure(seeded.lab, SUMS, model, manager, on_answer=told)))
            elsewhere.append([await measure(seeded.lab, suite, model, manager) for suite in ELSEWHERE])
        assert counted[-1] == (60, 60)
        again = await measure(seeded.lab, SUMS, SOLVER, manager)
        assert (again.tally.cached, again.accuracy) == (60, 1.0)
        half, most = Figure(50.0, (40.0, 60.0)), Figure(80.0, (70.0, 90.0))
        price = ReplayPrice(
            "7f3a", "81bc", 0.25, 133, ("steps",), (SuitePrice("demo-facts@1", "accuracy", most, Figure(0.0), half),)
        )
        replayed = Replayed(
            "81bc", 110, 333.3, 0.25, "replay-base", "f00d", changes(seeded.lab, elsewhere[0], elsewhere[2]),
            Score("student_replay", elsewhere[2][1]), price,
        )  # fmt: skip
        yield Report(
            42, "fp32", 150, 301.26, 402.5, "7f3a", "cedb", scores, changes(seeded.lab, *elsewhere[:2]),
            sample_answers(seeded.lab, *elsewhere), replayed, None, behaviour=behaviour(seeded.lab, scores),
        )  # fmt: skip


async def test_the_tables_are_made_of_evaluations(round_without_a_model: Report) -> None:
    report = round_without_a_model
    data = json.loads(json.dumps(report.as_json()))
    wanted = {"seed", "dtype", "steps", "train_seconds", "total_seconds", "run_id", "dataset_hash", "table"}
    assert wanted <= data.keys()
    base, student, replayed = data["table"]
    of_a_row = {"role", "model", "correct", "n", "accuracy", "ci95", "avg_output_tokens", "incomplete", "unextracted"}
    assert of_a_row <= base.keys()
    assert (base["correct"], base["n"], base["accuracy"], student["role"]) == (60, 60, 1.0, "student")
    assert base["ci95"] == pytest.approx([0.9398, 1.0], abs=1e-4)
    assert base["avg_output_tokens"] > 50
    # It knows sums only, and says so to everything else: the same before and after.
    assert {suite for row in data["elsewhere"] for suite in [row["base"] == row["student"]]} == {True}
    assert (replayed["role"], data["run_id"], data["replay"]["run_id"]) == ("student_replay", "7f3a", "81bc")
    assert data["elsewhere"][0].keys() == {"prompt", "base", "student", "student_replay"}
    told = {"share", "rows", "steps", "train_seconds", "dataset", "dataset_hash", "generalization", "facts", "price"}
    assert told <= data["replay"].keys()
    assert (data["replay"]["rows"], data["replay"]["facts"]["n"]) == (133, 20)
    assert data["replay"]["price"]["suites"][0]["with_ci95"] == [40.0, 60.0]
    rows = [row for section in data["generalization"]["sections"] for row in section["rows"]]
    assert len(rows) >= len(ELSEWHERE)

    rates = data["moves_per_1000_tokens"]
    assert rates.keys() == {"base", "student", "student_replay"}
    assert rates["base"] == rates["student"] and rates["base"]["moves"] > rates["base"]["self_reflection"] > 0

    text = as_text(report)
    assert f"base {rates['base']['moves']:.0f} ({rates['base']['self_reflection']:.0f}), student" in text
    for words in ("60/60", "94.0% to 100.0%", "de-quantised", "not a language model", *ELSEWHERE):
        assert words in text
    line = next(line for line in text.splitlines() if line.startswith("demo-facts@1"))
    assert line.split("  ")[0] == "demo-facts@1"
    assert [part.strip() for part in line.split("  ") if part.strip()][1:] == [
        "80.0 [70.0, 90.0]", "0.0", "50.0 [40.0, 60.0]",
    ]  # fmt: skip
    assert len(line) <= 80
    assert "with replay, 110 steps in 333 s" in text
    assert "published" not in text.split("Examples:")[0].split("what it cost")[1].split("\n·")[0]
    assert "Below target" not in text
    assert "Below target" in as_text(dataclasses.replace(report, met=False))
    assert data["note"] == NOTE
    short = " ".join(as_text(dataclasses.replace(report, note=PLUMBING_NOTE)).split())
    assert "checks the plumbing, not the effect" in short
    assert NOTE not in short


async def test_the_plumbing_asks_the_first_items_only(tmp_path: Path) -> None:
    lab = seed_demo(tmp_path / "lab").lab
    async with ServerManager(lab) as manager:
        sums = await measure(lab, SUMS, SOLVER, manager, limit=2)
        elsewhere = [await measure(lab, suite, SOLVER, manager, limit=2) for suite in ELSEWHERE]
    assert sums.tally.total == 2
    assert sums.tally.cached == 0
    shown = sample_answers(lab, elsewhere, elsewhere, elsewhere, limit=2)
    assert len(shown) == 2  # the third of SHOWN is item 09
    assert all(before == after == third for _, before, after, third in shown)


@pytest.mark.parametrize(
    ("base", "student", "replayed", "facts", "met"),
    [
        (2, 59, 49, 13, True),
        (2, 59, 39, 13, False),
        (2, 39, 59, 13, False),
        (2, 59, 49, 9, False),
        (16, 59, 49, 13, False),
    ],
)
def test_both_students_have_a_target_and_replay_keeps_facts(
    base: int, student: int, replayed: int, facts: int, met: bool
) -> None:
    scores = [cast(Score, SimpleNamespace(correct=number)) for number in (base, student, replayed, facts)]
    assert headless._meets(*scores) is met


async def test_the_base_answers_general_prompts_once(tmp_path: Path) -> None:
    with FaultServer(answer=["Hello ", "to you."]) as server:
        lab = make_lab(tmp_path / "lab", server.url)
        counted: list[tuple[int, int]] = []
        told = lambda done, of: counted.append((done, of))  # noqa: E731 - shorter than its def
        async with ServerManager(lab) as manager:
            made = await answer_prompts(lab, "teacher", manager, limit=5, on_answer=told)
            assert (made.rows, counted[-1], len(server.requests)) == (5, (5, 5), 5)
            assert {body["max_tokens"] for body in server.requests} == {ANSWER_TOKENS}
            assert await answer_prompts(lab, "teacher", manager, limit=5) == made
            assert len(server.requests) == 5
            whole = await answer_prompts(lab, "teacher", manager)
            assert (whole.rows, whole.name) == (len(general_prompts().texts), "replay-teacher-2")
    recipe = demo_recipe()
    mixed = with_replay(recipe, 400, whole)
    assert (mixed.replay, mixed.replay_dataset, mixed.steps) == (SHARE, whole.name, STEPS)
    assert mixed.model_copy(update={"replay": 0.0, "replay_dataset": None, "steps": recipe.steps}) == recipe
    few = with_replay(recipe, 400, made, 3)
    assert (few.replay, few.steps) == (0.01, 3)


def test_the_recipe_is_of_the_demos_dataset_and_fits_its_chains() -> None:
    recipe = demo_recipe()
    assert recipe.dataset == DATASET
    assert demo_recipe(7).steps == 7
    assert demo_recipe(7) == recipe.model_copy(update={"steps": 7})
    with pytest.raises(UsageError):
        demo_recipe(0)
    training, _ = draw()
    assert not {probe.prompt for probe in recipe.probes} & {one.statement for one in training}


async def test_a_base_that_does_not_answer_stops_the_demo(tmp_path: Path) -> None:
    with FaultServer("401") as server:
        lab = make_lab(tmp_path / "lab", server.url)
        async with ServerManager(lab) as manager:
            with pytest.raises(LabError, match="teacher did not answer the general prompts") as failed:
                await answer_prompts(lab, "teacher", manager, limit=2)
    assert failed.value.code == "replay"
    assert failed.value.hint
