"""Recipes: bounds, help, YAML, overrides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.errors import UsageError
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import dump, load, load_values, override, resolve


def test_every_part_has_help_for_the_form() -> None:
    assert all(field.description for field in Recipe.model_fields.values())


def test_a_dumped_recipe_writes_every_default_and_reads_back(tmp_path: Path) -> None:
    recipe = resolve({"dataset": "d", "learning_rate": 3e-4, "probes": [{"prompt": "1 + 1?", "gold": "2"}]})
    path = tmp_path / "recipe.yaml"
    path.write_text(dump(recipe), "utf-8")
    assert set(load_values(path)) == set(Recipe.model_fields)
    assert load(path) == recipe


def test_a_run_from_before_length_grouping_keeps_its_batches(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "".join(line for line in dump(Recipe(dataset="d")).splitlines(True) if "length_grouping" not in line)
    )
    assert load(file).length_grouping is False
    assert resolve(load_values(file)).length_grouping is True  # a new run with the settings of the old one


def test_settings_are_read_as_what_the_field_is() -> None:
    values = override({"dataset": "d", "steps": 5}, ["learning_rate=5e-4", "steps=", "dataset=0123", "seed=7"])
    recipe = resolve(values)
    assert (recipe.learning_rate, recipe.steps, recipe.dataset, recipe.seed) == (5e-4, None, "0123", 7)


def test_probes_are_set_as_yaml() -> None:
    recipe = resolve(override({"dataset": "d"}, ['probes=[{"prompt": "What is 1 + 2?", "gold": "3"}]']))
    assert [(probe.prompt, probe.gold) for probe in recipe.probes] == [("What is 1 + 2?", "3")]


@pytest.mark.parametrize("setting", ["nonsense=1", "steps", "probes=[", "=3"])
def test_a_setting_that_means_nothing_is_a_usage_error(setting: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        override({"dataset": "d"}, [setting])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"lora_r": 0}, "lora_r"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"device": "gpu"}, "device"),
        ({"over_length": "cut"}, "over_length"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_bad_value_is_named(values: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        resolve({"dataset": "d"} | values)


def test_a_file_that_is_not_a_recipe_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    for text in ("[1, 2", "- a\n- b\n", "1: 2\n"):
        path.write_text(text, "utf-8")
        with pytest.raises(UsageError):
            load(path)
    with pytest.raises(UsageError, match="is missing"):
        load(tmp_path / "absent.yaml")


@given(
    rows=st.integers(1, 5000), batch=st.integers(1, 64), accumulation=st.integers(1, 8), epochs=st.integers(1, 4),
    world=st.tuples(st.integers(1, 8), st.integers(1, 3)),
)  # fmt: skip
def test_whole_epochs_take_as_many_steps_as_there_are_batches_for_all_processes(
    rows: int, batch: int, accumulation: int, epochs: int, world: tuple[int, int]
) -> None:
    processes, nodes = world
    values = {"batch_size": batch, "grad_accumulation": accumulation, "epochs": epochs, "processes": processes}
    recipe = resolve({"dataset": "d", "nodes": nodes, **values})
    steps = recipe.total_steps(rows)
    assert recipe.rows_per_step == batch * accumulation * processes * nodes
    assert steps % epochs == 0
    per_epoch = steps // epochs
    assert (per_epoch - 1) * recipe.rows_per_step < rows <= per_epoch * recipe.rows_per_step


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"strategy": "fsdp2", "device": "cpu", "processes": 2}, "fsdp2 needs GPUs"),
        ({"processes": 2, "device": "cuda:1"}, "device auto"),
        ({"processes": 0}, "processes"),
        ({"strategy": "fsdp2", "adapter": "pissa"}, "choose ddp"),
        ({"objective": "dpo", "adapter": "full"}, "dpo needs an adapter"),
        ({"quantization": "nf4", "adapter": "full"}, "quantised base"),
        ({"adapter": "full", "lora_plus_ratio": 16}, "lora_plus_ratio must be 1"),
        ({"adapter": "full", "modules_to_save": "lm_head"}, "leave modules_to_save empty"),
    ],
)
def test_processes_that_no_device_fits_are_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        resolve({"dataset": "d"} | values)


def test_steps_override_epochs() -> None:
    assert resolve({"dataset": "d", "steps": 7, "epochs": 100}).total_steps(1000) == 7
