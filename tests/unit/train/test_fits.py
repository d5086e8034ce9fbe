"""What makes long chains fit: a quantised base, packed and grouped rows, the loss on turns of the assistant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import RefusedError
from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from tests.support.tiny_model import FAMILIES, make_tiny_model
from tests.support.training_lab import prepared, recipe, rows
from tests.unit.train.test_worker import _as_before, after_step, losses, work  # noqa: F401 - a fixture

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = pytest.mark.slow

MARKED = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def mixed(count: int = 16) -> list[TrainingRow]:
    """Rows of very different lengths."""
    return [
        TrainingRow(f"t{n}", f"What is {n} + 1?", "check: it holds. " * (1 + 5 * (n % 4)), f"The answer is {n + 1}.")
        for n in range(count)
    ]


def build(base: Path, chosen: Recipe, learn: list[TrainingRow], folder: Path) -> Any:
    from o1lab.train.trainer import compute, tensors, trainers
    from o1lab.train.trainer.targets import lora_config

    tokenizer = tensors.load_tokenizer(base, chosen)
    model = compute.load_base(base, compute.Dtype("fp32", ""), chosen, gpu=False)
    trainer, _ = trainers.build_trainer(
        model, tokenizer, chosen, learn, folder, cpu=True, adapter=lora_config(chosen, model)
    )
    return trainer


def inspected(root: Path, chosen: Recipe, learn: list[TrainingRow] | None = None) -> Preflight:
    from o1lab.train.preflight.worker import inspect

    run = prepared(root, "preflight", chosen, rows(4) if learn is None else learn)
    return inspect(run, run.path.parent)


def test_packed_rows_have_the_loss_of_the_rows_alone(tiny_base: Path, tmp_path: Path) -> None:
    """All rows are in each step, so that both runs see the same rows; the second step has the first one's gradient."""
    values: dict[str, Any] = {"steps": 3, "max_length": 256, "learning_rate": 0.01}
    plain = prepared(tmp_path, "plain", recipe(tiny_base, batch_size=16, **values), mixed())
    assert work(plain) == 0
    packed = prepared(tmp_path, "packed", recipe(tiny_base, batch_size=16, packing=True, **values), mixed())
    assert work(packed) == 0
    expected, found = losses(plain), losses(packed)
    assert found == pytest.approx(expected, abs=1e-4)
    assert expected[3] < expected[1] - 0.05


def test_packed_rows_are_fewer_and_keep_all_tokens(tiny_base: Path, tmp_path: Path) -> None:
    trainer = build(tiny_base, recipe(tiny_base, packing=True, max_length=256, batch_size=1), mixed(), tmp_path)
    alone, packed = trainer.rows["input_ids"], trainer.train_dataset["input_ids"]
    assert len(packed) < len(alone) / 2
    assert sum(map(len, packed)) == sum(map(len, alone))
    assert max(map(len, packed)) <= 256
    batch = trainer.data_collator([trainer.train_dataset[0]])
    assert int((batch["position_ids"] == 0).sum()) == len(trainer.train_dataset[0]["seq_lengths"])


@pytest.mark.parametrize("family", FAMILIES)
def test_packing_is_refused_where_attention_cannot_separate_rows(
    tiny_family: Callable[[str], Path], tmp_path: Path, *, family: str
) -> None:
    """qwen3_next has a state; gpt_oss builds its mask without the positions."""
    base = tiny_family(family)
    chosen = recipe(base, packing=True, batch_size=1)
    found = inspected(tmp_path, chosen)
    if family in ("qwen3_next", "gpt_oss"):
        with pytest.raises(RefusedError, match="cannot keep packed rows apart") as refused:
            build(base, chosen, rows(4), tmp_path)
        assert refused.value.code == "packing"
        assert [problem.code for problem in found.problems] == ["packing"]
    else:
        assert len(build(base, chosen, rows(4), tmp_path).train_dataset) < 4
        assert found.ok and not [warning for warning in found.warnings if warning.code == "packing"]


