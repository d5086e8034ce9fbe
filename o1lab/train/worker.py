"""The training worker: ``python -P -m o1lab.train.worker RUN_DIR [--resume]``.

A separate process that uses nothing but its run directory: it reads the recipe and the rows there, waits for its
device, trains with TRL and PEFT, and writes status and metrics. Its output goes to the run's log.txt.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shutil
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from o1lab.errors import LabError, O1LabError, RefusedError
from o1lab.files import write_json
from o1lab.jobs.device_queue import Device, acquire_device, resolve_device
from o1lab.jobs.heartbeat import Heartbeat, StopSignal
from o1lab.models.base import describe_base, resolve_base
from o1lab.models.checkpoints import checkpoint_step
from o1lab.models.library_errors import explain as explain_text
from o1lab.models.library_errors import first_line
from o1lab.process import started_at
from o1lab.small_files import read_object
from o1lab.train.parent_run import wait_for_origin
from o1lab.train.recipe import Recipe, load
from o1lab.train.rows import read_rows
from o1lab.train.run_directory import RunDir, RunStatus

_DISK_FULL_BYTES = 64 << 20
"""With less free space than this, a failed write is taken for a full disk."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpcore", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return work(RunDir(arguments.run.absolute()), resuming=arguments.resume)


def work(run: RunDir, *, resuming: bool) -> int:
    """Run the training to its end.

    Args:
        run: the run.
        resuming: whether to continue from the last checkpoint.

    Returns:
        The exit status: 0 if the run finished or was stopped.
    """
    with run.exclusive_lock() as ours:
        if ours:
            return _work(run, resuming=resuming)
    print("Another process is already running this run.", file=sys.stderr, flush=True)
    return 1


def _work(run: RunDir, *, resuming: bool) -> int:
    stop = StopSignal(run)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    before = run.read_status()
    status = RunStatus(
        "starting",
        pid=os.getpid(),
        host=socket.gethostname(),
        pid_started=started_at(os.getpid()),
        step=before.step,
        total_steps=before.total_steps,
        message="Loading.",
    )
    heartbeat = Heartbeat(run, status)
    try:
        end = _in_turn(run, heartbeat, stop, resuming=resuming)
    except BaseException as error:
        traceback.print_exc()
        explained = explain(error, run)
        heartbeat.end(state="failed", after="", message=explained.message, hint=explained.hint)
        return 1
    heartbeat.end(**end)
    return 0


def _in_turn(run: RunDir, heartbeat: Heartbeat[RunStatus], stop: StopSignal, *, resuming: bool) -> dict[str, str]:
    """Wait for the run to start from and for the device, then train; returns the final fields of status.json."""
    recipe = wait_for_origin(run, load(run.recipe), heartbeat, stop)
    if recipe is None:
        return {"state": "stopped", "after": "", "message": f"Stopped while waiting for run {heartbeat.status.after}."}
    device = resolve_device(recipe.device)
    os.environ.update(device.environment())

    def waiting(ahead: int) -> None:
        others = "another run" if ahead == 1 else f"{ahead} other runs"
        if heartbeat.status.state != "queued" or others not in heartbeat.status.message:
            heartbeat.update(state="queued", message=f"Waiting for {device.name}: {others} before this one.")

    with acquire_device(device, waiting=waiting, give_up=stop) as ours:
        if not ours:
            return {"state": "stopped", "message": "Stopped while waiting for its device."}
        heartbeat.update(state="starting", message="Loading.", device=device.name)
        return _train(run, recipe, device, heartbeat, stop, resuming=resuming)


