"""bfloat16 or float32, for serving and for training alike: some CPUs have instructions for bfloat16, others emulate it.

Imports torch: only for processes of their own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

_TIMES = 6
# CPUs that have bfloat16 instructions are about twice as fast with them; less is noise, and float32 is more precise.
_CLEARLY = 0.8
# Smaller layers would be measured by their noise.
_LEAST_WIDTH = 512


def faster_on_cpu(
    config: Any, rows: Sequence[int], *, backward: bool = False
) -> tuple[torch.dtype, dict[torch.dtype, float]]:
    """The format in which this CPU multiplies a model's shapes faster now, and the seconds of either.

    Args:
        config: the model's; its hidden and intermediate sizes are the layer that is timed.
        rows: batches to put through it, by their rows; all of them count together.
        backward: whether the gradients count as well.
    """
    shape = config.get_text_config()
    hidden = max(int(getattr(shape, "hidden_size", _LEAST_WIDTH)), _LEAST_WIDTH)
    inner = int(getattr(shape, "intermediate_size", None) or 4 * hidden)
    seconds = dict.fromkeys((torch.bfloat16, torch.float32), float("inf"))
    for _ in range(_TIMES):  # in turns, so that another program's burst hits both
        for kind in seconds:
            seconds[kind] = min(seconds[kind], sum(_layer_seconds(kind, hidden, inner, n, backward) for n in rows))
    faster = seconds[torch.bfloat16] < _CLEARLY * seconds[torch.float32]
    return torch.bfloat16 if faster else torch.float32, seconds


def _layer_seconds(kind: torch.dtype, hidden: int, inner: int, rows: int, backward: bool) -> float:
    x = torch.ones(rows, hidden, dtype=kind, requires_grad=backward)
    weight = torch.ones(inner, hidden, dtype=kind)
    began = time.perf_counter()
    with torch.set_grad_enabled(backward):
        out = torch.nn.functional.linear(x, weight)
        if backward:
            out.sum().backward()
    return time.perf_counter() - began
