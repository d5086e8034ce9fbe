"""Run preflight in a separate process, which may import torch, and its report."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from o1lab.errors import LabError, O1LabError, RefusedError
from o1lab.files import writing
from o1lab.labs import open_lab
from o1lab.models.library_errors import explain, last_error
from o1lab.paths import Lab, log_dir
from o1lab.process import is_alive
from o1lab.small_files import read_object
from o1lab.train.launch import prepare, require_one_node, require_trainer, resolve_rows
from o1lab.train.launchers import LAUNCHERS
from o1lab.train.preflight.fitting import Batches, Plan, plan_lines
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir
from store.connection import Store

Progress = Callable[[int, int], None]
_FOLDER = ".preflight-"
PROGRESS = ".rows.json"
"""The file in which the process counts the rows; it is deleted with the folder."""
_DAY_S = 86_400
TIMEOUT_S = 1800.0


class Problem(BaseModel):
    """Why a run cannot start as it is, and what to do."""

    code: str
    message: str
    hint: str = ""


class Tokens(BaseModel):
    """Row lengths in tokens, question included, before anything is dropped or cut."""

    p50: int = 0
    p95: int = 0
    max: int = 0
    total: int = 0


class Bin(BaseModel):
    """A bin of the histogram: ``count`` rows of ``low`` to below ``high`` tokens."""

    low: int
    high: int
    count: int


class SampleToken(BaseModel):
    """A token of a row as the trainer sees it, and whether it is learned."""

    text: str
    trained: bool


class Target(BaseModel):
    """A name of layers that have an adapter or are trained in full, and how many there are."""

    name: str
    layers: int


class Memory(BaseModel):
    """The parts of the memory estimate, in bytes; the formula is in :mod:`o1lab.train.preflight.memory`."""

    PARTS: ClassVar[tuple[str, ...]] = ("weights", "adapter", "activations", "overhead")

    weights: int = 0
    adapter: int = 0
    activations: int = 0
    overhead: int = 0
    available: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, name) for name in self.PARTS)


class Preflight(BaseModel):
    """The report of preflight, from the tensors that the trainer will use.

    ``replay_rows`` are those of the training rows that the base answered, and ``replay_tokens`` their trained tokens.
    ``reference`` is what preference training compares the student with; of pairs, lengths are those of the answers.
    """

    ok: bool = False
    problems: list[Problem] = Field(default_factory=list)
    warnings: list[Problem] = Field(default_factory=list)
    rows: int = 0
    over_length: int = 0
    tokens: Tokens = Field(default_factory=Tokens)
    trained_tokens: int = 0
    memory_bytes: int = 0
    total_steps: int = 0
    command: str = ""
    histogram: list[Bin] = Field(default_factory=list)
    train_rows: int = 0
    eval_rows: int = 0
    dropped_rows: int = 0
    truncated_rows: int = 0
    replay_rows: int = 0
    replay_tokens: int = 0
    sample: list[SampleToken] = Field(default_factory=list)
    sample_trace_id: str = ""
    thought_survives: bool | None = None
    system_prompt: str = ""
    template_system: str = ""
    end_of_turn: str = ""
    end_of_turn_trained: bool | None = None
    batches: Batches = Field(default_factory=Batches)
    memory: Memory = Field(default_factory=Memory)
    plans: list[Plan] = Field(default_factory=list)
    plan_bytes: int = 0
    device: str = ""
    dtype: str = ""
    trainable_parameters: int = 0
    base_parameters: int = 0
    targets: list[Target] = Field(default_factory=list)
    reference: str = ""

    def problem(self, code: str, message: str, hint: str) -> None:
        """Add a problem that prevents the run from starting."""
        self.problems.append(Problem(code=code, message=message, hint=hint))

    def refused(self, error: O1LabError) -> None:
        """Add an error as a problem."""
        self.problem(error.code, error.message, error.hint)

    def warning(self, code: str, message: str, hint: str) -> None:
        """Add a warning, which does not prevent the run from starting."""
        self.warnings.append(Problem(code=code, message=message, hint=hint))

    def plan_lines(self) -> list[str]:
        """Return a line for each plan: what it needs of the device, and whether it fits."""
        return plan_lines(self.plans, self.plan_bytes)

    def settle(self, accepted: Sequence[str]) -> None:
        """Turn the problems that the recipe accepts into warnings, and set ``ok``."""
        self.warnings += [problem for problem in self.problems if problem.code in accepted]
        self.problems = [problem for problem in self.problems if problem.code not in accepted]
        self.ok = not self.problems

    def refuse(self) -> None:
        """Refuse to start if there is a problem.

        Raises:
            RefusedError: the first problem, with its code.
        """
        if self.problems:
            first = self.problems[0]
            raise RefusedError(first.message, first.hint, code=first.code)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of ``o1lab train --dry-run``."""
        return self.model_dump()


