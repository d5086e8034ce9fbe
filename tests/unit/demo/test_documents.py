"""The documents of the demo: its lab's score, the report with its data, and that report repeated in a fresh lab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.demo.documents import as_text, write_documents
from o1lab.demo.headless import demo_recipe
from o1lab.demo.seed import Seeded, seed_demo
from o1lab.evaluate.run import control
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.train.launch import make_run
from o1lab.train.runs.directory import RunDir
from store import Store, open_store, runs


@pytest.fixture
def seeded(tmp_path: Path) -> Seeded:
    return seed_demo(tmp_path / "lab")


@pytest.fixture
def store(seeded: Seeded) -> Iterator[Store]:
    opened = open_store(seeded.lab.database)
    yield opened
    opened.close()


@pytest.fixture
def run(seeded: Seeded, store: Store) -> RunDir:
    made, record = make_run(seeded.lab, demo_recipe(2), store)
    runs.add(store.db, record)
    made.write_status(replace(made.read_status(), state="finished", step=2, total_steps=2))
    return made


async def test_the_report_is_whole_and_comes_out_the_same(seeded: Seeded, run: RunDir, tmp_path: Path) -> None:
    settings = control.read_settings(seeded.lab, {"suite": "demo-sums", "model": "solver", "limit": 2})
    await EvaluationRunner(seeded.lab, control.start(seeded.lab, settings)).work()
    made = write_documents(seeded.lab.root, run.id, tmp_path / "report")
    assert made.report.notes == ()
    states = {one.what: one.state for one in made.reproduction.outcomes}
    assert states == {
        "rows of the report": "identical",
        f"dataset {seeded.dataset}: rows": "identical",
        f"dataset {seeded.dataset}: selection": "identical",
        f"recipe of run {run.id}": "identical",
        "base smollm2-135m": states["base smollm2-135m"],  # the base may not be on this machine
    }
    assert made.ok == (states["base smollm2-135m"] == "identical")
    data = json.loads(json.dumps(made.as_json()))
    assert (data["left_out"], data["tti_of"], data["dir"]) == ([], 100, str(tmp_path / "report"))
    assert 0 < data["tti_total"] < 100
    assert {"report.md", "report.html", "report.json", "data/traces.jsonl"} <= set(data["files"])
    text = as_text(made)
    assert f"identical         dataset {seeded.dataset}: rows" in text
    assert f"transparency {data['tti_total']} of 100" in text


def test_another_folder_is_refused_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.tex").write_text("x")
    status = o1lab(["demo", "--headless", "--lab", str(tmp_path / "lab"), "--report", str(mine), "--json"])
    assert status == 2
    assert "is not a report" in capsys.readouterr().out
    assert not (tmp_path / "lab").exists()
