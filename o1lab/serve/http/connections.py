"""Access to the embedded server, and limits on connections that send incomplete requests."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Any, ClassVar

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_WAITING = 64
"""Connections that may wait for the rest of a request at the same time; others are closed."""
HEADERS_S = 10.0
"""Seconds in which the headers of a request must arrive."""


class GuardedProtocol(H11Protocol):
    """Closes a connection whose peer has disappeared, or sends its headers too slowly.

    uvicorn has a time-out only between a response and the next request.
    """

    waiting: ClassVar[set[GuardedProtocol]] = set()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.waiting) >= MOST_WAITING:
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._arrived()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._arrived()

    def _wait(self) -> None:
        self.waiting.add(self)
        self._deadline = self.loop.call_later(HEADERS_S, self.transport.abort)

    def _arrived(self) -> None:
        self.waiting.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Guard:
    """Rejects requests without the token, and those for another host.

    The machine may have other users, and browsers can reach loopback, also under a name of an attacker's domain.

    Args:
        app: the application; ``/health`` needs no token.
        token: the token of ``Authorization: Bearer``.
        refuse: makes the response of an error from its status, message and code.
    """

    def __init__(self, app: ASGIApp, token: str, refuse: Callable[[int, str, str], Response]) -> None:
        self._app, self._refuse = app, refuse
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in _HOSTS:
            return self._refuse(421, "This server answers only for 127.0.0.1 and localhost.", "wrong_host")
        given = headers.get(b"authorization", b"")
        if scope["path"] != "/health" and not hmac.compare_digest(given, self._expected):
            return self._refuse(401, "The token is missing or wrong.", "invalid_api_key")
        return None
