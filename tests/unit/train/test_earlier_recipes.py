"""Runs that an earlier version has started with settings that a new run may not combine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import UsageError
from o1lab.paths import Lab
from o1lab.train.launch import RUNS
from o1lab.train.recipes.recipe_file import load, load_values, resolve
from o1lab.train.runs.directory import RunDir
from tests.support.training_lab import prepared, recipe, rows

EARLIER: list[dict[str, Any]] = [
    {"adapter": "full", "lora_plus_ratio": 16.0},
    {"objective": "dpo", "neftune_alpha": 5.0},
    {"objective": "dpo", "liger": True},
]


def earlier_run(root: Path, base: Path, values: dict[str, Any], **more: Any) -> RunDir:
    """Return a run directory with a recipe that resolve refuses."""
    allowed = {name: value for name, value in values.items() if name in ("adapter", "objective")}
    chosen = recipe(base, **allowed, **more).model_copy(update=values)
    return prepared(root, "earlier", chosen, rows(8))


@pytest.mark.parametrize("values", EARLIER)
def test_such_a_recipe_is_read_but_starts_no_run(tmp_path: Path, values: dict[str, Any]) -> None:
    run = earlier_run(tmp_path, tmp_path / "base", values)
    found = load(run.recipe)
    assert values.items() <= found.model_dump().items()
    with pytest.raises(UsageError, match="The recipe's"):
        resolve(load_values(run.recipe))


def test_a_value_out_of_bounds_is_refused_as_ever(tmp_path: Path) -> None:
    run = earlier_run(tmp_path, tmp_path / "base", {"learning_rate": 7.0})
    with pytest.raises(UsageError, match="learning_rate"):
        load(run.recipe)


@pytest.mark.slow
def test_such_a_run_is_resumed_and_started_from(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    from o1lab.train import worker

    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("o1lab.train.worker.signal.signal", lambda *_: None)
    run = earlier_run(tmp_path, tiny_base, EARLIER[0], steps=2, save_steps=1)
    assert worker.work(run, resuming=False) == 0, run.read_status().message
    shutil.rmtree(run.checkpoint(2))
    run.write_status(type(run.read_status())("stopped", step=1, total_steps=2, kind="full"))
    RUNS.prepare(Lab(tmp_path), run, {})
    assert worker.work(run, resuming=True) == 0, run.read_status().message
    assert [path.name for path in run.checkpoints()] == ["step-1", "step-2"]
    child = prepared(tmp_path, "child", recipe(tiny_base, adapter="full", init_from="earlier/step-2", steps=1), rows(8))
    assert worker.work(child, resuming=False) == 0, child.read_status().message
