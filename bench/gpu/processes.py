"""Train the same rows in one process, in several with DDP, with FSDP2, and with flash attention; compare them.

``python -m bench.gpu.processes [--base smollm2-135m] [--processes 2] [--steps 20] [--json]``, on a machine with as many
GPUs as processes. It is the check of NCCL, FSDP2 and flash attention, which no test runs: the tests train over gloo on
CPUs. With ``--device cpu`` it runs without GPUs, and leaves FSDP2 and flash attention out; without the package
``flash_attn`` it says so.

All runs train the same rows in each step. DDP must reach the loss of one process to within 1e-5 in fp32; with bf16 and
FSDP2 or flash attention the order of sums differs, so the loss is compared to within 0.02.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from o1lab.paths import Lab
from o1lab.process import QUIET_ENVIRONMENT
from o1lab.train import torchrun
from o1lab.train.launch import prepare
from o1lab.train.recipes.recipe_file import resolve
from o1lab.train.rows import TrainingRow
from o1lab.train.runs.directory import RunDir

EXACT, CLOSE = 1e-5, 0.02
WARM_UP = 3
"""Steps that do not count for the speed."""


def rows(count: int) -> list[TrainingRow]:
    """Return sums of two numbers with a thought of about 200 words."""
    found = []
    for n in range(count):
        thought = " ".join(f"{n} plus {k} is {n + k}." for k in range(50))
        found.append(TrainingRow(f"t{n}", f"What is {n} + {n + 3}?", thought, f"The answer is {2 * n + 3}."))
    return found


def train(root: Path, name: str, **values: Any) -> dict[str, Any]:
    """Train one run to its end and return its losses, its median tokens per second, and the files of its checkpoint."""
    plain = {"dataset": "sums", "save_steps": 0, "eval_steps": 0, "eval_rows": 8, "length_grouping": False}
    recipe = resolve(plain | values)
    run = RunDir(root / "runs" / name)
    prepare(Lab(root), run, recipe, rows(recipe.rows_per_step * (recipe.steps or 1) + recipe.eval_rows))
    command = torchrun.worker_command(run, processes=recipe.processes)
    with run.log.open("ab") as log:
        done = subprocess.run(
            command, stdout=log, stderr=log, cwd=run.path, check=False,
            env=os.environ | QUIET_ENVIRONMENT | torchrun.environment(recipe.processes),
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"{name} failed: {run.info().status.message}\n" + "\n".join(run.log_tail(60)))
    lines = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    return {
        "run": name,
        "device": run.read_status().device,
        "losses": [line["loss"] for line in steps],
        "eval_loss": next(line["eval_loss"] for line in reversed(lines) if "eval_loss" in line),
        "tokens_per_second": round(statistics.median(line["tokens_per_second"] for line in steps[WARM_UP:]), 1),
        "files": sorted(path.name for path in run.checkpoints()[-1].iterdir()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=4, help="rows of each process")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu"))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    several, batch = chosen.processes, chosen.batch_size
    common = {"base": chosen.base, "steps": chosen.steps, "device": chosen.device, "attention": "sdpa"}
    one = {"batch_size": batch * several, **common}
    shared = {"batch_size": batch, "processes": several, **common}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found = [train(root, "one-fp32", dtype="fp32", **one), train(root, "ddp-fp32", dtype="fp32", **shared)]
        if chosen.device != "cpu":
            found += [train(root, "one-bf16", dtype="bf16", **one), train(root, "ddp-bf16", dtype="bf16", **shared)]
            found.append(train(root, "fsdp2-bf16", dtype="bf16", strategy="fsdp2", **shared))
            if find_spec("flash_attn"):
                found.append(train(root, "flash-bf16", dtype="bf16", **{**one, "attention": "flash_attention_2"}))
            else:
                print("flash attention is left out: flash_attn is not installed", file=sys.stderr)
    ok = True
    for at, result in enumerate(found):
        first = found[0] if at < 2 else found[2]
        bound = EXACT if at < 2 else CLOSE
        result["difference"] = max(abs(a - b) for a, b in zip(result["losses"], first["losses"], strict=True))
        result["ok"] = result["difference"] <= bound and abs(result["eval_loss"] - first["eval_loss"]) <= bound
        result["ok"] &= "adapter_model.safetensors" in result["files"]
        ok &= result["ok"]
        if not chosen.json:
            print(
                f"{result['run']:11} {result['device']:16} {result['tokens_per_second']:10,.0f} tokens/s"
                f"  loss {result['losses'][-1]:.5f}  eval {result['eval_loss']:.5f}"
                f"  difference {result['difference']:.1e}  {'ok' if result['ok'] else 'DIFFERS'}"
            )
    if chosen.json:
        print(json.dumps({"ok": ok, "runs": found}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
