"""The memory that preflight estimates: each part by hand for a tiny base, and what it grows with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

from o1lab.models.adapters import adapted, bare_model
from o1lab.train.preflight import base as checks
from o1lab.train.preflight import memory
from o1lab.train.preflight.memory import RUNTIME_CPU, Estimate, available_bytes, estimate
from o1lab.train.preflight.report import Preflight
from o1lab.train.trainer.targets import lora_config
from tests.support.training_lab import prepared, recipe, rows


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def guess(tiny_base: Path) -> Callable[..., Estimate]:
    """Estimates a run of the tiny base with an adapter of rank 4 on q_proj."""

    def of(
        *,
        longest: int = 10,
        dtype_bytes: int = 4,
        gpu: bool = False,
        weights: int = 1000,
        converted: int = 0,
        **values: Any,
    ) -> Estimate:
        plain = {"lora_targets": "q_proj", "lora_r": 4, "batch_size": 3, "lora_dropout": 0.0}
        chosen = recipe(tiny_base, **{**plain, "gradient_checkpointing": False, **values})
        model = adapted(bare_model(tiny_base), lora_config(chosen, bare_model(tiny_base)))
        sizes = {"dtype_bytes": dtype_bytes, "weights": weights, "converted": converted}
        return estimate(model, chosen, longest=longest, gpu=gpu, **sizes)

    return of


@pytest.fixture
def by_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a base that cannot run without weights."""
    monkeypatch.setattr(memory, "saved_bytes", lambda *_, **__: None)


COUNTED = [
    ("float32", False, {}), ("float32", False, {"lora_dropout": 0.1}), ("bfloat16", False, {}), ("bfloat16", True, {}),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "autocast", "values"), COUNTED)
def test_what_is_counted_without_weights_is_what_a_real_forward_pass_saves(
    dtype: str, autocast: bool, values: dict[str, Any], tiny_base: Path
) -> None:
    import torch
    from peft import get_peft_model
    from torch.autograd.graph import saved_tensors_hooks
    from transformers import AutoModelForCausalLM

    from o1lab.train.preflight.activations import saved_bytes

    chosen, kind = recipe(tiny_base, **values), getattr(torch, dtype)
    real = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=kind)
    student = get_peft_model(real, lora_config(chosen, real)).train()
    own = {one.untyped_storage()._cdata for one in (*student.parameters(), *student.buffers())}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        if (storage := tensor.untyped_storage())._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    computing = torch.autocast("cpu", torch.bfloat16, enabled=autocast)
    with computing, saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = real.model(input_ids=torch.zeros((3, 128), dtype=torch.long), use_cache=False).last_hidden_state
    kept[hidden.untyped_storage()._cdata] = hidden.untyped_storage()
    bare = adapted(bare_model(tiny_base), lora_config(chosen, bare_model(tiny_base)))
    for parameter in bare.parameters():
        parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else kind)
    counted = saved_bytes(bare, rows=3, tokens=128, autocast=kind if autocast else None)
    assert counted == sum(storage.nbytes() for storage in kept.values())


def test_the_weights_that_autocast_converts_count_once_and_not_for_each_token(guess: Callable[..., Estimate]) -> None:
    ten, twenty = (guess(dtype_bytes=2, gpu=True, longest=longest) for longest in (10, 20))
    once = 2 * ten.activations - twenty.activations
    assert 0 < once <= 2 * ten.trainable


@pytest.mark.usefixtures("by_formula")
def test_each_part_is_what_the_formula_says(guess: Callable[..., Estimate], tiny_base: Path) -> None:
    config = json.loads((tiny_base / "config.json").read_text())
    # Two layers, hidden 32, intermediate 64, 4 heads of 8 and 2 key-value heads: inputs + outputs of seven layers.
    q, k, v, o, gate, up, down = 32 + 32, 32 + 16, 32 + 16, 32 + 32, 32 + 64, 32 + 64, 64 + 32
    linear = (q + k + v + o + gate + up + down) * 4
    lora, between = 32 * 4 + 4 * 4, 2 * 32 * (4 + 4) + 2 * 64 * 4
    trainable = 2 * (32 * 4 + 4 * 32)
    activations = 3 * 10 * 2 * (linear + lora + between)
    overhead = RUNTIME_CPU + 3 * 256 * config["vocab_size"] * 4 + activations
    lost = int(0.1 * (1000 + 16 * trainable + activations + overhead))
    found = guess()
    assert found == Estimate(1000, 16 * trainable, activations, overhead + lost, trainable)
    assert found.total == 1000 + 16 * trainable + activations + overhead + lost


