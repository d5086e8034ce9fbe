"""Saved adapters of training runs: what a complete checkpoint is, and where its base is named."""

from __future__ import annotations

from pathlib import Path

_STEP = "step-"
_FILES = ("adapter_config.json", "adapter_model.safetensors")


def checkpoint_name(step: int) -> str:
    """The folder name of the checkpoint of a step."""
    return f"{_STEP}{step}"


def checkpoint_step(path: Path) -> int:
    """The step in the name of a checkpoint's folder."""
    return int(path.name.removeprefix(_STEP))


def is_complete(path: Path) -> bool:
    """Whether a folder is a complete checkpoint: named after its step, with the adapter's settings and weights."""
    return path.name.removeprefix(_STEP).isdigit() and all((path / name).is_file() for name in _FILES)


def complete_checkpoints(run: Path) -> list[Path]:
    """The complete checkpoints of a run's directory, by step. One that is still being written is left out."""
    return sorted(filter(is_complete, run.glob(f"checkpoints/{_STEP}*")), key=checkpoint_step)
