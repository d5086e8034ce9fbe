"""The checks of `o1lab doctor`: whether this machine and this lab are ready to use."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o1lab.config import NotifySettings, load_config
from o1lab.errors import O1LabError
from o1lab.format import counted, first_of
from o1lab.labs import open_lab
from o1lab.paths import Lab, cache_dir
from o1lab.registry import PluginWarning, Registry

_MOST = 5  # damaged files that are named
TRAIN_PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "gguf")
_NO_GPU = {  # errors of a machine without a usable NVIDIA GPU, by class of pynvml
    "NVMLError_LibraryNotFound": "no NVIDIA driver is installed",
    "NVMLError_DriverNotLoaded": "the NVIDIA driver is not loaded",
    "NVMLError_GpuNotFound": "the NVIDIA driver finds no GPU",
    "NVMLError_NoPermission": "this user may not use the NVIDIA driver",
}
ROOM_WANTED_BYTES = 2 * 1024**3  # an adapter run with its checkpoints, and the embedded student


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check.

    Attributes:
        name: what was checked.
        ok: whether it passed.
        detail: what was found.
        fix: what to do if it failed.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""


def examine(lab: Lab | None) -> list[Check]:
    """Run every check, in the order of the report; ``lab`` is None outside a lab. No check loads torch."""
    checks: dict[str, Callable[[], Check]] = {
        "python": _python,
        "train": _packages,
        "student": _student,
        "gpu": _gpu,
        "plugins": _plugins,
        "disk": lambda: _disk(lab),
        "keys": lambda: _keys(lab),
        "notify": lambda: _notify(lab),
    }
    if lab is None:
        return [_result(name, check) for name, check in checks.items()]
    checks = {"lab": lambda: _lab(lab)} | checks
    checks |= {"endpoints": lambda: _endpoints(lab), "jobs": lambda: _jobs(lab), "servers": lambda: _servers(lab)}
    return [_result(name, check) for name, check in checks.items()] + _launchers(lab)


def _result(name: str, check: Callable[[], Check]) -> Check:
    """Run a check; an error that it raises is a failure."""
    try:
        return check()
    except O1LabError as error:
        return Check(name, False, error.message, error.hint)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info >= (3, 11), version, "o1lab needs Python 3.11 or newer.")


def _lab(lab: Lab) -> Check:
    config = load_config(lab)
    store = open_lab(lab)
    notes = [store.note] if store.note else []
    store.close()
    if not config.lab.shared and (lab.root.stat().st_mode & 0o077) and (lab.database.stat().st_mode & 0o077):
        notes.append(f"other users can read it; `chmod -R go-rwx {lab.root}` makes it private")
    return Check("lab", True, f"{lab.root}" + (f" ({'; '.join(notes)})" if notes else ""))


def _jobs(lab: Lab) -> Check:
    """Name the jobs with a damaged directory."""
    from o1lab.chat.rounds.control import ROUNDS
    from o1lab.distill.runs import TEACHER_RUNS
    from o1lab.evaluate.run.control import EVALUATIONS
    from o1lab.train.launch import RUNS

    number, damaged = 0, []
    for kind in (RUNS, TEACHER_RUNS, EVALUATIONS, ROUNDS):
        for info in kind.infos(lab):
            number += 1
            if info.unreadable:
                damaged.append(f"{kind.directory.noun} {info.id}: {info.unreadable}")
    if damaged:
        return Check("jobs", False, first_of(damaged, _MOST, "; "), "Correct these files, or delete the jobs.")
    return Check("jobs", True, f"{number:,} readable")


def _servers(lab: Lab) -> Check:
    from o1lab.serve.records import damaged_records, live_records

    if damaged := [error.brief for error in damaged_records(lab)]:
        return Check("servers", False, first_of(damaged, _MOST, "; "), f"Delete these files from {lab.servers}.")
    return Check("servers", True, f"{len(live_records(lab))} running")


def _launchers(lab: Lab) -> list[Check]:
    """Check the launchers of training runs that the lab is configured for."""
    from o1lab.train.launchers import LAUNCHERS

    try:
        config = load_config(lab)
    except O1LabError:  # reported by the check of the lab
        return []
    looked = ((name, one.examine(config)) for name, one in LAUNCHERS.all().items())
    return [Check(name, found.ok, found.detail, found.fix) for name, found in looked if found is not None]


def _packages() -> Check:
    missing, found = [], []
    for name in TRAIN_PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check(
            "train", False, f"missing: {', '.join(missing)}", "pip install 'o1lab[train]' to train and serve here."
        )
    return Check("train", True, ", ".join(found))


def _student() -> Check:
    from o1lab.models.base import resolve_base
    from o1lab.models.student import STUDENT

    try:
        return Check("student", True, f"{STUDENT} at {resolve_base(STUDENT, fetch=False)}")
    except O1LabError as error:
        return Check("student", False, error.message, f"o1lab models fetch {STUDENT}")


def _gpu() -> Check:
    """Passes without a GPU too: the demo runs on a CPU. A driver that fails in another way does not pass."""
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            names = [
                pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(i))
                for i in range(pynvml.nvmlDeviceGetCount())
            ]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        why = _NO_GPU.get(type(error).__name__)
        answer = str(error).rstrip(".")
        words = f"none ({why or f'the NVIDIA driver reports: {answer}'}); training runs on the CPU"
        return Check("gpu", why is not None, words, "Restart the machine, or install the NVIDIA driver again.")
    return Check("gpu", True, ", ".join(map(str, names)) or "none; training runs on the CPU")


def _plugins() -> Check:
    """Import every plugin, so that broken ones are reported here and not in the middle of a run."""
    from o1lab.distill.engines import ENGINES
    from o1lab.distill.filters import RULES
    from o1lab.distill.methods import METHODS
    from o1lab.evaluate.scorers import SCORERS
    from o1lab.ingest.importers import IMPORTERS
    from o1lab.train.launchers import LAUNCHERS

    registries: list[Registry[Any]] = [SCORERS, METHODS, RULES, IMPORTERS, ENGINES, LAUNCHERS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        broken = [problem for registry in registries for problem in registry.problems()]
    if broken:
        detail = "; ".join(f"{one.package}: {one.group} '{one.name}': {one.message}" for one in broken)
        return Check("plugins", False, detail, f"Update or uninstall {broken[0].package}.")
    found = [f"{registry.kind} {name}" for registry in registries for name in registry.plugins()]
    return Check("plugins", True, ", ".join(found) or "none installed")


def _disk(lab: Lab | None) -> Check:
    folder = lab.root if lab is not None else _existing(cache_dir())
    free = shutil.disk_usage(folder).free
    return Check("disk", free >= ROOM_WANTED_BYTES, f"{free / 1024**3:.1f} GiB free at {folder}", "Free some space.")


def _keys(lab: Lab | None) -> Check:
    from o1lab.serve.endpoints import key_faults

    endpoints = load_config(lab).endpoints if lab is not None else []
    missing = [e.key_env for e in endpoints if e.key_env and not os.environ.get(e.key_env)]
    if missing:
        fix = f"export {missing[0]}=... before you start o1lab."
        return Check("keys", False, f"not set: {', '.join(missing)}", fix)
    if faults := key_faults(endpoints):
        return Check("keys", False, "; ".join(faults), "Set each of these variables again, to the key alone.")
    detail = f"{len(endpoints)} endpoints, every named key is set" if endpoints else "no endpoint needs a key"
    return Check("keys", True, detail)


def _notify(lab: Lab | None) -> Check:
    """Check how notifications reach the user, and whether the hook can be called. The bell always rings."""
    from o1lab.terminal import reach

    settings = load_config(lab).notify if lab is not None else NotifySettings()
    found = reach()
    detail = found.why + (f" (to change it: {found.fix})" if found.fix else "")
    if not settings.hook:
        return Check("notify", True, f"{detail}; no hook")
    if shutil.which(settings.hook[0], path=os.environ.get("PATH")) is None:
        fix = "Correct [notify] hook in o1lab.toml: a list of the command and its arguments."
        return Check("notify", False, f"{detail}; the hook {settings.hook[0]} is not found", fix)
    return Check("notify", True, f"{detail}; the hook is {settings.hook[0]}")


def _endpoints(lab: Lab) -> Check:
    """Check the URLs and names of endpoints, without asking any; and report what their servers refused lately."""
    from o1lab.inference.refused import remembered
    from o1lab.serve.endpoints import base_url, name_faults, url_fault

    config = load_config(lab)
    faults = name_faults(config, _run_names(lab)) + [fault for e in config.endpoints if (fault := url_fault(e))]
    if faults:
        return Check("endpoints", False, "; ".join(faults), "Correct them in o1lab.toml.")
    refused = [
        f"{e.name} refuses {', '.join(names)} (to try again: o1lab models forget {e.name})"
        for e in config.endpoints
        if (names := remembered(base_url(e), e.model))
    ]
    number = len(config.endpoints)
    named = f"{counted(number, 'endpoint')}, with valid URLs and names" if number else "none in o1lab.toml"
    return Check("endpoints", True, "; ".join(refused) or named)


def _run_names(lab: Lab) -> list[str]:
    """Return the ids and names of all training runs."""
    from o1lab.train.launch import RUNS

    return [name for info in RUNS.infos(lab) for name in (info.id, info.name) if name]


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
