"""Classifies every failure of a server or the network: a code, a sentence and a hint, never with a key in them."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

from o1lab.format import duration
from o1lab.inference.calls import OPTIONS, RequestError
from o1lab.inference.refused import TokenRoom, token_room, words_of
from o1lab.serve.endpoints import ModelAddress, public_url
from o1lab.text import one_line

RAW_LIMIT = 2_000

_MODERATED = ("content_filter", "content_policy_violation", "moderation_blocked")
_NO_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_STATUS = re.compile("[45][0-9]{2}")
_STATUS_OF_CODE = {
    "context_length_exceeded": 400, "invalid_api_key": 401, "insufficient_quota": 402, "model_not_found": 404,
    "rate_limit_exceeded": 429,
}  # fmt: skip
_LENGTH = re.compile(r"context (length|window)|maximum context|too many tokens|too long", re.IGNORECASE)
_MODERATION = re.compile(r"content (policy|filter|management)|moderation|flagged", re.IGNORECASE)


def classify(
    error: Exception, target: ModelAddress, *, speaking: bool = False, sent: Mapping[str, Any] | None = None
) -> RequestError:
    """Convert an exception of the HTTP client to a request error.

    Args:
        error: the exception.
        target: the model that was asked; the sentence names it and its server.
        speaking: whether part of the response came before the error.
        sent: the body of the request, if it is known.
    """
    raw = target.redact(str(error))[:RAW_LIMIT]
    match error:
        case openai.APIStatusError():
            return _of_status(error, target, raw, sent or {})
        case openai.APITimeoutError() | httpx2.TimeoutException() | TimeoutError() if not _refused(error):
            sentence = f"{target.model} did not answer in time."
            return RequestError.of("timeout", sentence, "It may be busy or still loading. Try again.", raw=raw)
        case openai.APIConnectionError() if speaking:
            return cut_off(target, raw)
        case openai.APIConnectionError() | httpx2.ConnectError():
            return RequestError.of(
                "unreachable",
                f"No server answers at {host_of(target)}.",
                "Start the server or correct its url in o1lab.toml.",
                raw=raw,
            )
        case httpx2.HTTPError():
            return cut_off(target, raw)
        case httpx2.InvalidURL():
            sentence = f"The url of {target.model} is not valid: {one_line(host_of(target), 80)}."
            return RequestError.of("unreachable", sentence, "Correct it in o1lab.toml.", raw=raw)
    return malformed(target, str(getattr(error, "doc", "")) or raw)


def classify_body(error: Any, target: ModelAddress, raw: str = "") -> RequestError:
    """Convert an error object in a body or a stream of status 200 to a request error.

    If its code is an HTTP status, or means one, the result is that of a response with this status.

    Args:
        error: the object, of any type.
        target: the model that was asked.
        raw: the body as text.
    """
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str):
        code = int(code) if _STATUS.fullmatch(code) else _STATUS_OF_CODE.get(code, code)
    if code in _MODERATED:
        code = 403
    if isinstance(code, int) and 400 <= code < 500:
        return classify(status_error(code, error), target)
    words = one_line(target.redact(words_of(error)), 300)
    return RequestError.of(
        "server",
        f"The server of {target.model} sent an error: {words or 'no message'}",
        "Text received before it is kept. Try again.",
        raw=raw,
    )


def status_error(status: int, error: Any) -> openai.APIStatusError:
    """Make the exception that the HTTP client raises for a response with this status.

    Args:
        status: the HTTP status.
        error: the ``error`` object of the body, of any type.
    """
    body = error if isinstance(error, dict) else {}
    message = body.get("message")
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://engine/"), json={"error": body})
    return openai.APIStatusError(
        message if isinstance(message, str) else f"status {status}", response=response, body=body
    )


def cut_off(target: ModelAddress, raw: str = "", *, reason: str | None = None) -> RequestError:
    """The error of a response that ended early.

    Args:
        target: the model that was asked.
        raw: the body as text.
        reason: the finish reason, empty if there was none; None if the connection broke.
    """
    sentence = f"The answer of {target.model} was cut off."
    if reason is not None:
        ended = f"with the finish reason '{one_line(reason, 60)}'" if reason else "without a finish reason"
        sentence = f"The answer of {target.model} ended {ended}, so it is incomplete."
    return RequestError.of("cut_off", sentence, "The text received is kept. Try again.", raw=raw[:RAW_LIMIT])


def empty(target: ModelAddress) -> RequestError:
    """The error of a response without any text."""
    hint = "Try again, or raise the maximum number of tokens."
    return RequestError.of("empty", f"{target.model} sent an empty answer.", hint)


def malformed(target: ModelAddress, raw: str = "") -> RequestError:
    """The error of a body that is not JSON, or not a chat completion."""
    sentence = f"The response of {host_of(target)} is not a chat completion."
    hint = "Check that the url ends in /v1 and belongs to an OpenAI-compatible server."
    return RequestError.of("malformed", sentence, hint, raw=raw)


def not_api(target: ModelAddress, kind: str) -> RequestError:
    """The error of a web page, for example from a proxy or a login page."""
    sentence = f"{host_of(target)} sent {kind.partition(';')[0] or 'a web page'} instead of a stream."
    hint = "Check the url: it leads to a web page (of a proxy or a login?), not to an OpenAI-compatible server."
    return RequestError.of("not_api", sentence, hint)


def _of_status(error: openai.APIStatusError, target: ModelAddress, raw: str, sent: Mapping[str, Any]) -> RequestError:
    status, host, model = error.status_code, host_of(target), target.model
    payload = payload_of(error)
    words = one_line(target.redact(words_of(payload) or error.message), 300)
    wait = retry_after_s(_headers_in(payload) | dict(error.response.headers), words)
    room = token_room(words, sent)

    def make(code: str, sentence: str, hint: str, **more: Any) -> RequestError:
        quoted = f" The server says: {words}" if words else ""
        return RequestError.of(code, f"{sentence}{quoted}", hint, status=status, raw=raw, **more)

    if room is not None and status in (400, 413, 422):
        return _too_many_tokens(room, sent, model, make)
    if error.code == "context_length_exceeded" or (status in (400, 413, 422) and _LENGTH.search(words)):
        hint = "Start a new one, or shorten the prompt."
        return make("context_length", f"The conversation is too long for {model}.", hint)
    if error.code in _MODERATED or (status in (400, 403) and _MODERATION.search(words)):
        sentence = f"The moderation of {host} refused the prompt to {model}."
        return make("content_filter", sentence, "Change the prompt or the model.")
    if error.code in _NO_QUOTA or status == 402:
        hint = "Check its plan and billing, or use another key."
        return make("quota", f"The account at {host} has no quota left for {model}.", hint)
    if status == 401:
        return make(
            "key", f"{host} refused the key for {model}.", "Check the variable that key_env names in o1lab.toml."
        )
    if status == 403:
        hint = "Check the permissions of the key and the account."
        return make("key", f"{host} denies access to {model} (403).", hint)
    if status == 404:
        hint = "Check the model's name and that the url ends in /v1."
        return make("no_model", f"{host} has no model called {model}.", hint)
    if status == 429 and wait is None and is_daily(words):
        hint = "Continue when the limit is renewed, usually after midnight UTC, or use another key."
        return make("quota", f"The daily limit of the account at {host} is used up.", hint)
    if status == 429:
        hint = "Try again in a moment." if wait is None else f"Try again {wait_text(wait)}."
        return make("rate_limit", f"{host} asks to slow down (429).", hint, retry_after_s=wait)
    if status == 408:
        return make("timeout", f"{host} did not complete the request in time (408).", "Try again.", retry_after_s=wait)
    if status in (409, 425, 503, 529):
        sentence = f"{host} cannot answer at the moment ({status})."
        return make("server", sentence, "Try again in a moment.", retry_after_s=wait)
    if status >= 500:
        hint = "Try again. If it persists, check that server's log."
        return make("server", f"{host} has an internal error ({status}).", hint, retry_after_s=wait)
    code = "option" if error.param in OPTIONS else "refused"
    return make(code, f"{model} refused the request ({status}).", "Correct the request and try again.")


def _too_many_tokens(
    room: TokenRoom, sent: Mapping[str, Any], model: str, make: Callable[..., RequestError]
) -> RequestError:
    """Return the error of a request whose ``max_tokens`` is more than fits."""
    asked = sent.get("max_tokens") or sent["max_completion_tokens"]
    sentence = f"{model} gives at most {room.limit:,} tokens in a response, not {asked:,}."
    if room.prompt is not None:
        sentence = (
            f"The context of {model} is {room.limit:,} tokens: with a prompt of {room.prompt:,}, at most {room.fits:,} "
            f"tokens fit for the response, not {asked:,}."
        )
    code = "max_tokens" if asked >= room.limit else "no_room"  # no_room: other prompts may fit
    return make(code, sentence, f"Lower max_tokens to {room.fits} or less.", fits=room.fits)


def payload_of(error: openai.APIStatusError) -> Any:
    """Return the body of an error, parsed if it is JSON."""
    try:
        text = error.response.text
    except httpx2.StreamError:  # the body was not read
        return ""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _headers_in(payload: Any) -> dict[str, str]:
    """Return the headers of the server behind a router, which some routers put into the body of an error."""
    match payload:
        case {"error": {"metadata": {"headers": dict(headers)}}}:
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def _refused(error: BaseException) -> bool:
    """Whether the connection was refused. The transport reports that as a timeout; only the cause differs."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
            return True
        cause = cause.__cause__
    return False


