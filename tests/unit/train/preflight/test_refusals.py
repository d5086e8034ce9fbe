"""Refusals of preflight that depend on more than the base: rows, tokenizer, the run to start from, the device."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

from o1lab.jobs.device_queue import Device
from o1lab.models.adapters import bare_model
from o1lab.models.description import Description
from o1lab.train.preflight import worker
from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.trainer.targets import lora_config
from tests.support.tiny_model import make_tiny_model
from tests.support.training_lab import prepared, recipe, rows


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def inspected(root: Path, chosen: Recipe, learn: list[TrainingRow] | None = None) -> Preflight:
    run = prepared(root, "r", chosen, rows(4) if learn is None else learn)
    return worker.inspect(run, run.path.parent)


def codes(found: Preflight) -> list[str]:
    assert found.ok == (not found.problems)
    assert all(problem.message and problem.hint for problem in found.problems)
    return [problem.code for problem in found.problems]


def test_a_run_whose_rows_are_all_dropped_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    found = inspected(tmp_path, recipe(tiny_base, max_length=8, over_length="drop"))
    assert (codes(found), found.dropped_rows, found.train_rows) == (["empty_dataset"], 4, 0)


def test_rows_that_are_all_held_out_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    found = inspected(tmp_path, recipe(tiny_base, eval_rows=4))
    assert codes(found) == ["empty_dataset"]
    assert "Holding out 4 of 4 rows" in found.problems[0].message


def test_a_tokenizer_that_changes_the_thought_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"}
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    learn = [TrainingRow(f"t{n}", "what?", thought, "it is 1.") for n, thought in enumerate(["Wait, so", "so"])]
    found = inspected(tmp_path, recipe(base), learn)
    assert codes(found) == ["thought_stripped"]
    assert "1 of 2 thoughts" in found.problems[0].message
    assert found.thought_survives is False
    kept = inspected(tmp_path / "kept", recipe(tiny_base), learn)
    assert (codes(kept), kept.thought_survives) == ([], True)


def checkpoint(root: Path, base: Path, **values: Any) -> None:
    """Write the run ``old`` of ``base`` with the adapter of its step 1."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    run = prepared(root, "old", recipe(base, **values), rows(4))
    model = AutoModelForCausalLM.from_pretrained(base)
    adapter = get_peft_model(model, lora_config(recipe(base, **values), bare_model(base)))
    adapter.save_pretrained(run.path / "checkpoints" / "step-1")


def test_an_adapter_of_another_base_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    checkpoint(tmp_path, base)
    assert codes(inspected(tmp_path, recipe(base, init_from="old/step-1"))) == []
    shutil.rmtree(tmp_path / "runs" / "r")
    found = inspected(tmp_path, recipe(tiny_base, init_from="old/step-1"))
    assert codes(found) == ["adapter_of_other_base"]
    assert f"trained on {base}, not on {tiny_base}" in found.problems[0].message
    shutil.rmtree(tmp_path / "runs" / "r")
    shutil.rmtree(base)
    make_tiny_model(base, hidden=64)
    found = inspected(tmp_path, recipe(base, init_from="old/step-1"))
    assert codes(found) == ["adapter_of_other_base"]
    assert "does not fit" in found.problems[0].message


def test_an_imported_adapter_of_another_base_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    checkpoint(tmp_path, base)
    imported = tmp_path / "models" / "kims"
    shutil.copytree(tmp_path / "runs" / "old" / "checkpoints" / "step-1", imported)
    Description("import", base=str(tmp_path / "base" / ".." / "base")).write(imported)  # the same folder
    assert codes(inspected(tmp_path, recipe(base, init_from="models/kims"))) == []
    shutil.rmtree(tmp_path / "runs" / "r")
    found = inspected(tmp_path, recipe(tiny_base, init_from="models/kims"))
    assert codes(found) == ["adapter_of_other_base"]
    assert "The adapter kims was trained on" in found.problems[0].message


@pytest.mark.parametrize("reference", ["old/step-1", "../old/step-1", "models/old", "models/.."])
def test_a_checkpoint_that_does_not_exist_is_refused(reference: str, tiny_base: Path, tmp_path: Path) -> None:
    outside = tmp_path / "checkpoints" / "old" / "step-1"  # where the path of `../old/step-1` leads
    outside.mkdir(parents=True)
    (outside / "adapter_config.json").write_text("{}")
    assert codes(inspected(tmp_path, recipe(tiny_base, init_from=reference))) == ["init_missing"]


@pytest.mark.parametrize(("device", "refused"), [("cuda:0", ["device_missing"]), ("auto", [])])
def test_a_gpu_that_torch_cannot_use_is_refused_if_the_recipe_names_it(
    device: str, refused: list[str], tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "resolve_devices", lambda *_: [Device("cuda:0", "GPU-0")])
    found = inspected(tmp_path, recipe(tiny_base, device=device))
    assert codes(found) == refused
    assert [warning.code for warning in found.warnings] == ["device_missing"] * (not refused)
    assert found.device == "cpu"
