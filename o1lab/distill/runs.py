"""Teacher runs as a person handles them: start, look, pause, stop, go on. :mod:`o1lab.distill.runner` runs them."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from o1lab.config import load_config
from o1lab.distill.engines import ENGINES
from o1lab.distill.items import count_items
from o1lab.distill.methods import METHODS, find_prompts, make_method
from o1lab.distill.methods.base import single
from o1lab.distill.provenance import keep_asked
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import LabError, UsageError
from o1lab.inference.models import check_priced
from o1lab.inference.prompts import Prompt, keep_prompts
from o1lab.jobs import control
from o1lab.jobs.control import FaultCount, JobInfo
from o1lab.jobs.directory import RunFolder, TeacherRunStatus, write_json
from o1lab.paths import Lab
from o1lab.serve.registry import ModelRef, endpoint_key, find_model
from o1lab.settings import validate
from store import Store, open_store, teacher_runs

CHANGEABLE = (
    "concurrency", "requests_per_minute", "tokens_per_minute", "attempts", "silence_timeout_s", "stream",
    "budget_usd", "budget_tokens",
)  # fmt: skip
"""Settings that may differ when a run goes on: they decide how it is asked, not what comes out."""


RunInfo = JobInfo[TeacherRunStatus, TeacherRunSettings]


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
    given = {name: value for name, value in values.items() if value is not None}
    return validate(TeacherRunSettings, given, verb="distill")


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
    check_priced(settings, models, settings.engine)
    hidden = bool(teacher.endpoint and teacher.endpoint.hidden_thoughts)
    prompts = find_prompts(lab, settings, hidden_thoughts=hidden)
    method = make_method(settings, prompts)
    if not ENGINES.get(settings.engine).conversations:
        single(settings.engine, method)
    with store.explained():
        items = count_items(store, settings)
    if not items:
        what = settings.traces if METHODS.get(settings.method).source == "traces" else settings.problems
        raise LabError(
            f"Nothing in the lab fits '{what}'.",
            "Import problems (`o1lab import FILE`), or choose others with --problems.",
            code="no_items",
        )
    return Checked(settings, teacher, prompts, items)


def _models(lab: Lab, settings: TeacherRunSettings) -> list[ModelRef]:
    """The models of a run, its teacher first."""
    critic = settings.critic if "critic" in METHODS.get(settings.method).roles else None
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
        folder = RunFolder(lab.distill / control.new_id(lab.distill))
        teacher = checked.teacher
        try:
            folder.stop_file.parent.mkdir(parents=True)
            write_json(folder.settings_file, settings.model_dump(mode="json"))
            keep_prompts(folder.prompts, checked.prompts)
            keep_asked(folder.asked, _models(lab, settings))
            folder.write_status(TeacherRunStatus("starting", host=socket.gethostname(), heartbeat=time.time()))
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
    control.ensure_not_running(info(folder), folder)
    given = {name: value for name, value in (changes or {}).items() if value is not None}
    if fixed := given.keys() - set(CHANGEABLE):
        raise UsageError(
            f"{min(fixed).replace('_', ' ')} cannot change within a run.", "Start a new run, or leave that option out."
        )
    if given:
        settings = read_settings(folder.settings().model_dump(mode="json") | given)
        check_priced(settings, _models(lab, settings), settings.engine)
        write_json(folder.settings_file, settings.model_dump(mode="json"))
    control.clear_control_files(folder)
    return folder


def launch_detached(folder: RunFolder) -> int:
    """Drive a run in a process of its own that outlives this one; its pid.

    Raises:
        LabError: the process or its log cannot be started.
    """
    return control.launch(folder, "o1lab.distill.worker")


def list_runs(lab: Lab) -> list[RunInfo]:
    """Every run of the lab, the newest first."""
    control.reap()
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
    return control.find(lab.distill, identity, RunFolder)


def info(folder: RunFolder, *, now: float | None = None) -> RunInfo:
    """How a run stands, ``dead`` included: its process is gone. Of another host only the heartbeat tells."""
    return control.snapshot(folder, now=now)


def stop(folder: RunFolder) -> RunInfo:
    """Ask a run to stop; calls in flight are waited for.

    Raises:
        UsageError: it has ended already.
        LabError: the folder cannot be written.
    """
    return control.ask(folder, folder.stop_file)


def pause(folder: RunFolder) -> RunInfo:
    """Ask a run to make no new call until it may go on; raises as :func:`stop`."""
    return control.ask(folder, folder.pause_file)


def go_on(folder: RunFolder) -> RunInfo:
    """Let a paused run go on.

    Raises:
        UsageError: nobody works on it.
        LabError: the folder cannot be written.
    """
    return control.go_on(folder)


def faults(folder: RunFolder) -> list[FaultCount]:
    """What went wrong, by code, the most frequent first: every try in the journal counts."""
    return control.faults(folder.journal)
