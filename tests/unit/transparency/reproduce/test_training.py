"""Training again, as part of repeating a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.train.recipes.recipe import Recipe
from o1lab.transparency.report.manifest import StageRecord
from o1lab.transparency.reproduce import training
from store import open_store
from tests.support.fake_runs import write_run


def test_ctrl_c_also_stops_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = init_lab(tmp_path / "lab", name="again")
    run = write_run(lab.runs, "aaaa1111", "running", steps=3)
    monkeypatch.setattr(training, "base_revision", lambda name: "here")
    monkeypatch.setattr(training.launch, "launch", lambda *_, **__: (run, 1))
    monkeypatch.setattr(training, "_STOP_S", 0)
    told: list[str] = []

    def interrupted(line: str) -> None:
        told.append(line)
        if len(told) == 1:
            raise KeyboardInterrupt

    store = open_store(lab.database)
    stage = StageRecord("first", Recipe(dataset="d").model_dump(mode="json"))
    with pytest.raises(KeyboardInterrupt):
        training.train(lab, store, stage, {}, interrupted)
    store.close()
    assert run.stop_file.exists()
    assert told[1:] == ["Stopping the training aaaa1111..."]
