"""Removes what must not leave the machine from texts: keys, home folders, user and host names."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from getpass import getuser
from pathlib import Path

from o1lab.config import load_config
from o1lab.errors import LabError
from o1lab.paths import Lab

Redact = Callable[[str], str]
_COMMON = ("localhost", "root", "user", "admin", "ubuntu", "debian", "docker", "runner", "model", "student", "teacher")
"""Names that say nothing about a person or a machine, and that a report uses as words."""
_SHORTEST = 4
"""Names and keys below this length are left: they would be found in ordinary words."""


def redactor(lab: Lab) -> Redact:
    """Return a function that replaces the lab's folder, the home folder, user, host and keys in a text.

    The lab's folder becomes ``LAB``, so that commands and paths stay readable.
    """
    folders = {
        str(lab.root.resolve()): "LAB",
        str(lab.root): "LAB",
        str(Path.home()): "~",
        str(Path.home().resolve()): "~",
    }
    whole = {**_names(), **dict.fromkeys(_keys(lab), "[key]")}
    # Longest first: the lab is often inside the home folder.
    parts = [
        rf"{re.escape(text)}(?![\w-])"
        for text in sorted((one for one in folders if len(one) > 1), key=len, reverse=True)
    ]
    parts += [rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in sorted(whole, key=len, reverse=True)]
    known = folders | whole
    pattern = re.compile("|".join(parts))
    others = re.compile(r"/(?:home|Users)/[^/\s\"'`)]+")

    def redact(text: str) -> str:
        return others.sub("~", pattern.sub(lambda found: known[found[0]], text))

    return redact


def _names() -> dict[str, str]:
    """Return the names of this host and of its user, with what replaces them."""
    host = socket.gethostname()
    names = {host: "HOST", host.partition(".")[0]: "HOST"}
    try:
        names[getuser()] = "USER"
    except (KeyError, OSError):  # a container may have no name for its user id
        pass
    return {name: word for name, word in names.items() if len(name) >= _SHORTEST and name.lower() not in _COMMON}


def _keys(lab: Lab) -> list[str]:
    """Return the values of the environment variables that hold keys."""
    try:
        named = [one.key_env for one in load_config(lab).endpoints]
    except LabError:
        named = []
    named += [name for name in os.environ if re.search(r"(?i)(api_?key|token|secret|password)$", name)]
    return [value for name in named if name and len(value := os.environ.get(name, "")) >= 2 * _SHORTEST]