@pytest.mark.usefixtures("by_formula")
def test_checkpointing_keeps_the_inputs_of_the_layers_and_one_layer(guess: Callable[..., Estimate]) -> None:
    layer = guess().activations // 2
    assert guess(gradient_checkpointing=True).activations == 3 * 10 * 2 * 32 * 4 + layer


@pytest.mark.usefixtures("by_formula")
def test_it_grows_with_rows_tokens_rank_dropout_and_format(guess: Callable[..., Estimate]) -> None:
    plain = guess()
    assert guess(batch_size=6).activations == 2 * plain.activations == guess(longest=20).activations
    assert guess(batch_size=6).total > plain.total < guess(longest=20).total
    assert guess(lora_r=8).adapter == 2 * plain.adapter
    assert guess(lora_dropout=0.1).activations - plain.activations == 3 * 10 * 2 * 32 * 5
    assert guess(dtype_bytes=2, gpu=True).activations < guess(dtype_bytes=2).activations < plain.activations
    assert guess(weights=2000).total - plain.total == pytest.approx(1100, abs=1)
    assert guess(gpu=True).overhead != plain.overhead


def inspected(root: Path, base: Path, **values: Any) -> Preflight:
    from o1lab.train.preflight.worker import inspect

    run = prepared(root, "r", recipe(base, **values), rows(4))
    return inspect(run, run.path.parent)


def test_preflight_counts_the_longest_row_and_the_format_of_the_run(tiny_base: Path, tmp_path: Path) -> None:
    whole = inspected(tmp_path / "a", tiny_base)
    cut = inspected(tmp_path / "b", tiny_base, max_length=40, over_length="truncate")
    assert cut.memory.activations * whole.tokens.max == whole.memory.activations * 40
    assert whole.memory_bytes == whole.memory.total > cut.memory_bytes == cut.memory.total
    assert whole.memory.weights == whole.base_parameters * 4
    half = inspected(tmp_path / "c", tiny_base, dtype="bf16")
    assert half.memory.weights == half.base_parameters * 2


