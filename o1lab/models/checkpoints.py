"""Checkpoints of training runs: what a complete one is, of which kind, and what servers call it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from o1lab.small_files import read_object

Kind = Literal["adapter", "full"]
"""What a checkpoint holds: an adapter for a base, or a whole model."""
_STEP = "step-"
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
_MODEL = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def checkpoint_name(step: int) -> str:
    """The folder name of the checkpoint of a step."""
    return f"{_STEP}{step}"


def checkpoint_step(path: Path) -> int:
    """The step in the name of a checkpoint's folder."""
    return int(path.name.removeprefix(_STEP))


def kind_of(path: Path) -> Kind | None:
    """Return what a folder holds: an adapter with its weights, or a model with all of them; None for neither."""
    if all((path / name).is_file() for name in _ADAPTER):
        return "adapter"
    files = weight_files(path)
    return "full" if (path / "config.json").is_file() and files and all(map(Path.is_file, files)) else None


def weight_files(path: Path) -> list[Path]:
    """Return the files with the weights of a checkpoint; empty if it has none."""
    if (path / _ADAPTER[1]).is_file():
        return [path / _ADAPTER[1]]
    shards = read_object(path / _INDEX).get("weight_map")
    if isinstance(shards, dict):
        return sorted(path / str(name) for name in set(shards.values()))
    return [path / _MODEL] if (path / _MODEL).is_file() else []


def is_complete(path: Path) -> bool:
    """Whether a folder is a complete checkpoint: named after its step, with settings and weights."""
    return path.name.removeprefix(_STEP).isdigit() and kind_of(path) is not None


def complete_checkpoints(run: Path) -> list[Path]:
    """The complete checkpoints of a run's directory, by step. One that is still being written is left out."""
    return sorted(filter(is_complete, run.glob(f"checkpoints/{_STEP}*")), key=checkpoint_step)


def served_name(folder: Path) -> str:
    """Return what servers call the model or adapter in a folder: that of a run's checkpoint has the run's id in it."""
    return f"{folder.parent.parent.name}-{folder.name}" if folder.parent.name == "checkpoints" else folder.name


def weights_stamp(folder: Path) -> str:
    """Return a short text that changes when other weights of an adapter take the place of those in a folder.

    It is made of the size and the time of the file, because servers ask for it before each answer.
    """
    try:
        about = (folder / _ADAPTER[1]).stat()
    except OSError:
        return "gone"
    return hashlib.sha256(f"{about.st_size} {about.st_mtime_ns}".encode()).hexdigest()[:8]
