"""Identifies models by the hashes of their weights and chat template.

What two different models answered is never mixed, even when the models have the same name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from o1lab.config import load_config
from o1lab.errors import LabError
from o1lab.files import write_json
from o1lab.models.base import TEMPLATES, hash_template, resolve_base
from o1lab.paths import Lab, cache_dir
from o1lab.serve.endpoints import public_url
from o1lab.serve.records import CARDS_TIMEOUT_S, PAST_PROXIES, ServerRecord, answering, cards_in, certificates
from o1lab.serve.registry import ModelRef, run_base
from o1lab.small_files import UnreadableError, read_json
from o1lab.text import parse_json

THE_SERVERS = "the server's"
"""The chat template of a model on another server, which cannot be read."""
_BASE_FILES = ("config.json", "generation_config.json", "tokenizer.json", *TEMPLATES)
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """The model that answers. Two models are the same if ``revision`` and ``template`` are.

    Attributes:
        id: the model's name in the lab.
        role: teacher, student or base.
        source: where the model comes from.
        model: the name that requests contain.
        revision: of an adapter, the hash of its weights and configuration and of its base; of a whole model, the
            hash of its weights, configuration and tokenizer; of an endpoint, its URL and the requested name; of a model
            on a server of ``o1lab serve``, the process, the name, and the hash of the adapter that has this name.
        template: the hash of the chat template, or ``THE_SERVERS``.
        folder: the directory of the base if it is on this machine; its tokenizer counts tokens.
        system_prompt: the system message that the student was trained with; empty for none.
    """

    id: str
    role: str
    source: str
    model: str
    revision: str
    template: str
    folder: str | None = None
    system_prompt: str = ""

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an identity from the file of :meth:`write`.

        Raises:
            LabError: the file cannot be read.
        """
        try:
            return read_json(path, cls)
        except UnreadableError as error:
            raise LabError(
                f"{path} cannot be read, so the evaluated model is unknown.", "Start a new evaluation."
            ) from error


def identify(lab: Lab, ref: ModelRef) -> Identity:
    """Identify the model that a name refers to now.

    Reads all weights of a model on this machine, again only after they have changed. Asks a server of ``o1lab serve``
    for the adapter with this name, because adapters are replaced while it runs.

    Raises:
        NotFoundError: the model's base is not on this machine.
        LabError: its files cannot be read; or its server does not answer, or answers as no server of o1lab does (code
            ``server``).
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
        return Identity(ref.id, ref.role, ref.source, asked, f"{public_url(ref.endpoint.url)} {asked}", THE_SERVERS)
    if ref.record is not None:
        asked = ref.id.partition("/")[2]
        revision = f"server {ref.record.pid} since {ref.record.started:.0f}, {asked}{_loaded(ref.record, asked)}"
        return Identity(ref.id, ref.role, ref.source, asked, revision, THE_SERVERS, None, ref.prompt.system_prompt)
    if ref.source == "solver":
        return Identity(ref.id, ref.role, ref.source, ref.id, f"solver {_solver_hash()}", "none")
    name = ref.base or (run_base(lab.runs / ref.run_id) if ref.run_id else None) or load_config(lab).base
    folder = resolve_base(name)
    base, template = hash_base(folder), hash_template(folder)
    if ref.source == "base":
        return Identity(ref.id, ref.role, ref.source, name, base, template, str(folder))
    revision = base
    if ref.adapter is not None:
        adapter = _hash_files(ref.adapter / file for file in _ADAPTER_FILES)
        revision = _combined_hash({"adapter": adapter, "base": base})
    own = replace(ref.prompt, system_prompt="")  # the system prompt is part of the messages
    if own:
        template = _combined_hash({"template": template, "options": json.dumps(own.as_json(), sort_keys=True)})
    return Identity(ref.id, ref.role, ref.source, ref.id, revision, template, str(folder), ref.prompt.system_prompt)


def _loaded(record: ServerRecord, name: str) -> str:
    """Return what identifies the adapter that a server has loaded as ``name``; empty for a base.

    Raises:
        LabError: the server does not answer, or what answers at its address is no server of o1lab (code ``server``).
    """
    import httpx2

    options: Any = {"timeout": CARDS_TIMEOUT_S, "mounts": PAST_PROXIES, "verify": certificates()}
    with answering(record), httpx2.Client(**options) as client:
        cards = cards_in(client.get(record.models_url, headers=record.headers))
    root = next((card.get("root") for card in cards if card["id"] == name and card.get("parent")), None)
    return f" {root} {_hash_files(Path(root) / file for file in _ADAPTER_FILES)}" if isinstance(root, str) else ""


def hash_base(folder: Path) -> str:
    """Return the revision of a base: the hash of its weights, configuration and tokenizer."""
    return _hash_files([*(folder / file for file in _BASE_FILES), *sorted(folder.glob("*.safetensors"))])


def _hash_files(paths: Iterable[Path]) -> str:
    """Hash the names and contents of files; missing files are skipped."""
    return _combined_hash({path.name: content_hash(path) for path in paths if path.is_file()})


def _combined_hash(parts: dict[str, str]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_SHOWN]


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, from the cache if its size and modification time are unchanged."""
    real = path.resolve()
    stat = real.stat()
    known = cache_dir() / "hashes" / hashlib.sha256(str(real).encode()).hexdigest()[:32]
    stamp = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    with contextlib.suppress(OSError, ValueError, AttributeError):
        kept: dict[str, Any] = parse_json(known.read_text("utf-8"))
        if stamp.items() <= kept.items() and isinstance(kept.get("sha256"), str):
            return str(kept["sha256"])
    with real.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    with contextlib.suppress(OSError):  # the cache is optional
        write_json(known, stamp | {"sha256": found}, durable=False)
    return found


def _solver_hash() -> str:
    """Return the revision of the solver: the hash of its source."""
    from o1lab.serve import solver, solver_model

    return _hash_files(Path(module.__file__) for module in (solver, solver_model) if module.__file__)
