"""Bases of several architectures: what PEFT adapts is what is counted, trained, saved, loaded and served."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from o1lab.errors import RefusedError
from o1lab.models.adapters import adapted, bare_model, misfit, mixes, target_names, trainable_parameters
from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.prefill import BASE, Job
from o1lab.serve.engine.weights import Weights, add_adapter, load_weights, remove_adapter
from o1lab.train.launch import TrainingRow
from o1lab.train.runs.directory import RunDir
from o1lab.train.trainer.targets import left_out, lora_config
from tests.support.training_lab import prepared, recipe

EXPERTS = "experts.gate_up_proj experts.down_proj"
ATTENTION = "q_proj k_proj v_proj o_proj"
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("mixtral", {}, f"{ATTENTION} gate.weight {EXPERTS}"),
    ("qwen2_moe", {}, f"{ATTENTION} gate_proj up_proj down_proj shared_expert_gate {EXPERTS}"),
    ("gpt_oss", {}, f"{ATTENTION} {EXPERTS}"),
    ("gpt2", {}, "c_attn c_proj c_fc"),
    ("phi3", {}, "qkv_proj o_proj gate_up_proj down_proj"),
    ("phi3", {"lora_targets": "qkv_proj,gate_up_proj"}, "qkv_proj gate_up_proj"),
    ("mixtral", {"lora_targets": "q_proj,w1,w2,w3"}, f"q_proj {EXPERTS}"),
    ("mixtral", {"lora_targets": "q_proj,gate_up_proj"}, "q_proj experts.gate_up_proj"),
    ("llama", {"lora_targets": "q_proj,embed_tokens"}, "q_proj embed_tokens"),
    ("gpt2", {"lora_targets": "wte,c_attn", "modules_to_save": "ln_f"}, "wte c_attn ln_f"),
    ("phi3", {"modules_to_save": "lm_head", "lora_targets": "qkv_proj"}, "qkv_proj lm_head"),
]
NAMES = [f"{family}-{'-'.join(values.values()) or 'default'}" for family, values, _ in CASES]
TRAINED = ("mixtral-default", "gpt2-wte,c_attn-ln_f", "phi3-default", "llama-q_proj,embed_tokens")
"""Fused experts, layers of GPT-2 with modules that train in full, joined projections, and embeddings."""
RUNS = [
    pytest.param(*case[:2], id=name, marks=() if name in TRAINED else pytest.mark.exhaustive)
    for name, case in zip(NAMES, CASES, strict=True)
]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def unhandled_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker in this process leaves the handlers of signals alone."""
    monkeypatch.setattr("o1lab.train.worker.signal.signal", lambda *_: None)


def train(root: Path, name: str, base: Path, learn: list[TrainingRow] | None = None, **values: Any) -> RunDir:
    from o1lab.train import worker

    run = prepared(root, name, recipe(base, steps=2, learning_rate=0.05, lora_r=4, **values), learn)
    assert worker.work(run, resuming=False) == 0, run.read_status().message
    return run


def saved(run: RunDir) -> dict[str, torch.Tensor]:
    return dict(load_file(run.checkpoint(2) / "adapter_model.safetensors"))


@pytest.mark.parametrize(("family", "values", "targets"), CASES, ids=NAMES)
def test_the_layers_that_a_recipe_names_are_adapted(
    family: str, values: dict[str, Any], targets: str, tiny_family: Callable[[str], Path]
) -> None:
    base = tiny_family(family)
    counted = adapted(bare_model(base), lora_config(recipe(base, lora_r=4, **values), bare_model(base)))
    assert set(target_names(counted)) == set(targets.split())


