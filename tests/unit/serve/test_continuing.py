"""The embedded server continues a response that has begun, as if it had written all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

pytest.importorskip("torch", reason="the embedded engine needs the train extra")

if TYPE_CHECKING:
    from o1lab.serve.engine.language_model import LanguageModel
    from o1lab.serve.engine.weights import Weights

QUESTION = [{"role": "user", "content": "What is 964 + 494?"}]


async def chat(http: httpx2.AsyncClient, prefix: str | None = None, **body: Any) -> dict[str, Any]:
    messages = [*QUESTION, *([] if prefix is None else [{"role": "assistant", "content": prefix}])]
    asked = {"model": "tiny", "temperature": 0, "max_tokens": 40, "return_token_ids": True, "messages": messages}
    answer = await http.post("/chat/completions", json=asked | {"continue_final_message": prefix is not None} | body)
    assert answer.status_code == 200, answer.text
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice | {"usage": answer.json()["usage"]}


async def test_the_tokens_of_a_prefix_give_the_original_ending_at_every_cut(http: httpx2.AsyncClient) -> None:
    whole = await chat(http)
    ids = whole["token_ids"]
    assert len(ids) == whole["usage"]["completion_tokens"] > 8
    for cut in range(1, len(ids), 5):
        rest = await chat(http, "", prefix_token_ids=ids[:cut], max_tokens=len(ids) - cut)
        assert rest["token_ids"] == ids[cut:]
        assert rest["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"] + cut
        assert whole["message"]["content"].endswith(rest["message"]["content"].lstrip("\ufffd"))


async def test_a_text_is_continued_after_the_prompt_of_the_conversation(
    http: httpx2.AsyncClient, model: tuple[Weights, LanguageModel]
) -> None:
    prefix = "<think>\n4 + 4 = 8 "
    asked = {"model": "tiny", "messages": QUESTION}
    prompt = (await http.post("/o1lab/render", json=asked)).json()["prompt"]
    ids = model[0].tokenizer(prompt + prefix, add_special_tokens=False)["input_ids"]
    plain = {"model": "tiny", "prompt": ids, "max_tokens": 20, "temperature": 0}
    direct = (await http.post("/completions", json=plain)).json()["choices"][0]["text"]
    assert (await chat(http, prefix, max_tokens=20))["message"]["content"] == direct


async def test_a_stream_has_the_tokens_of_each_piece(http: httpx2.AsyncClient) -> None:
    import json

    whole = await chat(http)
    body = {"model": "tiny", "temperature": 0, "max_tokens": 40, "return_token_ids": True, "stream": True}
    answer = await http.post("/chat/completions", json=body | {"messages": QUESTION})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert [one for event in events for one in event["choices"][0].get("token_ids", [])] == whole["token_ids"]


@pytest.mark.parametrize(
    ("messages", "more", "said"),
    [
        (QUESTION, {}, "Only a text of the assistant"),
        ([{"role": "assistant", "content": "Hi"}], {}, "Only a text of the assistant"),
        (
            [*QUESTION, {"role": "assistant", "content": "Hi"}],
            {"prefix_token_ids": [10**6]},
            "not a token of this model",
        ),
        ([*QUESTION, {"role": "assistant", "content": "x" * 600}], {}, "takes at most 512 tokens"),
    ],
)
async def test_what_cannot_be_continued_is_refused(
    messages: list[dict[str, str]], more: dict[str, Any], said: str, http: httpx2.AsyncClient
) -> None:
    body = {"model": "tiny", "messages": messages, "continue_final_message": True, **more}
    answer = await http.post("/chat/completions", json=body)
    assert answer.status_code == 400 and said in answer.json()["error"]["message"]
