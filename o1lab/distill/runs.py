"""Teacher runs as a person handles them: start, look, pause, stop, go on. :mod:`o1lab.distill.runner` runs them."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from o1lab.config import load_config
from o1lab.distill import journal
from o1lab.distill.filling import check_engine
from o1lab.distill.folder import RunFolder, Status, write_json
from o1lab.distill.items import count_items
from o1lab.distill.methods import make_method, prompt_names
from o1lab.distill.prompts import Prompt, find_prompt, keep_prompts
from o1lab.distill.settings import TeacherRunSettings
from o1lab.distill.terms import keep_asked
from o1lab.distill.voices import check_priced
from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.locations import Lab
from o1lab.serve.registry import ModelRef, endpoint_key, find_model
from o1lab.train.rundir import STALE_S, process_lives
from store import Store, open_store, teacher_runs

ACTIVE = ("starting", "running", "paused", "stopping")
CHANGEABLE = (
    "concurrency", "requests_per_minute", "tokens_per_minute", "attempts", "silence_timeout_s", "stream",
    "budget_usd", "budget_tokens",
)  # fmt: skip
"""Settings that may differ when a run goes on: they decide how it is asked, not what comes out."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A teacher run as a watcher should show it. ``state`` is the status' state, or ``dead``."""

    id: str
    state: str
    status: Status
    settings: TeacherRunSettings | None
    heartbeat_age_s: float | None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass
class FaultCount:
    """How often one fault came, with the last sentence and the last raw response."""

    code: str
    number: int = 0
    sentence: str = ""
    key: str = ""
    raw: str = ""


@dataclass(frozen=True)
class Checked:
    """Settings that make sense in this lab, with what they name."""

    settings: TeacherRunSettings
    teacher: ModelRef
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    items: int = 0


def read_settings(values: Mapping[str, Any]) -> TeacherRunSettings:
    """Settings from named values; None leaves a value's default.

    Raises:
        UsageError: a name or value that means nothing.
    """
    try:
        return TeacherRunSettings.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}: {first['msg']}.", "See `o1lab distill --help`.") from error


def check(lab: Lab, settings: TeacherRunSettings, store: Store) -> Checked:
    """See that everything the settings name is there.

    Raises:
        NotFoundError: no such model or prompt.
        UsageError: the filter, the prompt or the budget makes no sense.
        LabError: a key's variable is empty, or no problem fits.
    """
    models = _models(lab, settings)
    teacher = models[0]
    for model in models:
        if model.endpoint is not None:
            endpoint_key(model.endpoint)
    check_priced(settings, models)
    hidden = bool(teacher.endpoint and teacher.endpoint.hidden_thoughts)
    names = prompt_names(settings, hidden_thoughts=hidden)
    prompts = {role: find_prompt(lab, name) for role, name in names.items()}
    check_engine(settings.engine, make_method(settings, prompts))
    with store.explained():
        items = count_items(store, settings)
    if not items:
        what = settings.traces if settings.method == "translate" else settings.problems
        raise LabError(
            f"Nothing in the lab fits '{what}'.",
            "Import problems (`o1lab import FILE`), or choose others with --problems.",
            code="no_items",
        )
    return Checked(settings, teacher, prompts, items)


def _models(lab: Lab, settings: TeacherRunSettings) -> list[ModelRef]:
    """The models of a run, its teacher first."""
    critic = settings.critic if settings.method == "debate" else None
    config = load_config(lab)
    return [find_model(lab, name, config) for name in (settings.endpoint, critic) if name]


def start(lab: Lab, settings: TeacherRunSettings) -> RunFolder:
    """Make a run: its folder with everything it needs, and its row in the lab. Nothing is asked yet.

    Raises:
        NotFoundError, UsageError, LabError: as :func:`check`; or the folder cannot be written.
    """
    store = open_store(lab.database)
    try:
        checked = check(lab, settings, store)
        folder = RunFolder(lab.distill / _new_id(lab))
        teacher = checked.teacher
        try:
            folder.stop_file.parent.mkdir(parents=True)
            write_json(folder.settings_file, settings.model_dump(mode="json"))
            keep_prompts(folder.prompts, checked.prompts)
            keep_asked(folder.asked, _models(lab, settings))
            folder.write_status(Status("starting", host=socket.gethostname(), heartbeat=time.time()))
        except OSError as error:
            raise LabError(
                f"Cannot write the run's folder {folder.path}: {error.strerror}.", "Check the lab's disk."
            ) from error
        model = teacher.endpoint.model if teacher.endpoint else teacher.id
        register(lab, folder, model, checked.prompts, store)
        return folder
    finally:
        store.close()


def register(lab: Lab, folder: RunFolder, model: str, prompts: Mapping[str, Prompt], store: Store) -> None:
    """Give a run its row in the lab; one that is there stays as it is. Whatever lands refers to it.

    Raises:
        StoreError: the database refuses.
    """
    settings = folder.settings()
    with store.explained():
        teacher_runs.add(
            store.db,
            teacher_runs.TeacherRun(
                folder.id,
                str(folder.path.relative_to(lab.root)),
                settings.method,
                settings.endpoint,
                model,
                ", ".join(prompt.label for prompt in prompts.values()),
                settings.model_dump(mode="json"),
            ),
        )


