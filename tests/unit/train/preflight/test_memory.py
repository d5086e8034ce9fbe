"""The memory that preflight estimates: each part by hand for a tiny base, and what it grows with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

from o1lab.models.adapters import adapted, bare_model
from o1lab.train.preflight import base as checks
from o1lab.train.preflight.memory import RUNTIME_CPU, RUNTIME_GPU, Estimate, available_bytes, estimate
from o1lab.train.preflight.report import Preflight
from o1lab.train.targets import lora_config
from tests.support.training_lab import prepared, recipe, rows


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def guess(tiny_base: Path) -> Callable[..., Estimate]:
    """Estimates a run of the tiny base with an adapter of rank 4 on q_proj."""

    def of(
        *, longest: int = 10, dtype_bytes: int = 4, gpu: bool = False, weights: int = 1000, **values: Any
    ) -> Estimate:
        plain = {"lora_targets": "q_proj", "lora_r": 4, "batch_size": 3, "lora_dropout": 0.0}
        chosen = recipe(tiny_base, **{**plain, "gradient_checkpointing": False, **values})
        model = adapted(bare_model(tiny_base), lora_config(chosen, bare_model(tiny_base)))
        return estimate(model, chosen, longest=longest, dtype_bytes=dtype_bytes, gpu=gpu, weights=weights)

    return of


def test_each_part_is_what_the_formula_says(guess: Callable[..., Estimate], tiny_base: Path) -> None:
    config = json.loads((tiny_base / "config.json").read_text())
    # Two layers, hidden 32, intermediate 64, 4 heads of 8 and 2 key-value heads: inputs + outputs of seven layers.
    q, k, v, o, gate, up, down = 32 + 32, 32 + 16, 32 + 16, 32 + 32, 32 + 64, 32 + 64, 64 + 32
    linear = (q + k + v + o + gate + up + down) * 4
    lora, between = 32 * 4 + 4 * 4, 2 * 32 * (4 + 4) + 2 * 64 * 4
    trainable = 2 * (32 * 4 + 4 * 32)
    activations = 3 * 10 * 2 * (linear + lora + between)
    overhead = RUNTIME_CPU + 3 * 256 * config["vocab_size"] * 4
    lost = int(0.2 * (1000 + 16 * trainable + activations + overhead))
    found = guess()
    assert found == Estimate(1000, 16 * trainable, activations, overhead + lost, trainable)
    assert found.total == 1000 + 16 * trainable + activations + overhead + lost


def test_checkpointing_keeps_the_inputs_of_the_layers_and_one_layer(guess: Callable[..., Estimate]) -> None:
    layer = guess().activations // 2
    assert guess(gradient_checkpointing=True).activations == 3 * 10 * 2 * 32 * 4 + layer


def test_it_grows_with_rows_tokens_rank_dropout_and_format(guess: Callable[..., Estimate]) -> None:
    plain = guess()
    assert guess(batch_size=6).activations == 2 * plain.activations == guess(longest=20).activations
    assert guess(batch_size=6).total > plain.total < guess(longest=20).total
    assert guess(lora_r=8).adapter == 2 * plain.adapter
    assert guess(lora_dropout=0.1).activations - plain.activations == 3 * 10 * 2 * 32 * 5
    assert guess(dtype_bytes=2).activations < plain.activations
    assert guess(weights=2000).total - plain.total == pytest.approx(1200, abs=1)
    assert guess(gpu=True).total - plain.total == pytest.approx(1.2 * (RUNTIME_GPU - RUNTIME_CPU), abs=1)


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
