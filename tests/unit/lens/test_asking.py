"""What the lens makes of the answers of o1lab's own server."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from o1lab.errors import RefusedError
from o1lab.lens.asking import _Embedded
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef

TOO_LITTLE = "The machine ran out of memory while answering; ask for fewer or shorter answers at once."
SCORES = {"token": [5], "logprob": [-0.5], "rank": [1], "entropy": [0.9], "model": "tiny"}


def embedded(status: int, body: dict[str, Any]) -> _Embedded:
    """A server that answers with empty lines, as while it computes, and a body."""
    answer = httpx2.Response(status, text=f"\n\n{json.dumps(body)}")
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: answer))
    ref = ModelRef("tiny", "base", "tiny", "base")
    return _Embedded(client, ModelAddress("http://127.0.0.1:9/v1", "tiny", "t"), ref)


async def test_the_figures_are_the_lists_of_an_answer() -> None:
    found = await embedded(200, SCORES).scores({}, 5)
    assert found == {name: value for name, value in SCORES.items() if name != "model"}


@pytest.mark.parametrize("status", [500, 200])
async def test_an_error_is_one_also_in_a_response_that_has_begun(status: int) -> None:
    body: dict[str, Any] = {"error": {"message": TOO_LITTLE, "type": "server_error", "code": "server_error"}}
    with pytest.raises(RefusedError, match="ran out of memory"):
        await embedded(status, body).scores({}, 5)