def resume(lab: Lab, identity: str, changes: Mapping[str, Any] | None = None) -> RunFolder:
    """Make a run ready to go on; ``changes`` are new values of ``CHANGEABLE`` settings. Nothing is asked yet.

    Raises:
        NotFoundError: no such run.
        UsageError: it is running, another setting was to be changed, or the budget cannot be kept.
    """
    folder = find(lab, identity)
    now = info(folder)
    if now.active and now.status.pid is not None:
        raise UsageError(
            f"The run {folder.id} is {now.state} already.",
            f"Let it go on: o1lab distill go-on {folder.id}" if now.state == "paused" else "Stop it first.",
        )
    given = {name: value for name, value in (changes or {}).items() if value is not None}
    if fixed := given.keys() - set(CHANGEABLE):
        raise UsageError(
            f"{min(fixed).replace('_', ' ')} cannot change within a run.", "Start a new run, or leave that option out."
        )
    if given:
        settings = read_settings(folder.settings().model_dump(mode="json") | given)
        check_priced(settings, _models(lab, settings))
        write_json(folder.settings_file, settings.model_dump(mode="json"))
    folder.stop_file.unlink(missing_ok=True)
    folder.pause_file.unlink(missing_ok=True)
    return folder


def launch_detached(folder: RunFolder) -> int:
    """Drive a run in a process of its own that outlives this one; its pid.

    Raises:
        LabError: the process or its log cannot be started.
    """
    command = [sys.executable, "-P", "-m", "o1lab.distill.worker", str(folder.path)]
    try:
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder.path
            )
    except OSError as error:
        raise LabError(f"Cannot start the run: {error.strerror}.", "Check the disk and memory.") from error
    _children.append(process)
    return process.pid


# Workers that this process started: polled now and then, so that a finished one is no zombie.
_children: list[subprocess.Popen[bytes]] = []


def list_runs(lab: Lab) -> list[RunInfo]:
    """Every run of the lab, the newest first."""
    _children[:] = [child for child in _children if child.poll() is None]
    folders = [RunFolder(path) for path in lab.distill.glob("*") if (path / "settings.json").is_file()]
    folders.sort(key=_made_at, reverse=True)
    return [info(folder) for folder in folders]


def _made_at(folder: RunFolder) -> float:
    """When a run was made: its prompts never change. One that is just being made has none yet, and is the newest."""
    try:
        return folder.prompts.stat().st_mtime
    except OSError:
        return time.time()


def find(lab: Lab, identity: str) -> RunFolder:
    """The run of this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    folders = sorted(path for path in lab.distill.glob("*") if (path / "settings.json").is_file())
    found = [path for path in folders if identity and path.name.startswith(identity)]
    exact = [path for path in found if path.name == identity] or found
    if len(exact) != 1:
        raise NotFoundError(
            f"{'Several teacher runs begin' if found else 'No teacher run begins'} with '{identity}'.",
            "`o1lab distill ls` lists them.",
        )
    return RunFolder(exact[0])


def info(folder: RunFolder, *, now: float | None = None) -> RunInfo:
    """How a run stands, ``dead`` included: its process is gone. Of another host only the heartbeat tells."""
    status = folder.status() or Status("failed", message="status.json cannot be read.")
    age = max(0.0, (time.time() if now is None else now) - status.heartbeat) if status.heartbeat else None
    state: str = status.state
    here = status.host == socket.gethostname()
    gone = here and status.pid is not None and not process_lives(status.pid, status.pid_started)
    never_began = here and status.pid is None and (age is None or age > STALE_S)
    if state in ACTIVE and (gone or never_began):
        status = folder.status() or status  # it may have ended properly between our two looks
        state = "dead" if status.state in ACTIVE else status.state
    try:
        settings = folder.settings()
    except (OSError, ValueError):
        settings = None
    return RunInfo(folder.id, state, status, settings, age)


def stop(folder: RunFolder) -> RunInfo:
    """Ask a run to stop; calls in flight are waited for.

    Raises:
        UsageError: it has ended already.
        LabError: the folder cannot be written.
    """
    return _ask(folder, folder.stop_file)


def pause(folder: RunFolder) -> RunInfo:
    """Ask a run to make no new call until it may go on; raises as :func:`stop`."""
    return _ask(folder, folder.pause_file)


def go_on(folder: RunFolder) -> RunInfo:
    """Let a paused run go on."""
    folder.pause_file.unlink(missing_ok=True)
    return info(folder)


def faults(folder: RunFolder) -> list[FaultCount]:
    """What went wrong, by code, the most frequent first: every try in the journal counts."""
    found: dict[str, FaultCount] = {}
    for _, response in journal.read(folder.journal, only=b'"fault"'):
        if response.fault is not None:
            one = found.setdefault(response.fault.code, FaultCount(response.fault.code))
            one.number += 1
            one.sentence, one.key, one.raw = response.fault.sentence, str(response.key), response.raw
    return sorted(found.values(), key=lambda one: -one.number)


def _ask(folder: RunFolder, file: Path) -> RunInfo:
    now = info(folder)
    if not now.active:
        raise UsageError(f"The run {folder.id} is {now.state}, not running.", f"See `o1lab distill show {folder.id}`.")
    try:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    except OSError as error:
        raise LabError(f"Cannot ask the run: {error.strerror}.", f"Create {file} yourself.") from error
    return now


def _new_id(lab: Lab) -> str:
    while (lab.distill / (made := secrets.token_hex(4))).exists():
        pass
    return made
