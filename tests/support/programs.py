"""The command line of o1lab as a program, as a shell would start it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from o1lab.paths import Lab
from tests.support.warm_python import REAL_PYTHON


def real(command: list[str]) -> list[str]:
    """Return the command line with the real interpreter: a signal reaches the program itself, and a kill ends it."""
    return [REAL_PYTHON, *command[1:]]


def program(*words: str | Path, lab: Lab | Path | None = None) -> list[str]:
    """Return the command line of ``o1lab``, on a lab if one is given.

    ``sys.executable`` is read at each call: it is a stand-in for a whole session, see ``warm_python``, and
    the real interpreter in tests with ``real_python``.
    """
    root = lab.root if isinstance(lab, Lab) else lab
    chosen = ["--lab", str(root)] if root is not None else []
    return [sys.executable, "-P", "-m", "o1lab", *chosen, *map(str, words)]


def json_program(lab: Lab, *words: str) -> list[str]:
    """Return the command line of ``o1lab`` on a lab with its output as JSON."""
    return program(*words, "--json", lab=lab)


def spawn(lab: Lab, *words: str) -> subprocess.Popen[str]:
    """Start :func:`json_program`, with its outputs as pipes."""
    return subprocess.Popen(json_program(lab, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what a command of this process has printed as JSON."""
    return json.loads(capsys.readouterr().out)
