"""What preflight says of preference training."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from o1lab.train.preflight.report import Preflight
from tests.support.training_lab import recipe

pytestmark = pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")


def checked(objective: str, labels: list[bool] | None = None, **values: Any) -> Preflight:
    from datasets import Dataset

    from o1lab.train.preflight import preferred

    if labels is None:
        rows = [{"prompt_ids": [1], "chosen_ids": [2, 3], "rejected_ids": [4]}] * 2
    else:
        rows = [{"prompt_ids": [1], "completion_ids": [2, 3], "label": label} for label in labels]
    found = Preflight()
    made = recipe(Path("base"), objective=objective, **values)
    preferred.check(found, SimpleNamespace(train_dataset=Dataset.from_list(rows)), made)
    return found


def codes(found: Preflight) -> set[str]:
    return {one.code for one in found.warnings}


def test_the_reference_and_the_trained_tokens_are_named() -> None:
    assert checked("dpo").reference == "the base base"
    assert checked("dpo", init_from="abc/step-4").reference == "the adapter of abc/step-4"
    assert checked("dpo").trained_tokens == 6


def test_settings_that_do_harm_are_warned_of() -> None:
    assert codes(checked("dpo")) == {"from_the_base", "learning_rate"}
    assert codes(checked("dpo", init_from="abc/step-4", learning_rate=2e-5)) == set()
    assert codes(checked("dpo", init_from="abc/step-4", learning_rate=2e-5, lora_dropout=0.1)) == {"dropout"}


@pytest.mark.parametrize(
    ("better", "worse", "weight", "warned"), [(4, 4, 1, False), (5, 4, 1, False), (4, 8, 1, True), (4, 8, 2, False)]
)
def test_the_sides_of_kto_should_weigh_alike(better: int, worse: int, weight: float, warned: bool) -> None:
    labels = [True] * better + [False] * worse
    found = checked("kto", labels, init_from="abc/step-4", learning_rate=2e-5, desirable_weight=weight)
    assert codes(found) == ({"kto_balance"} if warned else set())
    if warned:
        assert found.warnings[0].hint == "Set desirable_weight to 2."


def test_a_batch_of_dpo_has_two_sequences_for_each_row() -> None:
    from o1lab.train.preflight.preferred import memory_recipe

    assert [memory_recipe(recipe(Path("base"), objective=one)).batch_size for one in ("sft", "dpo", "kto")] == [4, 8, 4]
