"""A run that starts from another run's adapter takes its shape, and says so where the recipe asks for another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.errors import LabError, UsageError
from o1lab.labs import open_lab
from o1lab.models.description import Description
from o1lab.paths import Lab
from o1lab.train.adapter import adapter_shape, find_checkpoint
from o1lab.train.launch import resolve_rows
from o1lab.train.parent_run import origin
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import override, resolve
from tests.support.fake_runs import write_run
from tests.support.training_lab import make_lab

RUN = "aaaa0001"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with a finished run whose adapter has rank 8 on two kinds of layers."""
    lab = make_lab(tmp_path / "lab", count=4)
    run = write_run(lab.runs, RUN, state="finished", saved=(8,), recipe=Recipe(dataset="sums", lora_r=8, lora_alpha=16))
    config = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["v_proj", "q_proj"]}
    (run.checkpoint(8) / "adapter_config.json").write_text(json.dumps(config))
    (run.checkpoint(8) / "adapter_model.safetensors").touch()
    return lab


SHAPE = {"adapter": "lora", "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "lora_targets": "q_proj,v_proj"} | {
    "modules_to_save": None
}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"lora_r": 8, "lora_alpha": 16},
        {"lora_targets": "v_proj, q_proj"},
        {"lora_targets": "all-linear"},  # the words of the recipe that made it
    ],
)
def test_the_adapter_gives_the_run_its_shape(lab: Lab, asked: dict[str, Any]) -> None:
    recipe = resolve({"dataset": "sums", "init_from": RUN, **asked})
    assert adapter_shape(recipe, find_checkpoint(lab, RUN)) == SHAPE


@pytest.mark.parametrize(
    ("name", "value"), [("lora_r", 16), ("lora_alpha", 32), ("lora_dropout", 0.1), ("lora_targets", "o_proj")]
)
def test_a_recipe_that_asks_for_another_shape_is_refused(lab: Lab, name: str, value: Any) -> None:
    recipe = resolve({"dataset": "sums", "init_from": RUN, name: value})
    with pytest.raises(UsageError, match=f"{name} .*asks for {value}"):
        adapter_shape(recipe, find_checkpoint(lab, RUN))


@pytest.mark.parametrize(
    ("variant", "config", "rank"),
    [("dora", {"use_dora": True}, 8), ("rslora", {"use_rslora": True}, 8), ("pissa", {}, 4), ("olora", {}, 4)],
)
def test_the_variant_is_part_of_the_shape(lab: Lab, variant: str, config: dict[str, Any], rank: int) -> None:
    """A checkpoint of PiSSA or OLoRA has twice the rank, one half of which is trained."""
    checkpoint = find_checkpoint(lab, RUN)
    settings = json.loads((checkpoint / "adapter_config.json").read_text())
    (checkpoint / "adapter_config.json").write_text(json.dumps(settings | config))
    (checkpoint.parent.parent / "recipe.yaml").write_text(f"dataset: sums\nadapter: {variant}\n")
    shape = adapter_shape(resolve({"dataset": "sums", "init_from": RUN}), checkpoint)
    assert (shape["adapter"], shape["lora_r"], shape["lora_alpha"]) == (variant, rank, 2 * rank)
    with pytest.raises(UsageError, match=f"has adapter {variant}, but the recipe asks for lora"):
        adapter_shape(resolve({"dataset": "sums", "init_from": RUN, "adapter": "lora"}), checkpoint)


def test_a_setting_that_was_reset_is_not_compared(lab: Lab) -> None:
    recipe = resolve(override({"dataset": "sums", "init_from": RUN, "lora_r": 64}, ["lora_r=none"]))
    assert adapter_shape(recipe, find_checkpoint(lab, RUN)) == SHAPE


def test_a_folder_without_an_adapter_is_an_error(lab: Lab) -> None:
    checkpoint = find_checkpoint(lab, RUN)
    (checkpoint / "adapter_config.json").write_text("{}")
    (checkpoint / "adapter_model.safetensors").touch()
    with pytest.raises(LabError, match="no readable adapter"):
        adapter_shape(Recipe(dataset="sums"), checkpoint)


def test_on_the_command_line_it_is_a_usage_error(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    words = ["--lab", str(lab.root), "train", "--dataset", "sums", "--init-from", RUN, "--set", "lora_r=64", "--json"]
    assert o1lab(words) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["code"] == "adapter_shape"
    assert "lora_r 8" in told["message"]
    assert not [path for path in lab.runs.iterdir() if path.name != RUN]


def test_an_imported_adapter_is_named_by_its_name(lab: Lab) -> None:
    imported = lab.models / "kims"
    shutil.copytree(lab.runs / RUN / "checkpoints" / "step-8", imported)
    Description("import", base="tiny").write(imported)
    for name in ("kims", "models/kims"):
        recipe = resolve({"dataset": "sums", "init_from": name})
        assert origin(lab, recipe) == {"init_from": "models/kims"} | SHAPE
    other = resolve({"dataset": "sums", "init_from": "kims", "lora_r": 64})
    with pytest.raises(UsageError, match="kims has lora_r 8, but the recipe asks for 64"):
        origin(lab, other)
    with pytest.raises(UsageError, match="kims is an adapter for tiny") as told:
        resolve_rows(lab, resolve({"dataset": "sums", "base": "kims"}), open_lab(lab))
    assert "--init-from kims" in told.value.hint


def test_an_imported_whole_model_is_a_base_and_not_an_adapter(lab: Lab) -> None:
    (lab.models / "whole").mkdir(parents=True)
    (lab.models / "whole" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="whole is a whole model") as told:
        origin(lab, resolve({"dataset": "sums", "init_from": "whole"}))
    assert "--base whole" in told.value.hint
    resolved, _ = resolve_rows(lab, resolve({"dataset": "sums", "base": "whole"}), open_lab(lab))
    assert resolved.base == str(lab.models / "whole")
