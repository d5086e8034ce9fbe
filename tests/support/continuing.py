"""A server that continues texts, as those of ``o1lab serve`` do, and its record in a lab."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from o1lab.paths import Lab
from o1lab.serve.records import ServerRecord, write_record
from tests.support.fault_server import FaultServer

CONTINUATION = ["and ", "on."]


class Going(FaultServer):
    """Continues a text with ``and on.``; answers other messages as usual."""

    def __init__(self, mode: str = "ok", *, answer: list[str] | None = None) -> None:
        super().__init__(mode, answer=answer)
        self.asked = threading.Event()

    def words_for(self, body: dict[str, Any]) -> list[str]:
        self.asked.set()
        return CONTINUATION if _continues(body) else self.answer


class Stalling(Going):
    """Stops after the first word of a continuation until it is released; then, and for other messages, it does not."""

    def mode_of(self, body: dict[str, Any]) -> str:
        return "gated" if _continues(body) else "ok"


def _continues(body: dict[str, Any]) -> bool:
    return body["messages"][-1]["role"] == "assistant"


def started_in(lab: Lab, server: FaultServer) -> str:
    """Write the record of a server that a person started in this process, and return the name of its model."""
    write_record(lab.servers, ServerRecord(server.url, "t", os.getpid(), ["student"], "embedded", time.time()))
    return f"{os.getpid()}/student"
