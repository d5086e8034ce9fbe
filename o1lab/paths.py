"""Where things are: the lab, its folders, the cache, the assets. Paths only; nothing is opened here."""

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
    """A lab's folder and the names inside it."""

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
        """Teacher runs, a folder each."""
        return self.root / "distill"

    @property
    def evals(self) -> Path:
        """Evaluations, a folder each."""
        return self.root / "evals"

    @property
    def suites(self) -> Path:
        """The lab's own suites, which go before those that o1lab brings; their data lie under ``data``."""
        return self.root / "suites"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def servers(self) -> Path:
        """Records of servers that run now: url, token and pid, readable by their owner only."""
        return self.root / "servers"

    @property
    def name(self) -> str:
        return self.root.name


def find_lab(given: Path | None = None, *, start: Path | None = None) -> Lab:
    """The lab to work in: ``given``, else ``O1LAB_LAB``, else the nearest o1lab.toml upwards.

    Raises:
        LabError: none of these names a folder that exists.
    """
    named = given or (Path(value) if (value := os.environ.get("O1LAB_LAB")) else None)
    if named is not None:
        root = named.expanduser().absolute()
        if not (root / CONFIG_NAME).is_file():
            raise LabError(
                f"There is no lab at {root}.",
                f"Make one with: o1lab init {root}",
                code="no_lab",
            )
        return Lab(root)
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / CONFIG_NAME).is_file():
            return Lab(folder)
    raise LabError(
        f"No lab here: neither {here} nor a folder above it holds an {CONFIG_NAME}.",
        "Make one with `o1lab init DIR`, name one with --lab DIR, or try `o1lab demo`.",
        code="no_lab",
    )


def cache_dir() -> Path:
    """Models and locks that every lab on this machine shares (``O1LAB_CACHE``)."""
    if value := os.environ.get("O1LAB_CACHE"):
        return Path(value).expanduser().absolute()
    return user_cache_path("o1lab")


def log_dir() -> Path:
    """Where tracebacks go instead of the screen."""
    return user_state_path("o1lab") / "log"


def assets_dir() -> Path:
    """The assets: beside the package in a checkout, inside it once installed."""
    installed = Path(__file__).parent / "_assets"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "assets"


def annotator() -> str:
    """Who signs annotations: ``O1LAB_ANNOTATOR``, else the login name, else the user's number.

    A container may run under a number that no password file knows.
    """
    if named := os.environ.get("O1LAB_ANNOTATOR"):
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # which of them depends on Python's version
        return f"user-{os.getuid()}"


def offline() -> bool:
    """Whether nothing may be fetched (``O1LAB_OFFLINE=1``)."""
    return os.environ.get("O1LAB_OFFLINE", "") not in ("", "0")
