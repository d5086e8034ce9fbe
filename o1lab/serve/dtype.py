"""Choose bfloat16 or float32 on CPUs, for serving and training: some have instructions for bfloat16, others emulate it.

This imports torch, so only separate processes may import it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import time
from collections.abc import Sequence
from typing import Any

import torch

from o1lab.files import write_json
from o1lab.paths import cache_dir

_TIMES = 6
# CPUs with bfloat16 instructions are about twice as fast; a smaller gain is noise, and float32 is more precise.
_CLEARLY_FASTER = 0.8
# Smaller layers are too noisy to measure.
_MIN_WIDTH = 512


def faster_on_cpu(
    config: Any, rows: Sequence[int], *, backward: bool = False
) -> tuple[torch.dtype, dict[torch.dtype, float]]:
    """Measure in which dtype this CPU multiplies matrices of the model's size faster.

    The times are kept in the cache, so that preflight, the run and its resumption choose the same.

    Args:
        config: the model config; a layer of its hidden and intermediate size is timed.
        rows: the numbers of rows of the batches to time; their times are added.
        backward: whether to time the backward pass too.

    Returns:
        The faster dtype, and the seconds of each.
    """
    shape = config.get_text_config()
    hidden = max(int(getattr(shape, "hidden_size", _MIN_WIDTH)), _MIN_WIDTH)
    inner = int(getattr(shape, "intermediate_size", None) or 4 * hidden)
    what = [platform.processor(), platform.machine(), torch.get_num_threads(), torch.__version__, hidden, inner]
    digest = hashlib.sha256(json.dumps([*what, *rows, backward]).encode()).hexdigest()[:16]
    known = cache_dir() / "dtypes" / f"{digest}.json"
    seconds = dict.fromkeys((torch.bfloat16, torch.float32), float("inf"))
    try:
        kept = json.loads(known.read_text("utf-8"))
        seconds = {kind: float(kept[str(kind)]) for kind in seconds}
    except (OSError, ValueError, KeyError, TypeError):
        for _ in range(_TIMES):  # alternating, so that load from other programs affects both
            for kind in seconds:
                seconds[kind] = min(seconds[kind], sum(_layer_seconds(kind, hidden, inner, n, backward) for n in rows))
        with contextlib.suppress(OSError):  # the cache is optional
            write_json(known, {str(kind): value for kind, value in seconds.items()}, durable=False)
    faster = seconds[torch.bfloat16] < _CLEARLY_FASTER * seconds[torch.float32]
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
