"""The output head of training on a CPU against TRL's own: the same figures, the same gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_model import FAMILIES

torch = pytest.importorskip("torch", reason="the train extra is not installed")
head: Any = pytest.importorskip("o1lab.train.trainer.head", reason="the train extra is not installed")

IGNORED = head.IGNORED
OUTPUTS = ("log_probs", "entropy", "is_top1")
FIGURES = ("loss", "log_probs", "entropy", "is_top1", "label_mask")


def student(base: Path, *, dtype: Any = None, full: bool = False) -> Any:
    """Return a model with TRL's head, and with an adapter unless all weights are trained."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype or torch.float32)
    add_fused_lm_head(model, outputs=OUTPUTS)
    if full:
        return model
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def batch(rows: int = 3, tokens: int = 120) -> dict[str, Any]:
    """Return rows with a prompt that is not learned, and padding in all but the first."""
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(3, 380, (rows, tokens), generator=draw)
    mask, labels = torch.ones_like(ids), ids.clone()
    labels[:, :20] = IGNORED
    for row in range(1, rows):
        mask[row, tokens - 17 * row :] = 0
        labels[row, tokens - 17 * row :] = IGNORED
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def step(model: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the outputs of a forward pass, and the gradients of a loss that weighs tokens differently."""
    model.zero_grad()
    found = model(**inputs, fused_lm_head=True)
    weights = torch.linspace(0.5, 1.5, found.log_probs.numel()).view_as(found.log_probs)
    (-(found.log_probs * weights).sum() / 50).backward()
    gradients = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    return found, gradients


def largest(found: Any, exact: Any) -> float:
    """Return the largest difference of a log-probability."""
    return float((found.log_probs - exact.log_probs).detach().abs().max())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tokens of each call of our head."""
    seen: list[int] = []
    scored = head._scored

    def counted(hidden: Any, labels: Any, output: Any) -> Any:
        seen.append(int((labels != IGNORED).sum()))
        return scored(hidden, labels, output)

    monkeypatch.setattr(head, "_scored", counted)
    return seen


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "qwen3_next"])
def test_figures_and_gradients_are_those_of_trl(
    tiny_family: Callable[[str], Path], calls: list[int], *, family: str
) -> None:
    model, inputs = student(tiny_family(family)), batch()
    expected, slopes = step(model, inputs)
    head.attach(model)
    found, ours = step(model, inputs)
    assert calls == [int((inputs["labels"][:, 1:] != IGNORED).sum())]
    for name in FIGURES:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-5)
    assert ours.keys() == slopes.keys() and len(slopes) > 4
    for name, slope in slopes.items():
        torch.testing.assert_close(ours[name], slope, rtol=1e-3, atol=1e-6)


def test_more_tokens_than_a_tile_have_the_same_figures(
    tiny_base: Path, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = student(tiny_base), batch()
    head.attach(model)
    whole, slopes = step(model, inputs)
    monkeypatch.setattr(head, "TILE", 7)
    tiled, ours = step(model, inputs)
    assert calls[0] == calls[1] > head.TILE
    torch.testing.assert_close(tiled.log_probs, whole.log_probs)
    torch.testing.assert_close(tiled.entropy, whole.entropy)
    assert all(torch.allclose(ours[name], slope, rtol=1e-4, atol=1e-7) for name, slope in slopes.items())


def test_bfloat16_is_as_near_to_float32_as_trl_is(tiny_base: Path) -> None:
    exact, _ = step(student(tiny_base), batch())
    model = student(tiny_base, dtype=torch.bfloat16)
    theirs, _ = step(model, batch())
    head.attach(model)
    ours, slopes = step(model, batch())
    assert ours.log_probs.dtype == torch.float32
    allowed = 1.1 * largest(theirs, exact)
    assert largest(ours, exact) <= allowed
    assert all(bool(slope.isfinite().all()) for slope in slopes.values())


def test_a_batch_without_a_learned_token_has_a_gradient_of_zero(tiny_base: Path, calls: list[int]) -> None:
    model, inputs = student(tiny_base), batch()
    head.attach(model)
    inputs["labels"] = torch.full_like(inputs["labels"], IGNORED)
    found, slopes = step(model, inputs)
    assert calls == [0] and float(found.loss.detach()) == 0
    assert slopes and all(not slope.any() for slope in slopes.values())


def test_evaluation_needs_no_gradient(tiny_base: Path, calls: list[int]) -> None:
    model, inputs = student(tiny_base), batch()
    with torch.no_grad():
        expected = model(**inputs, fused_lm_head=True)
        head.attach(model)
        found = model(**inputs, fused_lm_head=True)
    assert len(calls) == 1
    torch.testing.assert_close(found.log_probs, expected.log_probs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("why", ["all weights are trained", "softcapping", "logits"])
def test_what_it_does_not_compute_is_left_to_trl(tiny_base: Path, calls: list[int], *, why: str) -> None:
    model, inputs = student(tiny_base, full=why == "all weights are trained"), batch()
    if why == "softcapping":
        model.get_base_model().config.final_logit_softcapping = 30.0
    head.attach(model)
    if why == "logits":
        found = model(**inputs)
        assert found.logits.shape == (3, 120, found.logits.shape[-1]) and found.loss is not None
    else:
        found = model(**inputs, fused_lm_head=True)
        found.loss.backward()
    assert calls == []


def test_the_trainer_of_a_run_uses_it(tiny_base: Path, tmp_path: Path, calls: list[int]) -> None:
    from o1lab.train.trainer import compute, tensors, trainers
    from o1lab.train.trainer.targets import lora_config
    from tests.support.training_lab import recipe, rows

    chosen = recipe(tiny_base, steps=2)
    tokenizer = tensors.load_tokenizer(tiny_base, chosen)
    model = compute.load_base(tiny_base, compute.Dtype("fp32", ""), chosen, gpu=False)
    adapter = lora_config(chosen, model)
    trainer, _ = trainers.build_trainer(model, tokenizer, chosen, rows(), tmp_path, cpu=True, adapter=adapter)
    trainer.train()
    assert len(calls) == 2
    logged = [line for line in trainer.state.log_history if "loss" in line]
    assert len(logged) == 2 and all(0 < line["entropy"] < 10 for line in logged)
