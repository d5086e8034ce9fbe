"""o1lab-model.json: what a model folder says of itself beyond the files of transformers and PEFT.

It travels with the folder: merging and pushing write it, importing reads it, and servers ask a student as it says.
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
    """The content of the file; a field that is empty is not known.

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
    """Return what a folder says of itself; nothing if it has no such file, or a damaged one."""
    try:
        return read_json(folder / FILE, Description)
    except UnreadableError:
        return Description()
