"""Trackers of training runs: TensorBoard, Weights & Biases and trackio. Imports none of them, nor torch.

transformers writes to them (``report_to``); their files are below the run's folder ``trackers``. Nothing leaves the
machine unless a person has given W&B a key. Keys are read by the trackers themselves, from the environment; no file of
the run has them.
"""

from __future__ import annotations

import netrc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from o1lab.errors import RefusedError
from o1lab.files import write_json
from o1lab.paths import offline
from o1lab.serve.endpoints import public_url
from o1lab.small_files import read_object
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs.directory import RunDir

EXTRA = "pip install 'o1lab[trackers]'"
_WANDB_URL = "https://api.wandb.ai"


TRACKERS = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "trackio": "trackio"}
"""The titles of the trackers by their names in a recipe, which are those of transformers and of their packages."""


def missing(names: Sequence[str]) -> list[str]:
    """Return the trackers whose package is not installed."""
    return [name for name in names if find_spec(name) is None]


def require(names: Sequence[str]) -> None:
    """Check that the packages of trackers are installed.

    Raises:
        RefusedError: one is not.
    """
    if absent := missing(names):
        titles = " and ".join(TRACKERS[name] for name in absent)
        raise RefusedError(
            f"The recipe reports to {titles}, but the package is not installed.",
            f"Install it (pip install {' '.join(absent)}, or {EXTRA}), or leave it out of report_to.",
            code="tracker_missing",
        )


def wandb_mode(environ: Mapping[str, str] = os.environ) -> str:
    """Return ``online`` if W&B has a key and may be reached, else ``offline``; a mode of WANDB_MODE is kept."""
    if mode := environ.get("WANDB_MODE"):
        return mode
    return "online" if not offline() and _has_key(environ) else "offline"


def environment(run: RunDir, project: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables that keep the files of trackers in the run's folder; those that are set, stay.

    W&B would also record the code, the address of the git repository and the whole output of the process.
    """
    wanted = {
        "TENSORBOARD_LOGGING_DIR": str(run.trackers / "tensorboard"),
        "WANDB_MODE": wandb_mode(environ),
        "WANDB_DIR": str(run.trackers),
        "WANDB_PROJECT": project,
        "WANDB_RUN_ID": run.id,
        "WANDB_RESUME": "allow",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_CONSOLE": "off",
        "TRACKIO_DIR": str(run.trackers / "trackio"),
    }
    return {name: value for name, value in wanted.items() if not environ.get(name)}


def hide_broken(names: Sequence[str]) -> dict[str, str]:
    """Import the packages of trackers; one that is installed but fails is hidden, as if it were not installed.

    Call it before trl is imported: it imports W&B wherever that is installed, and would fail with it.

    Args:
        names: the trackers of the recipe. W&B is always included.

    Returns:
        The error of each tracker that is hidden, by its name.
    """
    broken = {}
    for name in sorted({"wandb", *names}):
        if find_spec(name) is not None:
            try:
                import_module(name)
            except Exception as error:
                sys.modules[name] = None  # type: ignore[assignment]  # importing it raises an ImportError
                broken[name] = f"{type(error).__name__}: {error}"
    return broken


def prepare(run: RunDir, recipe: Recipe) -> tuple[str, str]:
    """Set the environment of the recipe's trackers, and record in env.json where they write.

    Returns:
        The project and the name of the run.

    Raises:
        RefusedError: a package is not installed.
    """
    require(recipe.report_to)
    project = recipe.tracker_project or run.path.parent.parent.name
    if recipe.report_to:
        write_json(run.env, read_object(run.env) | {"trackers": [*places(recipe.report_to, run)]})
    os.environ.update(environment(run, project))
    return project, run.id


def recorded(run: RunDir) -> list[str]:
    """Return where the trackers of a run write, as its worker has recorded it."""
    found = read_object(run.env).get("trackers")
    return [str(one) for one in found] if isinstance(found, list) else []


def places(names: Sequence[str], run: RunDir, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield a sentence for each tracker: where it writes, and how to look at it."""
    if "tensorboard" in names:
        folder = environ.get("TENSORBOARD_LOGGING_DIR") or run.trackers / "tensorboard"
        yield f"TensorBoard: event files in {folder}. See all runs: tensorboard --logdir {run.path.parent}"
    if "wandb" in names:
        folder = Path(environ.get("WANDB_DIR") or run.trackers) / "wandb"
        if wandb_mode(environ) == "online":
            site = public_url(_wandb_url(environ))
            yield f"Weights & Biases: sent to {site} as run {run.id}, with a copy in {folder}."
        else:
            yield f"Weights & Biases: offline, in {folder}. Send it: wandb sync {folder}/offline-run-*"
    if "trackio" in names:
        folder = environ.get("TRACKIO_DIR") or run.trackers / "trackio"
        yield f"trackio: a database in {folder}. See it: TRACKIO_DIR={folder} trackio show"


def guarded(callback: Any, failed: Callable[[str], None]) -> Any:
    """Make a callback of transformers harmless: its first error is reported, and it is not called again.

    A tracker without network or disk must not end the training.
    """
    title = next((one for name, one in TRACKERS.items() if name in type(callback).__name__.lower()), "A tracker")

    def safely(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            if not broken:
                try:
                    return call(*arguments, **named)
                except Exception as error:
                    broken.append(error)
                    failed(f"{title} gets no more of this run: {type(error).__name__}: {error}")
            return None

        return called

    broken: list[Exception] = []
    for name in dir(callback):
        if name.startswith("on_"):
            setattr(callback, name, safely(getattr(callback, name)))
    return callback


def _wandb_url(environ: Mapping[str, str]) -> str:
    return environ.get("WANDB_BASE_URL") or _WANDB_URL


def _has_key(environ: Mapping[str, str]) -> bool:
    if environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(_wandb_url(environ)).hostname or ""
    files = [Path(named)] if (named := environ.get("NETRC")) else [Path.home() / name for name in (".netrc", "_netrc")]
    for path in files:
        with suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(path).authenticators(host) is not None:
                return True
    return False
