"""Preference training for real, with a tiny model: DPO and KTO on pairs, their reference, metrics and resuming."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from o1lab.errors import RefusedError, UsageError
from o1lab.models.checkpoints import checkpoint_step
from o1lab.train.rows import Answer, TrainingRow, read_rows
from o1lab.train.runs.directory import RunDir
from o1lab.train.runs.metrics_reader import Metrics
from tests.support.training_lab import prepared, recipe

pytest.importorskip("trl", reason="the train extra is not installed")
pytestmark = pytest.mark.slow

MEASURED = {"reward_margin", "reward_chosen", "reward_rejected", "logps_chosen", "logps_rejected"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def pairs(count: int = 16) -> list[TrainingRow]:
    """Pairs whose better answer ends with the right sum."""
    return [
        TrainingRow(
            f"good{n}", f"What is {n} + {n + 3}?", f"ones: {n} + {n + 3} = {2 * n + 3}, holds",
            f"The answer is {2 * n + 3}.", rejected=Answer(f"bad{n}", "I guess.", "No idea at all, sorry."),
        )
        for n in range(count)
    ]  # fmt: skip


def chosen(base: Path, objective: str, **values: Any) -> Any:
    quick = {"objective": objective, "learning_rate": 5e-3, "batch_size": 4, "steps": 8, "schedule": "constant"}
    return recipe(base, **quick | values)


def work(run: RunDir, *, resuming: bool = False) -> int:
    from o1lab.train import worker

    return worker.work(run, resuming=resuming)


def metrics(run: RunDir) -> Metrics:
    found = Metrics(run.metrics)
    found.poll()
    return found


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_the_margin_rises_and_the_run_is_like_any_other(tiny_base: Path, tmp_path: Path, objective: str) -> None:
    plan = chosen(tiny_base, objective, eval_rows=4, eval_steps=4, save_steps=4, probes=[{"prompt": "Hi"}])
    run = prepared(tmp_path, "r", plan, pairs())
    assert work(run) == 0, run.read_status()
    assert run.read_status().state == "finished"
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    logged = [line for line in lines if "loss" in line]
    assert all(set(line) >= MEASURED for line in logged)
    assert logged[0]["reward_margin"] == pytest.approx(0, abs=1e-3)  # the student is its reference
    assert logged[-1]["reward_margin"] > 0.1
    assert logged[-1]["loss"] < logged[0]["loss"]
    if objective == "dpo":
        assert logged[-1]["reward_accuracy"] == 1.0
        assert logged[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    held_out = [line for line in lines if "eval_loss" in line]
    assert [line["step"] for line in held_out] == [4, 8]
    assert held_out[-1]["eval_reward_margin"] > 0
    assert logged[-1]["num_tokens"] > logged[0]["num_tokens"] > 0
    assert [path.name for path in run.checkpoints()] == ["step-4", "step-8"]
    assert not (run.checkpoint(8) / "ref").exists()
    described = json.loads(run.dataset.read_text())
    assert described["rows"] == 16
    assert described["trace_ids"][0] == "good0"
    assert described["tokens"]["total"] > 0


def test_an_adapter_that_starts_from_the_base_is_its_own_reference(tiny_base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    plan = chosen(tiny_base, "dpo", adapter="pissa", lora_r=4, lora_plus_ratio=4, steps=2, save_steps=1)
    run = prepared(tmp_path, "r", plan, pairs())
    assert work(run) == 0, run.read_status()
    first = json.loads(run.metrics.read_text().splitlines()[0])
    assert first["reward_margin"] == pytest.approx(0, abs=1e-3)
    more = prepared(
        tmp_path, "s", chosen(tiny_base, "dpo", adapter="pissa", lora_r=4, steps=1, init_from="r/step-2"), pairs()
    )
    assert work(more) == 0, more.read_status()
    one, two, three = (
        load_file(path / "adapter_model.safetensors")
        for path in (run.checkpoint(1), run.checkpoint(2), more.checkpoint(1))
    )
    for name in one:
        (a, held), (b, kept), (c, again) = (step[name].chunk(2, int(".lora_B." in name)) for step in (one, two, three))
        assert bool((held == kept).all()) and bool((kept == again).all())
        assert bool((a != b).any()) and bool((b != c).any())


@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_the_resumed_run_is_the_uninterrupted_one(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    from o1lab.train.trainer import preference

    kind = preference.PairTrainer if objective == "dpo" else preference.AnswerTrainer
    plan = chosen(tiny_base, objective, steps=6)
    whole, broken = prepared(tmp_path, "whole", plan, pairs()), prepared(tmp_path, "broken", plan, pairs())
    assert work(whole) == 0
    honest = kind.compute_loss

    def stopping(self: Any, *args: Any, **options: Any) -> Any:
        if self.state.global_step == 2:
            broken.ask_to_stop()
        return honest(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "compute_loss", stopping)
        assert work(broken) == 0
    assert (broken.read_status().state, broken.read_status().step) == ("stopped", 3)
    broken.stop_file.unlink()
    assert work(broken, resuming=True) == 0
    for name in ("loss", "reward_margin", "num_tokens"):
        assert list(metrics(broken).column(name)) == list(metrics(whole).column(name))


@pytest.mark.parametrize("objective", ["dpo", pytest.param("kto", marks=pytest.mark.exhaustive)])
def test_the_reference_is_the_run_that_it_starts_from(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    """Were the bare base the reference, the first margin would be that of the supervised run."""
    import torch
    from safetensors.torch import load_file

    first = prepared(tmp_path, "first", recipe(tiny_base, learning_rate=5e-3), [*pairs()])
    assert work(first) == 0
    plan = chosen(tiny_base, objective, init_from="first/step-8", steps=4)
    kept: dict[str, torch.Tensor] = {}

    from o1lab.train import training

    honest = training._ending

    def looking(trainer: Any, *others: Any) -> dict[str, str]:
        kept.update({name: one.detach().clone() for name, one in trainer.model.named_parameters() if ".ref." in name})
        return honest(trainer, *others)

    monkeypatch.setattr(training, "_ending", looking)
    run = prepared(tmp_path, "second", plan, pairs())
    assert work(run) == 0, run.read_status()
    margins = metrics(run).column("reward_margin")
    assert margins[0] == pytest.approx(0, abs=1e-3)
    assert margins[-1] > 0.05
    began, ended = (
        load_file(one.checkpoint(step) / "adapter_model.safetensors") for one, step in ((first, 8), (run, 4))
    )
    assert began.keys() == ended.keys()
    assert any(not torch.equal(began[name], ended[name]) for name in began)
    reference = {name.replace(".ref.", "."): value for name, value in kept.items()}
    assert len(reference) == len(began)
    assert all(torch.equal(reference[name], began[name]) for name in began)  # frozen, and a copy of the first run's
    # A resume makes the same reference again, not one of the checkpoint.
    again = prepared(tmp_path, "third", plan.model_copy(update={"steps": 6}), pairs())
    (again.path / "checkpoints" / "step-4").symlink_to(run.checkpoint(4))
    assert work(again, resuming=True) == 0, again.read_status()
    assert metrics(again).column("reward_margin")[0] > margins[-1] / 2
    assert checkpoint_step(again.checkpoints()[-1]) == 6


@pytest.mark.parametrize("objective", ["dpo", pytest.param("kto", marks=pytest.mark.exhaustive)])
def test_the_adapter_of_a_quantised_base_is_not_rounded(tiny_base: Path, tmp_path: Path, objective: str) -> None:
    from safetensors.torch import load_file

    first = prepared(tmp_path, "first", recipe(tiny_base, steps=3, learning_rate=0.02))
    assert work(first) == 0
    plan = chosen(tiny_base, objective, steps=1, learning_rate=1e-12, quantization="nf4")
    run = prepared(tmp_path, "second", plan.model_copy(update={"init_from": "first/step-3"}), pairs())
    assert work(run) == 0, run.read_status()
    before, after = (
        load_file(one.checkpoint(step) / "adapter_model.safetensors") for one, step in ((first, 3), (run, 1))
    )
    for name, tensor in before.items():
        assert after[name].sub(tensor).abs().max() < 1e-7, name
    assert metrics(run).column("reward_margin")[0] == pytest.approx(0, abs=1e-6)
    new = prepared(tmp_path, "new", plan, pairs())
    assert work(new) == 0, new.read_status()
    saved = load_file(new.checkpoint(1) / "adapter_model.safetensors")
    assert {tensor.dtype.itemsize for tensor in saved.values()} == {4}


def test_the_tokens_are_those_of_supervised_training(tiny_base: Path, tmp_path: Path) -> None:
    from o1lab.train.trainer import preference, tensors, trainers

    rows = pairs(6)
    tokenizer = tensors.load_tokenizer(tiny_base, recipe(tiny_base))
    plain = tensors.as_dataset(rows, recipe(tiny_base), tokenizer)
    built = {}
    for objective in ("dpo", "kto"):
        made = chosen(tiny_base, objective)
        built[objective], lengths = trainers.build_trainer(
            tensors.stand_in(tokenizer), tokenizer, made, rows, tmp_path, cpu=True
        )
        assert len(lengths.lengths) == 12
        better = {row["trace_id"]: row for row in preference.better_answers(built[objective].train_dataset)}
        for row in plain:
            assert better[row["trace_id"]]["input_ids"] == row["input_ids"]
            assert better[row["trace_id"]]["labels"] == row["labels"]
    batch = built["dpo"].data_collator(list(islice(built["dpo"].train_dataset, 2)))
    for at, mask in enumerate(batch["completion_mask"][:2].tolist()):
        learned = [token for token, one in zip(batch["input_ids"][at].tolist(), mask, strict=True) if one]
        assert learned == [label for label in plain[at]["labels"] if label != tensors.IGNORED]
    worse = tokenizer.decode(built["dpo"].train_dataset[0]["rejected_ids"])
    assert worse == "<think>\nI guess.\n</think>\n\nNo idea at all, sorry.<|im_end|>\n"


def test_kto_spreads_both_sides_and_takes_each_answer_once(tiny_base: Path, tmp_path: Path) -> None:
    from o1lab.train.trainer import tensors, trainers

    rows = pairs(6)
    rows.append(
        TrainingRow("good0", rows[0].prompt, rows[0].thought, rows[0].solution, rejected=Answer("x", "", "Else."))
    )
    tokenizer = tensors.load_tokenizer(tiny_base, recipe(tiny_base))
    trainer, _ = trainers.build_trainer(
        tensors.stand_in(tokenizer), tokenizer, chosen(tiny_base, "kto"), rows, tmp_path, cpu=True
    )
    found = list(trainer.train_dataset)
    assert sorted(row["trace_id"] for row in found if row["label"]) == [f"good{n}" for n in range(6)]
    assert sum(not row["label"] for row in found) == 7
    for start in range(0, 12, 4):
        batch = found[start : start + 4]
        assert {row["label"] for row in batch} == {True, False}
        assert sorted(row["KL_completion_ids"] for row in batch) == sorted(row["completion_ids"] for row in batch)


def test_long_answers_are_refused_dropped_or_cut_with_their_pair(tiny_base: Path, tmp_path: Path) -> None:
    from o1lab.train.trainer import preference, tensors, trainers

    rows = pairs(4)
    long = Answer("long", "so " * 60, "No.")
    rows[1] = TrainingRow("good1", rows[1].prompt, rows[1].thought, rows[1].solution, rejected=long)
    tokenizer = tensors.load_tokenizer(tiny_base, recipe(tiny_base))

    def build(**values: Any) -> tuple[Any, tensors.Lengths]:
        made = chosen(tiny_base, "dpo", max_length=80, **values)
        return trainers.build_trainer(tensors.stand_in(tokenizer), tokenizer, made, rows, tmp_path, cpu=True)

    _, lengths = build()
    assert lengths.over == 1
    with pytest.raises(RefusedError, match="1 of 8 rows are longer"):
        tensors.refuse_over_length(lengths, chosen(tiny_base, "dpo", max_length=80))
    trainer, lengths = build(over_length="drop")
    assert (len(trainer.train_dataset), lengths.dropped) == (3, 1)
    trainer, lengths = build(over_length="truncate")
    assert (len(trainer.train_dataset), lengths.truncated) == (4, 1)
    assert max(map(len, preference.sequences(trainer.train_dataset))) == 80


def test_rows_of_pairs_survive_the_run_directory(tiny_base: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path, "r", chosen(tiny_base, "dpo"), pairs(2))
    assert read_rows(run.data) == pairs(2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replay": 0.2}, "dpo cannot replay"),
        ({"modules_to_save": "lm_head"}, "leave modules_to_save empty"),
        ({"objective": "kto", "batch_size": 1}, "batch_size must be 2 or more"),
        ({"objective": "kto", "desirable_weight": 0, "undesirable_weight": 0}, "cannot both be 0"),
        ({"processes": 2}, "dpo trains in one process"),
        ({"beta": 0}, "beta"),
        ({"neftune_alpha": 5}, "dpo takes no neftune_alpha"),
        ({"objective": "kto", "liger": True}, "kto does not use the fused layers of liger"),
    ],
)
def test_recipes_that_cannot_prefer(tiny_base: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe(tiny_base, **{"objective": "dpo"} | values)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    import signal

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
