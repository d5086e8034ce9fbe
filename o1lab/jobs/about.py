"""about.json of a job: the name, the notes and the tags that the user gave it, and whether it is archived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from o1lab.errors import UsageError
from o1lab.small_files import UnreadableError, read_json
from store.records import LONGEST_NAME, is_name


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


def valid_tags(words: Sequence[str], *, reserved: str = "") -> tuple[str, ...]:
    """Return tags in lower case, each once.

    Args:
        words: the tags as a person wrote them.
        reserved: characters that tags of this kind cannot have, besides spaces, commas, quotes and slashes.

    Raises:
        UsageError: a word is not a valid tag.
    """
    wanted = tuple(dict.fromkeys(word.strip().lower() for word in words))
    for word in wanted:
        if not is_name(word) or any(char in word for char in f' ,"{reserved}'):
            rule = f"A tag is a word of up to {LONGEST_NAME} characters, without spaces, commas, quotes and slashes."
            if reserved:
                rule = f"{rule} It cannot have {' '.join(reserved)} either."
            raise UsageError(f"'{word[:LONGEST_NAME]}' is not a valid tag.", rule)
    return wanted


def id_of_name(parent: Path, name: str) -> str | None:
    """Return the id of the job below ``parent`` that has this name; None if there is none."""
    for path in parent.glob("*/about.json") if name else ():
        try:
            if not path.parent.name.startswith(".") and read_about(path).name == name:
                return path.parent.name
        except UnreadableError:
            continue  # lists show what is wrong with it
    return None
