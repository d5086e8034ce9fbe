"""Stages of a cluster: their names in o1lab.toml, and the prompt of a student."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from o1lab.config import ClusterConfig, Endpoint
from o1lab.inference.engines.ray import SOLVER, VLLM, stage_of
from o1lab.inference.engines.ray_stage import VllmStage
from o1lab.models.prompts import PromptOptions, encode, render
from o1lab.serve.registry import ModelRef
from tests.support.serving_models import make_model

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


def test_a_student_is_asked_with_the_template_of_its_run(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the chat template needs the train extra")
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{{ mood }}>"
    options = PromptOptions("Think.", template, {"mood": "calm"})
    base = make_model(tmp_path / "tiny")
    ref = ModelRef("r/1", "student", "student: r/1", "checkpoint", base=str(base), adapter=tmp_path, prompt=options)
    _, model = stage_of(ref, ClusterConfig(), [])
    stage = VllmStage(model)
    stage._tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    messages = options.conversation([{"role": "user", "content": "2+2?"}])
    assert stage._tokens(messages) == encode(stage._tokenizer, render(stage._tokenizer, messages, options))
    assert stage._tokenizer.decode(stage._tokens(messages)) == "[system]Think.[user]2+2?calm>"
