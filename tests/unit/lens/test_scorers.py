"""Scores from o1lab's server, from a server that answers as vLLM does, and from servers that give none."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest

from o1lab.errors import LabError, RefusedError
from o1lab.lens.encoder import Encoder, open_encoder
from o1lab.lens.scorers import EmbeddedScorer, VllmScorer
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.records import ServerRecord
from o1lab.serve.registry import ModelRef

REQUEST = {"messages": [{"role": "user", "content": "2 + 2?"}], "thought": "ab", "solution": "c", "cut_off": ""}
CODED = {
    "prompt": [7, 8], "completion": [97, 98, 99], "part": ["thought", "thought", "solution"], "start": [0, 1, 0],
    "end": [1, 2, 1],
}  # fmt: skip
# As vLLM 0.32 answers: nothing for the first token; the token itself is there even if it is not among the likeliest.
ROWS: list[Any] = [
    None,
    {"8": {"logprob": -0.5, "rank": 1, "decoded_token": "?"}},
    {
        "97": {"logprob": -4.0, "rank": 30, "decoded_token": "a"},
        "5": {"logprob": -0.1, "rank": 1, "decoded_token": "x"},
    },
    {"98": {"logprob": -0.2, "rank": 1, "decoded_token": "b"}, "5": {"logprob": -2.0, "rank": 2, "decoded_token": "x"}},
    {"99": {"logprob": -1.0, "rank": 2, "decoded_token": "c"}, "5": {"logprob": -0.9, "rank": 1, "decoded_token": "x"}},
]


def ref(base: str = "") -> ModelRef:
    record = ServerRecord("http://x/v1", "secret", 5, ["m"], "vllm", 0.0, base=base)
    return ModelRef("5/m", "other", "server 5: m", "server", record=record)


class Coded(Encoder):
    """Stands for the process: the tokens are known."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []

    async def encode(self, job: Any) -> dict[str, Any]:
        self.jobs.append(job)
        return CODED


async def scored(answer: Callable[[httpx2.Request], httpx2.Response], top: int = 1) -> dict[str, list[Any]]:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        return await VllmScorer(client, ModelAddress("http://x/v1", "m", "secret"), ref(), Coded()).scores(REQUEST, top)