def test_a_model_that_mixes_packed_rows_is_found_by_its_logits(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import masking_utils

    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", lambda _: None)
    with pytest.raises(RefusedError, match="each would see the rows before it"):
        build(tiny_base, recipe(tiny_base, packing=True, batch_size=1), rows(4), tmp_path)


def test_batches_have_rows_of_similar_length_by_default(tiny_base: Path, tmp_path: Path) -> None:
    padded = {}
    for grouping in (True, False):
        chosen = recipe(tiny_base, batch_size=4, max_length=256, length_grouping=grouping)
        trainer = build(tiny_base, chosen, mixed(64), tmp_path)
        batches = list(trainer.get_train_dataloader())
        padded[grouping] = sum(batch["input_ids"].numel() for batch in batches)
        assert sum(int(batch["attention_mask"].sum()) for batch in batches) == sum(map(len, trainer.rows["input_ids"]))
        assert trainer.grouped == grouping
    assert padded[True] < 0.8 * padded[False]
    assert not build(tiny_base, recipe(tiny_base, batch_size=1), mixed(), tmp_path).grouped


@pytest.mark.parametrize("values", [{}, {"packing": True, "batch_size": 1}, {"quantization": "nf4"}])
def test_a_resumed_run_continues_grouped_packed_and_quantised(
    values: dict[str, Any], tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(tiny_base, **{"steps": 7, "batch_size": 4, "max_length": 256, "save_steps": 3, **values})
    whole, broken = prepared(tmp_path, "whole", chosen, mixed()), prepared(tmp_path, "broken", chosen, mixed())
    assert work(whole) == 0
    with monkeypatch.context() as patch:
        after_step(patch, 4, broken.ask_to_stop)
        assert work(broken) == 0
    assert broken.read_status().state == "stopped"
    assert work(broken, resuming=True) == 0
    assert losses(broken) == losses(whole)


def test_a_quantised_base_trains_an_ordinary_adapter(tiny_base: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    values: dict[str, Any] = {"steps": 6, "batch_size": 8, "learning_rate": 0.02, "probes": [{"prompt": "2 + 2?"}]}
    run = prepared(tmp_path, "nf4", recipe(tiny_base, quantization="nf4", eval_steps=2, **values), mixed())
    assert work(run) == 0
    silent = prepared(tmp_path, "silent", recipe(tiny_base, quantization="nf4", **(values | {"probes": []})), mixed())
    assert work(silent) == 0
    assert losses(run) == losses(silent), "asking probes changed the training"
    assert losses(run)[6] < losses(run)[1] - 0.2
    samples = [json.loads(line) for line in run.samples.read_text().splitlines()]
    assert [one["step"] for one in samples] == [0, 2, 4, 6]
    saved = load_file(run.checkpoint(6) / "adapter_model.safetensors")
    assert {tensor.dtype.itemsize for tensor in saved.values()} == {4}
    assert not [name for name in saved if "absmax" in name or "quant" in name]
    config = json.loads((run.checkpoint(6) / "adapter_config.json").read_text())
    assert "quantization_config" not in config
    student = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), str(run.checkpoint(6)))
    plain = prepared(tmp_path, "plain", recipe(tiny_base, **values | {"probes": []}), mixed())
    assert work(plain) == 0
    assert losses(run) == pytest.approx(losses(plain), abs=0.15)
    assert losses(run)[1] != losses(plain)[1], "the base was not quantised"
    assert student.peft_config["default"].r == 16


def test_the_student_of_a_quantised_run_is_served_and_merged_on_the_plain_base(tiny_base: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from o1lab.models.merge_worker import merge
    from o1lab.models.merging import Job
    from o1lab.serve.engine.engine import Engine
    from o1lab.serve.engine.weights import add_adapter, load_weights

    run = prepared(tmp_path, "nf4", recipe(tiny_base, quantization="nf4", steps=2, learning_rate=0.02))
    assert work(run) == 0
    checkpoint = run.checkpoint(2)
    out = tmp_path / "out"
    merged = merge(Job(base=str(tiny_base), adapter=str(checkpoint), out=str(out), dtype="float32", prompts=["2 + 2?"]))
    assert merged["equal"] == merged["saved_equal"] == 1
    weights = load_weights(tiny_base, dtype="float32")
    engine = Engine(weights.model, weights.end_tokens, chunk_tokens=16)
    engine.start()
    try:
        add_adapter(weights, engine, "student", checkpoint)
    finally:
        engine.close()
    weights.model.set_adapter(weights.slots["student"])
    ids = torch.tensor([[5, 80, 90, 100]])
    with torch.inference_mode():
        served = weights.model(input_ids=ids).logits
        expected = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)(input_ids=ids).logits
    assert (served - expected).abs().max() < 1e-3


def test_a_quantised_run_starts_from_an_adapter_without_rounding_it(tiny_base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    first = prepared(tmp_path, "first", recipe(tiny_base, steps=3, learning_rate=0.02))
    assert work(first) == 0
    second = prepared(
        tmp_path,
        "second",
        recipe(tiny_base, steps=1, learning_rate=1e-12, init_from="first/step-3", quantization="nf4"),
    )
    assert work(second) == 0
    before, after = (
        load_file(run / "adapter_model.safetensors") for run in (first.checkpoint(3), second.checkpoint(1))
    )
    for name, tensor in before.items():
        assert after[name].sub(tensor).abs().max() < 1e-7, name


def test_preflight_counts_padding_and_packed_rows(tiny_base: Path, tmp_path: Path) -> None:
    from o1lab.cli.train_output import preflight_text

    mixed_rows = mixed(64)
    found = inspected(tmp_path / "a", recipe(tiny_base, batch_size=4, max_length=256), mixed_rows)
    assert found.batches.used == "grouped"
    assert found.batches.random > 1.3 > found.batches.grouped >= 1.0
    assert f"{found.batches.grouped:.2f} in batches of similar length (used)" in preflight_text(found)
    plain = inspected(tmp_path / "b", recipe(tiny_base, max_length=256, length_grouping=False), mixed_rows)
    assert (plain.batches.used, plain.batches.random) == ("random", found.batches.random)
    packed = inspected(tmp_path / "c", recipe(tiny_base, max_length=256, packing=True, steps=None), mixed_rows)
    assert packed.batches.used == "packed"
    assert packed.batches.packed_rows < 32
    assert packed.total_steps == -(-packed.batches.packed_rows // 4)
    assert packed.train_rows == 64
    assert f"64 rows in {packed.batches.packed_rows} packed rows of up to 256 tokens" in preflight_text(packed)
    assert [warning.code for warning in packed.warnings] == ["packing_batch"]


def test_the_turns_of_the_assistant_are_learned_token_by_token(tmp_path: Path) -> None:
    from o1lab.train.trainer import tensors
    from o1lab.train.trainer.held_out import IGNORED

    base = make_tiny_model(tmp_path / "base", template=MARKED)
    context = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 1 + 1?"},
        {"role": "assistant", "content": "The answer is 2."},
        {"role": "user", "content": "And 2 + 2?"},
    ]
    learn = [TrainingRow("t", "And 2 + 2?", "2 + 2 = 4", "The answer is 4.", context)]
    first, last = "The answer is 2.<|im_end|>", "<think>\n2 + 2 = 4\n</think>\n\nThe answer is 4.<|im_end|>"
    for only, expected in ((False, last), (True, first + last)):
        chosen = recipe(base, assistant_only_loss=only)
        tokenizer = tensors.load_tokenizer(base, chosen)
        (row,) = tensors.as_dataset(learn, chosen, tokenizer)
        learned = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED]
        assert tokenizer.decode(learned) == expected
        assert all(label in (IGNORED, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))
    whole = tokenizer.decode(row["input_ids"])
    at, spans = 0, []
    for token, label in zip(row["input_ids"], row["labels"], strict=True):
        text = tokenizer.decode([token])
        inside = any(whole.find(part) <= at < whole.find(part) + len(part) for part in (first, last))
        spans.append((inside, label != IGNORED))
        at += len(text)
    assert at == len(whole)
    assert all(inside == is_learned for inside, is_learned in spans)


def test_what_a_student_wrote_is_not_learned_if_the_recipe_says_so(tmp_path: Path) -> None:
    from o1lab.train.preflight.worker import inspect
    from o1lab.train.trainer import tensors
    from o1lab.train.trainer.held_out import IGNORED

    base = make_tiny_model(tmp_path / "base")
    thought, solution = "2 + 2 = 5. Wait: 2 + 2 = 4", "The answer is 4."
    learn = [TrainingRow("t", "And 2 + 2?", thought, solution, given=(("thought", 0, len("2 + 2 = 5.")),))]
    whole = f"<think>\n{thought}\n</think>\n\n{solution}<|im_end|>"
    for only, expected in ((False, whole), (True, whole.replace("2 + 2 = 5.", ""))):
        chosen = recipe(base, teacher_only_loss=only)
        tokenizer = tensors.load_tokenizer(base, chosen)
        (row,) = tensors.as_dataset(learn, chosen, tokenizer)
        learned = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED]
        assert tokenizer.decode(learned).rstrip() == expected
        assert tokenizer.decode(row["input_ids"]).rstrip().endswith(whole)
    # The given beginning is no text that got lost, and training after it is no other prompt.
    found = inspect(prepared(tmp_path, "r", recipe(base, teacher_only_loss=True), learn), tmp_path)
    assert [problem.code for problem in found.problems] == []


