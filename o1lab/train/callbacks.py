"""Trainer callback that writes metrics, samples and checkpoints to the run directory and reacts to stop requests."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from transformers import TrainerCallback

from o1lab.errors import O1LabError, RefusedError
from o1lab.files import write_json
from o1lab.jobs.heartbeat import Heartbeat, StopSignal
from o1lab.models.checkpoints import checkpoint_step
from o1lab.small_files import read_object
from o1lab.train.metrics_reader import RESUMED
from o1lab.train.probes import Prober
from o1lab.train.recipe import Recipe
from o1lab.train.run_directory import RunDir, RunStatus

STATE_FILE = "o1lab.json"
_EVALUATED = ("eval_loss", "eval_mean_token_accuracy", "eval_entropy")
_SPIKE_HISTORY = 30
_SPIKE_LEAST = 10


class Gpu:
    """Utilisation and memory of one NVIDIA GPU, from the driver.

    Args:
        entry: its entry in CUDA_VISIBLE_DEVICES: an index or a UUID.
    """

    def __init__(self, entry: str) -> None:
        import pynvml

        self._nvml = pynvml
        pynvml.nvmlInit()
        self._handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(entry))
            if entry.isdigit()
            else pynvml.nvmlDeviceGetHandleByUUID(entry)
        )

    def read(self) -> dict[str, float]:
        """Return ``gpu_util`` in percent and ``gpu_memory_bytes`` in use by all processes; empty if unavailable."""
        try:
            return {
                "gpu_util": self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu,
                "gpu_memory_bytes": self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used,
            }
        except self._nvml.NVMLError:
            return {}


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


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers is not typed for us
    """Writes metrics, samples and checkpoints of a run; stops it on request or when the loss is not finite.

    Attributes:
        trainer: must be set before training starts.
        failure: why the run cannot continue; None if it can.
        stopped: whether it was stopped on request.
        last_loss: the last finite loss.
    """

    def __init__(
        self, run: RunDir, recipe: Recipe, heartbeat: Heartbeat[RunStatus], stop: StopSignal, prober: Prober | None
    ) -> None:
        self.trainer: Any = None
        self.failure: O1LabError | None = None
        self.stopped = False
        self.last_loss: float | None = None
        self._run, self._recipe, self._heartbeat, self._stop, self._prober = run, recipe, heartbeat, stop, prober
        self._metrics = Lines(run.metrics)
        self._samples = Lines(run.samples)
        self._process = psutil.Process()
        self._gpu: Gpu | None = None
        self._losses: deque[float] = deque(maxlen=_SPIKE_HISTORY)
        self._before_s = 0.0
        self._before_tokens = 0
        self._began = self._step_began = time.monotonic()
        self._busy_s = 0.0
        self._tokens_logged = 0
        self._ask_after_log = False

    def watch_gpu(self, entry: str) -> None:
        self._gpu = Gpu(entry)

    def continue_from(self, checkpoint: Path) -> None:
        """Restore the counters of a checkpoint, and mark later metrics and samples as superseded."""
        saved = read_object(checkpoint / STATE_FILE)
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

    # Called by the trainer.

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._began = time.monotonic()
        self._heartbeat.update(state="running", step=state.global_step, total_steps=state.max_steps)
        if state.global_step == 0:
            self._ask_probes(kwargs["model"], 0)
        return control

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._step_began = time.monotonic()
        return control

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._busy_s += time.monotonic() - self._step_began
        step, recipe = state.global_step, self._recipe
        last = step >= state.max_steps
        self._heartbeat.update(write=False, step=step)
        if self._stop() and not last:
            self._heartbeat.update(state="stopping", message="Saving a checkpoint.")
            self.stopped = control.should_training_stop = True
            control.should_log = control.should_save = True
            return control
        if last or (recipe.save_steps and step % recipe.save_steps == 0):
            control.should_save = control.should_log = True  # logging comes first and prevents saving a NaN
        if last or (recipe.eval_steps and step % recipe.eval_steps == 0):
            control.should_evaluate = self.trainer.eval_dataset is not None
            control.should_log = self._ask_after_log = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        logs = logs or {}
        if "loss" in logs:
            self._log_step(state, control, logs)
        elif "eval_loss" in logs:
            evaluated = {name: logs[name] for name in _EVALUATED if name in logs}
            self._metrics.add(_plain({"step": state.global_step, "epoch": state.epoch, **evaluated}))
        if self._ask_after_log and "loss" in logs:
            self._ask_after_log = False
            if self.failure is None:
                self._ask_probes(kwargs["model"], state.global_step)
        return control

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Rename a complete checkpoint to its final name, which a partial one therefore never has."""
        step = state.global_step
        saved = Path(args.output_dir) / f"checkpoint-{step}"
        write_json(
            saved / STATE_FILE,
            {"step": step, "num_tokens": self._tokens(), "elapsed_s": self._elapsed(), "loss": self.last_loss},
        )
        target = self._run.checkpoint(step)
        if target.exists():
            shutil.rmtree(target)
        saved.rename(target)
        if keep := self._recipe.keep_checkpoints:
            for old in self._run.checkpoints()[:-keep]:
                shutil.rmtree(old, ignore_errors=True)
        return control

    # Helpers.

    def _log_step(self, state: Any, control: Any, logs: dict[str, Any]) -> None:
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
            "tokens_per_second": round((tokens - self._tokens_logged) / max(self._busy_s, 1e-9), 2),
            "elapsed_s": self._elapsed(),
            "rss_bytes": self._process.memory_info().rss,
        }
        if self._gpu:
            line |= self._gpu.read()
        self._tokens_logged, self._busy_s = tokens, 0.0
        name, value = ("gradient", float(logs.get("grad_norm") or 0.0)) if math.isfinite(loss) else ("loss", loss)
        if not math.isfinite(value):
            line["alert"] = "nan"
            control.should_save = control.should_evaluate = False
            control.should_training_stop = True
            self.failure = RefusedError(
                f"The {name} became {value} at step {step}: the weights are unusable.",
                self._advice(),
                code="nan_loss",
            )
        elif usual := spike(loss, self._losses):
            line["alert"] = "spike"
            self._heartbeat.update(message=f"Loss spike at step {step}: {loss:.3g}, usually about {usual:.3g}.")
        if math.isfinite(loss):
            self._losses.append(loss)
            self.last_loss = loss
        self._metrics.add(_plain(line))

    def _advice(self) -> str:
        saved = self._run.checkpoints()
        resuming = f" Resuming continues from {saved[-1].name}." if saved else ""
        return f"Lower the learning rate (now {self._recipe.learning_rate:g}) or raise the warm-up.{resuming}"

    def _ask_probes(self, model: Any, step: int) -> None:
        if self._prober is None or self._stop():
            return
        before = self._heartbeat.status.message

        def progress(answered: int, total: int) -> None:
            self._heartbeat.update(message=f"Asking probes {answered}/{total}.")

        for sample in self._prober.ask(model, step, progress):
            self._samples.add(sample)
        self._heartbeat.update(message=before)

    def _tokens(self) -> int:
        # TRL counts the tokens of this process only. The private counter is the one in its own log line.
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
