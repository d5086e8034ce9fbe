"""Text completions and log-probabilities of the embedded server, against a forward pass of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("torch", reason="the embedded engine needs the train extra")

import torch

from o1lab.serve.engine.language_model import LanguageModel
from o1lab.serve.engine.weights import Weights

TEXTS = ["Hi", "What is 964 + 494? Let me see.", "x" * 40, "Ünïcode ✓ 中文", "2+2"]


async def ask(http: httpx2.AsyncClient, path: str = "completions", **body: Any) -> dict[str, Any]:
    answer = await http.post(f"/{path}", json={"model": "tiny", "temperature": 0} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def expected(base: Path, ids: list[int], adapter: Path | None = None) -> torch.Tensor:
    """The log-probabilities of a direct forward pass, [tokens, vocabulary]."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    plain = PeftModel.from_pretrained(plain, adapter).eval() if adapter else plain
    with torch.inference_mode():
        return plain(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)


@pytest.mark.parametrize("student", [False, True])
async def test_the_scores_of_prompts_are_those_of_a_forward_pass(
    student: bool, http: httpx2.AsyncClient, base: Path, model: tuple[Weights, LanguageModel]
) -> None:
    """The prompts are read together, padded and in chunks; each gets the figures it has alone."""
    prompts = [model[0].tokenizer(text)["input_ids"] for text in TEXTS]
    name = "student" if student else "tiny"
    found = await ask(http, model=name, prompt=prompts, max_tokens=0, echo=True, logprobs=3)
    for ids, choice in zip(prompts, found["choices"], strict=True):
        truth = expected(base, ids, base.parent / "student" if student else None)
        logprobs = choice["logprobs"]
        assert logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None
        wanted = [float(truth[i, token]) for i, token in enumerate(ids[1:])]
        assert logprobs["token_logprobs"][1:] == pytest.approx(wanted, abs=1e-4)
        for i, top in enumerate(logprobs["top_logprobs"][1:]):
            assert max(top.values()) == pytest.approx(float(truth[i].max()), abs=1e-4)
        assert choice["finish_reason"] == "length"
    usage = found["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (sum(map(len, prompts)), 0)


async def test_a_long_answer_runs_next_to_prompts_that_are_only_read(http: httpx2.AsyncClient) -> None:
    import asyncio

    alone = await ask(http, prompt=TEXTS[1], max_tokens=30)
    together = await asyncio.gather(
        ask(http, prompt=TEXTS[1], max_tokens=30),
        *(ask(http, prompt=text, max_tokens=0, echo=True, logprobs=0) for text in TEXTS),
        ask(http, prompt=[TEXTS[1], TEXTS[0]], max_tokens=30, echo=True, logprobs=1),
    )
    assert together[0]["choices"] == alone["choices"]
    echoed = together[-1]["choices"][0]
    assert echoed["text"] == TEXTS[1] + alone["choices"][0]["text"]


async def test_the_scores_of_an_answer_are_those_of_a_forward_pass(
    http: httpx2.AsyncClient, base: Path, model: tuple[Weights, LanguageModel]
) -> None:
    choice = (await ask(http, prompt=TEXTS[1], max_tokens=8, logprobs=2))["choices"][0]
    ids = model[0].tokenizer(TEXTS[1])["input_ids"]
    for logprob, top in zip(choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"], strict=True):
        truth = expected(base, ids)[-1]
        token = int(truth.argmax())  # temperature 0
        assert logprob == pytest.approx(float(truth[token]), abs=1e-4)
        assert max(top.values()) == logprob
        ids.append(token)


async def test_a_text_and_its_token_ids_are_continued_alike(
    http: httpx2.AsyncClient, model: tuple[Weights, LanguageModel]
) -> None:
    ids = model[0].tokenizer(TEXTS[3])["input_ids"]
    by_text = await ask(http, prompt=TEXTS[3], max_tokens=12, echo=True, logprobs=1)
    by_ids = await ask(http, prompt=ids, max_tokens=12, echo=True, logprobs=1)
    assert by_text["choices"] == by_ids["choices"]
    whole = by_text["choices"][0]
    assert whole["text"].startswith(TEXTS[3]) and by_text["object"] == "text_completion"
    assert whole["logprobs"]["text_offset"][0] == 0
    assert len(whole["logprobs"]["tokens"]) == len(ids) + by_text["usage"]["completion_tokens"]


async def test_a_stream_of_text_is_the_whole_text(http: httpx2.AsyncClient) -> None:
    body = {"model": "tiny", "prompt": [TEXTS[0], TEXTS[1]], "max_tokens": 12, "temperature": 0, "n": 2, "logprobs": 1}
    whole = await ask(http, **body)
    answer = await http.post("/completions", json=body | {"stream": True, "stream_options": {"include_usage": True}})
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    assert events.pop()["usage"] == whole["usage"]
    for choice in whole["choices"]:
        own = [one for event in events for one in event["choices"] if one["index"] == choice["index"]]
        assert "".join(one["text"] for one in own) == choice["text"]
        assert own[-1]["finish_reason"] == choice["finish_reason"]
        for key in ("tokens", "token_logprobs", "text_offset"):
            assert [x for one in own if one["logprobs"] for x in one["logprobs"][key]] == choice["logprobs"][key]
    assert len(whole["choices"]) == 4


async def test_log_probabilities_of_a_chat(http: httpx2.AsyncClient) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 6, "logprobs": True, "top_logprobs": 2}
    whole = (await ask(http, "chat/completions", **body))["choices"][0]
    tokens = whole["logprobs"]["content"]
    assert len(tokens) == 6
    for token in tokens:
        assert [len(token["top_logprobs"]), token["top_logprobs"][0]["logprob"]] == [2, token["logprob"]]
        assert token["bytes"] is None or bytes(token["bytes"]).decode() == token["token"]
    plain = (await ask(http, "chat/completions", **body | {"logprobs": None, "top_logprobs": None}))["choices"][0]
    assert plain["logprobs"] is None and plain["message"] == whole["message"]
    answer = await http.post("/chat/completions", json={"model": "tiny", "temperature": 0, "stream": True} | body)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    sent = [one for event in events for one in (event["choices"][0].get("logprobs") or {"content": []})["content"]]
    assert sent == tokens


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": [10**6]}, "prompt", "invalid_request"),
        ({"prompt": [-1]}, "prompt", "invalid_request"),
        ({"prompt": [1] * 30_000}, "prompt", "context_length_exceeded"),
        ({"model": "nobody"}, "model", "model_not_found"),
    ],
)
async def test_a_prompt_that_cannot_be_read(
    change: dict[str, Any], param: str, code: str, http: httpx2.AsyncClient
) -> None:
    answer = await http.post("/completions", json={"model": "tiny", "prompt": "Hi"} | change)
    error = answer.json()["error"]
    assert (answer.status_code in (400, 404), error["param"], error["code"]) == (True, param, code), error


async def test_a_conversation_with_tools_is_refused_if_the_template_would_drop_it(http: httpx2.AsyncClient) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    history = [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "5", "tool_call_id": "1"},
    ]
    answer = await http.post("/chat/completions", json={"model": "tiny", "messages": history})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        "The chat template of this model has no place for tool_calls in the conversation."
    )


async def test_tool_calls_reach_a_template_that_knows_them(
    http: httpx2.AsyncClient, model: tuple[Weights, LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for call in m.tool_calls or [] %}{{ call.function.name }}{% endfor %}"
        "{% if m.role == 'tool' %} (result){% endif %}{% endfor %}"
    )
    monkeypatch.setattr(model[0].tokenizer, "chat_template", template)
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add"}}]},
        {"role": "tool", "content": "5"},
    ]
    shown = await ask(http, "o1lab/render", messages=messages)
    assert shown["prompt"] == "[system]Be brief.[user]Add.[assistant]add[tool]5 (result)"
