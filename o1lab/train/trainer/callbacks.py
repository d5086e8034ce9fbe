"""Writes metrics, samples and checkpoints of a run to its directory. Only the first process of a run does."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from o1lab.errors import O1LabError, RefusedError
from o1lab.files import write_json
from o1lab.jobs.hardware import gpu_metrics
from o1lab.jobs.heartbeat import Heartbeat
from o1lab.jobs.hook import HookCaller
from o1lab.models.checkpoints import checkpoint_step
from o1lab.models.library_errors import first_line
from o1lab.small_files import read_object
from o1lab.train.recipes.objective import measured
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir, RunStatus
from o1lab.train.runs.metrics_reader import RESUMED
from o1lab.train.runs.warnings import Warnings
from o1lab.train.trainer.probes import Prober

STATE_FILE = "o1lab.json"
_EVALUATED = ("eval_loss", "eval_mean_token_accuracy", "eval_entropy")
_SPIKE_HISTORY = 30
_SPIKE_LEAST = 10


class Lines:
    """Appends JSON lines to a file, unbuffered."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        if self._file.tell() and not _ends_with_newline(path):
            self._file.write(b"\n")  # ends the partial line of a killed process

    def add(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n")

    def close(self) -> None:
        self._file.close()


class Reporter:
    """Writes metrics, samples and checkpoints of a run, and checks its loss.

    :class:`o1lab.train.trainer.steering.Steering` calls it.

    Attributes:
        trainer: must be set before training starts.
        failure: why the run cannot continue; None if it can.
        last_loss: the last finite loss.
        warnings: the warnings of the run.
    """

    def __init__(
        self,
        run: RunDir,
        recipe: Recipe,
        heartbeat: Heartbeat[RunStatus],
        stop: Callable[[], bool],
        prober: Prober | None,
        *,
        hook: HookCaller,
        processes: int = 1,
    ) -> None:
        self.trainer: Any = None
        self.failure: O1LabError | None = None
        self.last_loss: float | None = None
        self.warnings = Warnings(heartbeat)
        self._run, self._recipe, self._heartbeat, self._stop, self._prober = run, recipe, heartbeat, stop, prober
        self._hook = hook
        self._processes = processes
        self._metrics = Lines(run.metrics)
        self._samples = Lines(run.samples)
        self._process = psutil.Process()
        self._gpu: Callable[[], dict[str, float]] = dict
        self._losses: deque[float] = deque(maxlen=_SPIKE_HISTORY)
        self._before_s = 0.0
        self._before_tokens = 0
        self._began = self._step_began = time.monotonic()
        self._busy_s = 0.0
        self._tokens_logged = 0

    def watch_gpu(self, entry: str) -> None:
        self._gpu = gpu_metrics(entry)

    def continue_from(self, checkpoint: Path) -> None:
        """Restore the counters of a checkpoint, and mark later metrics and samples as superseded."""
        saved = read_object(checkpoint / STATE_FILE)
        before = saved.get("processes", 1)
        if isinstance(before, int) and before != self._processes:
            self._warn_of_other_processes(before, checkpoint_step(checkpoint))
        elapsed, tokens = saved.get("elapsed_s"), saved.get("num_tokens")
        self._before_s = float(elapsed) if isinstance(elapsed, int | float) else 0.0
        self._before_tokens = tokens if isinstance(tokens, int) else 0
        self.restart_at(checkpoint_step(checkpoint))

    def restart_at(self, step: int) -> None:
        """Mark metrics and samples of later steps as superseded."""
        marker = {"event": RESUMED, "step": step, "time": round(time.time(), 3)}
        self._metrics.add(marker)
        self._samples.add(marker)

    def close(self) -> None:
        self._metrics.close()
        self._samples.close()
        if self._prober:
            self._prober.close()

    # Called by the steering.

    def begin(self, state: Any) -> None:
        self._began = time.monotonic()
        self._heartbeat.update(state="running", step=state.global_step, total_steps=state.max_steps)

    def begin_step(self) -> None:
        self._step_began = time.monotonic()

    def end_step(self, step: int) -> None:
        self._busy_s += time.monotonic() - self._step_began
        self._heartbeat.update(write=False, step=step, message="")

    def stopping(self) -> None:
        self._heartbeat.update(state="stopping", message="Saving a checkpoint.")

    def log(self, state: Any, logs: dict[str, Any]) -> None:
        if "loss" in logs:
            self._log_step(state, logs)
        elif "eval_loss" in logs:
            evaluated = {name: logs[name] for name in _EVALUATED if name in logs} | measured(logs, prefix="eval_")
            self._metrics.add(_plain({"step": state.global_step, "epoch": state.epoch, **evaluated}))

    def held_out_losses(self, step: int, found: Mapping[str, float] | None) -> None:
        """Write the losses on held-out chains; None if they could not be measured."""
        if found is None:
            failed = "The losses of lens_traces could not be measured"
            self.warnings.add(f"{failed} at step {step}; the log has the reason.", instead=failed)
        else:
            self._metrics.add(_plain({"step": step, **found}))

    def save(self, folder: str, step: int) -> None:
        """Rename a complete checkpoint to its final name, which a partial one therefore never has."""
        saved = Path(folder) / f"checkpoint-{step}"
        figures = {"step": step, "num_tokens": self._tokens(), "elapsed_s": self._elapsed(), "loss": self.last_loss}
        write_json(saved / STATE_FILE, figures | {"processes": self._processes})
        target = self._run.checkpoint(step)
        if target.exists():
            shutil.rmtree(target)
        saved.rename(target)
        if keep := self._recipe.keep_checkpoints:
            for old in self._run.checkpoints()[:-keep]:
                shutil.rmtree(old, ignore_errors=True)

    def ask_probes(self, model: Any, step: int) -> None:
        if self._prober is None or self._stop():
            return
        before = self._heartbeat.status.message

        def progress(answered: int, total: int) -> None:
            self._heartbeat.update(message=f"Asking probes {answered}/{total}.")

        try:
            for sample in self._prober.ask(model, step, progress):
                self._samples.add(sample)
        except Exception as error:  # the training is worth more than its probes
            traceback.print_exc()
            failed = "The probes could not be asked"
            self.warnings.add(f"{failed} at step {step}: {type(error).__name__}: {first_line(error)}.", instead=failed)
        self._heartbeat.update(message=before)

    # Helpers.

    def _log_step(self, state: Any, logs: dict[str, Any]) -> None:
        step, loss = state.global_step, float(logs["loss"])
        tokens = self._tokens()
        line = {
            "step": step,
            "epoch": state.epoch,
            "loss": loss,
            "learning_rate": logs.get("learning_rate"),
            "grad_norm": logs.get("grad_norm"),
            "num_tokens": tokens,
            "mean_token_accuracy": logs.get("mean_token_accuracy"),
            "entropy": logs.get("entropy"),
            **measured(logs),
            "tokens_per_second": round((tokens - self._tokens_logged) / max(self._busy_s, 1e-9), 2),
            "elapsed_s": self._elapsed(),
            "rss_bytes": self._process.memory_info().rss,
        } | self._gpu()
        self._tokens_logged, self._busy_s = tokens, 0.0
        name, value = ("gradient", float(logs.get("grad_norm") or 0.0)) if math.isfinite(loss) else ("loss", loss)
        if not math.isfinite(value):
            line["alert"] = "nan"
            self.warnings.add(f"The {name} became {value} at step {step}.")
            self.failure = RefusedError(
                f"The {name} became {value} at step {step}: the weights are unusable.",
                self._advice(),
                code="nan_loss",
            )
        elif usual := spike(loss, self._losses):
            line["alert"] = "spike"
            text = f"Loss spike at step {step}: {loss:.3g}, usually about {usual:.3g}."
            self.warnings.spike(text)
            self._hook.send("spike", text)
        if math.isfinite(loss):
            self._losses.append(loss)
            self.last_loss = loss
        self._metrics.add(_plain(line))

    def _advice(self) -> str:
        saved = self._run.checkpoints()
        resuming = f" Resuming continues from {saved[-1].name}." if saved else ""
        return f"Lower the learning rate (now {self._recipe.learning_rate:g}) or raise the warm-up.{resuming}"

    def _warn_of_other_processes(self, before: int, step: int) -> None:
        """Warn that another number of processes changes the rows of a step."""
        words = f"{self._processes} process{'es' * (self._processes > 1)} instead of {before}"
        per_process = self._recipe.batch_size * self._recipe.grad_accumulation
        self.warnings.add(
            f"From step {step} on it trains in {words}: a step has {per_process * self._processes} rows instead of"
            f" {per_process * before}, so rows of the epoch are trained twice or left out."
        )

    def _tokens(self) -> int:
        # TRL counts from zero after a resume, in all processes together. The private counter is that of its log line.
        return self._before_tokens + int(self.trainer._total_train_tokens)

    def _elapsed(self) -> float:
        return round(self._before_s + time.monotonic() - self._began, 3)


def spike(loss: float, history: deque[float]) -> float | None:
    """Detect a loss spike: half above the median and eight median absolute deviations above it.

    The deviation is at least a hundredth of the median, so that the noise of a flat curve is not a spike.

    Args:
        loss: the new loss.
        history: the losses before it.

    Returns:
        The median of the history if the loss is a spike; otherwise None.
    """
    if len(history) < _SPIKE_LEAST:
        return None
    usual = statistics.median(history)
    spread = max(statistics.median(abs(value - usual) for value in history), 0.01 * abs(usual), 1e-4)
    jumps = loss > 1.5 * usual + 0.05 and loss > usual + 8 * spread
    return usual if jumps else None


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    """Replace values that JSON cannot represent (NaN, infinity) by null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in line.items()
    }


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