def test_a_quantised_base_takes_the_size_of_its_files(tiny_base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (base / "config.json").write_text(json.dumps(config))
    found = inspected(tmp_path, base)
    size = (base / "model.safetensors").stat().st_size
    assert found.memory.weights == size != found.base_parameters * 4


def test_a_run_that_needs_more_than_is_free_is_refused(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = inspected(tmp_path / "a", tiny_base).memory_bytes
    for free, code in ((int(needed / 0.95) + 2, []), (int(needed / 0.95) - 2, ["not_enough_memory"])):
        monkeypatch.setattr(checks, "available_bytes", lambda *, gpu, free=free: free)
        found = inspected(tmp_path / str(free), tiny_base)
        assert [problem.code for problem in found.problems] == code
        assert found.memory.available == free
        assert found.ok == (not code)
    assert "Lower batch_size" in found.problems[0].hint


def test_the_files_of_the_base_count_where_its_weights_are_held_in_another_format(
    guess: Callable[..., Estimate], tiny_base: Path
) -> None:
    from o1lab.train.preflight.plans import converted_bytes, needed

    files = (tiny_base / "model.safetensors").stat().st_size
    nf4 = {"quantization": "nf4"}
    assert converted_bytes(tiny_base, recipe(tiny_base), dtype_bytes=4) == 0
    assert converted_bytes(tiny_base, recipe(tiny_base), dtype_bytes=2) == files
    assert converted_bytes(tiny_base, recipe(tiny_base, **nf4), dtype_bytes=4) == files
    gigabyte = 1_000_000_000
    assert guess(converted=gigabyte, **nf4).total == pytest.approx(guess(**nf4).total + 1.1 * gigabyte, abs=1)
    # In bfloat16 the peak of loading counts: files, weights, runtime.
    assert guess(converted=gigabyte, dtype_bytes=2).total == RUNTIME_CPU + gigabyte + 1000
    assert guess(converted=1000, dtype_bytes=2) == guess(dtype_bytes=2)
    assert guess(converted=gigabyte, gpu=True, **nf4) == guess(gpu=True, **nf4)
    chosen, bare = recipe(tiny_base, **nf4), bare_model(tiny_base)
    student = adapted(bare_model(tiny_base), lora_config(chosen, bare))
    kind = {"longest": 10, "dtype_bytes": 4, "gpu": False}
    found = needed(tiny_base, bare, student, chosen, **kind)  # type: ignore[arg-type]
    assert found == estimate(student, chosen, weights=found.weights, converted=files, **kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "times"), [({"objective": "sft"}, 1), ({"objective": "dpo"}, 2), ({"processes": 2}, 2)]
)
def test_plans_are_of_the_recipe_and_count_what_it_does(values: dict[str, Any], times: int, tiny_base: Path) -> None:
    from o1lab.train.preflight.plans import plans

    chosen = recipe(tiny_base, **values)
    bare, student = bare_model(tiny_base), adapted(bare_model(tiny_base), lora_config(chosen, bare_model(tiny_base)))

    def of(one: Any) -> dict[str, int]:
        made = plans(tiny_base, bare, student, one, longest=100, available=10**12, dtype_bytes=4, gpu=False)
        return {plan.name: plan.memory_bytes for plan in made}

    plain, found = of(recipe(tiny_base)), of(chosen)
    first, frugal = "LoRA r16, batch 4, 100 tokens", "QLoRA r16, checkpointing, batch 1, 100 tokens"
    assert next(iter(found)) == first
    if times == 1:
        assert found == plain
    else:
        assert plain[first] < found[first]
        assert plain[frugal] < found[frugal]
    if "processes" in values:
        assert found[frugal] > 2 * plain[frugal]


@pytest.mark.parametrize(("objective", "batches"), [("dpo", [4, 4, 1]), ("kto", [4, 4, 2])])
def test_each_plan_is_a_recipe_that_the_objective_takes(tiny_base: Path, objective: str, batches: list[int]) -> None:
    from o1lab.train.preflight.plans import plans
    from o1lab.train.recipes.recipe_file import resolve

    chosen = recipe(tiny_base, objective=objective, grad_accumulation=2)
    bare = bare_model(tiny_base)
    student = adapted(bare_model(tiny_base), lora_config(chosen, bare))
    made = plans(tiny_base, bare, student, chosen, longest=100, available=10**12, dtype_bytes=4, gpu=False)
    planned = [resolve(chosen.model_dump() | plan.settings) for plan in made]
    assert [one.batch_size for one in planned[:3]] == batches
    assert {one.batch_size * one.grad_accumulation for one in planned} == {8}


def test_preflight_plans_the_batch_of_the_recipe_and_counts_both_answers(tiny_base: Path, tmp_path: Path) -> None:
    from o1lab.train.preflight.worker import inspect
    from o1lab.train.rows import Answer

    learn = [replace(row, rejected=Answer(f"{row.trace_id}x", row.thought, "It is 0.")) for row in rows(8)]
    run = prepared(tmp_path, "r", recipe(tiny_base, objective="dpo"), learn)
    found = inspect(run, run.path.parent)
    assert found.plans[0].name.startswith("LoRA r16, batch 4, ")
    assert found.plans[0].memory_bytes == found.memory_bytes


def test_the_rows_of_kto_are_pairs_and_its_steps_are_of_answers(tiny_base: Path, tmp_path: Path) -> None:
    from o1lab.train.preflight.worker import inspect
    from o1lab.train.rows import Answer

    learn = [replace(row, rejected=Answer(f"{row.trace_id}x", row.thought, "It is 0.")) for row in rows(8)]
    run = prepared(tmp_path, "r", recipe(tiny_base, objective="kto", steps=None, epochs=1, eval_rows=2), learn)
    found = inspect(run, run.path.parent)
    assert (found.rows, found.train_rows, found.eval_rows, found.total_steps) == (8, 6, 2, 3)


def test_eager_attention_keeps_its_matrix(guess: Callable[..., Estimate], monkeypatch: pytest.MonkeyPatch) -> None:
    def square(batch: int = 3, **values: Any) -> int:
        """The part of the activations that grows with the square of the row: what 128 tokens have over twice 64."""
        return guess(longest=128, **values).activations - 2 * guess(longest=64, **values).activations

    matrix = 4 * (128 * 128 - 2 * 64 * 64) * 4  # heads, pairs of tokens, bytes of float32
    for formula in (False, True):
        if formula:
            monkeypatch.setattr(memory, "saved_bytes", lambda *_, **__: None)
        assert square(attention="sdpa") == 0
        assert square(attention="eager") >= 3 * 2 * matrix  # rows and layers
        assert square(attention="eager", gradient_checkpointing=True) >= 3 * matrix
        # The packed rows of a batch are one sequence.
        assert square(attention="eager", packing=True, max_length=64) >= 3 * 3 * 2 * matrix


def test_plans_say_what_fits_a_device(tiny_base: Path, tmp_path: Path) -> None:
    from o1lab.cli.train_output import preflight_text
    from o1lab.train.preflight.worker import inspect

    run = prepared(tmp_path, "r", recipe(tiny_base, batch_size=4, dtype="auto"), rows(4))
    found = inspect(run, run.path.parent, memory_bytes=80_000_000_000)
    names = [one.name for one in found.plans]
    longest = found.tokens.max
    assert names[0] == f"LoRA r16, batch 4, {longest} tokens"
    assert f"QLoRA r16, checkpointing, batch 1, {longest} tokens" in names
    assert "QLoRA r16, checkpointing, packing, batch 1, 1k" in names
    assert names[-1] == "QLoRA r16, checkpointing, batch 1, 128k"
    assert all(one.fits for one in found.plans)
    by_name = {one.name: one for one in found.plans}
    assert by_name[names[1]].memory_bytes < by_name[names[0]].memory_bytes
    assert by_name[names[1]].settings == {"gradient_checkpointing": True}
    assert f"fits {names[0]}" in preflight_text(found)
    assert "of 80.0 GB" in preflight_text(found)
    assert max(map(len, found.plan_lines())) < 76
    small = inspect(run, run.path.parent, memory_bytes=1_000_000)
    assert not any(one.fits for one in small.plans)
    assert small.plan_lines()[0].startswith("-")


def test_the_weights_of_nf4_are_half_a_byte_for_each_number_of_the_linear_layers(tiny_base: Path) -> None:
    from o1lab.train.preflight.plans import weight_bytes

    model = bare_model(tiny_base)
    total = sum(one.numel() for one in model.parameters())
    # Two layers of q, o (32 x 32), k, v (16 x 32), gate, up, down (64 x 32); the largest once more in full.
    linear = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32)
    expected = linear * (0.5 + 1 / 64 + 4 / 16384) + (total - linear + 64 * 32) * 4
    assert weight_bytes(model, recipe(tiny_base, quantization="nf4"), dtype_bytes=4) == int(expected) // 1
    assert weight_bytes(model, recipe(tiny_base), dtype_bytes=4) == 4 * total


def test_what_is_free_is_bounded_by_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    files = {"memory.max": "5000", "memory.current": "4000", "memory.stat": "anon 7\ninactive_file 300\n"}

    def read(path: Path, *_: object) -> str:
        if path.parent != Path("/sys/fs/cgroup"):
            raise FileNotFoundError(path)
        return files[path.name]

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=9000))
    monkeypatch.setattr(Path, "read_text", read)
    assert available_bytes(gpu=False) == 5000 - 4000 + 300
    files["memory.max"] = "max"
    assert available_bytes(gpu=False) == 9000
    files["memory.max"] = "3000"
    assert available_bytes(gpu=False) == 0
