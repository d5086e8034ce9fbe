"""Labs for tests of teacher runs, and a clock that only moves when somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from o1lab.config import init_lab
from o1lab.distill import runs
from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.distill.runner import TeacherRunner
from o1lab.paths import Lab
from store import problems
from store.connection import open_store
from store.records import NewProblem
from tests.support.jobs import prepared

KEY_ENV = "TEACHER_KEY_OF_THE_TESTS"


def make_lab(path: Path, url: str, number: int = 6, **endpoint: Any) -> Lab:
    """A lab with ``number`` sums and one endpoint, ``teacher``."""
    lab = init_lab(path, name="distil")
    document = tomlkit.parse(lab.config.read_text("utf-8"))
    endpoints = tomlkit.aot()
    endpoints.append(tomlkit.item({"name": "teacher", "url": url, "model": "m", "role": "teacher"} | endpoint))
    document["endpoints"] = endpoints
    lab.config.write_text(tomlkit.dumps(document), "utf-8")
    add_sums(lab, number)
    return lab


def add_sums(lab: Lab, number: int) -> None:
    store = open_store(lab.database)
    sums = [(100 + i, 107 + i) for i in range(number)]
    with store.db.atomic():
        problems.add(
            store.db,
            [NewProblem(f"What is {a} + {b}?", "sums", str(a), str(a + b), licence="CC0-1.0") for a, b in sums],
        )
    store.close()


def start(lab: Lab, **settings: Any) -> RunFolder:
    values = {"endpoint": "teacher", "max_tokens": 64, "concurrency": 4}
    return runs.start(lab, runs.read_settings(values | settings))


async def run(lab: Lab, clock: FakeClock | None = None, **settings: Any) -> tuple[RunFolder, TeacherRunStatus]:
    """Start a run and drive it to its end."""
    folder = start(lab, **settings)
    return folder, await TeacherRunner(lab, folder, clock=clock or FakeClock()).work()


async def resume(lab: Lab, folder: RunFolder, changes: Mapping[str, Any] | None = None) -> TeacherRunStatus:
    """Continue a run, with new values of some settings, and drive it to its end."""
    return await TeacherRunner(lab, prepared(runs.TEACHER_RUNS, lab, folder.id, changes), clock=FakeClock()).work()


class FakeClock:
    """Waiting moves it at once; ``waits`` holds how long each wait was to be."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)
        return event.is_set()
