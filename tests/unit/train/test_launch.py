"""Runs that start together."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.errors import LabError
from o1lab.files import write_json
from o1lab.train import launch
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import GroupTag, RunDir
from store import datasets, open_store, runs
from store.filters import TraceQuery
from tests.support import lab_seed


def test_the_lab_can_be_written_while_the_rows_of_runs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = init_lab(tmp_path / "lab", name="together")
    monkeypatch.setattr(launch, "require_trainer", lambda: None)
    monkeypatch.setattr(launch, "start_worker", lambda _: 1)
    written: list[str] = []

    def write(run: RunDir, _: Recipe) -> None:
        with closing(sqlite3.connect(lab.database, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
            written.append(run.id)

    with closing(open_store(lab.database)) as store:
        lab_seed.add_raw(store, "<think>\nBy hand.\n</think>\n\n\\boxed{2}")
        datasets.create(store.db, "d", TraceQuery())
        recipes = [Recipe(dataset="d", seed=seed) for seed in (1, 2)]
        started = launch.launch_together(lab, recipes, store=store, created_one=write)
        assert [run.id for run, _ in started] == written
        assert {one.id for one in runs.all_runs(store.db)} == set(written)


@pytest.mark.parametrize("group", ["lr sweep", ""])
def test_a_refused_submission_strands_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    """A scheduler takes the first of three runs, as one with a limit of submitted jobs does."""
    lab = init_lab(tmp_path / "lab", name="together")
    folder = tmp_path / "bin"
    folder.mkdir()
    limit = f"[ -e {tmp_path}/one ] && {{ echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; }}"
    (folder / "sbatch").write_text(f"#!/bin/sh\n{limit}\ntouch {tmp_path}/one\necho 12\n")
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(launch, "require_trainer", lambda: None)

    created: list[RunDir] = []

    def tag(run: RunDir, recipe: Recipe) -> None:
        created.append(run)
        if group:
            write_json(run.group_file, asdict(GroupTag(group, {"seed": recipe.seed})))

    with closing(open_store(lab.database)) as store:
        lab_seed.add_raw(store, "<think>\nBy hand.\n</think>\n\n\\boxed{2}")
        datasets.create(store.db, "d", TraceQuery())
        recipes = [Recipe(dataset="d", seed=seed, on="slurm", device="cpu") for seed in (1, 2, 3)]
        with pytest.raises(LabError) as refused:
            launch.launch_together(lab, recipes, store=store, created_one=tag)
    first, second, third = created
    assert "2 of 3 runs were not submitted: " in refused.value.message
    assert f"(started: {first.id}; not submitted: {second.id}, {third.id})" in refused.value.message
    again = "'lr sweep'" if group else f"{second.id} (and so each of the others)"
    assert f"Then submit the rest: o1lab runs resume {again}." in refused.value.hint
    assert [run.info().state for run in (first, second, third)] == ["queued", "failed", "stopped"]
    assert f"because the run {second.id} before it was not." in third.info().status.message
    (tmp_path / "one").unlink()
    launch.RUNS.resume(lab, third)
    assert third.info().state == "queued"