async def test_the_scores_are_those_of_the_response(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append((str(request.url), request.headers["authorization"], json.loads(request.content)))
        return httpx2.Response(200, json={"choices": [{"text": "!", "prompt_logprobs": ROWS}]})

    found = await scored(answer)
    [(url, key, body)] = seen
    assert (url, key) == ("http://x/v1/completions", "Bearer secret")
    assert body["prompt"] == [7, 8, 97, 98, 99] and body["prompt_logprobs"] == 1 and body["max_tokens"] == 1
    assert found == {
        "part": CODED["part"], "start": CODED["start"], "end": CODED["end"], "text": ["a", "b", "c"],
        "logprob": [-4.0, -0.2, -1.0], "rank": [30, 1, 2], "entropy": [None, None, None],
        "top": [[["x", -0.1]], [["b", -0.2]], [["x", -0.9]]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "message", "code"),
    [
        (200, {"choices": [{"text": "!"}]}, "The server of 5/m gives no scores", "no_logprobs"),
        (200, {"choices": [{"prompt_logprobs": ROWS[:3]}]}, "gives no scores", "no_logprobs"),
        (200, {"choices": [{"prompt_logprobs": [None, {}, {}, {}, {}]}]}, "gives no scores", "no_logprobs"),
        (404, {"detail": "Not Found"}, "gives no scores", "no_logprobs"),
        (200, ["odd"], "gives no scores", "no_logprobs"),
        (
            400,
            {"error": {"message": "This model's maximum context length is 4 tokens.", "type": "BadRequestError"}},
            "refuses the chain: This model's maximum context length is 4 tokens.",
            "refused",
        ),
        (500, {}, "refuses the chain: HTTP 500", "refused"),
    ],
)
async def test_a_server_without_scores_and_a_chain_that_is_too_long(
    status: int, body: Any, message: str, code: str
) -> None:
    with pytest.raises(RefusedError, match=message) as error:
        await scored(lambda _: httpx2.Response(status, json=body))
    assert error.value.code == code


@pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")
@pytest.mark.usefixtures("real_python")
async def test_the_tokens_are_those_of_training(tiny_base: Path) -> None:
    from transformers import AutoTokenizer

    from o1lab.models.prompts import PromptOptions, Written, training_tokens

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    async with open_encoder(ref(str(tiny_base))) as encoder:
        coded = await encoder.encode({**REQUEST, "options": {"system_prompt": "Be brief."}})
        refused = {**REQUEST, "options": {"chat_template": "{{ raise_exception('no sums') }}"}}
        with pytest.raises(RefusedError, match="no sums"):
            await encoder.encode(refused)
        again = await encoder.encode({**REQUEST, "options": {"system_prompt": "Be brief."}})
    options = PromptOptions(system_prompt="Be brief.")
    tokens = training_tokens(tokenizer, options.conversation(REQUEST["messages"]), options, Written("ab", "c"))
    assert (coded["prompt"], coded["completion"]) == (tokens.prompt, tokens.completion) and again == coded
    assert set(coded["part"]) == {"mark", "thought", "solution"} and len(coded["start"]) == len(tokens.completion)


SLOW = """
import json, sys
jobs = []
for line in sys.stdin:
    jobs.append(json.loads(line))
    print("read", file=sys.stderr, flush=True)
    if len(jobs) == 2:
        for job in jobs:
            print(json.dumps({"id": job.get("id"), "prompt": [job["thought"]]}), flush=True)
"""
"""Stands for a slow worker: it answers the first job only when it has read the second."""


async def test_a_cancelled_response_does_not_leave_its_tokens_to_the_next_one() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SLOW, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None and process.stderr is not None
    encoder = Encoder(process)
    first = asyncio.create_task(encoder.encode({"thought": "first"}))
    await process.stderr.readline()
    first.cancel()
    await asyncio.wait([first])
    found = await encoder.encode({"thought": "second"})
    process.stdin.close()
    await process.wait()
    assert first.cancelled() and found["prompt"] == ["second"]


async def test_a_base_that_cannot_encode(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is not known"):
        async with open_encoder(ref()):
            pass
    pytest.importorskip("transformers", reason="the train extra is not installed")
    with pytest.raises(LabError, match="cannot be loaded"):
        async with open_encoder(ref(str(tmp_path))):
            pass


def test_what_is_not_known_is_null_in_the_output() -> None:
    from o1lab.lens.figures import as_json, rank_text, scored_tokens
    from store.token_scores import TokenScores

    tokens = {name: CODED[name] for name in ("part", "start", "end")} | {
        "text": ["a", "b", "c"], "logprob": [-4.0, -0.2, -1.0], "rank": [30, None, 2], "entropy": [None] * 3,
        "top": [[]] * 3,
    }  # fmt: skip
    found = scored_tokens(TokenScores("t", "m", "x", {}, tokens))
    one = as_json(found[0])
    assert one["entropy"] is None and math.isclose(one["logprob"], -4.0)
    assert [rank_text(token) for token in found] == ["rank 30", "rank not known", "rank 2"]


TOO_LITTLE = "The machine ran out of memory while answering; ask for fewer or shorter answers at once."
SCORES = {"token": [5], "logprob": [-0.5], "rank": [1], "entropy": [0.9], "model": "tiny"}


def embedded(status: int, body: dict[str, Any]) -> EmbeddedScorer:
    """A server that answers with empty lines, as while it computes, and a body."""
    answer = httpx2.Response(status, text=f"\n\n{json.dumps(body)}")
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: answer))
    ref = ModelRef("tiny", "base", "tiny", "base")
    return EmbeddedScorer(client, ModelAddress("http://127.0.0.1:9/v1", "tiny", "t"), ref)


async def test_the_figures_are_the_lists_of_an_answer() -> None:
    found = await embedded(200, SCORES).scores({}, 5)
    assert found == {name: value for name, value in SCORES.items() if name != "model"}


@pytest.mark.parametrize("status", [500, 200])
async def test_an_error_is_one_also_in_a_response_that_has_begun(status: int) -> None:
    body: dict[str, Any] = {"error": {"message": TOO_LITTLE, "type": "server_error", "code": "server_error"}}
    with pytest.raises(RefusedError, match="ran out of memory"):
        await embedded(status, body).scores({}, 5)
