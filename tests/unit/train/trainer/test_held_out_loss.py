"""Losses on held-out chains by part and kind of move: against transformers, over processes, in a run."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import UsageError
from o1lab.train.rows import TrainingRow
from o1lab.train.trainer.distributed import World
from tests.support.training_lab import prepared, recipe

pytest.importorskip("trl", reason="the train extra is not installed")

from o1lab.train.trainer import held_out_loss
from o1lab.train.trainer.held_out_loss import NAMES, PREFIX, HeldOutLoss

LONG = "So I add. 12 + 34 = 46.\n\nWait, let me check: 46 - 34 = 12.\n\nSo the answer is 46."


def chains(number: int) -> list[TrainingRow]:
    return [TrainingRow(f"t{at}", f"What is {at} + 34?", f"{LONG} {at}.", f"It is {at + 34}.") for at in range(number)]


def loaded(base: Path, chosen: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from o1lab.train.trainer import head
    from o1lab.train.trainer.tensors import load_tokenizer

    model = AutoModelForCausalLM.from_pretrained(base)
    add_fused_lm_head(model)  # as the trainer does
    head.attach(model)
    return model, load_tokenizer(base, chosen)


def test_the_loss_of_a_part_is_that_of_a_plain_forward(tiny_base: Path) -> None:
    import torch

    chosen = recipe(tiny_base, eval_rows=3, lens_traces=2, max_length=512)
    model, tokenizer = loaded(tiny_base, chosen)
    every = chains(8)
    measured = HeldOutLoss(every, chosen, tokenizer, World())
    whole: list[int] = []
    watched = model.get_output_embeddings().register_forward_hook(lambda *_: whole.append(1))
    found = measured.measure(model.train(), contextlib.nullcontext())
    watched.remove()
    assert not whole, "the logits are computed in tiles, not of all positions at once"
    assert model.training and found is not None and measured.left_out == 0 and len(set(measured.trace_ids)) == 2
    losses: dict[str, list[float]] = {"thought": [], "solution": []}
    for row in (one for one in every if one.trace_id in measured.trace_ids):
        prompt = tokenizer.apply_chat_template(
            chosen.prompt.conversation([{"role": "user", "content": row.prompt}]), tokenize=False,
            add_generation_prompt=True,
        )  # fmt: skip
        text = f"{prompt}<think>\n{row.thought}\n</think>\n\n{row.solution}"
        coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, return_tensors="pt")
        with torch.no_grad():
            logits = model.eval()(coded["input_ids"]).logits[0, :-1]
        values = -torch.log_softmax(logits, -1).gather(1, coded["input_ids"][0, 1:, None])[:, 0]
        for part in losses:
            start = text.index(getattr(row, part), len(prompt))
            end = start + len(getattr(row, part))
            offsets = coded["offset_mapping"][0, 1:].tolist()
            losses[part] += [
                value for value, (at, _) in zip(values.tolist(), offsets, strict=True) if start <= at < end
            ]
    for part, wanted in losses.items():
        assert found[PREFIX + part] == pytest.approx(sum(wanted) / len(wanted), abs=1e-4)
    kinds = {name for name in found if name.removeprefix(PREFIX) not in losses}
    assert {f"{PREFIX}{kind}" for kind in ("compute", "verify", "conclude")} <= kinds
    assert kinds <= {PREFIX + name for name in NAMES}


def test_a_word_counts_in_the_move_that_it_begins(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from o1lab.chains.segmentation.moves import segment
    from o1lab.models.prompts import Place, TrainingTokens

    thought = "12 + 34 = 47. Wait, let me check that."
    at = thought.index("Wait")
    moves = segment(thought)
    assert moves[-1].start == at and moves[0].kind != moves[-1].kind
    places = [Place("thought", 0, at - 1), Place("thought", at - 1, at + 4), Place("thought", at + 4, len(thought))]
    monkeypatch.setattr(held_out_loss, "placed_tokens", lambda *_: (TrainingTokens([1], [2, 3, 4]), places))
    chosen = recipe(tiny_base, eval_rows=1, lens_traces=1, max_length=512)
    rows = [TrainingRow(name, f"{name}: what is 12 + 34?", thought, "46") for name in ("a", "b")]
    [chain] = HeldOutLoss(rows, chosen, None, World())._chains
    kinds = [NAMES[columns[1]] for columns in chain.columns]
    assert kinds == [str(moves[0].kind), str(moves[-1].kind), str(moves[-1].kind)]


def test_several_processes_measure_what_one_does(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = recipe(tiny_base, eval_rows=5, lens_traces=3, max_length=512)
    model, tokenizer = loaded(tiny_base, chosen)
    alone = HeldOutLoss(chains(9), chosen, tokenizer, World()).measure(model, contextlib.nullcontext())
    passes: list[int] = []
    model.register_forward_hook(lambda *_: passes.append(1))
    given: list[list[float]] = []
    for rank in (0, 1):
        world = World(rank, 2, 2)
        monkeypatch.setattr(world, "total", lambda values: given.append(values) or values)
        HeldOutLoss(chains(9), chosen, tokenizer, world).measure(model, contextlib.nullcontext())
    assert len(passes) == 4, "each makes two passes, though there are three chains"
    sums = [first + second for first, second in zip(*given, strict=True)]
    number = len(NAMES)
    assert alone == {
        PREFIX + name: pytest.approx(sums[at] / sums[number + at]) for at, name in enumerate(NAMES) if sums[number + at]
    }


def test_a_failure_reaches_all_processes_and_does_not_stop_the_training(tiny_base: Path) -> None:
    chosen = recipe(tiny_base, eval_rows=2, lens_traces=1, max_length=512)
    model, tokenizer = loaded(tiny_base, chosen)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")

    model.forward = broken
    assert HeldOutLoss(chains(4), chosen, tokenizer, World()).measure(model.train(), contextlib.nullcontext()) is None
    assert model.training
    sharded = chosen.model_copy(update={"strategy": "fsdp2"})
    with pytest.raises(RuntimeError, match="out of memory"):  # the other processes wait within the same pass
        HeldOutLoss(chains(4), sharded, tokenizer, World()).measure(model, contextlib.nullcontext())


def test_the_choice_is_that_of_the_seed_and_leaves_out_what_is_too_long(tiny_base: Path) -> None:
    every = chains(12)
    chosen = recipe(tiny_base, eval_rows=6, lens_traces=3, max_length=512)
    _, tokenizer = loaded(tiny_base, chosen)
    first = HeldOutLoss(every, chosen, tokenizer, World()).trace_ids
    assert HeldOutLoss(every, chosen, tokenizer, World()).trace_ids == first
    other = recipe(tiny_base, eval_rows=6, lens_traces=3, max_length=512, seed=random.Random(1).randrange(99))
    assert HeldOutLoss(every, other, tokenizer, World()).trace_ids != first
    short = recipe(tiny_base, eval_rows=6, lens_traces=3, max_length=16)
    assert HeldOutLoss(every, short, tokenizer, World()).left_out == 3


def test_held_out_chains_need_held_out_rows(tiny_base: Path) -> None:
    with pytest.raises(UsageError, match="set eval_rows"):
        recipe(tiny_base, lens_traces=4)


@pytest.mark.slow
def test_a_run_writes_the_losses_at_each_checkpoint(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from o1lab.train import worker
    from o1lab.train.runs.metrics_reader import Metrics, last_metrics

    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run = prepared(tmp_path, "r", recipe(tiny_base, save_steps=4, eval_rows=4, lens_traces=8))
    assert worker.work(run, resuming=False) == 0
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    measured = [line for line in lines if "eval_loss_thought" in line]
    assert [line["step"] for line in measured] == [0, 4, 8]
    assert measured[-1]["eval_loss_thought"] < measured[0]["eval_loss_thought"], "it has learnt something"
    metrics = Metrics(run.metrics)
    metrics.poll()
    assert list(metrics.steps) == list(range(9)), "a checkpoint's losses are in the line of its step"
    assert last_metrics(run.metrics)["eval_loss_solution"] == measured[-1]["eval_loss_solution"]
    assert len(json.loads(run.dataset.read_text())["lens_traces"]) == 4
    assert "4 of the lens_traces are not held out, too long or not readable: 4 are measured." in " ".join(
        run.read_status().warnings
    )
