"""The demo's measuring: evaluations of its suites over the real protocol, and the tables made of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import tomlkit

from o1lab.demo.evaluation import ELSEWHERE, SUMS, Score, changes, measure, sample_answers
from o1lab.demo.headless import NOTE, PLUMBING_NOTE, Report, as_text, demo_recipe
from o1lab.demo.seed import DATASET, draw, seed_demo
from o1lab.errors import UsageError
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import SOLVER


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
        for role, model in (("base", SOLVER), ("student", "twin")):
            told = lambda done, of: counted.append((done, of))  # noqa: E731 - shorter than its def
            scores.append(Score(role, await measure(seeded.lab, SUMS, model, manager, on_answer=told)))
            elsewhere.append([await measure(seeded.lab, suite, model, manager) for suite in ELSEWHERE])
        assert counted[-1] == (60, 60)
        again = await measure(seeded.lab, SUMS, SOLVER, manager)
        assert (again.tally.cached, again.accuracy) == (60, 1.0)
        yield Report(
            42, "fp32", 150, 301.26, 402.5, "7f3a", "cedb", scores, changes(seeded.lab, *elsewhere),
            sample_answers(seeded.lab, *elsewhere), None,
        )  # fmt: skip


async def test_the_tables_are_made_of_evaluations(round_without_a_model: Report) -> None:
    report = round_without_a_model
    data = json.loads(json.dumps(report.as_json()))
    wanted = {"seed", "dtype", "steps", "train_seconds", "total_seconds", "run_id", "dataset_hash", "table"}
    assert wanted <= data.keys()
    base, student = data["table"]
    of_a_row = {"role", "model", "correct", "n", "accuracy", "ci95", "avg_output_tokens", "incomplete", "unextracted"}
    assert of_a_row <= base.keys()
    assert (base["correct"], base["n"], base["accuracy"], student["role"]) == (60, 60, 1.0, "student")
    assert base["ci95"] == pytest.approx([0.9398, 1.0], abs=1e-4)
    assert base["avg_output_tokens"] > 50
    # It knows sums only, and says so to everything else: the same before and after.
    assert {suite for row in data["elsewhere"] for suite in [row["base"] == row["student"]]} == {True}
    rows = [row for section in data["generalization"]["sections"] for row in section["rows"]]
    assert len(rows) >= len(ELSEWHERE)

    text = as_text(report)
    for words in ("60/60", "94.0% to 100.0%", "de-quantised", "not a language model", *ELSEWHERE):
        assert words in text
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
    shown = sample_answers(lab, elsewhere, elsewhere, limit=2)
    assert len(shown) == 2  # the third of SHOWN is item 09
    assert all(before == after for _, before, after in shown)


def test_the_recipe_is_of_the_demos_dataset_and_fits_its_chains() -> None:
    recipe = demo_recipe()
    assert recipe.dataset == DATASET
    assert demo_recipe(7).steps == 7
    assert demo_recipe(7) == recipe.model_copy(update={"steps": 7})
    with pytest.raises(UsageError):
        demo_recipe(0)
    training, _ = draw()
    assert not {probe.prompt for probe in recipe.probes} & {one.statement for one in training}
