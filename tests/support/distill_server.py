"""A teacher for tests: answers sums, counts what it was asked, and misbehaves for the requests one names."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.support.fault_server import FaultServer

_SUM = re.compile(r"What is (\d+) \+ (\d+)\?")
Question = tuple[int, int, int]
"""The two numbers, and the seed the request came with."""


class DistillServer(FaultServer):
    """Every third sum comes out wrong, the same ones each time.

    ``treat`` gives a request its mode: it is called with the question and how often it came before.
    """

    def __init__(
        self, mode: str = "ok", *, latency_s: float = 0.0, treat: Callable[[Question, int], str] | None = None
    ):
        super().__init__(mode)
        self.latency_s = latency_s
        self.treat = treat
        self.asked: Counter[Question] = Counter()
        self.answered: Counter[Question] = Counter()
        """Whole answers that have left."""
        self.most_at_once = 0
        self._now = 0
        self._news = threading.Condition()

    def wait_until_asked(self, number: int, timeout: float = 300) -> None:
        """Return when ``number`` requests have come in all."""
        with self._news:
            assert self._news.wait_for(lambda: self.asked.total() >= number, timeout), self.asked.total()

    def mode_of(self, body: dict[str, Any]) -> str:
        question = question_of(body)
        return self.treat(question, self.asked[question] - 1) if self.treat else self.mode

    def words_for(self, body: dict[str, Any]) -> list[str]:
        first, second, _ = question_of(body)
        return [
            "<think>\n",
            f"{first} and {second}: ",
            "add them.",
            "\n</think>\n\n",
            f"\\boxed{{{result(first, second)}}}",
        ]

    async def _chat(self, request: Request) -> Response:
        question = question_of(await request.json())
        with self._news:
            self.asked[question] += 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self._news.notify_all()
        try:
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            response = await super()._chat(request)
        finally:
            with self._news:
                self._now -= 1
        if response.status_code == 200 and not isinstance(response, StreamingResponse):
            response.background = BackgroundTask(self._left, question)
        return response

    async def _left(self, question: Question) -> None:
        with self._news:
            self.answered[question] += 1


def result(first: int, second: int) -> int:
    return first + second + (10 if (first + second) % 3 == 0 else 0)


def question_of(body: dict[str, Any]) -> Question:
    texts = [_SUM.search(message["content"]) for message in body["messages"]]
    found = next((match for match in texts if match), None)
    assert found is not None, body["messages"]
    return int(found[1]), int(found[2]), int(body.get("seed", 0))