def _train(
    run: RunDir, recipe: Recipe, device: Device, heartbeat: Heartbeat[RunStatus], stop: StopSignal, *, resuming: bool
) -> dict[str, str]:
    import torch

    from o1lab.train import compute, tensors
    from o1lab.train.callbacks import Reporter
    from o1lab.train.probes import Prober
    from o1lab.train.targets import lora_config

    if device.is_gpu and not torch.cuda.is_available():
        if recipe.device != "auto":
            raise LabError(f"torch cannot use {device.name}.", "Install a CUDA build of torch.", code="device_missing")
        device = Device("cpu")
    folder = resolve_base(recipe.base)
    rows = read_rows(run.data)
    tokenizer = tensors.load_tokenizer(folder, recipe)
    dtype = _dtype(run, recipe, folder, device, resuming=resuming)
    heartbeat.update(device=device.name, dtype=dtype.name)
    model = compute.load_base(folder, dtype)
    if recipe.init_from:
        model = _with_origin(run, recipe, folder, model)
    saved = run.checkpoints() if resuming else []
    checkpoint = saved[-1] if saved else None
    prober = Prober(recipe, tokenizer, stop) if recipe.probes else None
    reporter = Reporter(run, recipe, heartbeat, stop, prober)
    saving = run.checkpoints_dir / ".saving"
    shutil.rmtree(saving, ignore_errors=True)
    try:
        trainer, lengths = tensors.build_trainer(
            model,
            tokenizer,
            recipe,
            rows,
            saving,
            cpu=not device.is_gpu,
            bf16=dtype.name == "bf16",
            adapter=None if recipe.init_from else lora_config(recipe, model),
            callbacks=[reporter],
        )
        tensors.refuse_over_length(lengths, recipe)
        if not len(trainer.train_dataset):
            raise RefusedError("No training row is left.", "Raise max_length.", code="empty_dataset")
        _describe_dataset(run, lengths)
        reporter.trainer = trainer
        if device.is_gpu:
            reporter.watch_gpu(device.entry)
        if checkpoint is not None:
            reporter.continue_from(checkpoint)
            heartbeat.update(
                step=checkpoint_step(checkpoint), message=f"Resumed from step {checkpoint_step(checkpoint)}."
            )
        elif resuming:
            reporter.restart_at(0)
        else:
            heartbeat.update(message="")
        if stop():
            return {"state": "stopped", "message": "Stopped before its first step."}
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return _ending(trainer, reporter)
    finally:
        reporter.close()
        shutil.rmtree(saving, ignore_errors=True)


def _with_origin(run: RunDir, recipe: Recipe, folder: Path, model: Any) -> Any:
    """Add the adapter of the run to start from to the base."""
    from o1lab.train import compute

    runs = run.path.parent
    if mismatch := compute.adapter_mismatch(folder, recipe, runs):
        raise RefusedError(mismatch, "Start from a run of the same base.", code="adapter_of_other_base")
    return compute.with_adapter(model, compute.init_checkpoint(recipe, runs))


def _describe_dataset(run: RunDir, lengths: Any) -> None:
    """Add the row lengths by the base's tokenizer to dataset.json."""
    from o1lab.train.preflight.worker import summary

    tokens, histogram = summary(lengths.lengths)
    described = read_object(run.dataset)
    described |= {"tokens": tokens.model_dump(), "histogram": [bin_.model_dump() for bin_ in histogram]}
    described |= {"over_length": lengths.over, "dropped": lengths.dropped, "truncated": lengths.truncated}
    write_json(run.dataset, described)


def _ending(trainer: Any, reporter: Any) -> dict[str, str]:
    step = trainer.state.global_step
    if reporter.failure is not None:
        raise reporter.failure
    if reporter.stopped:
        return {
            "state": "stopped",
            "message": f"Stopped at step {step}; resuming continues from there." if step else "Stopped.",
        }
    loss = "" if reporter.last_loss is None else f", loss {reporter.last_loss:.4g}"
    return {"state": "finished", "message": f"Finished after {step} steps{loss}."}


def _dtype(run: RunDir, recipe: Recipe, folder: Path, device: Device, *, resuming: bool) -> Any:
    """Choose the number format; a resumed run keeps its first one without a new measurement."""
    from transformers import AutoConfig

    from o1lab.train.compute import Dtype, choose_dtype

    env = read_object(run.env)
    before = env.get("dtype")
    first = before.get("name") if resuming and isinstance(before, dict) else None
    if first in ("bf16", "fp32"):
        return Dtype(first, "the run started with it")
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    chosen = choose_dtype(recipe.dtype, gpu=device.is_gpu, model_config=config)
    env["dtype"] = {"name": chosen.name, "reason": chosen.reason, "bf16_s": chosen.bf16_s, "fp32_s": chosen.fp32_s}
    env["device"] = _describe(device)
    env["base"] = describe_base(folder)
    write_json(run.env, env)
    return chosen


def _describe(device: Device) -> dict[str, Any]:
    import torch

    if not device.is_gpu:
        return {"name": "cpu", "threads": torch.get_num_threads()}
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": device.name,
        "gpu": properties.name,
        "memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
    }


def explain(error: BaseException, run: RunDir) -> O1LabError:
    """Convert the error that ended a run to one with a message and a hint; the traceback is in the run's log."""
    if isinstance(error, O1LabError):
        return error
    text = str(error)
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or _disk_is_full(run, text):
        return LabError(
            "The disk is full: the run could not write.",
            "Free some space, then resume: the last complete checkpoint is kept.",
            code="disk_full",
        )
    known = explain_text(f"{type(error).__name__}: {text}")
    return known or LabError(
        f"Training failed: {type(error).__name__}: {first_line(error)}.",
        "The traceback is in the run's log.txt.",
        code="failed",
    )


def _disk_is_full(run: RunDir, text: str) -> bool:
    if "No space left" in text:
        return True
    try:
        return "writing file" in text and shutil.disk_usage(run.path).free < _DISK_FULL_BYTES
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