def run_preflight(
    lab: Lab,
    recipe: Recipe,
    *,
    store: Store | None = None,
    memory_bytes: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _done, _total: None,
) -> Preflight:
    """Check a recipe without training: tokens, masks, lengths, memory, problems.

    Args:
        lab: the lab.
        recipe: the recipe.
        store: the lab's database, if it is open already.
        memory_bytes: plan for a GPU with this much memory instead of this machine's device.
        cancelled: called several times a second; once it returns true, the process is killed.
        progress: called with the number of tokenised rows and that of all.

    Raises:
        NotFoundError: the dataset or the run to start from does not exist.
        UsageError, RefusedError: as :func:`o1lab.train.launch.resolve_rows`.
        LabError: the training extra is missing, or preflight failed, took too long or was cancelled.
    """
    require_trainer()
    opened = store or open_lab(lab, create=False)
    try:
        resolved, rows = resolve_rows(lab, recipe, opened)
    finally:
        if store is None:
            opened.close()
    # Next to the runs, so that `init_from` has the same meaning; the dot hides it from lists.
    with writing(lab.runs):
        lab.runs.mkdir(parents=True, exist_ok=True)
        sweep(lab)
        folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{socket.gethostname()}-{os.getpid()}-", dir=lab.runs))
    try:
        run = RunDir(folder / "run")
        prepare(lab, run, resolved, rows)
        found = inspect_run(run, runs=lab.runs, memory_bytes=memory_bytes, cancelled=cancelled, progress=progress)
        _check_launcher(found, lab, resolved)
        if recipe.chat_template:  # the resolved recipe has the text
            resolved = resolved.model_copy(update={"chat_template": recipe.chat_template})
        return found.model_copy(update={"command": launching_command(lab, resolved)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_OF_THIS_MACHINE = ("device_missing", "not_enough_memory")
"""The problems that another machine need not have."""


def _check_launcher(found: Preflight, lab: Lab, recipe: Recipe) -> None:
    """Add why the launcher of a recipe cannot start it; what is wrong with this machine is then only a warning."""
    launcher = LAUNCHERS.get(recipe.on)
    try:
        require_one_node(recipe)
    except RefusedError as error:
        found.refused(error)
    if launcher.elsewhere:
        for problem in [one for one in found.problems if one.code in _OF_THIS_MACHINE]:
            found.problems.remove(problem)
            found.warning(problem.code, f"Checked on this machine only: {problem.message}", problem.hint)
    for fault in launcher.faults(lab, recipe):
        found.refused(fault)
    found.settle(recipe.accept)


def sweep(lab: Lab) -> None:
    """Delete the folders of preflight processes that were killed.

    The name of a folder contains host and process id. Folders of other hosts are deleted after a day, because their
    processes cannot be checked.
    """
    for folder in lab.runs.glob(f"{_FOLDER}*"):
        host, _, pid = folder.name.removeprefix(_FOLDER).rpartition("-")[0].rpartition("-")
        with suppress(OSError):
            if host == socket.gethostname() and pid.isdigit():
                left = not is_alive(int(pid), None)
            else:
                left = time.time() - folder.stat().st_mtime > _DAY_S
            if left:
                shutil.rmtree(folder, ignore_errors=True)


def inspect_run(
    run: RunDir,
    *,
    runs: Path | None = None,
    memory_bytes: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _done, _total: None,
) -> Preflight:
    """Run preflight on a prepared run directory; the report's command is that of command.txt.

    Args:
        run: the run directory.
        runs: the folder of the runs that ``init_from`` may name; by default the one that contains ``run``.
        memory_bytes: plan for a GPU with this much memory.
        cancelled: called several times a second; once it returns true, the process is killed.
        progress: called with the number of tokenised rows and that of all.

    Raises:
        LabError: preflight failed (the message has the last line of its output), took too long or was cancelled.
    """
    command = [sys.executable, "-P", "-m", "o1lab.train.preflight.worker", str(run.path)]
    if runs is not None:
        command += ["--runs", str(runs)]
    if memory_bytes is not None:
        command += ["--memory", str(memory_bytes)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )

    def report() -> None:
        found = read_object(run.path / PROGRESS)
        if isinstance(done := found.get("done"), int) and isinstance(total := found.get("total"), int):
            progress(done, total)

    out, err = _output(process, cancelled, report)
    report()
    last = out.strip().rpartition("\n")[2]
    try:
        found = json.loads(last)
    except ValueError as error:
        raise _broken(process.returncode, err) from error
    return Preflight.model_validate(found)


def _output(
    process: subprocess.Popen[str], cancelled: Callable[[], bool], report: Callable[[], None]
) -> tuple[str, str]:
    """Return the output of the process, and report its progress meanwhile; kill it on a timeout or when cancelled."""
    deadline = time.monotonic() + TIMEOUT_S
    with process:
        while True:
            try:
                return process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                report()
                late = time.monotonic() > deadline
                if not (late or cancelled()):
                    continue
                process.kill()
                process.communicate()
                if late:
                    raise LabError(f"Preflight took longer than {TIMEOUT_S:.0f} s.", "Try a smaller dataset.") from None
                raise LabError("Preflight was cancelled.", code="cancelled") from None


def _broken(status: int, output: str) -> LabError:
    """Return the error of a preflight without a result, and append its output to the log."""
    log = log_dir() / "o1lab.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(output)
        hint = f"Its output is in {log}."
    except OSError:
        hint = ""
    if status < 0:
        return LabError(
            f"Preflight was killed by signal {-status}.",
            f"The machine may be out of memory. {hint}".strip(),
            code="preflight",
        )
    last = last_error(output.strip().splitlines())
    if known := explain(last):
        return LabError(f"Preflight failed: {known.message}", f"{known.hint} {hint}".strip(), code="preflight")
    reason = (last or output.strip().rpartition("\n")[2]).partition("\n")[0].rstrip(".") or f"exit status {status}"
    return LabError(f"Preflight failed: {reason}.", hint, code="preflight")


def launching_command(lab: Lab, recipe: Recipe) -> str:
    """Return the command line that starts this recipe, with the values that differ from the defaults."""
    defaults = Recipe(dataset=recipe.dataset)
    words = ["o1lab", "--lab", str(lab.root), "train", "--base", recipe.base, "--dataset", recipe.dataset]
    if recipe.init_from:
        words += ["--init-from", recipe.init_from]
    for name in Recipe.model_fields:
        value = getattr(recipe, name)
        if name in ("base", "dataset", "dataset_hash", "init_from") or value == getattr(defaults, name):
            continue
        if name == "probes":
            value = [probe.model_dump() for probe in value]
        text = ",".join(map(str, value)) if isinstance(value, list) and name != "probes" else str(value)
        if name in ("probes", "chat_template_kwargs"):
            text = json.dumps(value, ensure_ascii=False)
        words += ["--set", f"{name}={text}"]
    return shlex.join(words)
