"""A pass over chains: what is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from o1lab.chains.segmentation.moves import segment
from o1lab.config import init_lab
from o1lab.errors import RefusedError
from o1lab.lens import continuations, forcing
from o1lab.lens.convergence import Chain
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from store import open_store

THOUGHT = "Add the ones.\n\nWait, let me check: it is 12.\n\nSo the answer is 12."


@pytest.mark.parametrize("again", [False, True])
def test_identical_chains_are_asked_once(again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Model:
        async def continue_response(self, _chain: Chain, prefix: str, _sampling: Any) -> Any:
            asked.append(prefix)
            return SimpleNamespace(raw="12}", finish_reason="stop", prompt_tokens=9)

    @asynccontextmanager
    async def open_continuer(*_: Any) -> AsyncIterator[Model]:
        yield Model()

    monkeypatch.setattr(forcing, "open_continuer", open_continuer)
    monkeypatch.setattr(forcing, "model_key", lambda *_: "sha256:w")
    messages = ({"role": "user", "content": "What is 7 + 5?"},)
    one = Chain("1#0", messages, THOUGHT, "12", tuple(segment(THOUGHT)), ("12",))
    lab = init_lab(tmp_path / "lab")
    store = open_store(lab.database)
    told: list[tuple[int, int]] = []
    places = len(one.cuts)
    for known in (places, places if again else 2 * places):
        asked.clear()
        done = asyncio.run(
            forcing.force_answers(
                lab, store, [one, replace(one, name="1#1")], ModelRef("m", "base", "m", "base"), SimpleNamespace(),  # type: ignore[arg-type]  # not used
                again=again, on_answer=lambda *some: told.append(some),
            )
        )  # fmt: skip
        assert (done.asked, done.known, done.failures) == (2 * places - known, known, ())
        assert len(asked) == len(set(asked)) == done.asked
    assert [len(found) for found in forcing.judged(store.db, [one, one])] == [1, 1]
    store.close()


async def test_a_model_that_only_answers_messages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened(*_: Any) -> ModelAddress:
        return ModelAddress("http://127.0.0.1:1/v1", "m", "")

    monkeypatch.setattr(continuations, "open_model", opened)
    with pytest.raises(RefusedError) as caught:
        async with continuations.open_continuer(ModelRef("m", "base", "m", "base"), SimpleNamespace()):  # type: ignore[arg-type]  # not used
            pass
    assert caught.value.code == "no_continuing"