@pytest.mark.slow
@pytest.mark.usefixtures("unhandled_signals")
@pytest.mark.parametrize(("family", "values"), RUNS)
def test_what_is_counted_is_trained_saved_loaded_and_served(
    family: str, values: dict[str, Any], tiny_family: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tiny_family(family)
    counted = adapted(bare_model(base), lora_config(recipe(base, lora_r=4, **values), bare_model(base)))
    run = train(tmp_path, "first", base, **values)
    tensors = saved(run)
    assert trainable_parameters(counted) == sum(tensor.numel() for tensor in tensors.values())
    untrained = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for key, tensor in tensors.items():  # one half of each pair starts as zeros
        start = torch.zeros(1) if ".lora_" in key else untrained.get_parameter(key.removeprefix("base_model.model."))
        assert bool((tensor != start).any()), key
    assert misfit(base, run.checkpoint(2)) == ""
    again = train(tmp_path, "second", base, init_from="first/step-2", **values)
    assert {key: list(tensor.shape) for key, tensor in saved(again).items()} == {
        key: list(tensor.shape) for key, tensor in tensors.items()
    }
    weights = load_weights(base, dtype="float32")
    engine = Engine(weights.model, set(), chunk_tokens=16)
    engine.start()
    try:
        for name, folder in (("first", run.checkpoint(2)), ("second", again.checkpoint(2))):
            add_adapter(weights, engine, name, folder)
        together = [ask(engine, weights, slot) for slot in (BASE, *weights.slots.values()) for _ in range(2)]
        answers = [answer() for answer in together]
        remove_adapter(weights, engine, "first")
        assert ask(engine, weights, BASE)() == answers[0]
        assert ask(engine, weights, weights.slots["second"])() == answers[4]
    finally:
        engine.close()
    assert len(set(map(tuple, answers))) > 1
    for i, folder in enumerate((None, run.checkpoint(2), again.checkpoint(2))):
        expected = generated(base, folder)
        assert answers[2 * i : 2 * i + 2] == [expected, expected]


PROMPT = "What is 2 + 5?"


def ask(engine: Engine, weights: Weights, slot: str) -> Callable[[], list[int]]:
    tokens: list[int] = []
    ended = threading.Event()
    reasons: list[str] = []

    def end(reason: str, sentence: str) -> None:
        reasons.append(f"{reason} {sentence}")
        ended.set()

    ids = weights.tokenizer(PROMPT)["input_ids"]
    engine.submit(Job(ids, max_tokens=12, adapter=slot, on_token=lambda token, _: tokens.append(token), on_end=end))

    def answer() -> list[int]:
        assert ended.wait(60)
        assert reasons == ["length "]
        return tokens

    return answer


def generated(base: Path, checkpoint: Path | None) -> list[int]:
    from transformers import AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if checkpoint is not None:
        model = PeftModel.from_pretrained(model, checkpoint)
    model.eval()
    ids = torch.tensor([AutoTokenizer.from_pretrained(base)(PROMPT)["input_ids"]])
    found: list[int] = []
    with torch.inference_mode():
        for _ in range(12):
            token = int(model(input_ids=ids).logits[0, -1].argmax())
            found.append(token)
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return found


def adapter(base: Path, folder: Path, targets: str) -> Path:
    from peft import get_peft_model

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    get_peft_model(model, lora_config(recipe(base, lora_r=4, lora_targets=targets), model)).save_pretrained(folder)
    return folder


def test_adapters_that_peft_cannot_hold_together_are_refused_and_the_first_still_answers(
    tiny_family: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tiny_family("mixtral")
    weights = load_weights(base, dtype="float32")
    engine = Engine(weights.model, set(), chunk_tokens=16)
    engine.start()
    try:
        add_adapter(weights, engine, "up", adapter(base, tmp_path / "up", "gate_up_proj"))
        before = ask(engine, weights, weights.slots["up"])()
        with pytest.raises(RefusedError, match="adapts other experts") as told:
            add_adapter(weights, engine, "down", adapter(base, tmp_path / "down", "down_proj"))
        assert told.value.code == "adapter_conflict"
        assert ask(engine, weights, weights.slots["up"])() == before
    finally:
        engine.close()


def test_only_plain_layers_mix_in_one_pass(tiny_family: Callable[[str], Path]) -> None:
    def mixing(family: str, **values: Any) -> bool:
        base = tiny_family(family)
        return mixes(adapted(bare_model(base), lora_config(recipe(base, **values), bare_model(base))))

    assert mixing("llama", lora_targets="q_proj,embed_tokens")
    assert mixing("gpt2")
    assert not mixing("mixtral")
    assert not mixing("llama", modules_to_save="lm_head")


def test_linear_layers_that_peft_leaves_out_are_named(tiny_family: Callable[[str], Path]) -> None:
    for family, expected in (("qwen2_moe", []), ("phi3", []), ("qwen3_next", ["gate_proj", "up_proj", "down_proj"])):
        chosen, base = recipe(tiny_family(family)), tiny_family(family)
        model = adapted(bare_model(base), lora_config(chosen, bare_model(base)))
        assert set(left_out(chosen, model)) == {f"shared_expert.{name}" for name in expected}
