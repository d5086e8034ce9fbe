"""`o1lab web`: the app in a browser, only for those who have the link."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from store import annotations
from store.connection import open_store
from tests.support.fake_runs import write_run
from tests.support.lab_seed import make_lab
from tests.support.terminal_page import browser_page

pytest.importorskip("textual_serve", reason="the extra `web` is not installed")
COMMAND = [sys.executable, "-P", "-m", "o1lab"]


@asynccontextmanager
async def web(lab: Path, *options: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--lab", str(lab), "web", "--json", *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            ready: dict[str, Any] = json.loads(await process.stdout.readline())
        assert ready["pid"] == process.pid
        yield ready["url"], process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    made = make_lab(tmp_path / "lab", 20)
    write_run(made.runs, "7f3a5c00")
    return made.root


async def status(session: aiohttp.ClientSession, url: str, **headers: str) -> int:
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        return response.status


async def test_only_the_link_opens_the_page(lab: Path) -> None:
    async with (
        web(lab, "--port", "0") as (link, _),
        aiohttp.ClientSession() as stranger,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as user,
    ):
        base = link.partition("/?")[0]
        port = base.rpartition(":")[2]
        for path in ("/", "/ws", "/static/js/textual.js", "/download/x", "/?token=wrong", "/?token="):
            assert await status(stranger, base + path) == 403, path
        assert await status(stranger, base, Cookie=f"o1lab_{port}=wrong") == 403
        assert await status(stranger, link, Host="evil.example") == 403
        async with user.get(link) as response:  # follows the redirect, with the cookie
            assert response.status == 200
            assert "token" not in str(response.url)
            assert "connect-src 'self' ws://127.0.0.1" in response.headers["Content-Security-Policy"]
            assert response.headers["Referrer-Policy"] == "no-referrer"
        cookie = f"o1lab_{port}={link.partition('token=')[2]}"
        assert await status(stranger, base + "/static/js/textual.js", Cookie=cookie) == 200
        assert await status(stranger, base, Cookie=cookie, Host=f"evil.example:{port}") == 403
        assert await status(stranger, base, Cookie=cookie, Origin="http://evil.example") == 403
        for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await stranger.ws_connect(base + "/ws", headers={"Cookie": cookie, **origin})
            assert refused.value.status == 403
        async with stranger.get(f"http://localhost:{port}/?token=x", allow_redirects=False) as response:
            assert response.headers["Location"] == f"{base}/?token=x"


async def test_a_tunnel_changes_the_address_in_the_browser(lab: Path) -> None:
    async with web(lab, "--port", "0", "--public-url", "http://127.0.0.1:9123") as (link, _):
        assert link.startswith("http://127.0.0.1:9123/?token=")


async def test_bad_input(lab: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cases = [
            (["--public-url", "ftp://x"], 2, "is not a public URL"),
            (["--public-url", "http://user@host"], 2, "is not a public URL"),
            (["--public-url", "http://host/path"], 2, "is not a public URL"),
            (["--port", "70000"], 2, "65535"),
            (["--port", str(taken.getsockname()[1])], 3, "cannot be used"),
        ]
        for options, expected, words in cases:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, "--lab", str(lab), "web", *options, stderr=asyncio.subprocess.PIPE
            )
            _, errors = await process.communicate()
            assert process.returncode == expected, options
            assert words in errors.decode()


async def test_without_the_package_it_says_what_to_install(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from o1lab.errors import LabError
    from o1lab.paths import Lab
    from o1lab.serve.web import listen_for_web, serve_web

    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    bound, address = listen_for_web(0, None)
    with bound, pytest.raises(LabError) as missing:
        serve_web(Lab(lab), bound, address, lambda: None)
    assert missing.value.code == "missing_extra"
    assert "o1lab[web]" in (missing.value.hint or "")


@pytest.mark.slow
async def test_in_a_browser_one_opens_the_app_curates_and_sees_a_curve(lab: Path, tmp_path: Path) -> None:
    async with web(lab, "--port", "0") as (link, server), browser_page(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("What to do next", "20 without a decision")
        await page.press("F2")
        await page.until("TRACES", "accepted")
        await page.press("a")
        await page.until("1 accepted")
        store = open_store(lab / "lab.db")
        try:
            assert [record.kind for record in annotations.everything(store.db)] == ["decision"]
        finally:
            store.close()
        drawn = len(page.received)
        await page.press("F4")
        await page.until("7f3a", "loss", since=drawn)
        await page.until(*"⣀⡀", since=drawn)  # the curve, in dots
        own = link.partition("/?")[0]
        local = (own, own.replace("http", "ws"), "data:")
        foreign = [url for url in page.requested if not url.startswith(local)]
        assert set(foreign) <= set(page.failed), "what textual-serve links elsewhere is not loaded"
        apps = psutil.Process(server.pid).children(recursive=True)
        assert apps
    gone, alive = psutil.wait_procs(apps, timeout=30)
    assert not alive, "the app ends with its page"
    assert len(gone) == len(apps)
