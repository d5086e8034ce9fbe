"""Run directories in the contract's format, written by the tests: what a worker leaves behind, without a worker."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from o1lab.train.recipes.probe import Probe
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import dump
from o1lab.train.runs.directory import RunDir, RunStatus

PROBES = [Probe(prompt="What is 964 + 494?", gold="1458"), Probe(prompt="What is 107 + 805?", gold="912")]
CREATED = 1_790_000_000.0


def metric_line(step: int, total: int, *, seed: int = 0, **other: Any) -> dict[str, Any]:
    """A plausible line of metrics.jsonl: a falling, slightly wavy loss."""
    wave = math.sin(step * 1.7 + seed) * 0.12 + math.sin(step * 0.31 + seed) * 0.05
    loss = 2.0 * math.exp(-step / (total / (5 + seed))) + 0.02 + 0.15 * abs(wave)
    line = {
        "step": step, "epoch": round(step / 50, 4), "loss": round(loss, 4),
        "learning_rate": 5e-4 * (1 + math.cos(math.pi * step / total)) / 2, "grad_norm": 0.4 + wave,
        "num_tokens": step * 1280, "mean_token_accuracy": round(1 - loss / 4, 4),
        "tokens_per_second": 451.0 + wave * 20, "elapsed_s": step * 2.87,
    }  # fmt: skip
    return {**line, **other}


def append(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def write_run(
    runs: Path,
    run_id: str,
    state: str = "finished",
    *,
    steps: int = 100,
    total: int = 100,
    seed: int = 0,
    message: str = "",
    hint: str = "",
    heartbeat: float | None = None,
    pid: int | None = None,
    log: str = "",
    age: float = 0.0,
    saved: Iterable[int] = (),
    samples: Iterable[dict[str, Any]] = (),
    recipe: Recipe | None = None,
    warnings: Iterable[str] = (),
) -> RunDir:
    """A whole run directory.

    ``age``: seconds before CREATED. ``heartbeat``: seconds since the epoch; if None, this process lives on.
    """
    if heartbeat is None:  # however slow the test is
        heartbeat, pid = time.time() + 3600, pid or os.getpid()
    run = RunDir(runs / run_id)
    (run.path / "control").mkdir(parents=True)
    recipe = recipe or Recipe(dataset="col-add-400", dataset_hash="ab12cd34ef56ab12", steps=total, probes=PROBES)
    run.recipe.write_text(dump(recipe))
    os.utime(run.recipe, (CREATED - age, CREATED - age))
    run.dataset.write_text(json.dumps({"name": recipe.dataset, "hash": recipe.dataset_hash, "rows": 400}))
    run.command.write_text(f"o1lab train --recipe runs/{run_id}/recipe.yaml\n")
    run.env.write_text(json.dumps({"python": "3.11.9", "host": "box"}))
    run.log.write_text(log)
    run.samples.touch()
    run.metrics.touch()
    append(run.metrics, (metric_line(step, total, seed=seed) for step in range(1, steps + 1)))
    append(run.samples, samples)
    for step in saved:
        folder = run.checkpoint(step)
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(b"\0")
    run.write_status(
        RunStatus(
            state, pid=pid, host=socket.gethostname(), heartbeat=heartbeat,
            step=steps, total_steps=total, message=message, hint=hint, device="cpu", dtype="bf16",
            warnings=tuple(warnings),
        )
    )  # fmt: skip
    return run
