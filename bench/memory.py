"""The memory that preflight estimates against the measured peak of the run. Run: ``python bench/memory.py [CASE...]``.

Each case trains two steps of a Llama of 52 million parameters (large: 361 million) on the CPU in a process of its own,
whose peak of resident memory is compared with the estimate for the same recipe and rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from o1lab.process import QUIET_ENVIRONMENT
from o1lab.train.rows import TrainingRow
from o1lab.train.run_directory import RunDir
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


def rows(count: int = 24) -> list[TrainingRow]:
    """Rows of about 200 to 800 tokens."""
    return [
        TrainingRow(f"t{n}", f"What is {n} + 1?", "12 + 34 = 46, check 7. " * (6 + 6 * (n % 4)), f"It is {n + 1}.")
        for n in range(count)
    ]


def peak(run: RunDir) -> int:
    """Train the run in a child, and return its peak of resident memory in bytes."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "o1lab.train.worker", str(run.path)],
        env=os.environ | QUIET_ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": ""},
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
    return usage.ru_maxrss * 1024


def estimated(run: RunDir) -> dict[str, Any]:
    """Return the report of preflight on the run."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "o1lab.train.preflight.worker", str(run.path)],
        env=os.environ | QUIET_ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def main() -> int:
    chosen = sys.argv[1:] or list(CASES)
    off = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["O1LAB_CACHE"] = f"{folder}/cache"
        bases: dict[bool, Path] = {}
        print(f"{'case':28}{'estimate':>10}{'measured':>10}{'off':>8}   weights/adapter/activations/overhead (MB)")
        for name in chosen:
            values = {"steps": STEPS, "batch_size": 4, "max_length": 2048, **CASES[name]}
            large = name.startswith("large")
            if large not in bases:
                shape = LARGE if large else SHAPE
                bases[large] = make_tiny_model(Path(folder) / f"base-{large}", **shape, max_position_embeddings=8192)
            base = bases[large]
            run = prepared(Path(folder), name.replace(" ", "-"), recipe(base, **values), rows())
            report = estimated(run)
            measured = peak(run)
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
