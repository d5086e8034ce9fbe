"""The servers of the app: one server per base model, started when needed and stopped with the app."""

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
from types import TracebackType
from typing import Any, Literal

import httpx2

from o1lab.config import load_config
from o1lab.errors import LabError
from o1lab.paths import Lab
from o1lab.process import is_alive
from o1lab.serve.records import PAST_PROXIES, TOKEN_ENV
from o1lab.serve.registry import SOLVER
from o1lab.small_files import read_object

START_TIMEOUT_S = 180.0
"""The first start of the embedded student converts it; later starts take a few seconds."""
_STOP_S = {"vllm": 25.0}
"""Seconds a server may take to stop, by engine (default 5): vLLM's processes must not outlive its parent."""


@dataclass
class ServerHandle:
    """A running server: its URL, token and model names."""

    url: str
    token: str = field(repr=False)
    models: list[str]
    engine: str
    pid: int


@dataclass
class _Child:
    process: asyncio.subprocess.Process
    handle: ServerHandle
    stderr: deque[str]
    drain: asyncio.Task[None]
    adapters: dict[str, Path] = field(default_factory=dict)


class ServerManager:
    """Starts servers as child processes, loads adapters into them, restarts dead ones, and stops all at the end.

    Use it with ``async with``, in one event loop.

    Args:
        lab: the lab, for records and settings.
        start_timeout_s: seconds a server may take to start.
        engine: the engine of base models; the solver is always embedded.
        vllm: the vLLM program of o1lab.toml.
    """

    def __init__(
        self,
        lab: Lab | None = None,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
        engine: Literal["embedded", "vllm"] = "embedded",
        vllm: str | None = None,
    ) -> None:
        self._lab = lab
        self._engine = engine
        self._vllm = vllm
        self._start_timeout_s = start_timeout_s
        self._children: dict[str, _Child] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def __aenter__(self) -> ServerManager:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def ensure_server(self, base: str, adapters: Mapping[str, Path] | None = None) -> ServerHandle:
        """Return a running server for a base with these adapters; start it or load adapters if necessary.

        Args:
            base: a name, a folder or ``solver``.
            adapters: folders by adapter name.

        Raises:
            LabError: it does not start, or rejects an adapter; the message has the reason given by the server.
        """
        async with self._locks.setdefault(base, asyncio.Lock()):
            child = self._children.get(base)
            if child is None or child.process.returncode is not None:
                before = child.adapters if child is not None else {}
                child = self._children[base] = await self._start(base)
                for name, path in before.items():
                    if path.is_dir():
                        await self._load(child, name, path)
            for name, path in (adapters or {}).items():
                if child.adapters.get(name) != path:
                    await self._load(child, name, path)
            return child.handle

    async def close(self) -> None:
        """Stop every server and wait for its end."""
        children, self._children = list(self._children.values()), {}
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        for child in children:
            try:
                await asyncio.wait_for(child.process.wait(), _STOP_S.get(child.handle.engine, 5.0))
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()
                await child.process.wait()
            child.drain.cancel()

    def shared_device_notice(self) -> str | None:
        """Return a notice if a training run of this lab is active on this machine, else None."""
        return training_notice(self._lab) if self._lab is not None else None

    async def _start(self, base: str) -> _Child:
        token = secrets.token_urlsafe(32)
        engine = "embedded" if base == SOLVER else self._engine
        command = [sys.executable, "-P", "-m", f"o1lab.serve.{engine}", base]
        if engine == "vllm" and self._vllm:
            command += ["--program", self._vllm]
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
            line = await asyncio.wait_for(process.stdout.readline(), self._start_timeout_s)
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
        return _Child(process, handle, stderr, drain)

    async def _load(self, child: _Child, name: str, path: Path) -> None:
        if child.handle.engine == "vllm":
            url = f"{child.handle.url}/load_lora_adapter"
            payload = {"lora_name": name, "lora_path": str(path)}
        else:
            url = f"{child.handle.url}/o1lab/adapters"
            payload = {"name": name, "path": str(path)}
        try:
            async with httpx2.AsyncClient(timeout=60, mounts=PAST_PROXIES) as client:
                answer = await client.post(
                    url,
                    json=payload,
                    headers={"Authorization": f"Bearer {child.handle.token}"},
                )
            if answer.status_code != 200:
                raise LabError(_error_message(answer), "Choose a checkpoint of this base.", code="adapter")
        except httpx2.HTTPError as error:
            raise LabError(
                f"The server of this base model ended while it loaded {name}.", "Try again.", code="server"
            ) from error
        child.adapters[name] = path
        if name not in child.handle.models:
            child.handle.models.append(name)


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