def host_of(target: ModelAddress) -> str:
    """Return the server's url without credentials and query."""
    return public_url(target.base_url)


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
_PART = re.compile(_SPAN, re.IGNORECASE)
_WORDS = re.compile(rf"(?:again|retry|wait)(?: after| in| for| at least)?:?\s*((?:{_SPAN}[\s,]*)+)", re.IGNORECASE)
_DAILY = re.compile(r"per[ -]day|a day\b|daily|\b[rt]pd\b|free-models-per-day|24[ -]?h", re.IGNORECASE)
_CLOCK_FROM_S = 3600.0
"""From this wait on, the time of its end is shown."""


def retry_after_s(headers: Mapping[str, str], words: str = "") -> float | None:
    """Return the seconds that a server asks to wait; None if it does not say.

    The headers ``retry-after-ms`` and ``retry-after`` (seconds, ``1s``, ``1m30s`` or a date) go before the words of the
    message ("try again in 6m0s"). A date is compared with the server's own ``date`` header if there is one, because the
    local clock may be wrong. ``x-ratelimit-reset`` counts where it is a Unix time, in seconds or milliseconds.
    """
    if (wait := _number(headers.get("retry-after-ms"))) is not None:
        return wait / 1000
    asked = headers.get("retry-after") or ""
    if (wait := _number(asked)) is not None:
        return wait
    if (wait := _span(asked)) is not None:
        return wait
    until, now = _moment(asked), _moment(headers.get("date"))
    if until is None and (found := _WORDS.search(words)):
        return _span(found[1])
    if until is None and (reset := _number(headers.get("x-ratelimit-reset"))) is not None and reset > 1e9:
        until = reset / 1000 if reset > 1e11 else reset
    if until is None:
        return None
    return max(0.0, until - (time.time() if now is None else now))


def is_daily(words: str) -> bool:
    """Return whether the message of a refused request is about a limit per day."""
    return _DAILY.search(words) is not None


def wait_text(seconds: float) -> str:
    """Return when a wait ends: ``in 20s``, or with the local time if it is an hour or more."""
    if seconds < _CLOCK_FROM_S:
        return f"in {duration(math.ceil(seconds))}"
    end = time.localtime(time.time() + seconds)
    return f"at {time.strftime('%Y-%m-%d %H:%M', end)}, in {duration(seconds)}"


def _span(text: str) -> float | None:
    """Return the seconds of ``1s``, ``250ms`` or ``1h 5m``; None if the text begins differently."""
    total, at = 0.0, 0
    while part := _PART.match(text, at):
        unit = part[2].lower()
        total += float(part[1]) * _UNITS["ms" if unit.startswith(("ms", "milli")) else unit[0]]
        at = part.end() + len(text[part.end() :]) - len(text[part.end() :].lstrip(" ,"))
    return total if at else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _moment(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None
