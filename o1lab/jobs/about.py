"""about.json of a job: the name, the notes and the tags that the user gave it, and whether it is archived."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from o1lab.small_files import UnreadableError, read_json


@dataclass(frozen=True, slots=True)
class Note:
    """A note and when it was written."""

    text: str
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """The content of about.json; empty by default. An archived job is kept, but lists leave it out."""

    name: str = ""
    notes: tuple[Note, ...] = ()
    tags: tuple[str, ...] = ()
    archived: bool = False


def read_about(path: Path) -> About:
    """Read an about.json; a missing file is an empty one.

    Raises:
        UnreadableError: it is damaged.
    """
    return read_json(path, About) if path.exists() else About()


def id_of_name(parent: Path, name: str) -> str | None:
    """Return the id of the job below ``parent`` that has this name; None if there is none."""
    for path in parent.glob("*/about.json") if name else ():
        try:
            if not path.parent.name.startswith(".") and read_about(path).name == name:
                return path.parent.name
        except UnreadableError:
            continue  # lists show what is wrong with it
    return None
