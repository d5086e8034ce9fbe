"""Train one run in this process: build the trainer, run it, and say how it ended.

The first process of a run writes to the run directory; the others do the same steps and write nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o1lab.errors import LabError, RefusedError
from o1lab.files import write_json
from o1lab.jobs.device_queue import Device
from o1lab.jobs.heartbeat import Heartbeat
from o1lab.jobs.hook import HookCaller
from o1lab.models.base import describe_base, resolve_base
from o1lab.models.checkpoints import checkpoint_step
from o1lab.small_files import read_object
from o1lab.text import one_line
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import read_rows
from o1lab.train.runs.directory import RunDir, RunStatus
from o1lab.train.runs.warnings import Warnings
from o1lab.train.trainer import trackers
from o1lab.train.trainer.distributed import FSDP2_ON_CPU, World


@dataclass(frozen=True)
class Session:
    """A process of a run from its start to its end.

    Attributes:
        run: the run.
        world: the processes of the run.
        heartbeat: writes the status, in the first process only.
        stop: whether this process was asked to stop.
        hook: calls the lab's hook; the first process has it, the others have none.
        resuming: whether to continue from the last checkpoint.
    """

    run: RunDir
    world: World
    heartbeat: Heartbeat[RunStatus]
    stop: Callable[[], bool]
    hook: HookCaller | None
    resuming: bool


def train(session: Session, recipe: Recipe, devices: Sequence[Device]) -> dict[str, str]:
    """Train to the end of the run, or until it is asked to stop.

    Args:
        session: this process of the run.
        recipe: the recipe; the run it starts from has finished.
        devices: those of the processes on this node.

    Returns:
        The final fields of status.json; none in a process that is not the first one.
    """
    run, world = session.run, session.world
    tracked = trackers.prepare(run, recipe) if world.is_first else None
    broken = trackers.hide_broken(recipe.report_to)
    from o1lab.train import early_stop
    from o1lab.train.trainer import compute, steering, targets, tensors, trainers
    from o1lab.train.trainer.held_out import shared_evenly
    from o1lab.train.trainer.held_out_loss import HeldOutLoss

    warnings = Warnings(session.heartbeat)
    devices = _usable(devices, recipe, warnings)
    device = devices[0]
    recipe = _as_started(recipe, world, device, warnings)
    folder = resolve_base(recipe.base)
    rows = read_rows(run.data)
    tokenizer = tensors.load_tokenizer(folder, recipe)
    dtype = _dtype(session, recipe, folder, device)
    session.heartbeat.update(device=names(devices), dtype=dtype.name, kind=recipe.kind)
    checkpoint = _checkpoint(session)
    model = compute.load_student(folder, recipe, dtype, gpu=device.is_gpu, runs=run.path.parent, resumed=checkpoint)
    saving = run.checkpoints_dir / ".saving"
    if world.is_first:
        shutil.rmtree(saving, ignore_errors=True)
    reporter = _reporter(session, recipe, tokenizer)
    early = early_stop.EarlyStop(run, recipe, warnings, judges=world.is_first)
    steering = steering.Steering(recipe, world, lambda: session.stop() or early.hopeless, reporter)
    try:
        trainer, lengths = trainers.build_trainer(
            model,
            tokenizer,
            recipe,
            rows,
            saving,
            cpu=not device.is_gpu,
            bf16=dtype.name == "bf16",
            adapter=None if recipe.init_from or recipe.adapter == "full" else targets.lora_config(recipe, model),
            callbacks=[*(_trackers(recipe, broken, warnings) if tracked else ()), steering, early],
            tracked=tracked,
        )
        tensors.refuse_over_length(lengths, recipe)
        if not len(trainer.train_dataset):
            raise RefusedError("No training row is left.", "Raise max_length.", code="empty_dataset")
        world.refuse_fewer_rows(len(trainer.train_dataset))
        if trainer.eval_dataset is not None:
            trainer.eval_dataset = shared_evenly(trainer.eval_dataset, world.size, recipe.batch_size)
        steering.trainer = trainer
        steering.held_out_loss = losses = HeldOutLoss(rows, recipe, tokenizer, world) if recipe.lens_traces else None
        if reporter is not None:
            _describe_dataset(run, lengths, losses, warnings)
            reporter.trainer = trainer
            warnings.rows(rows, lengths, recipe)
            if device.is_gpu:
                reporter.watch_gpu(device.entry)
            _begin(session, reporter, checkpoint)
        if world.any(session.stop()):
            return {"state": "stopped", "message": "Stopped before its first step."}
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        world.wait()
        return early.ending(_ending(trainer, steering, reporter)) if reporter else {}
    finally:
        if reporter is not None:
            reporter.close()
            shutil.rmtree(saving, ignore_errors=True)


def _checkpoint(session: Session) -> Path | None:
    """Return the checkpoint to continue from, which the first process names for all."""
    saved = session.run.checkpoints() if session.resuming and session.world.is_first else []
    return session.world.from_first(saved[-1] if saved else None)


def _reporter(session: Session, recipe: Recipe, tokenizer: Any) -> Any:
    """Return what writes metrics and asks probes; None in a process that is not the first one."""
    from o1lab.train.trainer.callbacks import Reporter
    from o1lab.train.trainer.probes import Prober

    if session.hook is None:
        return None
    prober = Prober(recipe, tokenizer, session.stop) if recipe.probes else None
    processes = session.world.size
    return Reporter(
        session.run, recipe, session.heartbeat, session.stop, prober, hook=session.hook, processes=processes
    )


def _usable(devices: Sequence[Device], recipe: Recipe, warnings: Warnings) -> Sequence[Device]:
    """Return the devices that torch can use.

    Raises:
        LabError: the recipe names a GPU, and torch cannot use it (code ``device_missing``).
    """
    import torch

    first = devices[0]
    if not first.is_gpu or torch.cuda.is_available():
        return devices
    if recipe.device != "auto":
        raise LabError(f"torch cannot use {first.name}.", "Install a CUDA build of torch.", code="device_missing")
    warnings.add(f"torch cannot use {first.name}: the run trains on the CPU.")
    return [Device("cpu")]


def names(devices: Sequence[Device]) -> str:
    """Return the name of a device, or how many GPUs there are, as the status shows it."""
    return devices[0].name if len(devices) == 1 else f"{len(devices)} GPUs"


def _as_started(recipe: Recipe, world: World, device: Device, warnings: Warnings) -> Recipe:
    """Return the recipe with the processes that were started, which torchrun decides.

    Raises:
        LabError: some processes have a GPU, and others have none.
        RefusedError: the recipe's strategy needs GPUs (code ``fsdp2_cpu``).
    """
    if world.any(device.is_gpu) != device.is_gpu:
        raise LabError(
            "Other processes of the run have GPUs that torch can use, but this one has none.",
            "Start it on nodes that are alike, or set device=cpu.",
            code="device_missing",
        )
    if recipe.strategy == "fsdp2" and world.size > 1 and not device.is_gpu:
        raise RefusedError(*FSDP2_ON_CPU, code="fsdp2_cpu")
    if recipe.world_size != world.size:
        warnings.add(f"It trains in {world.size} processes; its recipe says {recipe.world_size}.")
    changes: dict[str, Any] = {"nodes": world.nodes, "processes": world.local_size}
    if recipe.strategy == "fsdp2" and world.size > 1 and recipe.probes:
        warnings.add("The probes are not asked: with fsdp2 no process has the whole model.")
        changes["probes"] = []
    return recipe.model_copy(update=changes)


def _begin(session: Session, reporter: Any, checkpoint: Path | None) -> None:
    """Mark what a resume replaces, and report where the run begins."""
    if checkpoint is not None:
        reporter.continue_from(checkpoint)
        step = checkpoint_step(checkpoint)
        session.heartbeat.update(step=step, message=f"Resumed from step {step}.")
    elif session.resuming:
        reporter.restart_at(0)
    else:
        session.heartbeat.update(message="")


def _trackers(recipe: Recipe, broken: Mapping[str, str], warnings: Warnings) -> list[Any]:
    """Return the callbacks of the recipe's trackers; an error of one, also of its constructor, becomes a warning.

    Args:
        recipe: the recipe.
        broken: the errors of those whose package cannot be imported.
        warnings: the warnings of the run.
    """
    from transformers.integrations import get_reporting_integration_callbacks

    def failed(text: str) -> None:
        warnings.add(one_line(text, 300))

    found = []
    for name in recipe.report_to:
        title = trackers.TRACKERS[name]
        if name in broken:
            failed(f"{title} gets nothing of this run: {broken[name]}")
            continue
        try:
            (kind,) = get_reporting_integration_callbacks([name])
            found.append(trackers.guarded(kind(), failed))
        except Exception as error:
            failed(f"{title} gets nothing of this run: {type(error).__name__}: {error}")
    return found


def _describe_dataset(run: RunDir, lengths: Any, losses: Any, warnings: Warnings) -> None:
    """Add the row lengths by the base's tokenizer, and the held-out rows whose losses are measured, to dataset.json."""
    from o1lab.train.preflight.worker import summary

    tokens, histogram = summary(lengths.lengths)
    described = read_object(run.dataset)
    described |= {"tokens": tokens.model_dump(), "histogram": [bin_.model_dump() for bin_ in histogram]}
    described |= {"over_length": lengths.over, "dropped": lengths.dropped, "truncated": lengths.truncated}
    if losses is not None:
        described |= {"lens_traces": losses.trace_ids}
        if losses.left_out:
            here = len(losses.trace_ids)
            warnings.add(
                f"{losses.left_out} of the lens_traces are not held out, too long or not readable: {here} are measured."
            )
    write_json(run.dataset, described)


def _ending(trainer: Any, steering: Any, reporter: Any) -> dict[str, str]:
    step = trainer.state.global_step
    if reporter.failure is not None:
        raise reporter.failure
    if steering.stopped:
        return {
            "state": "stopped",
            "message": f"Stopped at step {step}; resuming continues from there." if step else "Stopped.",
        }
    loss = "" if reporter.last_loss is None else f", loss {reporter.last_loss:.4g}"
    return {"state": "finished", "message": f"Finished after {step} steps{loss}."}


def _dtype(session: Session, recipe: Recipe, folder: Path, device: Device) -> Any:
    """Choose the number format in the first process; a resumed run keeps its first one without a new measurement."""
    chosen = _choose_dtype(session, recipe, folder, device) if session.world.is_first else None
    return session.world.from_first(chosen)


def _choose_dtype(session: Session, recipe: Recipe, folder: Path, device: Device) -> Any:
    from transformers import AutoConfig

    from o1lab.train.trainer.compute import Dtype, choose_dtype

    run = session.run
    env = read_object(run.env)
    before = env.get("dtype")
    first = before.get("name") if session.resuming and isinstance(before, dict) else None
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
