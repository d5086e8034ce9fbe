"""o1lab-model.json: the description of a model folder, in addition to the files of transformers and PEFT.

Merging and pushing write it, importing reads it, and servers use its prompt options for a student.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from o1lab.files import write_json
from o1lab.small_files import UnreadableError, read_json

FILE = "o1lab-model.json"


@dataclass(frozen=True, slots=True)
class Description:
    """The content of the file; unknown fields are empty.

    Attributes:
        made_by: whether the folder was imported or merged; empty if a person put it there.
        base: the base of an adapter, as :func:`o1lab.models.base.resolve_base` takes it.
        prompt: what the student is asked with (see ``PromptOptions``).
        source: the folder or the model of the hub that it was imported from, or the checkpoint that it was merged from.
        revision: the commit on the hub.
        created_at: when it was imported or merged.
    """

    made_by: Literal["", "import", "merge"] = ""
    base: str = ""
    prompt: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    revision: str = ""
    created_at: str = ""

    def write(self, folder: Path) -> None:
        """Write the file of a folder."""
        write_json(folder / FILE, asdict(self))


def described(folder: Path) -> Description:
    """Return the description of a folder; an empty one if the file is missing or damaged."""
    try:
        return read_json(folder / FILE, Description)
    except UnreadableError:
        return Description()
