"""Paths of the lab, its folders, the cache and the assets, and environment variables. No file is opened here.

What a path or a variable is for is declared with it, and the documentation lists the declarations.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, overload

from platformdirs import user_cache_path, user_state_path

from o1lab.errors import LabError

CONFIG_NAME = "o1lab.toml"
VARIABLES = {
    "O1LAB_LAB": "The lab, where no --lab is given.",
    "O1LAB_CACHE": "The folder of base models and of the device queues, which all labs on this machine share.",
    "O1LAB_ANNOTATOR": "The name that signs annotations, instead of the login name.",
    "O1LAB_SUITE_DATA": "Folders with the items of suites, separated like those of PATH.",
    "O1LAB_OFFLINE": "1: nothing is downloaded.",
    "O1LAB_ANSI": "1: the app uses the colours of the terminal instead of a theme's own.",
    "O1LAB_DEBUG": "1: an unexpected error prints its traceback instead of one sentence.",
    "TEXTUAL_THEME": "The theme of the app, instead of the one that the lab remembers; the palette lists the themes.",
    "NO_COLOR": "The app and the commands use no colours.",
    "PAGER": "The program that shows long texts of commands; less where it is not set.",
    "VISUAL": "The editor of chains and prompts; if it is not set, EDITOR.",
}
"""Environment variables that users set. The variable of an endpoint's key is named in o1lab.toml."""


class PathIn:
    """A file or folder of a lab or of a job, as an attribute of the class of the folder.

    Args:
        name: its path in the folder; a part in capitals stands for any name.
        about: what it holds, for the documentation.
    """

    folder = "root"
    """The attribute with the path of the folder."""

    def __init__(self, name: str, about: str) -> None:
        self.name = name
        self.about = about

    @overload
    def __get__(self, owner: None, kind: type[Any]) -> Self: ...

    @overload
    def __get__(self, owner: object, kind: type[Any]) -> Path: ...

    def __get__(self, owner: object, kind: type[Any]) -> Self | Path:
        return self if owner is None else getattr(owner, self.folder) / self.name


def paths_in(kind: type[Any]) -> Iterator[PathIn]:
    """Yield the files and folders that a class and its bases declare, those of the bases first."""
    found: dict[str, Any] = {}
    for cls in reversed(kind.__mro__):
        found |= vars(cls)
    yield from {one.name: one for one in found.values() if isinstance(one, PathIn)}.values()


@dataclass(frozen=True)
class Lab:
    """The folder of a lab and the paths in it."""

    root: Path

    config = PathIn(CONFIG_NAME, "The settings of the lab. A folder that has this file is a lab.")
    database = PathIn("lab.db", "Problems, traces, annotations, datasets, evaluations and conversations (SQLite).")
    runs = PathIn("runs", "Training runs, one folder each.")
    distill = PathIn("distill", "Teacher runs, one folder each.")
    evals = PathIn("evals", "Evaluations, one folder each.")
    rounds = PathIn("rounds", "Prompt sets that Compare asked in the background, one folder each.")
    suites = PathIn("suites", "Suites of the lab, which take precedence over the built-in ones of the same name.")
    suite_data = PathIn("suites/data", "Items of suites.")
    prompts = PathIn("prompts", "Prompts of the lab, which take precedence over the built-in ones.")
    recipes = PathIn("recipes", "Recipes of the lab, for the form of a training run.")
    batch_script = PathIn("slurm/train.sbatch", "The batch script of training runs, instead of the built-in one.")
    indices = PathIn("tti", "Transparency indices of the lab, in addition to the built-in one.")
    drafts = PathIn("drafts", "Chains that people are writing.")
    sessions = PathIn("sessions", "What the screens of each person remember: filters, order, cursor, sizes, theme.")
    filters = PathIn("filters.json", "The saved filters.")
    filters_lock = PathIn(".filters.json.lock", "Locked while filters.json changes.")
    exports = PathIn("exports", "What was exported without a path.")
    models = PathIn("models", "Models of the lab, one folder each: imported adapters and whole models, and bases.")
    model_description = PathIn(
        "models/NAME/o1lab-model.json",
        "Where a model came from, the base of an adapter, and what a student is asked with.",
    )
    moves_classifier = PathIn("moves.safetensors", "The classifier of moves that `o1lab moves train` made.")
    servers = PathIn("servers", "Records of running servers (url, token, pid), readable by their owner only.")

    @property
    def name(self) -> str:
        return self.root.name


def find_lab(given: Path | None = None) -> Lab:
    """Return the lab to use: ``given``, else ``O1LAB_LAB``, else the nearest folder upwards with an o1lab.toml.

    Args:
        given: the value of ``--lab``.

    Raises:
        LabError: the named folder is not a lab, or no lab was found.
    """
    named = given or (Path(value) if (value := os.environ.get("O1LAB_LAB")) else None)
    if named is not None:
        root = named.expanduser().absolute()
        if not (root / CONFIG_NAME).is_file():
            raise LabError(
                f"There is no lab at {root}.",
                f"Create one with: o1lab init {root}",
                code="no_lab",
            )
        return Lab(root)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / CONFIG_NAME).is_file():
            return Lab(folder)
    raise LabError(
        f"No lab found: neither {here} nor a folder above it has an {CONFIG_NAME}.",
        "Create one with `o1lab init DIR`, name one with --lab DIR, or try `o1lab demo`.",
        code="no_lab",
    )


def cache_dir() -> Path:
    """Return the folder of models and locks that all labs on this machine share (``O1LAB_CACHE``)."""
    if value := os.environ.get("O1LAB_CACHE"):
        return Path(value).expanduser().absolute()
    return user_cache_path("o1lab")


def state_dir() -> Path:
    """Return the folder of what o1lab remembers between runs for this user, outside labs."""
    return user_state_path("o1lab")


def log_dir() -> Path:
    """Return the folder of the log that tracebacks are written to."""
    return state_dir() / "log"


def assets_dir() -> Path:
    """Return the assets folder: next to the package in a checkout, inside the package once installed."""
    installed = Path(__file__).parent / "_assets"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "assets"


def annotator() -> str:
    """Return the name that signs annotations: ``O1LAB_ANNOTATOR``, else the login name, else the user id.

    A container may run under a user id without a name.
    """
    if named := os.environ.get("O1LAB_ANNOTATOR"):
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the type depends on the version of Python
        return f"user-{os.getuid()}"


def file_name(person: str) -> str:
    """Return the name of a person as part of a file's name. No two persons share one.

    A name that cannot be a file's name is followed by its hash.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", person)
    if name == person and not name.startswith("."):
        return name
    return f"{name}~{hashlib.sha256(person.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def offline() -> bool:
    """Return whether downloads are disabled (``O1LAB_OFFLINE=1``)."""
    return os.environ.get("O1LAB_OFFLINE", "") not in ("", "0")
