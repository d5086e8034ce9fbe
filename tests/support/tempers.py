"""The tempers of OpenAI-compatible servers: what each sends, and what that means to everyone who asks one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from tests.support.fault_server import FaultServer

Refusal = Callable[[dict[str, Any]], Response | None]
ANSWER = "It is 12."


def event(**data: Any) -> str:
    return f"data: {json.dumps({'model': 'odd'} | data)}\n\n"


def delta(finish: str | None = None, **delta: Any) -> str:
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


def says(*texts: str) -> str:
    return "".join(delta(content=text) for text in texts)


def error(status: int, message: Any, headers: Mapping[str, str] | None = None, **more: Any) -> Refusal:
    """Refuse every request."""
    return lambda _: JSONResponse({"error": {"message": message} | more}, status, headers)


def refuses(when: Callable[[dict[str, Any]], bool], status: int, body: Any) -> Refusal:
    """Refuse the requests of which ``when`` is true."""
    return lambda request: JSONResponse(body, status) if when(request) else None


USAGE = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 9})
DONE = "data: [DONE]\n\n"
END = delta("stop") + USAGE + DONE
WHOLE = {"choices": [{"message": {"reasoning": "Add.", "content": ANSWER}, "finish_reason": "stop"}]}
IT = says("It is ", "12.")


@dataclass(frozen=True)
class Temper:
    """What a server sends, and what it means.

    Attributes:
        sent: the stream, or the body of a plain response.
        thought, answer: the texts that everyone gets.
        code: the error that everyone gets; empty if the response is usable.
        cut: whether the response reached its maximum length.
        words: words of the error's sentence or hint.
        refuse: refuses a request before anything is sent.
        left_out: what requests do not have once the server refused it.
        kind: the content type of the stream.
    """

    sent: str | bytes | dict[str, Any] = IT + END
    thought: str = ""
    answer: str = ANSWER
    code: str = ""
    cut: bool = False
    words: tuple[str, ...] = ()
    refuse: Refusal | None = field(default=None, repr=False)
    left_out: tuple[str, ...] = ()
    kind: str = "text/event-stream"


class TemperServer(FaultServer):
    """Answers every request as a temper says."""

    def __init__(self, temper: Temper) -> None:
        super().__init__()
        self.temper = temper

    def _refusal(self, mode: str, body: dict[str, Any], authorization: str) -> Response | None:
        if self.temper.refuse is not None and (refused := self.temper.refuse(body)):
            return refused
        return JSONResponse(self.temper.sent) if isinstance(self.temper.sent, dict) else None

    async def _chat(self, request: Request) -> Response:
        response = await super()._chat(request)
        if isinstance(response, StreamingResponse):
            response.headers["content-type"] = self.temper.kind
        return response

    async def _stream(self, mode: str, words: list[str]) -> AsyncIterator[str]:
        assert not isinstance(self.temper.sent, dict)
        yield self.temper.sent  # type: ignore[misc]  # the response takes bytes, too


def _marked(opening: str, closing: str) -> Temper:
    return Temper(says(opening[:3], f"{opening[3:]}Add.{closing[:-3]}", f"{closing[-3:]}\n", ANSWER) + END, "Add.")


def _thinks(**fields: Any) -> Temper:
    return Temper(delta(**fields, content="") + IT + END, "Add.")


def _body(**message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant"} | message, "finish_reason": "stop"}]}


def _fails(sent: str, code: str, *words: str, answer: str = "It is", thought: str = "") -> Temper:
    return Temper(sent, thought, answer, code, words=words)


def _extra(*names: str) -> list[dict[str, Any]]:
    what = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
    return [what | {"loc": ["body", name], "input": 1} for name in names]


def _has_system(request: dict[str, Any]) -> bool:
    return any(message["role"] == "system" for message in request["messages"])


def _has(*names: str) -> Callable[[dict[str, Any]], bool]:
    return lambda request: all(name in request for name in names)


def _status(
    status: int, expected: str, /, *words: str, message: str = "The words of the server.", **more: Any
) -> Temper:
    refusal = error(status, message, **more)
    return Temper(answer="", code=expected, words=(message, *words), refuse=refusal)


THOUGHTS = {
    "reasoning_content": _thinks(reasoning_content="Add."),
    "reasoning": _thinks(reasoning="Add."),
    "thinking": _thinks(thinking="Add."),
    "reasoning details": _thinks(reasoning_details=[{"type": "reasoning.text", "text": "Add."}]),
    "a summary": _thinks(reasoning_details=[{"type": "reasoning.summary", "summary": "Add."}]),
    "reasoning as an object": _thinks(reasoning={"content": "Add."}),
    "three fields": _thinks(reasoning_content="Add.", reasoning="Add.", reasoning_details=[{"text": "Add."}]),
    "a closing mark in the field": _thinks(reasoning_content="Add.\n</think>\n"),
    "marks in the field": Temper(
        delta(reasoning="<thi") + delta(reasoning="nk>Add.</th") + delta(reasoning="ink>\n") + IT + END, "Add."
    ),
    "a mark mentioned in the field": Temper(
        delta(reasoning="Write </think> ") + delta(reasoning="last.") + IT + END, "Write </think> last."
    ),
    "a stray closing mark": Temper(delta(reasoning="Add.") + says("</thi", "nk>\n\n", ANSWER) + END, "Add."),
    "marks besides the field": Temper(
        delta(reasoning="Add.") + says("<think>Twice.</think>", ANSWER) + END, "Add.\n\nTwice."
    ),
    "a mark besides the field": Temper(delta(reasoning="Add.") + says("<think> is a mark.") + END, "Add.",
                                       "<think> is a mark."),
    "parts": Temper(
        delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Add."}]}])
        + delta(content=[{"type": "text", "text": "It is "}, {"type": "text", "text": "12."}]) + END, "Add.",
    ),
    "all in the thought": Temper(delta(reasoning="Add. It is 12.") + END, "Add. It is 12.", ""),
    "an empty thought": Temper(says("<think>\n\n", "</think>\n\n", ANSWER) + END),
    "a late thought": Temper(says("Sure! ", "<think>Ad", "d.</think>\n", ANSWER) + END, "Add.", f"Sure! {ANSWER}"),
    "two thoughts": Temper(
        says("<think>Add.</think>", "Partly. <think>more</think>", ANSWER) + END, "Add.",
        f"Partly. <think>more</think>{ANSWER}",
    ),
    "only a closing mark": Temper(says("Add.</th", "ink>", ANSWER) + END, "Add."),
    "<think>": _marked("<think>", "</think>"),
    "<THINK>": _marked("<THINK>", "</THINK>"),
    "<thinking>": _marked("<thinking>", "</thinking>"),
    "[THINK]": _marked("[THINK]", "[/THINK]"),
    "<seed:think>": _marked("<seed:think>", "</seed:think>"),
    "channels": _marked(
        "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"
    ),
    "sections": Temper(
        says("<|begin_of_thought|>Add.<|end_of_thought|>\n<|begin_of_sol", f"ution|>\n{ANSWER}<|end_of_solution|>")
        + END, "Add.",
    ),
}  # fmt: skip

BYTES = {
    "a stream that is called text": Temper(kind="text/plain"),
    "a stream that is called bytes": Temper(kind="application/octet-stream"),
    "comments": Temper(": KEEP WAITING\n\n" + IT + ": \n\n" + END),
    "CRLF": Temper((IT + END).replace("\n", "\r\n")),
    "CR": Temper((IT + END).replace("\n", "\r")),
    "no space after the colon": Temper((IT + END).replace("data: ", "data:")),
    "a byte-order mark": Temper("\ufeff" + IT + END),
    "half a surrogate pair": Temper(
        delta(content="\ud83e") + delta(content="\udded ") + IT + END, answer=f"\U0001f9ed {ANSWER}"
    ),
    "null deltas": Temper(event(choices=[{"delta": None}]) + delta(content=None) + IT + END),
    "no delta": Temper(event(choices=[{"index": 0, "finish_reason": None}]) + IT + END),
    "messages": Temper(
        event(choices=[{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": None}]) + END
    ),
    "texts": Temper(event(choices=[{"index": 0, "text": ANSWER, "finish_reason": None}]) + END),
    "several choices": Temper(
        event(choices=[{"index": i, "delta": {"content": text}} for i, text in ((1, "ZZ"), (0, ANSWER))]) + END
    ),
    "null usage": Temper(IT + event(choices=[], usage=None) + delta("stop") + DONE),
    "no [DONE]": Temper(IT + delta("stop")),
    "a finish reason in capitals": Temper(IT + delta("STOP") + DONE),
    "null as a text": Temper(delta("null", content=ANSWER) + delta("stop") + DONE),
    "the whole text each time": Temper(
        says("It ", "It is ", "It is 12.") + END, code="malformed", words=("repeats the whole text",)
    ),
}

BODIES = {
    "a body": Temper(WHOLE, "Add."),
    "parts in a body": Temper(
        _body(content=[{"type": "thinking", "thinking": "Add."}, {"type": "text", "text": "So."},
                       {"type": "text", "text": ANSWER}]), "Add.", f"So.\n\n{ANSWER}",
    ),
    "an error in a body": Temper({"error": {"message": "Overloaded", "code": 503}}, answer="", code="server",
                                 words=("Overloaded",)),
    "a flat error in a body": Temper({"object": "error", "message": "Died", "code": 500}, answer="", code="server",
                                     words=("Died",)),
    "a body without a finish reason": Temper(
        {"choices": [{"message": {"content": ANSWER}}]}, code="cut_off", words=("without a finish reason",)
    ),
    "a body that was aborted": Temper(
        {"choices": [{"message": {"content": ANSWER}, "finish_reason": "abort"}]}, code="cut_off", words=("'abort'",)
    ),
}  # fmt: skip

ENDS = {
    "length": Temper(IT + delta("length") + USAGE + DONE, cut=True),
    "max_tokens": Temper(IT + delta("MAX_TOKENS") + DONE, cut=True),
    "hidden length": Temper(delta("length") + DONE, answer="", code="length", cut=True),
    "no finish reason": _fails(IT + DONE, "cut_off", "without a finish reason", answer=ANSWER),
    "empty finish reasons": _fails(delta("", content=ANSWER) + delta("") + DONE, "cut_off", answer=ANSWER),
    "only usage at the end": _fails(IT + USAGE, "cut_off", answer=ANSWER),
    "abort": _fails(delta(content="It is") + delta("abort") + DONE, "cut_off", "'abort'"),
    "a thought, then abort": _fails(
        delta(reasoning="Add.") + delta(content="It is") + delta("abort"), "cut_off", "'abort'", thought="Add."
    ),
    "finish reason error": _fails(delta(content="It is") + delta("error") + DONE, "cut_off", "'error'"),
    "an unknown finish reason": _fails(delta(content="It is") + delta("insufficient_system_resource"), "cut_off",
                                       "insufficient_system_resource"),
    "cut": _fails(delta(content="It is"), "cut_off", "was cut off"),
    "half an event": _fails(delta(content="It is") + 'data: {"choices": [{"del', "cut_off"),
    "half a mark": _fails(delta(content="It is <"), "cut_off", answer="It is <"),
    "nothing": _fails(DONE, "empty", answer=""),
    "no text": _fails(END, "empty", answer=""),
    "a tool call": _fails(
        delta(tool_calls=[{"index": 0, "function": {"name": "python"}}]) + delta("tool_calls") + DONE, "tool_call",
        "call a tool", answer="",
    ),
    "content filter": _fails(delta(content="It is") + delta("content_filter") + DONE, "content_filter", "moderation"),
    "a refusal": Temper(delta(refusal="I can") + delta(refusal="not.") + END, answer="I cannot.", code="refusal"),
    "error event": _fails(
        delta(content="It is") + event(error={"message": "No memory", "code": 502}), "server", "No memory"
    ),
    "error in a choice": _fails(
        delta(content="It is") + event(choices=[{"delta": {}, "error": {"message": "Gone"}, "finish_reason": "error"}]),
        "server", "Gone",
    ),
    "error as text": _fails(delta(content="It is") + event(error="the runner stopped"), "server", "the runner stopped"),
    "a flat error": _fails(
        delta(content="It is") + event(object="error", message="EngineCore died", code=500) + DONE, "server",
        "EngineCore died",
    ),
    "a named event": _fails(
        delta(content="It is") + 'event: error\ndata: {"code": "Internal", "message": "Died"}\n\n', "server", "Died"
    ),
    "an error in a line of its own": _fails(
        delta(content="It is") + '{"error": {"message": "Died", "code": 500}}\n\n', "server", "Died"
    ),
    "an error with a status": _fails(
        event(error={"code": 429, "message": "Slow"}) + DONE, "rate_limit", "Slow", answer=""
    ),
    "an error with a code": _fails(event(error={"code": "insufficient_quota", "message": "No."}), "quota", answer=""),
    "not JSON": _fails(delta(content="It is") + "data: {not json\n\n", "malformed"),
    "an event that is a list": _fails(delta(content="It is") + "data: [1]\n\n", "malformed"),
}  # fmt: skip

_LONG = (
    "This model's maximum context length is 40 tokens. However, you requested 84 tokens (20 in the messages, 64 in the "
    "completion). Please reduce the length of the messages or completion."
)
_HTML = "<html><head><title>504 Gateway Time-out</title><style>b {}</style></head><body></body></html>"

STATUSES = {
    "401": _status(401, "key"),
    "403": _status(403, "key", "denies access", message="Country, region, or territory not supported"),
    "402": _status(402, "quota"),
    "404": _status(404, "no_model"),
    "408": _status(408, "timeout"),
    "409": _status(409, "server", "at the moment"),
    "500": _status(500, "server", "internal error (500)"),
    "503": _status(503, "server", "at the moment (503)"),
    "504 with a page": Temper(answer="", code="server", words=("504 Gateway Time-out",),
                              refuse=lambda _: HTMLResponse(_HTML, 504)),
    "429": _status(429, "rate_limit", "Try again in a moment."),
    "429 with words": _status(429, "rate_limit", "Try again in 2m05s.", message="Please try again in 2m5s."),
    "429 with 1s": _status(429, "rate_limit", "Try again in 1s.", headers={"retry-after": "1s"}),
    "429 for a day": _status(429, "rate_limit", "Try again at 20", headers={"retry-after": "86400"}),
    "429 with the headers of another server": _status(
        429, "rate_limit", "Try again at 21", metadata={"headers": {"X-RateLimit-Reset": "4102444800000"}}
    ),
    "429 a day": _status(429, "quota", "daily limit", "Continue when", message="Exceeded: free-models-per-day."),
    "quota": _status(429, "quota", code="insufficient_quota"),
    "too long": _status(400, "context_length", message="This model's maximum context length is 10 tokens."),
    "too many tokens": _status(400, "max_tokens", "at most 20 tokens", "Lower max_tokens to 20", message=_LONG),
    "no room": _status(400, "no_room", "Lower max_tokens to 50", message=_LONG.replace("40", "70")),
    "too many tokens for a response": _status(
        400, "max_tokens", "Lower max_tokens to 50",
        message="max_tokens is too large: 64. This model supports at most 50 completion tokens.",
    ),
    "a wrong value": _status(400, "option", message="temperature must be between 0 and 0.5", param="temperature"),
}  # fmt: skip

REFUSALS = {
    "seed by its message": Temper(
        refuse=refuses(_has("seed"), 400, {"error": {"message": "property 'seed' is unsupported"}}), left_out=("seed",)
    ),
    "options by loc": Temper(
        refuse=refuses(_has("seed"), 422, {"detail": _extra("seed", "stream_options")}),
        left_out=("seed", "stream_options"),
    ),
    "options by loc, inside": Temper(
        refuse=refuses(_has("seed"), 422, {"object": "error", "message": {"detail": _extra("seed")}}),
        left_out=("seed",),
    ),
    "one of two": Temper(
        refuse=refuses(_has("temperature", "top_p"), 400,
                       {"message": "`temperature` and `top_p` cannot both be specified. Please use only one."}),
        left_out=("top_p",),
    ),
    "like o1": Temper(
        refuse=lambda request: next(
            (JSONResponse({"error": {"message": f"Unsupported: '{name}'. Use 'max_completion_tokens' instead.",
                                     "param": name, "code": "unsupported_parameter"}}, 400)
             for name in ("max_tokens", "temperature", "top_p") if name in request), None
        ),
        left_out=("max_tokens", "temperature", "top_p"),
    ),
    "no stream": Temper(
        WHOLE, "Add.", refuse=refuses(_has("stream"), 400, {"error": {"param": "stream", "code": "unsupported_value",
                                                                     "message": "'stream' does not support true."}}),
        left_out=("stream",),
    ),
    "no system role": Temper(
        refuse=refuses(_has_system, 400, {"object": "error", "message": "System role not supported", "code": 400}),
        left_out=("system",),
    ),
    "no system role by loc": Temper(
        refuse=refuses(_has_system, 422, {"detail": [
            {"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'", "type": "enum"}
        ]}),
        left_out=("system",),
    ),
}  # fmt: skip

TEMPERS = THOUGHTS | BYTES | BODIES | ENDS | STATUSES | REFUSALS
