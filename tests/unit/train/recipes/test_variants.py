"""Every variant is trained, saved, resumed, loaded, merged and served as what it is."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from o1lab.errors import RefusedError
from o1lab.models.adapters import adapted, bare_model, misfit, mixes
from o1lab.models.checkpoints import kind_of
from o1lab.models.merging import merge
from o1lab.serve.engine.engine import Engine
from o1lab.serve.engine.prefill import Job
from o1lab.serve.engine.weights import Weights, add_adapter, load_weights
from o1lab.train import worker
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import Metrics
from o1lab.train.trainer import started, tensors, trainers
from o1lab.train.trainer.targets import lora_config
from tests.support.training_lab import prepared, recipe, rows

LORA = ("lora", "rslora", "dora", "pissa", "olora")
PROMPT = "What is 2 + 5?"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker in this process leaves the handlers of signals alone, and its queue is its own."""
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("o1lab.train.worker.signal.signal", lambda *_: None)


@pytest.fixture
def students(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The trainers of the workers of a test, in order."""
    made: list[Any] = []
    honest = trainers.build_trainer

    def kept(*args: Any, **more: Any) -> Any:
        made.append((found := honest(*args, **more))[0])
        return found

    monkeypatch.setattr(trainers, "build_trainer", kept)
    return made


def train(root: Path, name: str, base: Path, *, resuming: bool = False, **values: Any) -> RunDir:
    quick = {"steps": 2, "learning_rate": 0.01, "lora_r": 4, **values}
    run = RunDir(root / "runs" / name) if resuming else prepared(root, name, recipe(base, **quick))
    assert worker.work(run, resuming=resuming) == 0, run.read_status().message
    return run


def ids_of(base: Path) -> list[int]:
    return list(AutoTokenizer.from_pretrained(base)(PROMPT)["input_ids"])


def logits(model: Any, base: Path) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.tensor([ids_of(base)])).logits[0]
    return found


def loaded(base: Path, checkpoint: Path) -> Any:
    if kind_of(checkpoint) == "full":
        return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return PeftModel.from_pretrained(model, checkpoint)


def losses(run: RunDir) -> dict[int, float]:
    metrics = Metrics(run.metrics)
    metrics.poll()
    return {int(step): loss for step, loss in zip(metrics.steps, metrics.column("loss"), strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("variant", [*LORA, "full"])
def test_each_variant_is_saved_as_it_was_trained_and_resumes_exactly(
    variant: str, tiny_base: Path, tmp_path: Path, students: list[Any]
) -> None:
    values: dict[str, Any] = {"adapter": variant, "steps": 4, "save_steps": 2, "weight_decay": 0.1}
    values |= {"neftune_alpha": 5} | ({} if variant == "full" else {"lora_dropout": 0.1, "lora_plus_ratio": 4})
    run = train(tmp_path, "whole", tiny_base, **values)
    base_logits = logits(AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32), tiny_base)
    trained = logits(students[0].model, tiny_base)
    assert (trained - base_logits).abs().max() > 0.01
    assert torch.equal(logits(loaded(tiny_base, run.checkpoint(4)), tiny_base), trained)
    assert not torch.equal(logits(loaded(tiny_base, run.checkpoint(2)), tiny_base), trained)
    assert run.read_status().kind == ("full" if variant == "full" else "adapter")
    # A run that lost what came after its first checkpoint repeats it to the last bit.
    shutil.copytree(run.path, tmp_path / "runs" / "broken")
    broken = RunDir(tmp_path / "runs" / "broken")
    shutil.rmtree(broken.checkpoint(4))
    train(tmp_path, "broken", tiny_base, resuming=True)
    assert losses(broken) == losses(run)
    assert torch.equal(logits(students[1].model, tiny_base), trained)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["pissa", "olora"])
def test_an_adapter_with_a_start_is_an_ordinary_one_whose_start_is_kept(
    variant: str, tiny_base: Path, tmp_path: Path
) -> None:
    run = train(tmp_path, "first", tiny_base, adapter=variant, save_steps=1, weight_decay=0.5)
    config = json.loads((run.checkpoint(2) / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 64, True)
    one, two = (load_file(run.checkpoint(step) / "adapter_model.safetensors") for step in (1, 2))
    for name in one:
        dim = 0 if ".lora_A." in name else 1
        (a, held), (b, still_held) = one[name].chunk(2, dim), two[name].chunk(2, dim)
        assert torch.equal(held, still_held), name
        assert not torch.equal(a, b), name
    # A run that starts from it trains the same half, and keeps its shape.
    second = train(tmp_path, "second", tiny_base, adapter=variant, init_from="first/step-2")
    three = load_file(second.checkpoint(2) / "adapter_model.safetensors")
    assert all(
        torch.equal(three[n].chunk(2, int(".lora_B." in n))[1], two[n].chunk(2, int(".lora_B." in n))[1]) for n in two
    )


def begun(base: Path, variant: str, **values: Any) -> Any:
    """The base with a new adapter, before its first step."""
    chosen = recipe(base, adapter=variant, lora_r=4, **values)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    student = get_peft_model(model, lora_config(chosen, model))
    started.start(student, chosen)
    return student


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize(("variant", "of_peft"), [("pissa", "pissa"), ("olora", "olora")])
def test_the_start_is_that_of_peft_and_changes_no_answer(
    family: str, variant: str, of_peft: str, tiny_family: Callable[[str], Path]
) -> None:
    base = tiny_family(family)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    student = begun(base, variant)
    before = logits(plain, base)
    assert torch.allclose(logits(student, base), before, atol=1e-5)
    if family == "gpt2" and variant == "olora":
        return  # PEFT's own fails on Conv1D
    chosen = lora_config(recipe(base, lora_r=4), plain)
    chosen.init_lora_weights = of_peft
    theirs = get_peft_model(plain, chosen)
    for name, layer in theirs.named_modules():
        if isinstance(layer, started.LoraLayer):
            a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            ours = student.get_submodule(name)
            own_a, own_b = (part["default"].weight for part in (ours.lora_A, ours.lora_B))
            assert torch.allclose(own_b[:, :4] @ own_a[:4], b @ a, atol=1e-4), name


@pytest.mark.parametrize(
    ("family", "values", "said"),
    [
        ("mixtral", {"adapter": "dora"}, "cannot have a dora adapter"),
        ("mixtral", {"adapter": "pissa"}, "cannot have a pissa adapter"),
        ("llama", {"adapter": "olora", "lora_targets": "q_proj,embed_tokens"}, "embed_tokens is an embedding"),
        ("llama", {"adapter": "pissa", "lora_r": 64}, "directions, but lora_r asks for 64"),
    ],
)
def test_layers_that_cannot_have_a_variant_are_named(
    family: str, values: dict[str, Any], said: str, tiny_family: Callable[[str], Path]
) -> None:
    base = tiny_family(family)
    with pytest.raises(RefusedError, match=said) as told:
        lora_config(recipe(base, **values), bare_model(base))
    assert told.value.code == "variant"
    assert not mixes(adapted(bare_model(base), lora_config(recipe(base, adapter="lora"), bare_model(base)))) or (
        family == "llama"
    )


def test_lora_plus_trains_b_at_its_own_rate(tiny_base: Path, tmp_path: Path) -> None:
    chosen = recipe(tiny_base, learning_rate=1e-3, lora_plus_ratio=16, modules_to_save="lm_head")
    tokenizer = tensors.load_tokenizer(tiny_base, chosen)
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    trainer, _ = trainers.build_trainer(
        model, tokenizer, chosen, rows(8), tmp_path, cpu=True, adapter=lora_config(chosen, model)
    )
    optimizer = trainer.create_optimizer()
    assert trainer.create_optimizer() is optimizer
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    rates = {names[id(one)]: group["lr"] for group in optimizer.param_groups for one in group["params"]}
    assert {rate for name, rate in rates.items() if ".lora_B." in name} == {0.001 * 16}
    assert {rate for name, rate in rates.items() if ".lora_B." not in name} == {0.001}
    assert any("lm_head" in name for name in rates)


@pytest.mark.slow
def test_neftune_changes_the_training_and_not_what_is_measured(tiny_base: Path, tmp_path: Path) -> None:
    plain, noisy = (
        train(tmp_path, name, tiny_base, steps=3, learning_rate=1e-12, eval_rows=4, eval_steps=1, neftune_alpha=alpha)
        for name, alpha in (("plain", 0), ("noisy", 50))
    )
    assert losses(plain) != losses(noisy)
    measured = [
        [json.loads(line)["eval_loss"] for line in run.metrics.read_text().splitlines() if "eval_loss" in line]
        for run in (plain, noisy)
    ]
    assert len(measured[0]) == 3 and measured[0] == pytest.approx(measured[1], abs=1e-6)


@pytest.mark.slow
def test_dora_and_other_adapters_of_a_base_are_served_together(tiny_base: Path, tmp_path: Path) -> None:
    names = ("dora", "rslora", "pissa")
    runs = {name: train(tmp_path, name, tiny_base, adapter=name, learning_rate=0.05) for name in names}
    runs["other"] = train(tmp_path, "other", tiny_base, adapter="dora", learning_rate=0.05, seed=7)
    for run in runs.values():
        assert misfit(tiny_base, run.checkpoint(2)) == ""
    expected = {name: generated(tiny_base, run.checkpoint(2)) for name, run in runs.items()}
    assert len(set(map(tuple, expected.values()))) > 1
    weights = load_weights(tiny_base, dtype="float32")
    engine = Engine(weights.model, set(), chunk_tokens=16)
    engine.start()
    try:
        for name, run in runs.items():
            add_adapter(weights, engine, name, run.checkpoint(2))
        assert not mixes(weights.model)
        answers = {name: ask(engine, weights, name) for name in runs}
        assert {name: answer() for name, answer in answers.items()} == expected
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["rslora", "dora", "pissa"])
def test_a_variant_can_be_merged(variant: str, tiny_base: Path, tmp_path: Path) -> None:
    run = train(tmp_path, "first", tiny_base, adapter=variant, learning_rate=0.05)
    made = merge(tiny_base, run.checkpoint(2), tmp_path / "out", [PROMPT, "Hi"], dtype="float32")
    assert (made.equal, made.saved_equal) == (2, 2)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert torch.allclose(logits(merged, tiny_base), logits(loaded(tiny_base, run.checkpoint(2)), tiny_base), atol=1e-4)


def ask(engine: Engine, weights: Weights, name: str) -> Callable[[], list[int]]:
    tokens: list[int] = []
    ended = threading.Event()
    ids = ids_of(weights.folder)

    def end(_reason: str, _sentence: str) -> None:
        ended.set()

    slot = weights.slots[name]
    engine.submit(Job(ids, max_tokens=12, adapter=slot, on_token=lambda token, _: tokens.append(token), on_end=end))

    def answer() -> list[int]:
        assert ended.wait(60)
        return tokens

    return answer


def generated(base: Path, checkpoint: Path) -> list[int]:
    model = loaded(base, checkpoint).eval()
    ids, found = torch.tensor([ids_of(base)]), list[int]()
    with torch.inference_mode():
        for _ in range(12):
            found.append(int(model(input_ids=ids).logits[0, -1].argmax()))
            ids = torch.cat([ids, torch.tensor([[found[-1]]])], dim=1)
    return found
