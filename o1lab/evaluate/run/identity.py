"""What exactly was asked: a model's revision and its chat template, so that no two models' answers are mixed up."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from o1lab.config import load_config
from o1lab.errors import LabError
from o1lab.files import write_json
from o1lab.models.base import resolve_base
from o1lab.paths import Lab, cache_dir
from o1lab.serve.registry import ModelRef, run_base

THE_SERVERS = "the server's"
"""The chat template of a model that somebody else serves: it cannot be seen."""
_TEMPLATES = ("chat_template.jinja", "tokenizer_config.json", "chat_template.json")
_BASE_FILES = ("config.json", "generation_config.json", "tokenizer.json", *_TEMPLATES)
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers. Two models are the same when ``revision`` and ``template`` are.

    ``revision``: of a checkpoint, the hash of its adapter's weights and configuration and of its base; of a base, the
    hash of its weights, configuration and tokenizer; of an endpoint, its url and the name it is asked by. ``folder``
    is the base's, where it is on this machine: its tokenizer counts.
    """

    id: str
    role: str
    source: str
    model: str
    revision: str
    template: str
    folder: str | None = None

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The identity that :meth:`write` wrote.

        Raises:
            LabError: it cannot be read.
        """
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise LabError(f"{path} does not say which model was asked.", "Start a new evaluation.") from error


def identify(lab: Lab, ref: ModelRef) -> Identity:
    """Who answers by this name now. Reads all weights of a model on this machine, once while they do not change.

    Raises:
        NotFoundError, LabError: the model's files are not there, or cannot be read.
    """
    try:
        return _identify(lab, ref)
    except OSError as error:
        raise LabError(
            f"The files of {ref.id} cannot be read: {error.strerror}.", "Check the model's folder."
        ) from error


def _identify(lab: Lab, ref: ModelRef) -> Identity:
    if ref.endpoint is not None:
        asked = ref.endpoint.model
        return Identity(ref.id, ref.role, ref.source, asked, f"{_plain(ref.endpoint.url)} {asked}", THE_SERVERS)
    if ref.record is not None:
        asked = ref.id.partition("/")[2]
        revision = f"server {ref.record.pid} since {ref.record.started:.0f}, {asked}"
        return Identity(ref.id, ref.role, ref.source, asked, revision, THE_SERVERS)
    if ref.source == "solver":
        return Identity(ref.id, ref.role, ref.source, ref.id, f"solver {_program()}", "none")
    name = ref.base or (run_base(lab.runs / ref.run_id) if ref.run_id else None) or load_config(lab).base
    folder = resolve_base(name)
    base, template = hash_base(folder), hash_template(folder)
    if ref.adapter is None:
        return Identity(ref.id, ref.role, ref.source, name, base, template, str(folder))
    adapter = _hash_files(ref.adapter / file for file in _ADAPTER_FILES)
    revision = _together({"adapter": adapter, "base": base})
    return Identity(ref.id, ref.role, ref.source, ref.id, revision, template, str(folder))


def hash_base(folder: Path) -> str:
    """A base's revision: the hash of its weights, configuration and tokenizer."""
    return _hash_files([*(folder / file for file in _BASE_FILES), *sorted(folder.glob("*.safetensors"))])


def hash_template(folder: Path) -> str:
    """The hash of the chat template that a folder's tokenizer uses; ``none`` where it has none."""
    for name in _TEMPLATES:
        with contextlib.suppress(OSError, ValueError):
            text: Any = (folder / name).read_text("utf-8")
            if name.endswith(".json"):
                told = json.loads(text)
                text = told.get("chat_template") if isinstance(told, dict) else None
            if text:
                return hashlib.sha256(json.dumps(text).encode()).hexdigest()[:_SHOWN]
    return "none"


def _hash_files(paths: Iterable[Path]) -> str:
    """The same for files of the same names and contents; those that are not there are left out."""
    return _together({path.name: content_hash(path) for path in paths if path.is_file()})


def _together(parts: dict[str, str]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_SHOWN]


def content_hash(path: Path) -> str:
    """SHA-256 of a file, remembered in the cache by its size and the time it was changed: weights are large."""
    real = path.resolve()
    seen = real.stat()
    known = cache_dir() / "hashes" / hashlib.sha256(str(real).encode()).hexdigest()[:32]
    mark = {"size": seen.st_size, "mtime_ns": seen.st_mtime_ns}
    with contextlib.suppress(OSError, ValueError, AttributeError):
        kept: dict[str, Any] = json.loads(known.read_text("utf-8"))
        if mark.items() <= kept.items() and isinstance(kept.get("sha256"), str):
            return str(kept["sha256"])
    with real.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        write_json(known, mark | {"sha256": found}, durable=False)
    return found


def _program() -> str:
    """The solver's revision: its own text."""
    from o1lab.serve import solver, solver_model

    return _hash_files(Path(module.__file__) for module in (solver, solver_model) if module.__file__)


def _plain(url: str) -> str:
    """A url without the name and password that may stand in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
