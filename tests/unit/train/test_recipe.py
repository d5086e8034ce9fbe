"""Recipes: bounds, help, YAML, overrides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.errors import UsageError
from o1lab.train.recipe import Recipe, dump, load, load_values, override, resolve


def test_every_part_has_help_for_the_form() -> None:
    assert all(field.description for field in Recipe.model_fields.values())


def test_a_dumped_recipe_writes_every_default_and_reads_back(tmp_path: Path) -> None:
    recipe = resolve({"dataset": "d", "learning_rate": 3e-4, "probes": [{"prompt": "1 + 1?", "gold": "2"}]})
    path = tmp_path / "recipe.yaml"
    path.write_text(dump(recipe), "utf-8")
    assert set(load_values(path)) == set(Recipe.model_fields)
    assert load(path) == recipe


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


def test_a_file_that_is_no_recipe_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    for text in ("[1, 2", "- a\n- b\n", "1: 2\n"):
        path.write_text(text, "utf-8")
        with pytest.raises(UsageError):
            load(path)
    with pytest.raises(UsageError, match="is missing"):
        load(tmp_path / "absent.yaml")


@given(rows=st.integers(1, 5000), batch=st.integers(1, 64), accumulation=st.integers(1, 8), epochs=st.integers(1, 4))
def test_whole_epochs_take_as_many_steps_as_there_are_batches(
    rows: int, batch: int, accumulation: int, epochs: int
) -> None:
    recipe = resolve({"dataset": "d", "batch_size": batch, "grad_accumulation": accumulation, "epochs": epochs})
    steps = recipe.total_steps(rows)
    assert steps % epochs == 0
    per_epoch = steps // epochs
    assert (per_epoch - 1) * accumulation * batch < rows <= per_epoch * accumulation * batch


def test_steps_override_epochs() -> None:
    assert resolve({"dataset": "d", "steps": 7, "epochs": 100}).total_steps(1000) == 7
