"""The preflight process: builds the tensors that the trainer would use, and prints the report as one JSON object.

``python -P -m o1lab.train.preflight.worker RUN_DIR [--runs DIR]``. It builds the trainer's dataset from the rows in the
run directory, with a tiny model instead of the base, because preparing rows needs only the tokenizer.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o1lab.errors import NotFoundError, O1LabError
from o1lab.files import write_json
from o1lab.jobs.device_queue import Device, resolve_devices
from o1lab.models.base import resolve_base
from o1lab.models.library_errors import explain
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.text import one_line
from o1lab.train.preflight.fitting import Batches
from o1lab.train.preflight.report import PROGRESS, Bin, Preflight, SampleToken, Tokens
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import load
from o1lab.train.rows import read_rows
from o1lab.train.runs.directory import RunDir
from o1lab.train.trainer import trackers
from o1lab.train.trainer.batching import padding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BINS = 20
_SAMPLE_TOKENS = 4000
_TELL_S = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--runs", type=Path, default=None, help="folder of the run to start from")
    parser.add_argument("--memory", type=int, default=None, help="plan for a GPU with this many bytes")
    arguments = parser.parse_args()
    # Libraries print to standard output; only the report may reach it.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.environ |= QUIET_ENVIRONMENT
    run = RunDir(arguments.run)
    found = inspect(run, arguments.runs or run.path.parent, memory_bytes=arguments.memory)
    out.write(found.model_dump_json() + "\n")
    out.close()
    return 0


def inspect(run: RunDir, runs: Path, *, memory_bytes: int | None = None) -> Preflight:
    """Return the report on a prepared run directory.

    Args:
        run: the run directory.
        runs: the folder of the runs that ``init_from`` may name.
        memory_bytes: plan for a GPU with this much memory.
    """
    recipe = load(run.recipe)
    command = run.command.read_text("utf-8").strip() if run.command.exists() else ""
    found = Preflight(command=command, plan_bytes=memory_bytes or 0)
    devices = [Device("cpu")]
    try:
        devices = resolve_devices(recipe.device, recipe.processes)
    except O1LabError as error:
        found.refused(error)
    device = devices[0]
    os.environ.update(device.environment())
    found.device = device.name
    _check_trackers(found, recipe)
    try:
        base = resolve_base(recipe.base)
    except O1LabError as error:
        found.problem(_base_code(error), error.message, error.hint)
        found.rows = sum(1 for _ in run.data.open("rb"))
        return found
    try:
        _inspect_tensors(found, run, recipe, base=base, device=device, runs=runs)
    except O1LabError as error:
        found.refused(error)
    except Exception as error:
        known = explain(f"{type(error).__name__}: {error}")
        if known is None:
            raise
        found.refused(known)
    found.settle(recipe.accept)
    return found


def _inspect_tensors(found: Preflight, run: RunDir, recipe: Recipe, *, base: Path, device: Device, runs: Path) -> None:
    from transformers import AutoConfig, GenerationConfig

    from o1lab.train.preflight import learned, preferred, processes
    from o1lab.train.preflight.base import check_base
    from o1lab.train.trainer import preference, tensors, trainers
    from o1lab.train.trainer.held_out import IGNORED

    if device.is_gpu:
        _check_cuda(found, recipe)
    rows = read_rows(run.data)
    found.rows = len(rows)
    tokenizer = tensors.load_tokenizer(base, recipe)
    trainer, lengths = trainers.build_trainer(
        tensors.stand_in(tokenizer),
        tokenizer,
        recipe,
        rows,
        run.path / ".preflight",
        cpu=True,
        on_row=_Counter(run, len(rows)).add,
    )
    supervised = recipe.objective == "sft"
    train, held_out = trainer.rows if supervised else trainer.train_dataset, trainer.eval_dataset
    found.over_length, found.dropped_rows, found.truncated_rows = lengths.over, lengths.dropped, lengths.truncated
    found.train_rows = len(train)
    found.eval_rows = len(held_out) if held_out is not None else 0
    found.tokens, found.histogram = summary(lengths.lengths)
    try:
        tensors.refuse_over_length(lengths, recipe)
    except O1LabError as error:
        found.refused(error)
    if not len(train):
        found.problem(
            "empty_dataset",
            "No training row is left.",
            "Raise max_length, or choose other traces.",
        )
        return
    found.total_steps = recipe.total_steps(len(trainer.train_dataset))
    processes.check(found, recipe)
    if recipe.objective == "kto":  # its rows are single answers
        parts = zip(tensors.split(rows, recipe), (train, held_out), strict=True)
        found.train_rows, found.eval_rows = (preference.pairs_of(pairs, part) for pairs, part in parts)
    sequences = [ids for part in (train, held_out) if part is not None for ids in preference.sequences(part)]
    if supervised:
        found.batches = _batches(trainer, recipe)
    else:
        train = preference.better_answers(train)
    trained = [sum(label != IGNORED for label in row) for row in train["labels"]]
    found.trained_tokens = sum(trained)
    ends = tensors.end_of_turn_ids(AutoConfig.from_pretrained(base), tokenizer)
    if (base / "generation_config.json").is_file():
        ends |= tensors.end_of_turn_ids(GenerationConfig.from_pretrained(base), tokenizer)
    kept = {row.trace_id: row for row in rows}
    replayed = [size for size, trace_id in zip(trained, train["trace_id"], strict=True) if kept[trace_id].replay]
    found.replay_rows, found.replay_tokens = len(replayed), sum(replayed)
    learned.check(found, train, [kept[trace_id] for trace_id in train["trace_id"]], recipe, tokenizer, ends=ends)
    _show_sample(found, train, trainer.data_collator if supervised else None, tokenizer)
    if not supervised:
        preferred.check(found, trainer, recipe)
    check_base(found, base, recipe, tokenizer=tokenizer, rows=sequences, runs=runs)


def _batches(trainer: Any, recipe: Recipe) -> Batches:
    """Count the padding of the run's batches, and the packed rows."""
    counted = padding([len(ids) for ids in trainer.rows["input_ids"]], recipe.batch_size, seed=recipe.seed)
    found = Batches(random=round(counted.random, 4), grouped=round(counted.grouped, 4))
    if recipe.packing:
        packed = [len(ids) for ids in trainer.train_dataset["input_ids"]]
        return found.model_copy(update={"used": "packed", "packed_rows": len(packed), "packed_tokens": max(packed)})
    return found.model_copy(update={"used": "grouped" if trainer.grouped else "random"})


