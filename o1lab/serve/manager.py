"""The servers of the app: one embedded server per base model, started when needed and stopped with the app."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from o1lab.config import load_config
from o1lab.errors import LabError, O1LabError
from o1lab.models.base import resolve_base
from o1lab.models.checkpoints import weights_stamp
from o1lab.paths import Lab
from o1lab.process import is_alive
from o1lab.serve.records import (
    CARDS_TIMEOUT_S,
    PAST_PROXIES,
    SOLVER,
    TOKEN_ENV,
    ServerRecord,
    answering,
    cards_in,
    certificates,
    live_records,
)
from o1lab.small_files import read_object

START_TIMEOUT_S = 180.0
"""The first start of the embedded student converts it; later starts take a few seconds."""
_STOP_S = 5.0
"""Seconds a server may take to stop before it is killed."""


@dataclass
class ServerHandle:
    """A running server: its URL, token and model names; ``shared`` if a person started it."""

    url: str
    token: str = field(repr=False)
    models: list[str]
    engine: str
    pid: int
    shared: bool = False


@dataclass
class _Server:
    """A server that the manager knows.

    Attributes:
        child: its process if the manager started it.
        adapters: folders by adapter name.
        stamps: of the weights that the manager has loaded from these folders, by adapter name.
    """

    handle: ServerHandle
    child: asyncio.subprocess.Process | None = None
    drain: asyncio.Task[None] | None = None
    adapters: dict[str, Path] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        return is_alive(self.handle.pid, None) if self.child is None else self.child.returncode is None

    def unchanged(self) -> dict[str, Path]:
        """Return the adapters whose folders still hold the weights that were loaded."""
        return {
            name: path
            for name, path in self.adapters.items()
            if path.is_dir() and self.stamps.get(name, "") in ("", weights_stamp(path))
        }


class ServerManager:
    """Starts servers as child processes, loads adapters into them, restarts dead ones, and stops all at the end.

    Use it with ``async with``, in one event loop.

    Args:
        lab: the lab, for records and settings.
        reuse: whether a server of the lab that a person started is used for its base, whatever its engine, instead of
            another one. It is not stopped at the end.
    """

    def __init__(self, lab: Lab | None = None, *, reuse: bool = False) -> None:
        self._lab = lab
        self._reuse = reuse
        self._servers: dict[str, _Server] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def __aenter__(self) -> ServerManager:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def ensure_server(
        self, base: str, adapters: Mapping[str, Path] | None = None, *, scores: bool = False
    ) -> ServerHandle:
        """Return a running server for a base with these adapters; start it or load adapters if necessary.

        Args:
            base: a name, a folder or ``solver``.
            adapters: folders by adapter name.
            scores: whether the server must score the tokens of texts, as the embedded one does. It then runs next
                to a server of the base that does not.

        Raises:
            LabError: it does not start, or rejects an adapter; the message has the reason given by the server.
        """
        async with self._locks.setdefault(base, asyncio.Lock()):
            separate = scores and await self._without_scores(base)
            key = f"{base} with scores" if separate else base
            server = self._servers.get(key)
            if server is None or not server.alive:
                before = await asyncio.to_thread(server.unchanged) if server is not None else {}
                running = await asyncio.to_thread(self._running, base) if self._reuse and not separate else None
                started = self._start(base) if running is None else _attach(running)
                server = self._servers[key] = await started
                for name, path in before.items():
                    await self._load(server, name, path)
            for name, path in (adapters or {}).items():
                if server.adapters.get(name) != path:
                    await self._load(server, name, path)
            return server.handle

    async def close(self) -> None:
        """Stop every server that was started here and wait for its end."""
        own = [(server.child, server.drain) for server in self._servers.values() if server.child is not None]
        self._servers = {}
        for child, _ in own:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        for child, drain in own:
            try:
                await asyncio.wait_for(child.wait(), _STOP_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
            if drain is not None:
                drain.cancel()

    @property
    def shared(self) -> list[str]:
        """A sentence for each server in use that a person started."""
        return [
            f"{server.handle.models[0]} is answered by the server that runs already "
            f"({server.handle.engine}, process {server.handle.pid})."
            for server in self._servers.values()
            if server.handle.shared
        ]

    def shared_device_notice(self) -> str | None:
        """Return a notice if a training run of this lab is active on this machine, else None."""
        return training_notice(self._lab) if self._lab is not None else None

    def _running(self, base: str) -> ServerRecord | None:
        """Return a running server of ``base`` that a person started, the latest if there are several."""
        if base == SOLVER:
            return None
        try:
            folder = str(resolve_base(base, fetch=False).resolve())
        except O1LabError:
            return None
        found = [record for record in live_records(self._lab) if record.owner == "person" and record.base == folder]
        return found[-1] if found else None

    async def _without_scores(self, base: str) -> bool:
        """Whether the server that answers for ``base`` gives no scores of tokens."""
        known = self._servers.get(base)
        if known is not None and known.alive:
            return known.handle.engine != "embedded"
        running = await asyncio.to_thread(self._running, base) if self._reuse else None
        return running is not None and running.engine != "embedded"

    async def _start(self, base: str) -> _Server:
        token = secrets.token_urlsafe(32)
        command = [sys.executable, "-P", "-m", "o1lab.serve.embedded", base]
        command += ["--parent", str(os.getpid()), "--owner", "app"]
        if self._lab is not None:
            command += ["--lab", str(self._lab.root)]
            if base in load_config(self._lab).serve.trust_remote_code:
                command.append("--trust-remote-code")
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {TOKEN_ENV: token},
            start_new_session=True,
        )
        stderr: deque[str] = deque(maxlen=50)
        drain = asyncio.create_task(_drain(process, stderr))
        assert process.stdout is not None  # noqa: S101 - asked for above
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
            ready = json.loads(line)
            handle = ServerHandle(ready["url"], token, ready["models"], ready["engine"], ready["pid"])
        except (TimeoutError, ValueError, KeyError, asyncio.CancelledError) as error:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await drain
            if isinstance(error, asyncio.CancelledError):
                raise
            raise LabError(*_why(base, stderr, timed_out=isinstance(error, TimeoutError)), code="server") from error
        return _Server(handle, process, drain)

    async def _load(self, server: _Server, name: str, path: Path) -> None:
        stamp = await asyncio.to_thread(weights_stamp, path)
        if server.handle.engine == "vllm":
            url = f"{server.handle.url}/load_lora_adapter"
            payload = {"lora_name": name, "lora_path": str(path)}
        else:
            url = f"{server.handle.url}/o1lab/adapters"
            payload = {"name": name, "path": str(path)}
        try:
            async with httpx2.AsyncClient(timeout=60, mounts=PAST_PROXIES, verify=certificates()) as client:
                answer = await client.post(
                    url,
                    json=payload,
                    headers={"Authorization": f"Bearer {server.handle.token}"},
                )
            if answer.status_code != 200:
                raise LabError(_error_message(answer), "Choose a checkpoint of this base.", code="adapter")
        except httpx2.HTTPError as error:
            raise LabError(
                f"The server of this base model ended while it loaded {name}.", "Try again.", code="server"
            ) from error
        server.adapters[name], server.stamps[name] = path, stamp
        if name not in server.handle.models:
            server.handle.models.append(name)


async def _attach(record: ServerRecord) -> _Server:
    """Return a server that runs already, with the adapters that it has.

    Raises:
        LabError: it does not answer, or what answers at its address is no server of o1lab (code ``server``).
    """
    with answering(record):
        async with httpx2.AsyncClient(timeout=CARDS_TIMEOUT_S, mounts=PAST_PROXIES, verify=certificates()) as client:
            cards = cards_in(await client.get(record.models_url, headers=record.headers))
    roots = {card["id"]: card.get("root") for card in cards if card.get("parent")}
    found = {name: Path(root) for name, root in roots.items() if isinstance(root, str) and root}
    handle = ServerHandle(
        record.url, record.token, [card["id"] for card in cards], record.engine, record.pid, shared=True
    )
    return _Server(handle, adapters=found)


def training_notice(lab: Lab) -> str | None:
    """Return a notice if a run of ``lab`` is training on this machine and shares the device, else None."""
    for status_file in sorted(lab.runs.glob("*/status.json")):
        status = read_object(status_file)
        if status.get("state") in ("starting", "running", "stopping") and _runs_here(status):
            name = status_file.parent.name
            return f"Run {name} is training on this machine: answers and training slow each other down."
    return None


def _runs_here(status: dict[str, Any]) -> bool:
    host, pid, started = status.get("host"), status.get("pid"), status.get("pid_started")
    if host != os.uname().nodename or not isinstance(pid, int):
        return False
    return is_alive(pid, started if isinstance(started, int | float) else None)


async def _drain(process: asyncio.subprocess.Process, kept: deque[str]) -> None:
    """Read the output of the child, so that its pipe never fills; the last lines explain a failed start."""
    assert process.stderr is not None  # noqa: S101 - asked for by the caller
    while chunk := await process.stderr.read(65536):
        kept.extend(chunk.decode("utf-8", "replace").splitlines())


def _why(base: str, stderr: deque[str], *, timed_out: bool) -> tuple[str, str]:
    if timed_out:
        return f"The server of {base} was not ready in time.", "Check whether the machine is out of memory."
    lines = [line.strip() for line in stderr if line.strip()]
    own = next((i for i, line in enumerate(lines) if line.startswith("o1lab: ")), None)
    if own is not None:
        return lines[own].removeprefix("o1lab: "), " ".join(lines[own + 1 :])
    return f"The server of {base} did not start: {lines[-1] if lines else 'no output'}.", "See the log."


def _error_message(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {answer.status_code}."
