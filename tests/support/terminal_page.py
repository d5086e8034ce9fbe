"""A page of headless Chromium with a terminal in it, driven over the debugging protocol: keys in, text out."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.browser import browser

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_KEYS = {"Enter": 13, "Escape": 27, "F2": 113, "F4": 115}


class Page:
    """A page of the browser.

    Attributes:
        received: What its websockets received, as text without escape sequences.
        requested: The URLs that it asked for.
        failed: The URLs that were blocked or failed.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._news = asyncio.Condition()
        self.received = ""
        self.requested: list[str] = []
        self.failed: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        urls: dict[str, str] = {}
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                self._answers.pop(event["id"]).set_result(event.get("result", {}))
                continue
            what = event.get("params", {})
            match event["method"]:
                case "Network.webSocketFrameReceived":
                    frame = what["response"]
                    raw = (
                        base64.b64decode(frame["payloadData"])
                        if frame["opcode"] == 2
                        else frame["payloadData"].encode()
                    )
                    self.received += _ESCAPES.sub("", raw.decode("utf-8", "replace"))
                case "Network.requestWillBeSent":
                    urls[what["requestId"]] = what["request"]["url"]
                    self.requested.append(what["request"]["url"])
                case "Network.loadingFailed":
                    self.failed.append(urls.get(what["requestId"], ""))
            async with self._news:
                self._news.notify_all()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._calls += 1
        answer = self._answers[self._calls] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._calls, "method": method, "params": params})
        return await answer

    async def open(self, url: str) -> None:
        await self.call("Page.enable")
        await self.call("Network.enable")
        await self.call("Page.navigate", url=url)

    async def press(self, key: str) -> None:
        """Press a key in the terminal of the page."""
        await self.call("Runtime.evaluate", expression="document.querySelector('textarea').focus()")
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        which = {"key": key, "code": key if len(key) > 1 else f"Key{key.upper()}"}
        number = _KEYS.get(key, ord(key[0].upper()))
        await self.call("Input.dispatchKeyEvent", type="keyDown", windowsVirtualKeyCode=number, **which, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", windowsVirtualKeyCode=number, **which)

    async def until(self, *wanted: str, since: int = 0) -> None:
        """Wait until the websockets have received all texts, counted from character ``since`` on."""
        try:
            async with asyncio.timeout(90), self._news:
                await self._news.wait_for(lambda: all(one in self.received[since:] for one in wanted))
        except TimeoutError:
            missing = [one for one in wanted if one not in self.received[since:]]
            raise AssertionError(f"{missing} was not received, but: {self.received[since:][-3000:]}") from None

    async def text(self) -> str:
        """Return the text of the document."""
        found = await self.call("Runtime.evaluate", expression="document.body.innerText")
        return str(found["result"].get("value", ""))

    async def close(self) -> None:
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading


@asynccontextmanager
async def browser_page(folder: Path) -> AsyncIterator[Page]:
    """Start the browser with a profile in ``folder`` and yield an empty page."""
    process = await asyncio.create_subprocess_exec(
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        "--window-size=1200,800", "--no-first-run", "--disable-background-networking", f"--user-data-dir={folder}",
        "about:blank",        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while "DevTools listening on" not in (line := (await process.stderr.readline()).decode()):
                assert line, "Chromium ended"
        port = line.split("127.0.0.1:")[1].split("/")[0]
        drain = asyncio.create_task(_drain(process.stderr))
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                target = next(one for one in await response.json() if one["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                yield page
                await page.close()
        drain.cancel()
    finally:
        process.terminate()
        await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(4096):
        pass
