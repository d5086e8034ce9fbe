"""The memory that preflight estimates against the measured peak of the run.

``python -m bench.memory [--device cpu|cuda] [--base NAME] [CASE...]``. Each case trains two steps in a process of
its own, whose peak is compared with the estimate for the same recipe and rows.

- On the CPU: a Llama of 52 million parameters (large: 361 million), and the peak of resident memory.
- On a GPU: a model of the shape of Qwen2.5-1.5B with random weights and rows of up to 1,236 tokens, and the peak of
  what the driver reports as used, less what was used before. The driver is asked 50 times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from o1lab.jobs.hardware import gpu_metrics
from o1lab.models.base import resolve_base
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.train.rows import TrainingRow
from o1lab.train.runs.directory import RunDir
from tests.support.tiny_model import make_tiny_model
from tests.support.training_lab import prepared, recipe

SHAPE = {
    "hidden": 768, "num_hidden_layers": 8, "num_attention_heads": 12, "num_key_value_heads": 4,
    "intermediate_size": 2048,
}  # fmt: skip
LARGE = SHAPE | {"hidden": 2048, "num_attention_heads": 16, "intermediate_size": 5632}
CASES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"dtype": "bf16"},
    "checkpointing": {"gradient_checkpointing": True},
    "nf4": {"quantization": "nf4"},
    "nf4 bf16": {"quantization": "nf4", "dtype": "bf16"},
    "nf4 checkpointing": {"quantization": "nf4", "gradient_checkpointing": True},
    "packing": {"packing": True, "batch_size": 1, "max_length": 2048},
    "packing nf4 checkpointing": {
        "packing": True, "batch_size": 1, "max_length": 4096, "quantization": "nf4", "gradient_checkpointing": True,
    },
    "dropout": {"lora_dropout": 0.1},
    "rank 64": {"lora_r": 64},
    "large fp32": {"batch_size": 1},
    "large bf16": {"batch_size": 1, "dtype": "bf16"},
    "large nf4": {"batch_size": 1, "quantization": "nf4"},
}  # fmt: skip
STEPS = 2

QWEN = {
    "hidden": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
    "intermediate_size": 8960, "vocab_size": 151_936,
}  # fmt: skip
GPU_CASES: dict[str, dict[str, Any]] = {
    "bf16": {"dtype": "bf16"},
    "bf16 checkpointing": {"dtype": "bf16", "gradient_checkpointing": True},
    "fp32": {"dtype": "fp32", "batch_size": 1},
    "eager": {"dtype": "bf16", "attention": "eager", "batch_size": 1},
    "packing": {"dtype": "bf16", "packing": True, "batch_size": 1, "max_length": 4096},
    "packing checkpointing": {
        "dtype": "bf16", "packing": True, "batch_size": 1, "max_length": 8192, "gradient_checkpointing": True,
    },
    "all weights": {"dtype": "bf16", "adapter": "full", "batch_size": 1, "learning_rate": 1e-5},
    "nf4": {"quantization": "nf4", "dtype": "bf16"},
    "nf4 checkpointing": {"quantization": "nf4", "dtype": "bf16", "gradient_checkpointing": True},
}  # fmt: skip


def rows(count: int = 24, *, unit: int = 6) -> list[TrainingRow]:
    """Rows of about 100 to 276 tokens; up to 1,236 with ``unit`` 30."""
    return [
        TrainingRow(f"t{n}", f"What is {n} + 1?", "12 + 34 = 46, check 7. " * (unit * (1 + n % 4)), f"It is {n + 1}.")
        for n in range(count)
    ]


class GpuPeak(threading.Thread):
    """Asks the driver for the memory in use on the first GPU until it is ended; the peak is less that at the start."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._read = gpu_metrics("0")
        self._end, self._before = threading.Event(), self._read()["gpu_memory_bytes"]
        self.peak = 0

    def run(self) -> None:
        while not self._end.wait(0.02):
            self.peak = max(self.peak, int(self._read()["gpu_memory_bytes"] - self._before))

    def end(self) -> int:
        """End it, and return the peak in bytes."""
        self._end.set()
        self.join()
        return self.peak


def surroundings(*, gpu: bool) -> dict[str, str]:
    """Return the environment of a child, which sees no GPU unless it is to use one."""
    return os.environ | QUIET_ENVIRONMENT | ({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})


def peak(run: RunDir, *, gpu: bool = False) -> int:
    """Train the run in a child, and return its peak of resident memory in bytes, or that of the GPU's memory."""
    watch = GpuPeak() if gpu else None
    if watch is not None:
        watch.start()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "o1lab.train.worker", str(run.path)],
        env=surroundings(gpu=gpu),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    output = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(output)
    return watch.end() if watch is not None else usage.ru_maxrss * 1024


def estimated(run: RunDir, *, gpu: bool = False) -> dict[str, Any]:
    """Return the report of preflight on the run."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "o1lab.train.preflight.worker", str(run.path)],
        env=surroundings(gpu=gpu),
        capture_output=True,
        text=True,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--base", help="train this model instead")
    chosen = parser.parse_args()
    gpu = chosen.device == "cuda"
    cases = GPU_CASES if gpu else CASES
    off = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["O1LAB_CACHE"] = f"{folder}/cache"
        bases: dict[str, Path] = {}
        print(f"{'case':28}{'estimate':>10}{'measured':>10}{'off':>8}   weights/adapter/activations/overhead (MB)")
        for name in chosen.cases or cases:
            values = {"steps": STEPS, "batch_size": 4, "max_length": 4096 if gpu else 2048, **cases[name]}
            kind = "gpu" if gpu else "large" if name.startswith("large") else "small"
            if chosen.base:
                bases[kind] = resolve_base(chosen.base)
            elif kind not in bases:
                shape = {"gpu": QWEN, "large": LARGE, "small": SHAPE}[kind]
                bases[kind] = make_tiny_model(Path(folder) / kind, **shape, max_position_embeddings=8192)
            values |= {"device": "cuda:0"} if gpu else {}
            learn = rows(unit=30 if gpu else 6)
            run = prepared(Path(folder), name.replace(" ", "-"), recipe(bases[kind], **values), learn)
            report = estimated(run, gpu=gpu)
            measured = peak(run, gpu=gpu)
            share = report["memory_bytes"] / measured - 1
            off += abs(share) > 0.15
            parts = "/".join(
                str(round(report["memory"][part] / 1e6)) for part in ("weights", "adapter", "activations", "overhead")
            )
            print(
                f"{name:28}{report['memory_bytes'] / 1e6:>10.0f}{measured / 1e6:>10.0f}{share:>8.0%}   {parts}",
                flush=True,
            )
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
