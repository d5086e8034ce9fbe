"""A stage of one's own for the tests of the cluster: the solver, which writes down what it was asked, and may hang."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from o1lab.inference.engines.ray_stage import Refused, SolverStage

SEEN, GATE = "STAGE_SEEN", "STAGE_GATE"


class Counting(SolverStage):
    """Appends each question to the file ``STAGE_SEEN``. While the file ``STAGE_GATE`` is there, only questions about
    even numbers are answered. The first time it is asked about 7 it fails, and what is about 13 it refuses.
    """

    async def respond(self, body: dict[str, Any]) -> dict[str, Any]:
        question = body["messages"][-1]["content"].splitlines()[0]
        before = _written(question)
        number = int(question.split()[2])
        while number % 2 and Path(os.environ[GATE]).exists():  # noqa: ASYNC110, ASYNC240 - another process opens it
            await asyncio.sleep(0.05)
        if number == 107 and before == 0:
            raise RuntimeError("a cosmic ray")
        if number == 113:
            raise Refused(400, {"message": "The prompt is too long.", "code": "context_length_exceeded"})
        return await super().respond(body)


def _written(question: str) -> int:
    """How often it was asked before."""
    seen = Path(os.environ[SEEN])
    before = seen.read_text().count(question)
    with seen.open("a") as file:
        file.write(json.dumps(question) + "\n")
    return before
