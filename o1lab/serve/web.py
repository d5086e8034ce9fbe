"""The app in a browser: textual-serve on loopback, behind a middleware that checks token, Host and Origin.

textual-serve starts the app once for each page that connects, and ends it with the connection.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from o1lab.errors import LabError, UsageError
from o1lab.paths import Lab
from o1lab.serve.process import listen

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

_ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class WebAddress:
    """Where the page is, and the token that opens it.

    Attributes:
        port: The port on loopback.
        public_url: The address in the browser, without a path; with a tunnel it differs from the port here.
        token: The secret of the first request; later ones have it in a cookie.
    """

    port: int
    public_url: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def link(self) -> str:
        """The URL to open."""
        return f"{self.public_url}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The name of the cookie, with the port, because cookies are shared by all ports of a host."""
        return f"o1lab_{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the Host header that are answered."""
        return frozenset({f"{_ADDRESS}:{self.port}", urlsplit(self.public_url).netloc})

    @property
    def origins(self) -> frozenset[str]:
        """The origins whose pages may connect."""
        return frozenset({f"http://{_ADDRESS}:{self.port}", self.public_url})

    def policy(self) -> str:
        """The Content-Security-Policy of the page: nothing is loaded from, or sent to, another place."""
        sockets = " ".join(sorted(f"ws{origin.removeprefix('http')}" for origin in self.origins))
        inline = "'self' 'unsafe-inline'"
        allowed = {
            "default-src": "'none'", "script-src": inline, "style-src": inline, "img-src": "'self' data:",
            "font-src": "'self' data:", "connect-src": f"'self' {sockets}", "frame-ancestors": "'none'",
            "base-uri": "'none'", "form-action": "'none'",
        }  # fmt: skip
        return "; ".join(f"{what} {where}" for what, where in allowed.items())


def listen_for_web(port: int, public_url: str | None) -> tuple[socket.socket, WebAddress]:
    """Bind the port on loopback; 0 takes any free one.

    Raises:
        UsageError: the public URL is not an http or https URL without a path.
        LabError: the port cannot be used (code ``port``).
    """
    if public_url is not None:
        public_url = _origin(public_url)
    bound = listen(port)
    taken = bound.getsockname()[1]
    return bound, WebAddress(taken, public_url or f"http://{_ADDRESS}:{taken}")


def _origin(url: str) -> str:
    """Return a public URL as browsers write it in Host and Origin: in lower case, without the usual port.

    Raises:
        UsageError: it is not an http or https URL without a path.
    """
    try:
        parts = urlsplit(url)
        usual = {"http": 80, "https": 443}[parts.scheme]
        netloc = parts.netloc.lower()
        host = netloc.removesuffix(f":{parts.port}") if parts.port == usual else netloc
    except (KeyError, ValueError):
        host = ""
    if not host or "@" in host or url.split("://", 1)[1].rstrip("/").lower() != netloc:
        raise UsageError(f"'{url}' is not a public URL.", "Give scheme, host and port: http://127.0.0.1:9000")
    return f"{parts.scheme}://{host}"


def serve_web(lab: Lab, bound: socket.socket, address: WebAddress, ready: Callable[[], None]) -> None:
    """Serve the app of a lab until SIGINT or SIGTERM.

    Args:
        lab: The lab.
        bound: The socket of :func:`listen_for_web`.
        address: Its address.
        ready: Called when connections are accepted.

    Raises:
        LabError: textual-serve is not installed (code ``missing_extra``).
    """
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError as error:
        raise LabError(
            "Serving the app in a browser needs textual-serve, which is not installed.",
            "pip install 'o1lab[web]'",
            code="missing_extra",
        ) from error

    command = shlex.join([sys.executable, "-P", "-m", "o1lab", "--lab", str(lab.root)])
    server = Server(command, _ADDRESS, address.port, title=f"o1lab · {lab.root.name}", public_url=address.public_url)

    async def make() -> web.Application:
        app: web.Application = await server._make_app()  # its `serve` has no place for a middleware
        app.on_startup.clear()  # it prints a banner
        app.middlewares.append(guard(address))

        async def announce(_: web.Application) -> None:
            asyncio.get_running_loop().call_soon(ready)

        app.on_startup.append(announce)
        return app

    web.run_app(make(), sock=bound, print=None, access_log=None)


def guard(address: WebAddress) -> Middleware:
    """Return the middleware that refuses requests without the token, for another host, or of another page."""
    from aiohttp import web

    def refused(reason: str) -> web.Response:
        return web.Response(status=403, text=f"Refused: {reason}\n")

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if host == f"localhost:{address.port}" and request.method == "GET" and origin is None:
            return web.HTTPFound(f"http://{_ADDRESS}:{address.port}{request.raw_path}")  # the cookie is for one host
        if host not in address.hosts:
            return refused(f"this server does not answer for another host than {' or '.join(sorted(address.hosts))}.")
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        if (is_socket and origin is None) or (origin is not None and origin not in address.origins):
            return refused("the request comes from another page.")
        given = request.query.get("token")
        if given is not None and _same(given, address.token):
            moved = web.HTTPFound(request.path)  # the token leaves the address bar and the history
            moved.set_cookie(address.cookie, address.token, httponly=True, samesite="Lax", path="/")
            moved.headers["Referrer-Policy"] = "no-referrer"
            return moved
        if not _same(_cookie(request.headers.get("Cookie", ""), address.cookie), address.token):
            return refused("open the link that `o1lab web` printed; it contains the token.")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = address.policy()
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Cache-Control"] = "no-store"
        return response

    return check


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def _cookie(header: str, name: str) -> str:
    found = SimpleCookie(header).get(name)
    return found.value if found else ""