class _Counter:
    """Writes the number of tokenised rows to a file, several times a second; the waiting process reads it."""

    def __init__(self, run: RunDir, total: int) -> None:
        self._run, self._total = run, total
        self._done, self._written = 0, 0.0

    def add(self) -> None:
        """Count one row more."""
        self._done += 1
        now = time.monotonic()
        if now - self._written > _TELL_S or self._done == self._total:
            self._written = now
            write_json(self._run.path / PROGRESS, {"done": self._done, "total": self._total}, durable=False)


def summary(lengths: list[int]) -> tuple[Tokens, list[Bin]]:
    """Return percentiles (nearest rank) and a histogram of at most 20 bins of equal width."""
    if not lengths:
        return Tokens(), []
    ordered = sorted(lengths)

    def rank(share: float) -> int:
        return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]

    low, high = ordered[0], ordered[-1]
    width = max(math.ceil((high - low + 1) / _BINS), 1)
    counts = [0] * (((high - low) // width) + 1)
    for length in ordered:
        counts[(length - low) // width] += 1
    bins = [Bin(low=low + i * width, high=low + (i + 1) * width, count=count) for i, count in enumerate(counts)]
    return Tokens(p50=rank(0.5), p95=rank(0.95), max=high, total=sum(ordered)), bins


def _check_cuda(found: Preflight, recipe: Recipe) -> None:
    import torch

    if torch.cuda.is_available():
        return
    report = found.warning if recipe.device == "auto" else found.problem
    message = "There is an NVIDIA GPU, but the installed torch cannot use it."
    report("device_missing", message, "Install a CUDA build of torch, or choose device cpu.")
    found.device = "cpu"


def _show_sample(found: Preflight, train: Any, collate: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Show the row of median length as the trainer's collator passes it to the model; of pairs, a better answer."""
    from o1lab.train.trainer.held_out import IGNORED

    lengths = [len(ids) for ids in train["input_ids"]]
    row = train[sorted(range(len(lengths)), key=lengths.__getitem__)[(len(lengths) - 1) // 2]]
    ids, labels = row["input_ids"], row["labels"]
    if collate is not None:
        batch = collate([{"input_ids": ids, "labels": labels}])
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    found.sample_trace_id = row["trace_id"]
    found.sample = [
        SampleToken(text=text, trained=label != IGNORED)
        for text, label in zip(token_texts(ids[:_SAMPLE_TOKENS], tokenizer), labels, strict=False)
    ]


def token_texts(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the text of each token. A character of several tokens belongs to the last one; the others are empty."""
    texts, pending = [], []
    for token in ids:
        pending.append(token)
        text = tokenizer.decode(pending, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if text.endswith("\ufffd") and len(pending) < 4:
            texts.append("")
            continue
        texts.append(text)
        pending = []
    return texts


def _check_trackers(found: Preflight, recipe: Recipe) -> None:
    """Report trackers that are not installed or broken, and that W&B will be offline."""
    try:
        trackers.require(recipe.report_to)
    except O1LabError as error:
        found.refused(error)
        return
    finally:
        broken = trackers.hide_broken(recipe.report_to)
    for name in recipe.report_to:
        if name in broken:
            found.warning(
                "tracker_broken",
                f"{trackers.TRACKERS[name]} is installed, but it fails and will get nothing of the run: "
                f"{one_line(broken[name], 300)}",
                "Reinstall it, or remove it from report_to.",
            )
    if "wandb" in recipe.report_to and trackers.wandb_mode() == "offline":
        found.warning(
            "tracker_offline",
            "Weights & Biases has no key here, or is offline: the run is recorded in its folder and sent nowhere.",
            "Set WANDB_API_KEY to send it while it trains, or send it later with `wandb sync`.",
        )


def _base_code(error: O1LabError) -> str:
    return "no_weights" if not isinstance(error, NotFoundError) and "weights" in error.message else "base_missing"


if __name__ == "__main__":
    sys.exit(main())
