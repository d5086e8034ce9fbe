"""Names of stages that o1lab.toml files hold."""

from __future__ import annotations

import importlib

import pytest

from o1lab.config import ClusterConfig, Endpoint
from o1lab.inference.engines.ray import SOLVER, VLLM, stage_of
from o1lab.serve.registry import ModelRef

ENDPOINT = Endpoint(name="e", url="http://127.0.0.1:9/v1", model="org/model")
REF = ModelRef("e", "teacher", "e", "endpoint", endpoint=ENDPOINT)


@pytest.mark.parametrize(
    ("given", "stage"),
    [
        (None, VLLM),
        ("o1lab.distill.ray_stage:VllmStage", VLLM),
        ("o1lab.distill.engines.ray_stage:SolverStage", SOLVER),
        ("mine.stages:Mine", "mine.stages:Mine"),
    ],
)
def test_a_stage_that_was_moved_is_found_under_its_old_name(given: str | None, stage: str) -> None:
    assert stage_of(REF, ClusterConfig(stage=given), [])[0] == stage


@pytest.mark.parametrize("name", [VLLM, SOLVER])
def test_the_stages_that_o1lab_brings_are_there(name: str) -> None:
    module, _, stage = name.partition(":")
    assert hasattr(importlib.import_module(module), stage)
