"""How fast o1lab trains, against plain TRL and against a bare loop of PEFT, on the same rows.

``python -m bench.training [--base NAME] [--rounds 3] [--case short|long|mixed]... [--json]`` trains LoRA
of rank 16 on smollm2-135m in float32 in this process, on one thread of the CPU. The sides of a round follow one
another, in turns of the order. Each ratio is that of their processor time, by its median over the rounds: a busy
machine slows all of them. With ``--device cuda`` the sides train in bfloat16 on the first GPU, with larger batches, and
their time is that of the clock; without ``--base`` on a model of the shape of Qwen2.5-1.5B with random weights.

- **ours**: the trainer, the reporting and the callbacks of a run (metrics of every step, heartbeat).
- **plain**: TRL's SFTTrainer with the same rows, batch, adapter and optimiser, and else its defaults; without gradient
  checkpointing, which ours has off as well.
- **bare**: forward, backward and AdamW on the model of PEFT, which computes the loss itself. Nothing is measured.

Rows of one length (160, 1,000 tokens) have nothing to pad; their first step is not counted. Rows of mixed lengths are
trained once over, ours in batches of similar length, and compared with plain TRL alone. That takes more rows than a
large base trains in a short time, so without ``--base`` it is measured on a small Llama.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

from bench.memory import QWEN
from o1lab.jobs.heartbeat import Heartbeat
from o1lab.jobs.hook import HookCaller
from o1lab.models.base import resolve_base
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow
from o1lab.train.runs.directory import RunStatus
from o1lab.train.trainer import tensors, trainers
from o1lab.train.trainer.callbacks import Reporter
from o1lab.train.trainer.distributed import World
from o1lab.train.trainer.held_out import IGNORED
from o1lab.train.trainer.steering import Steering
from o1lab.train.trainer.targets import lora_config
from tests.support.tiny_model import make_tiny_model
from tests.support.training_lab import prepared, recipe

SEED = 1
SMALL = {"hidden": 256, "num_hidden_layers": 4, "intermediate_size": 768, "max_position_embeddings": 2048}
LORA = {"lora_r": 16, "lora_alpha": 32, "lora_targets": "all-linear"}


@dataclass(frozen=True)
class Case:
    """Rows by their tokens, and how they are trained.

    Attributes:
        lengths: the tokens of each row.
        batch: rows of a batch.
        steps: optimiser steps.
        skipped: the first steps, which are not counted.
        sides: what is compared.
        small: whether the base is a Llama of 4 million parameters, unless one is given.
    """

    lengths: Sequence[int]
    batch: int
    steps: int
    skipped: int
    sides: tuple[str, ...] = ("ours", "plain", "bare")
    small: bool = False


def mixed(count: int) -> list[int]:
    """Return lengths as those of chains: log-normal, from 40 to 1,200 tokens, 200 in the middle."""
    draw = random.Random(SEED)
    return [round(min(max(draw.lognormvariate(math.log(200), 0.9), 40), 1200)) for _ in range(count)]


CASES = {
    "short": Case([160] * 8, batch=2, steps=3, skipped=1),
    "long": Case([1000] * 4, batch=1, steps=2, skipped=1),
    "mixed": Case(mixed(128), batch=8, steps=16, skipped=0, sides=("ours", "plain"), small=True),
}


GPU_CASES = {
    "short": Case([160] * 256, batch=32, steps=12, skipped=4),
    "long": Case([2000] * 32, batch=4, steps=12, skipped=4),
    "mixed": Case(mixed(512), batch=16, steps=32, skipped=0, sides=("ours", "plain")),
}


@dataclass(frozen=True)
class Task:
    """What each side trains, and where; it must copy the model."""

    case: Case
    recipe: Recipe
    tokenizer: Any
    rows: list[TrainingRow]
    model: Any
    gpu: bool

    def now(self) -> float:
        """Return the seconds of the processor; of the clock, once the GPU has done its work, if it trains there."""
        if not self.gpu:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is not typed for us
    """Takes the time from the end of the skipped steps to that of the last one."""

    def __init__(self, task: Task) -> None:
        self._task, self._began, self.seconds = task, 0.0, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._task.case.skipped:
            self._began = self._task.now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = self._task.now() - self._began


def row(tokenizer: Any, number: int, tokens: int, wanted: Recipe) -> TrainingRow:
    """Return a row of about so many tokens: the text of a thought is cut after a token."""

    def made(thought: str) -> TrainingRow:
        return TrainingRow(f"t{number}", f"What is {number} + 1?", thought, f"It is {number + 1}.")

    others = len(tensors.as_dataset([made("x")], wanted, tokenizer)[0]["input_ids"]) - 1
    words = " ".join(f"Let me check {number + at} again." for at in range(tokens))
    ids = tokenizer(words, add_special_tokens=False)["input_ids"][: max(tokens - others, 1)]
    return made(tokenizer.decode(ids))


def ours(task: Task, folder: Path) -> float:
    """Return the seconds of the trainer of a run, with all that reports from it."""
    wanted, rows = task.recipe, task.rows
    run = prepared(folder, "ours", wanted, rows)
    heartbeat = Heartbeat(run, RunStatus("starting"))
    hook = HookCaller(run)
    reporter = Reporter(run, wanted, heartbeat, lambda: False, None, hook=hook)
    steering, watch = Steering(wanted, World.of(), lambda: False, reporter), Watch(task)
    model = copy.deepcopy(task.model)
    try:
        trainer, _ = trainers.build_trainer(
            model, task.tokenizer, wanted, rows, run.checkpoints_dir / ".saving", cpu=not task.gpu, bf16=task.gpu,
            adapter=lora_config(wanted, model), callbacks=[steering, watch],
        )  # fmt: skip
        reporter.trainer = steering.trainer = trainer
        trainer.train()
    finally:
        reporter.close()
        hook.close()
        heartbeat.end(state="finished", message="")
    return watch.seconds


def plain(task: Task, folder: Path) -> float:
    """Return the seconds of TRL's trainer."""
    case, wanted, model = task.case, task.recipe, copy.deepcopy(task.model)
    watch = Watch(task)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder), per_device_train_batch_size=case.batch, max_steps=case.steps, seed=SEED,
            learning_rate=wanted.learning_rate, use_cpu=not task.gpu, bf16=task.gpu, gradient_checkpointing=False,
            max_length=None,
            save_strategy="no", report_to=[], disable_tqdm=True,
        ),
        train_dataset=tensors.as_dataset(task.rows, wanted, task.tokenizer),
        processing_class=task.tokenizer,
        peft_config=lora_config(wanted, model),
        callbacks=[watch],
    )  # fmt: skip
    trainer.train()
    return watch.seconds


