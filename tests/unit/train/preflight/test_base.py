"""Preflight knows the base: adapters of its real architecture, and what must fail later is refused with what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

from o1lab.cli.train_output import preflight_text
from o1lab.models.adapters import adapted, bare_model
from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.recipe import Recipe
from tests.support.tiny_model import TEMPLATE, make_tiny_model
from tests.support.training_lab import prepared, recipe, rows

NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def inspected(root: Path, chosen: Recipe) -> Preflight:
    from o1lab.train.preflight.worker import inspect

    run = prepared(root, "r", chosen, rows(4))
    return inspect(run, run.path.parent)


def changed(base: Path, folder: Path, **config: Any) -> Path:
    """A copy of a base with other values in its config.json."""
    shutil.copytree(base, folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | config))
    return folder


def codes(found: Preflight) -> list[str]:
    return [problem.code for problem in found.problems]


def test_the_report_names_the_layers_and_counts_their_parameters(
    tiny_family: Callable[[str], Path], tmp_path: Path
) -> None:
    found = inspected(tmp_path, recipe(tiny_family("mixtral")))
    assert found.ok
    assert found.trainable_parameters == 61_568
    assert {target.name: target.layers for target in found.targets}["experts.gate_up_proj"] == 2
    text = preflight_text(found)
    assert "experts.gate_up_proj (2)" in text
    assert "trainable       61,568 parameters" in text


@pytest.mark.parametrize(
    ("family", "values", "code", "words"),
    [
        ("llama", {"lora_targets": "q_proj,gate_porj"}, "no_targets", "Did you mean gate_proj for gate_porj? It has "),
        ("gpt2", {"lora_targets": "c_attn,q_proj"}, "no_targets", "It has c_attn, c_fc, c_proj, wpe, wte."),
        ("phi3", {"lora_targets": "up_proj,o_proj"}, "no_targets", "Did you mean gate_up_proj for up_proj?"),
        ("llama", {"lora_targets": "norm,q_proj"}, "no_targets", "no layer called norm"),
        ("llama", {"modules_to_save": "lm_haed"}, "no_targets", "Did you mean lm_head for lm_haed?"),
        ("llama", {"lora_targets": "lm_head,q_proj"}, "head_target", "--set modules_to_save=lm_head"),
        ("mixtral", {"lora_targets": "w1,w2"}, "no_targets", "Name w3 in lora_targets too, or gate_up_proj."),
        ("qwen2_moe", {"lora_dropout": 0.1}, "expert_dropout", "Set lora_dropout to 0"),
    ],
)
def test_a_target_that_this_base_does_not_have_is_refused_with_the_names_it_has(
    tiny_family: Callable[[str], Path], tmp_path: Path, *, family: str, values: dict[str, Any], code: str, words: str
) -> None:
    found = inspected(tmp_path, recipe(tiny_family(family), **values))
    assert codes(found) == [code]
    assert words in f"{found.problems[0].message} {found.problems[0].hint}"


def test_tokens_that_the_base_has_no_embedding_for_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    base = shutil.copytree(tiny_base, tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<|unused|>"])
    tokenizer.save_pretrained(base)
    unused = inspected(tmp_path / "unused", recipe(base))
    assert (codes(unused), [warning.code for warning in unused.warnings]) == ([], ["vocabulary"])
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save_pretrained(base)
    found = inspected(tmp_path / "used", recipe(base))
    assert codes(found) == ["vocabulary"]
    assert "use <think>, </think>." in found.problems[0].message
    assert f"resize_token_embeddings({len(tokenizer)})" in found.problems[0].hint


def test_rows_beyond_learned_positions_are_refused_and_beyond_rotary_ones_warned_of(tmp_path: Path) -> None:
    learned = inspected(tmp_path / "a", recipe(make_tiny_model(tmp_path / "gpt2", family="gpt2", n_positions=16)))
    assert codes(learned) == ["positions"]
    assert "has 16 positions" in learned.problems[0].message
    assert "Set max_length=16 with over_length=drop or truncate" in learned.problems[0].hint
    rotary = inspected(tmp_path / "b", recipe(make_tiny_model(tmp_path / "llama", max_position_embeddings=16)))
    assert rotary.ok
    assert [warning.code for warning in rotary.warnings] == ["positions"]


def test_a_quantised_base_without_its_library_is_refused(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.quantizers import quantizer_bnb_4bit

    monkeypatch.setattr(quantizer_bnb_4bit, "is_bitsandbytes_available", lambda *_: False)
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat16"}
    base = changed(tiny_base, tmp_path / "base", quantization_config=settings)
    found = inspected(tmp_path, recipe(base))
    assert codes(found) == ["quantised_library"]
    assert "the library bitsandbytes is not installed" in found.problems[0].message
    assert "pip install bitsandbytes" in found.problems[0].hint


def test_a_base_with_an_unknown_quantisation_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    base = changed(tiny_base, tmp_path / "base", quantization_config={"quant_method": "homemade"})
    found = inspected(tmp_path, recipe(base))
    assert codes(found) == ["quantised"]
    assert "homemade" in found.problems[0].message and found.problems[0].hint


def test_a_base_that_needs_its_own_code_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    own = {"model_type": "homemade", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
    base = changed(tiny_base, tmp_path / "base", **own)
    (base / "own.py").write_text("raise SystemExit('it ran')")
    found = inspected(tmp_path, recipe(base))
    assert codes(found) == ["remote_code"]
    assert found.problems[0].hint


def test_a_template_without_a_system_role_is_refused_with_the_setting(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base", template=NO_SYSTEM + TEMPLATE)
    assert inspected(tmp_path / "a", recipe(base)).ok
    found = inspected(tmp_path / "b", recipe(base, system_prompt="Think."))
    assert codes(found) == ["template"]
    assert "system: none" in found.problems[0].hint


def test_a_base_that_the_embedded_server_cannot_serve_is_warned_of(
    tiny_family: Callable[[str], Path], tmp_path: Path
) -> None:
    found = inspected(tmp_path, recipe(tiny_family("qwen3_next")))
    warnings = {warning.code: warning.message for warning in found.warnings}
    assert "linear_attention" in warnings["not_served"]
    assert "shared_expert.up_proj" in warnings["left_out"]
    assert [warning.code for warning in found.warnings] == ["not_served", "left_out"]


@pytest.mark.parametrize("values", [{"lora_targets": "q_proj,embed_tokens"}, {"modules_to_save": "lm_head"}])
def test_untied_embeddings_are_warned_of(values: dict[str, str], tiny_base: Path, tmp_path: Path) -> None:
    assert not inspected(tmp_path / "a", recipe(tiny_base)).warnings
    found = inspected(tmp_path / "b", recipe(tiny_base, **values))
    assert [warning.code for warning in found.warnings] == ["tied_embeddings"]


def test_the_memory_of_adapted_experts_includes_the_copy_of_their_weights(tmp_path: Path) -> None:
    from o1lab.train.preflight.memory import estimate
    from o1lab.train.trainer.targets import lora_config

    base = make_tiny_model(tmp_path / "base", family="mixtral", num_local_experts=64)
    experts = sum(p.numel() for name, p in bare_model(base).named_parameters() if "experts" in name) * 4

    def activations(targets: str) -> int:
        chosen = recipe(base, lora_targets=targets, batch_size=1)
        model = adapted(bare_model(base), lora_config(chosen, bare_model(base)))
        return estimate(model, chosen, longest=1, dtype_bytes=4, gpu=False, weights=0).activations

    assert activations("gate_up_proj,down_proj,q_proj") - activations("q_proj") > experts
