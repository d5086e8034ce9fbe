"""The models that can be named: those of a lab, and the bases on this machine. Nothing is loaded or downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from o1lab.config import load_config
from o1lab.errors import O1LabError
from o1lab.models.base import resolve_base
from o1lab.models.imported import find_imported, imported_models, size_of
from o1lab.models.student import STUDENT
from o1lab.paths import Lab
from o1lab.serve.endpoints import public_url
from o1lab.serve.records import ServerRecord, live_records
from o1lab.serve.registry import ModelRef, list_models

Kind = Literal["endpoint", "program", "base", "checkpoint", "imported", "merged", "server"]


@dataclass(frozen=True, slots=True)
class Known:
    """A model that can be named.

    Attributes:
        name: what users type.
        kind: where it comes from.
        role: teacher, student, base, judge or other.
        holds: whether its folder has an adapter or a whole model; None if it has no folder.
        base: the base of an adapter; None for others.
        folder: its folder; None if it is not on this machine.
        bytes: the size of the folder.
        about: a short description.
        problem: why it cannot be used; empty if it can.
    """

    name: str
    kind: Kind
    role: str = "base"
    holds: Literal["adapter", "full"] | None = None
    base: str | None = None
    folder: str | None = None
    bytes: int | None = None
    about: str = ""
    problem: str = ""


def known_models(lab: Lab | None) -> list[Known]:
    """Return the models that can be named: bases first, then those of the lab.

    Raises:
        LabError: o1lab.toml cannot be read.
    """
    refs = [] if lab is None else list_models(lab, load_config(lab))
    bases = dict.fromkeys([STUDENT, *(ref.id for ref in refs if ref.source == "base"), *_in_hub_cache()])
    found = [_base(name) for name in bases]
    found += [_of_lab(lab, ref) for ref in refs if lab is not None and ref.source not in ("base", "server")]
    if lab is not None:
        found += [
            Known(one.name, "imported", "other", folder=str(one.folder), problem=one.problem)
            for one in imported_models(lab)
            if one.problem
        ]
    return [*found, *(_server(record, name) for record in live_records(lab) for name in record.models)]


def _base(name: str) -> Known:
    try:
        folder = resolve_base(name, fetch=False)
    except O1LabError as error:
        if error.code == "offline":
            return Known(name, "base", about=f"not on this machine; o1lab models fetch {name}")
        return Known(name, "base", problem=error.message)
    about = "embedded" if name == STUDENT else ""
    return Known(name, "base", "base", "full", None, str(folder), size_of(folder), about)


def _of_lab(lab: Lab, ref: ModelRef) -> Known:
    if ref.endpoint is not None:
        return Known(ref.id, "endpoint", ref.role, about=f"{ref.endpoint.model} at {public_url(ref.endpoint.url)}")
    if ref.source == "solver":
        return Known(ref.id, "program", ref.role, about="answers problems of the demo; not a language model")
    folder = ref.adapter or Path(ref.base or "")
    size = size_of(folder)
    if ref.source == "checkpoint":
        if ref.is_whole_checkpoint:
            return Known(ref.id, "checkpoint", ref.role, "full", None, str(folder), size)
        return Known(ref.id, "checkpoint", ref.role, "adapter", ref.base, str(folder), size)
    one = find_imported(lab, ref.id)
    source = one.about.source if one is not None else ""
    made_by = one.about.made_by if one is not None else ""
    kind: Kind = "merged" if made_by == "merge" else "imported" if made_by else "base"
    return Known(
        ref.id,
        kind,
        ref.role,
        "full" if ref.adapter is None else "adapter",
        None if ref.adapter is None else ref.base,
        str(folder),
        size,
        f"from {source}" if source else "",
    )


def _server(record: ServerRecord, name: str) -> Known:
    base = record.base or None
    return Known(f"{record.pid}/{name}", "server", "other", base=base, about=f"{record.engine} server at {record.url}")


def _in_hub_cache() -> list[str]:
    """Return the models in the cache of the hub's library."""
    from huggingface_hub import constants

    configs = Path(constants.HF_HUB_CACHE).glob("models--*--*/snapshots/*/config.json")
    names = (path.parent.parent.parent.name.removeprefix("models--") for path in configs)
    return sorted({name.replace("--", "/", 1) for name in names})
