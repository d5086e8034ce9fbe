"""Classifies every failure of a server or the network: a code, a sentence and a hint, never with a key in them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai

from o1lab.inference.calls import OPTIONS, RequestError
from o1lab.serve.registry import ModelAddress
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


def classify(error: Exception, target: ModelAddress, *, speaking: bool = False) -> RequestError:
    """Convert an exception of the HTTP client to a request error.

    Args:
        error: the exception.
        target: the model that was asked; the sentence names it and its server.
        speaking: whether part of the response came before the error.
    """
    raw = without_key(str(error), target.key)[:RAW_LIMIT]
    match error:
        case openai.APIStatusError():
            return _of_status(error, target, raw)
        case openai.APITimeoutError() | httpx2.TimeoutException() if not _refused(error):
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
        case openai.APIError() if error.body is not None:  # within a stream
            return classify_body(error.body, target, raw)
        case httpx2.InvalidURL():
            sentence = f"The url of {target.model} is not valid: {one_line(host_of(target), 80)}."
            return RequestError.of("unreachable", sentence, "Correct it in o1lab.toml.", raw=raw)
    return malformed(target, str(getattr(error, "doc", "")) or raw)


def classify_body(error: Any, target: ModelAddress, raw: str = "") -> RequestError:
    """Convert an ``error`` object in a body or a stream of status 200 to a request error.

    If its code is an HTTP status, or means one, the result is that of a response with this status.

    Args:
        error: the object, of any type.
        target: the model that was asked.
        raw: the body as text.
    """
    message = error.get("message") if isinstance(error, dict) else error
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str):
        code = int(code) if _STATUS.fullmatch(code) else _STATUS_OF_CODE.get(code, code)
    if code in _MODERATED:
        return _moderated(target, None, raw)
    if isinstance(code, int) and 400 <= code < 500:
        return classify(status_error(code, error), target)
    text = one_line(without_key(message, target.key), 200) if isinstance(message, str) else ""
    return RequestError.of(
        "server",
        f"The server of {target.model} sent an error: {text or 'no message'}",
        "The text received before it is kept. Try again.",
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
    kind = openai.BadRequestError if status == 400 else openai.APIStatusError
    return kind(message if isinstance(message, str) else f"status {status}", response=response, body=body)


def cut_off(target: ModelAddress, raw: str = "") -> RequestError:
    """The error of a broken connection, or of a stream without an end mark."""
    sentence = f"The answer of {target.model} was cut off."
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


def not_api(target: ModelAddress, kind: str, raw: str = "") -> RequestError:
    """The error of a web page, for example from a proxy or a login page."""
    sentence = f"{host_of(target)} sent {kind.partition(';')[0] or 'a web page'} instead of a stream."
    hint = "Check the url: it leads to a web page (of a proxy or a login?), not to an OpenAI-compatible server."
    return RequestError.of("not_api", sentence, hint, raw=raw)


def refused_option(error: openai.BadRequestError, body: Mapping[str, Any]) -> str | None:
    """Return the optional parameter that a server rejects as unsupported.

    A parameter with a wrong value is supported, so it is not returned. ``max_tokens`` is returned only if the server
    asks for ``max_completion_tokens`` instead, because the cost of a call without a limit is unbounded.

    Args:
        error: the server's error.
        body: the body of the request.

    Returns:
        The name of the parameter; None if the request cannot be repeated without it.
    """
    message = str(error).lower()
    if error.code == "context_length_exceeded" or any(word in message for word in _WRONG_VALUE):
        return None
    if error.code not in _UNSUPPORTED_CODES and not any(word in message for word in _UNSUPPORTED):
        return None
    options = [name for name in body if name in _DROPPABLE]
    refused = error.param if error.param in options else next((name for name in options if name in message), None)
    return None if refused == "max_tokens" and "max_completion_tokens" not in message else refused


_DROPPABLE = {"temperature", "top_p", "seed", "reasoning_effort", "stop", "stream_options", "max_tokens"}
_UNSUPPORTED = (
    "unsupported", "not support", "unrecognized", "unknown", "unexpected", "extra", "not permitted", "deprecated",
)  # fmt: skip
_UNSUPPORTED_CODES = ("unsupported_parameter", "unsupported_value", "unknown_parameter")
_WRONG_VALUE = ("supported values are", "invalid value", "must be one of")


def _of_status(error: openai.APIStatusError, target: ModelAddress, raw: str) -> RequestError:
    status, host, model = error.status_code, host_of(target), target.model
    own = error.body.get("message") if isinstance(error.body, dict) else None
    message = one_line(without_key(own if isinstance(own, str) else error.message, target.key), 200)
    if error.code == "context_length_exceeded" or (status == 400 and _LENGTH.search(message)):
        code, sentence = "context_length", f"The conversation is too long for {model}."
        hint = "Start a new one, or shorten the prompt."
    elif error.code in _MODERATED or (status in (400, 403) and _MODERATION.search(message)):
        return _moderated(target, status, raw)
    elif error.code in _NO_QUOTA or status == 402:
        code, sentence = "quota", f"The account at {host} has no quota left for {model}."
        hint = "Check its plan and billing, or use another key."
    elif status in (401, 403):
        code, sentence = "key", f"{host} refused the key for {model}."
        hint = "Check the variable that key_env names in o1lab.toml."
    elif status == 404:
        code, sentence = "no_model", f"{host} has no model called {model}."
        hint = "Check the model's name and that the url ends in /v1."
    elif status == 429:
        wait = retry_after_s(error.response.headers)
        code, sentence = "rate_limit", f"{host} asks to slow down (429)."
        hint = f"Try again in {wait:g} s." if wait is not None else "Try again in a moment."
        return RequestError.of(code, sentence, hint, retry_after_s=wait, status=status, raw=raw)
    elif status >= 500:
        wait = retry_after_s(error.response.headers)
        code, sentence = "server", f"{host} has an internal error ({status})."
        hint = "Try again. If it persists, check that server's log."
        return RequestError.of(code, sentence, hint, retry_after_s=wait, status=status, raw=raw)
    else:
        code = "option" if error.param in OPTIONS else "refused"
        sentence, hint = f"{model} refused the request ({status}): {message}", "Correct the request and try again."
    return RequestError.of(code, sentence, hint, status=status, raw=raw)


def _moderated(target: ModelAddress, status: int | None, raw: str) -> RequestError:
    sentence = f"The moderation of {host_of(target)} refused the prompt to {target.model}."
    return RequestError.of("content_filter", sentence, "Change the prompt or the model.", status=status, raw=raw)


def _refused(error: BaseException) -> bool:
    """Whether the connection was refused. The transport reports that as a timeout; only the cause differs."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
            return True
        cause = cause.__cause__
    return False


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait, from ``retry-after-ms`` or ``retry-after``; None if absent.

    A date in ``retry-after`` is compared with the server's own ``date`` header if there is one, because the local clock
    may be wrong.
    """
    if (wait := _number(headers.get("retry-after-ms"))) is not None:
        return wait / 1000
    asked = headers.get("retry-after")
    if (wait := _number(asked)) is not None:
        return wait
    until = _moment(asked)
    if until is None:
        return None
    now = _moment(headers.get("date"))
    return max(0.0, until - (time.time() if now is None else now))


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


def host_of(target: ModelAddress) -> str:
    """Return the server's url without credentials."""
    return re.sub(r"//[^@/]*@", "//", target.base_url)


def without_key(text: str, key: str) -> str:
    """Replace the key in ``text`` by asterisks; up to five characters are not secret and may be part of a word."""
    return text.replace(key, "***") if len(key) > 5 else text
