"""Records of running servers, one file each, readable by their owner only."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from o1lab.errors import LabError
from o1lab.files import atomic_path, writing
from o1lab.format import first_of
from o1lab.paths import Lab, cache_dir
from o1lab.process import started_at
from o1lab.small_files import UnreadableError, read_json

if TYPE_CHECKING:
    import ssl

    import httpx2

SOLVER = "solver"
"""The name of the teacher that is a program, not a language model, and of the base of its server."""
TOKEN_ENV = "O1LAB_SERVER_TOKEN"  # noqa: S105 - the name of a variable
PAST_PROXIES: Mapping[str, Any] = dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]"))
"""``mounts`` of an HTTP client that bypasses proxies for servers on this machine: a proxy could not reach them, and
would see their tokens."""


@cache
def certificates() -> ssl.SSLContext:
    """Return what servers elsewhere are verified with. Clients of a process share it, because it is slow to read."""
    import httpx2

    return httpx2.create_ssl_context()


@dataclass(frozen=True)
class ServerRecord:
    """One running server.

    Attributes:
        started: Unix time.
        owner: whether the app or a person stops it.
        host: the machine of the pid.
        base: the folder of the base model; empty for the solver.
        prompts: what the students it serves are asked with, by model name (see ``PromptOptions``).
    """

    url: str
    token: str = field(repr=False)
    pid: Annotated[int, Field(ge=1, lt=2**31)]
    models: list[str]
    engine: str
    started: float
    owner: Literal["app", "person"] = "person"
    host: str = field(default_factory=socket.gethostname)
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)
    base: str = ""

    @property
    def here(self) -> bool:
        """Whether it runs on this machine: a lab may be shared between machines, a loopback address cannot."""
        return self.host == socket.gethostname()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of requests to it."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def models_url(self) -> str:
        """The address of its list of models."""
        return f"{self.url}/models"

    @property
    def alive(self) -> bool:
        """Whether the process that wrote this still runs (a reused pid started later)."""
        started = started_at(self.pid)
        return started is not None and started <= self.started + 1


CARDS_TIMEOUT_S = 60
"""Seconds to wait for the list: a server that is busy with answers replies late."""


def cards_in(answer: httpx2.Response) -> list[dict[str, Any]]:
    """Return the models that a server of ``o1lab serve`` describes in its answer to ``/v1/models``.

    Raises:
        LabError: the answer is not a list of models (code ``server``).
    """
    import httpx2

    hint = "If another program has taken the port of the server, start the server again: o1lab serve"
    try:
        return [dict(card, id=str(card["id"])) for card in answer.raise_for_status().json()["data"]]
    except httpx2.HTTPStatusError as error:
        raise LabError(
            f"What answers at {answer.request.url} does not list its models (status {answer.status_code}).",
            hint,
            code="server",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(
            f"What answers at {answer.request.url} is not a server of o1lab.",
            hint,
            code="server",
        ) from error


@contextmanager
def answering(record: ServerRecord) -> Iterator[None]:
    """Report that a running server does not answer the request of the block, or breaks off.

    An answer with an error status or another content is no error here: :func:`cards_in` reports it.

    Raises:
        LabError: it does not answer (code ``server``).
    """
    import httpx2

    try:
        yield
    except httpx2.HTTPError as error:
        raise LabError(
            f"The server of {first_of(record.models, 3)} (process {record.pid}) does not answer.",
            f"Wait for it, or stop it: kill {record.pid}",
            code="server",
        ) from error


def records_folder(lab: Lab | None) -> Path:
    """Return the folder of records: in the lab, or in the cache without a lab."""
    return lab.servers if lab is not None else cache_dir() / "servers"


def new_token() -> str:
    """Return the token of ``O1LAB_SERVER_TOKEN``, or a new random one."""
    return os.environ.get(TOKEN_ENV) or secrets.token_urlsafe(32)


def write_record(folder: Path, record: ServerRecord) -> Path:
    """Write ``record`` atomically, with mode 0600.

    Raises:
        LabError: the folder cannot be written.
    """
    path = folder / f"{record.host}-{record.pid}.json"
    with writing(f"the server's record in {folder}", "Check the disk and the permissions of the folder."):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic_path(path, durable=False) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(record), file)
    return path


def read_record(path: Path) -> ServerRecord:
    """Return the record at ``path``.

    Raises:
        UnreadableError: it is damaged.
    """
    return read_json(path, ServerRecord)


def damaged_records(lab: Lab | None) -> list[UnreadableError]:
    """Return what is wrong with each damaged record; ``o1lab doctor`` reports it."""
    found = []
    for path in sorted(records_folder(lab).glob("*.json")):
        try:
            read_record(path)
        except UnreadableError as error:
            found.append(error)
    return found


def live_records(lab: Lab | None) -> list[ServerRecord]:
    """Return the records of servers that run on this machine, oldest first. Remove records of dead servers."""
    live = []
    for path in records_folder(lab).glob("*.json"):
        try:
            record = read_record(path)
        except UnreadableError:
            continue
        if record.here and record.alive:
            live.append(record)
        elif record.here:
            with suppress(OSError):  # the lab may be on a read-only medium
                path.unlink(missing_ok=True)
    return sorted(live, key=lambda record: record.started)
