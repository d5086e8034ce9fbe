"""The database during a pass over traces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from o1lab.config import init_lab
from o1lab.lens import scoring, suitability
from o1lab.serve.registry import ModelRef
from store import open_store
from tests.support.lab_seed import fill

SCORES = {
    "part": ["thought"], "start": [0], "end": [2], "text": ["ab"], "logprob": [-0.5], "rank": [1], "entropy": [None],
    "top": [[]],
}  # fmt: skip


class Scorer:
    async def scores(self, _request: Any, _top: int) -> dict[str, list[Any]]:
        return SCORES


@asynccontextmanager
async def open_scorer(*_: Any) -> AsyncIterator[Scorer]:
    yield Scorer()


def test_a_connection_stays_in_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = init_lab(tmp_path / "lab")
    store = open_store(lab.database)
    [trace_id] = fill(store, 1)
    for module in (scoring, suitability):
        monkeypatch.setattr(module, "open_scorer", open_scorer)
        monkeypatch.setattr(module, "model_key", lambda *_: "sha256:w")
    statements: list[bool] = []
    store.db.conn.set_trace_callback(lambda _: statements.append(True))
    ref = ModelRef("m", "base", "m", "base")
    done = asyncio.run(suitability.fill(lab, store, [trace_id], ref, SimpleNamespace()))  # type: ignore[arg-type]  # not used
    assert (done.scored, done.local, done.failures) == (1, 1, ())
    assert not statements, "the connection of the event loop was used in another thread"
    store.close()