def bare(task: Task, folder: Path) -> float:
    """Return the seconds of a loop without a trainer."""
    case, tokenizer = task.case, task.tokenizer
    config = LoraConfig(
        r=LORA["lora_r"], lora_alpha=LORA["lora_alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
    )
    device = "cuda" if task.gpu else "cpu"
    student = get_peft_model(copy.deepcopy(task.model), config).train().to(device)
    optimizer = torch.optim.AdamW(
        [one for one in student.parameters() if one.requires_grad], lr=task.recipe.learning_rate
    )
    found: Dataset = tensors.as_dataset(task.rows, task.recipe, tokenizer)
    began = 0.0
    for step in range(case.steps):
        if step == case.skipped:
            began = task.now()
        at = [(step * case.batch + place) % len(found) for place in range(case.batch)]
        batch = [found[place] for place in at]
        inputs = {
            name: torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(one[name]) for one in batch], batch_first=True, padding_value=value
            ).to(device)
            for name, value in (("input_ids", tokenizer.pad_token_id), ("labels", IGNORED))
        }
        with torch.autocast(device, torch.bfloat16, enabled=task.gpu):
            loss = student(**inputs, attention_mask=inputs["labels"].new_ones(inputs["labels"].shape)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return task.now() - began


SIDES: dict[str, Callable[[Task, Path], float]] = {"ours": ours, "plain": plain, "bare": bare}


def measure(name: str, base: Path, rounds: int, *, gpu: bool) -> dict[str, Any]:
    """Return the tokens of a case, the median seconds of each side, and the speed of ours over that of the others."""
    case = (GPU_CASES if gpu else CASES)[name]
    where = {"device": "cuda:0", "dtype": "bf16"} if gpu else {}
    wanted = recipe(base, batch_size=case.batch, steps=case.steps, max_length=2048, seed=SEED, **LORA, **where)
    tokenizer = tensors.load_tokenizer(base, wanted)
    rows = [row(tokenizer, number, length, wanted) for number, length in enumerate(case.lengths)]
    made = [len(ids) for ids in tensors.as_dataset(rows, wanted, tokenizer)["input_ids"]]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16 if gpu else torch.float32)
    task = Task(case, wanted, tokenizer, rows, model, gpu)
    times: dict[str, list[float]] = {side: [] for side in case.sides}
    for number in range(rounds):
        for side in case.sides if number % 2 == 0 else case.sides[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                seconds = SIDES[side](task, Path(folder))
            times[side].append(seconds)
            print(f"{name} round {number + 1} {side}: {seconds:.2f} s", flush=True)
    found: dict[str, Any] = {"rows": len(made), "tokens": sum(made), "shortest": min(made), "longest": max(made)}
    found |= {f"{side}_s": round(statistics.median(seconds), 2) for side, seconds in times.items()}
    for side in case.sides[1:]:
        ratios = [other / mine for other, mine in zip(times[side], times["ours"], strict=True)]
        found[f"over_{side}"] = round(statistics.median(ratios), 3)
        found[f"over_{side}_rounds"] = [round(one, 3) for one in ratios]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=[*CASES])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    gpu = options.device == "cuda"
    if not gpu:
        torch.set_num_threads(1)  # others would wait busily, which counts as processor time
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        made = make_tiny_model(Path(folder), **(QWEN | {"max_position_embeddings": 4096} if gpu else SMALL))
        found = {}
        for name in options.case or CASES:
            alone = (gpu or CASES[name].small) and not options.base
            base = made if alone else resolve_base(options.base or "smollm2-135m")
            found[name] = measure(name, base, options.rounds, gpu=gpu)
    if options.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