def test_assistant_turns_without_marks_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="does not mark the assistant's turns") as refused:
        build(tiny_base, recipe(tiny_base, assistant_only_loss=True), rows(2), tmp_path)
    assert refused.value.code == "generation_marks"
    assert "{% generation %}" in refused.value.hint


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"attention": "flash_attention_2"}, "attention", "flash_attention_2 needs a GPU."),
        ({"liger": True}, "liger", "Liger's layers need a GPU."),
        ({"quantization": "nf4", "modules_to_save": "q_proj"}, "quantization", "q_proj cannot be trained in full"),
    ],
)
def test_what_this_machine_or_base_cannot_do_is_refused(
    tiny_base: Path, tmp_path: Path, *, values: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        build(tiny_base, recipe(tiny_base, **values), rows(2), tmp_path)
    assert refused.value.code == code
    assert words in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("values", "package"), [({"attention": "flash_attention_2"}, "flash-attn"), ({"liger": True}, "liger-kernel")]
)
def test_a_missing_package_is_named_on_a_gpu(tiny_base: Path, *, values: dict[str, Any], package: str) -> None:
    from o1lab.models.adapters import bare_model
    from o1lab.train.trainer.loading import refuse_unavailable

    with pytest.raises(RefusedError, match=f"The package {package} is not installed") as refused:
        refuse_unavailable(recipe(tiny_base, **values), bare_model(tiny_base), gpu=True)
    assert f"pip install {package}" in refused.value.hint


def test_attention_and_kernels_reach_the_libraries(tiny_base: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import torch

    from o1lab.train.trainer import loading
    from o1lab.train.trainer.sft import trainer_config

    assert (
        build(tiny_base, recipe(tiny_base, attention="eager"), rows(2), tmp_path).model.config._attn_implementation
        == "eager"
    )
    monkeypatch.setattr(loading, "is_flash_attn_2_available", lambda: True)
    found = [
        loading.load_options(recipe(tiny_base, attention=name), dtype, gpu=gpu).get("attn_implementation")
        for name, dtype, gpu in (
            ("auto", torch.bfloat16, True),
            ("auto", torch.float32, True),
            ("auto", torch.bfloat16, False),
            ("sdpa", torch.bfloat16, True),
        )
    ]
    assert found == ["flash_attention_2", None, None, "sdpa"]
    assert trainer_config(recipe(tiny_base, liger=True), tmp_path, cpu=True, bf16=False).use_liger_kernel is False
