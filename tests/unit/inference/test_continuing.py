"""Continuing a response through the client: o1lab's servers, vLLM, and servers that cannot."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from o1lab.config import Endpoint
from o1lab.inference.chat_client import ChatClient
from o1lab.inference.events import Answer, Sampling
from o1lab.serve.endpoints import ModelAddress, endpoint_address
from tests.support.fault_server import ANSWER, FaultServer

PROMPT = "<user>Hi<assistant><think>\n"
PREFIX = "<think>\nAdd the ones"


class TokenServer(FaultServer):
    """Answers as vLLM does: a character is a token, and its template opens the thought."""

    def __init__(self, prompt: str = PROMPT, *, before: str = "") -> None:
        """``before`` is what the tokenizer puts before each text; SentencePiece puts a space there."""
        super().__init__()
        self.prompt, self.before = prompt, before
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def more_routes(self) -> list[Route]:
        paths = ("/tokenize", "/detokenize", "/v1/completions")
        return [Route(path, self._tokens, methods=["POST"]) for path in paths]

    async def _tokens(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append((request.url.path, body))
        match request.url.path:
            case "/tokenize":
                return JSONResponse({"tokens": [ord(one) for one in self.before + body.get("prompt", self.prompt)]})
            case "/detokenize":
                return JSONResponse({"prompt": "".join(map(chr, body["tokens"]))})
        choice = {"index": 0, "text": ": 8.\n</think>\n\nEight", "finish_reason": "stop", "token_ids": [5, 6]}
        return JSONResponse({"object": "text_completion", "model": "m", "choices": [choice]})


def address(server: FaultServer, continues: Literal["", "messages", "tokens"], **fields: Any) -> ModelAddress:
    plain = endpoint_address(Endpoint(name="m", url=server.url, model="m"))
    return ModelAddress(plain.base_url, plain.model, plain.key, fields=fields, continues=continues)


async def go_on(target: ModelAddress, prefix: str = PREFIX, *, prefix_token_ids: list[int] | None = None) -> Answer:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": prefix}]
    answer = Answer()
    async with ChatClient() as client:
        async for event in client.stream(target, messages, Sampling(), prefix_token_ids=prefix_token_ids):
            answer.apply(event)
    return answer


async def test_the_prompt_and_the_prefix_reach_vllm_as_tokens() -> None:
    with TokenServer() as server:
        target = address(server, "tokens", chat_template_kwargs={"enable_thinking": True}, stop_token_ids=[7])
        answer = await go_on(target)
    assert (answer.thought.strip(), answer.answer) == ("Add the ones: 8.", "Eight")
    assert answer.done is not None and answer.done.token_ids == (5, 6)
    paths = [path for path, _ in server.asked]
    assert paths == ["/tokenize", "/detokenize", "/tokenize", "/tokenize", "/v1/completions"]
    first, sent = server.asked[0][1], server.asked[-1][1]
    assert first["messages"] == [{"role": "user", "content": "Hi"}] and first["chat_template_kwargs"]
    assert "".join(map(chr, sent["prompt"])) == PROMPT + "Add the ones"
    assert sent["stop_token_ids"] == [7] and not sent.keys() & {"messages", "chat_template_kwargs"}


async def test_a_tokenizer_that_begins_texts_with_a_space_puts_none_before_the_prefix() -> None:
    with TokenServer(before=" ") as server:
        await go_on(address(server, "tokens"))
    assert "".join(map(chr, server.asked[-1][1]["prompt"])) == " " + PROMPT + "Add the ones"


async def test_known_tokens_are_sent_as_they_are() -> None:
    with TokenServer() as server:
        await go_on(address(server, "tokens"), prefix_token_ids=[1, 2, 3])
    assert [path for path, _ in server.asked] == ["/tokenize", "/v1/completions"]
    assert server.asked[-1][1]["prompt"] == [*map(ord, PROMPT), 1, 2, 3]


async def test_our_servers_take_the_last_message() -> None:
    with FaultServer() as server:
        answer = await go_on(address(server, "messages"), "Well: ", prefix_token_ids=[1])
    (sent,) = server.requests
    assert sent["continue_final_message"] is True and sent["prefix_token_ids"] == [1]
    assert sent["messages"][-1] == {"role": "assistant", "content": "Well: "}
    assert answer.answer == "Well: " + "".join(ANSWER)


async def test_a_server_that_cannot_continue_gets_no_request() -> None:
    with FaultServer() as server:
        answer = await go_on(address(server, ""))
    assert server.requests == [] and answer.error is not None and answer.error.code == "no_continuing"
    assert "cannot continue a text" in answer.error.sentence and answer.error.hint


@pytest.mark.parametrize("reply", [[], {"tokens": 5}])
async def test_a_server_without_tokens_is_an_error(reply: Any) -> None:
    class Odd(TokenServer):
        async def _tokens(self, request: Request) -> Response:
            return JSONResponse(reply)

    with Odd() as server:
        answer = await go_on(address(server, "tokens"))
    assert answer.error is not None and "/tokenize" in answer.error.sentence
