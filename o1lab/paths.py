"""Paths of the lab, its folders, the cache and the assets, and environment variables. No file is opened here."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path, user_state_path

from o1lab.errors import LabError

CONFIG_NAME = "o1lab.toml"


@dataclass(frozen=True)
class Lab:
    """The folder of a lab and the paths in it."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / CONFIG_NAME

    @property
    def database(self) -> Path:
        return self.root / "lab.db"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def distill(self) -> Path:
        """Teacher runs, one folder each."""
        return self.root / "distill"

    @property
    def evals(self) -> Path:
        """Evaluations, one folder each."""
        return self.root / "evals"

    @property
    def suites(self) -> Path:
        """Suites of the lab, which take precedence over the built-in ones; their data are in ``data``."""
        return self.root / "suites"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def servers(self) -> Path:
        """Records of running servers (url, token, pid), readable by their owner only."""
        return self.root / "servers"

    @property
    def name(self) -> str:
        return self.root.name


def find_lab(given: Path | None = None, *, start: Path | None = None) -> Lab:
    """Return the lab to use: ``given``, else ``O1LAB_LAB``, else the nearest folder upwards with an o1lab.toml.

    Args:
        given: the value of ``--lab``.
        start: where the search begins; the working directory if None.

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
    here = (start or Path.cwd()).absolute()
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


def offline() -> bool:
    """Return whether downloads are disabled (``O1LAB_OFFLINE=1``)."""
    return os.environ.get("O1LAB_OFFLINE", "") not in ("", "0")
