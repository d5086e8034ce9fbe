"""Held-out rows in several processes, so that ``eval_loss`` is the same as in one process. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets

IGNORED = -100


def shared_evenly(rows: Dataset, processes: int, batch_size: int) -> Dataset:
    """Add rows without trained tokens, until every process gets the same number of whole batches.

    Otherwise accelerate repeats the first rows, which then count twice.
    """
    missing = -len(rows) % (processes * batch_size)
    if processes == 1 or not missing:
        return rows
    filler = rows.select([0]).map(lambda row: {"labels": [IGNORED] * len(row["labels"])})
    return concatenate_datasets([rows, *[filler] * missing])


def over_processes(accelerator: Any, losses: Sequence[float], weights: Sequence[int]) -> tuple[list[float], list[int]]:
    """Return the mean loss and the trained tokens of each batch over all processes.

    Args:
        accelerator: the trainer's.
        losses: the mean loss of each batch of this process.
        weights: the trained tokens of each batch of this process.
    """
    if accelerator.num_processes == 1:
        return [*losses], [*weights]
    sums = [[loss * weight for loss, weight in zip(losses, weights, strict=True)], list(map(float, weights))]
    both = accelerator.reduce(torch.tensor(sums, dtype=torch.float64, device=accelerator.device), "sum")
    totals, tokens = both.tolist()
    means = [total / count if count else 0.0 for total, count in zip(totals, tokens, strict=True)]
    return means, [int(count) for count in tokens]
