"""The server of a tiny model and an adapter, in this process, for tests of what it answers over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from o1lab.serve.http.api import make_api

if TYPE_CHECKING:
    from o1lab.serve.engine.language_model import LanguageModel
    from o1lab.serve.engine.weights import Weights


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.serving_models import make_model

    return make_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def model(base: Path) -> Iterator[tuple[Weights, LanguageModel]]:
    """The weights of ``tiny``, and its backend with the adapter ``student``; prompts are read 16 tokens at a time."""
    from o1lab.serve.engine.engine import Engine
    from o1lab.serve.engine.language_model import LanguageModel
    from o1lab.serve.engine.weights import load_weights
    from tests.support.serving_models import make_adapter

    weights = load_weights(base, dtype="float32")
    engine = Engine(weights.model, weights.end_tokens, chunk_tokens=16)
    engine.start()
    backend = LanguageModel("tiny", weights, engine)
    backend.load_adapter("student", make_adapter(base, base.parent / "student", seed=1))
    yield weights, backend
    engine.close()


@pytest.fixture
async def http(model: tuple[Weights, LanguageModel]) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(make_api(model[1], "t"))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:9/v1", headers={"Authorization": "Bearer t"}
    ) as client:
        yield client
