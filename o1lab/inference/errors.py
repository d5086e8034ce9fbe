"""From whatever a server or the network did to one sentence and one hint. A key is never in either."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx2
import openai

from o1lab.inference.events import ChatError
from o1lab.serve.registry import ModelAddress
from o1lab.text import one_line

RAW_LIMIT = 2_000


class BrokenStreamError(Exception):
    """The server spoke, but not the protocol: not a stream, no choice in it, or no end to it."""

    def __init__(self, kind: Literal["html", "half", "empty"], detail: str = "") -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def explain(error: Exception, target: ModelAddress, *, speaking: bool = False) -> ChatError:
    """What ``error`` means for the person who waits for ``target``'s answer.

    ``speaking``: some of the answer came before it.
    """
    raw = without_key(str(error), target.key)[:RAW_LIMIT]
    match error:
        case openai.APIStatusError():
            return _status(error, target, raw)
        case BrokenStreamError():
            return _broken(error, target)
        case openai.APITimeoutError() | httpx2.TimeoutException() if not _refused(error):
            return ChatError(
                f"{target.model} did not answer in time.",
                "It may be busy or still loading: try again.",
                "timeout",
                retryable=True,
                raw=raw,
            )
        case openai.APIConnectionError() if speaking:
            return _broken(BrokenStreamError("half", raw), target)
        case openai.APIConnectionError() | httpx2.ConnectError():
            return ChatError(
                f"Nothing answers at {_host(target)}.",
                "Start that server or correct its url in o1lab.toml.",
                "unreachable",
                retryable=True,
                raw=raw,
            )
        case httpx2.HTTPError():
            return _broken(BrokenStreamError("half", raw), target)
        case openai.APIError() if error.body is not None:
            return ChatError(
                f"{target.model} stopped with an error: {one_line(_message(error, target.key), 200)}",
                "What came before it is kept; try again.",
                "server",
                retryable=True,
                raw=raw,
            )
        case httpx2.InvalidURL():
            return ChatError(
                f"The url of {target.model} is not one: {one_line(_host(target), 80)}.",
                "Correct it in o1lab.toml.",
                "unreachable",
                raw=raw,
            )
    return ChatError(
        f"{_host(target)} sent something that is not the chat protocol.",
        "See whether the url ends in /v1 and is an OpenAI-compatible server.",
        "malformed",
        retryable=True,
        raw=raw,
    )


def _status(error: openai.APIStatusError, target: ModelAddress, raw: str) -> ChatError:
    status = error.status_code
    said = one_line(_message(error, target.key), 200)
    if error.code == "context_length_exceeded" or (status == 400 and _speaks_of_length(said)):
        return ChatError(
            f"The conversation is too long for {target.model}.",
            "Begin a new one, or shorten the prompt.",
            "context_length",
            status=status,
            raw=raw,
        )
    if error.code in _MODERATED or (status in (400, 403) and _speaks_of_moderation(said)):
        return ChatError(
            f"{_host(target)} would not let {target.model} answer this: its moderation refused the prompt.",
            "Ask something else, or another model.",
            "content_filter",
            status=status,
            raw=raw,
        )
    if error.code in _SPENT or status == 402:
        return ChatError(
            f"The account at {_host(target)} has no quota left for {target.model}.",
            "See its plan and billing, or take another key.",
            "quota",
            status=status,
            raw=raw,
        )
    if status in (401, 403):
        return ChatError(
            f"{_host(target)} refused the key for {target.model}.",
            "Check the variable that key_env names in o1lab.toml.",
            "key",
            status=status,
            raw=raw,
        )
    if status == 404:
        return ChatError(
            f"{_host(target)} has no model called {target.model}.",
            "Check the model's name and that the url ends in /v1.",
            "no_model",
            status=status,
            raw=raw,
        )
    if status == 429:
        wait = _retry_after(error.response)
        return ChatError(
            f"{_host(target)} asks to slow down (429).",
            f"Try again in {wait:g} s." if wait is not None else "Try again in a moment.",
            "rate_limit",
            retryable=True,
            retry_after_s=wait,
            status=status,
            raw=raw,
        )
    if status >= 500:
        return ChatError(
            f"{_host(target)} failed inside ({status}).",
            "Try again; if it stays so, look at that server's log.",
            "server",
            retryable=True,
            retry_after_s=_retry_after(error.response),
            status=status,
            raw=raw,
        )
    return ChatError(
        f"{target.model} refused the request ({status}): {said}",
        "Change what it names and try again.",
        "refused",
        status=status,
        raw=raw,
    )


_MODERATED = ("content_filter", "content_policy_violation", "moderation_blocked")
_SPENT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


def _refused(error: BaseException) -> bool:
    """Whether nobody was there: the transport calls a refused connection a timeout, and only its cause knows."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
            return True
        cause = cause.__cause__
    return False


def _broken(error: BrokenStreamError, target: ModelAddress) -> ChatError:
    match error.kind:
        case "html":
            kind = error.detail.partition(";")[0] or "something else"
            return ChatError(
                f"{_host(target)} sent {kind} instead of a stream.",
                "Check the url: it is not an OpenAI-compatible server there (a proxy or a login page?).",
                "not_api",
                raw=error.detail[:RAW_LIMIT],
            )
        case "empty":
            return ChatError(
                f"{target.model} sent an answer with nothing in it.",
                "Try again, or raise the maximum number of tokens.",
                "empty",
                retryable=True,
            )
        case _:
            return ChatError(
                f"The answer of {target.model} broke off half-way.",
                "What came is kept; try again for a whole one.",
                "cut_off",
                retryable=True,
                raw=error.detail[:RAW_LIMIT],
            )


def _message(error: openai.APIError, key: str) -> str:
    body = error.body
    told = body.get("message") if isinstance(body, dict) else None
    return without_key(told if isinstance(told, str) else error.message, key)


def _speaks_of_length(message: str) -> bool:
    return (
        re.search(r"context (length|window)|maximum context|too many tokens|too long", message, re.IGNORECASE)
        is not None
    )


def _speaks_of_moderation(message: str) -> bool:
    return re.search(r"content (policy|filter|management)|moderation|flagged", message, re.IGNORECASE) is not None


def _retry_after(response: httpx2.Response) -> float | None:
    return retry_after_s(response.headers)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How many seconds the server wants to be left alone, if it says so: ``retry-after-ms``, seconds, or a date.

    A date is held against the server's own ``date`` where it sends one: our clock may be wrong.
    """
    if (wait := _number(headers.get("retry-after-ms"))) is not None:
        return wait / 1000
    told = headers.get("retry-after")
    if (wait := _number(told)) is not None:
        return wait
    until = _moment(told)
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


def _host(target: ModelAddress) -> str:
    """The server without what a url may carry of credentials."""
    return re.sub(r"//[^@/]*@", "//", target.base_url)


def without_key(text: str, key: str) -> str:
    """``text`` with stars for the key; one of a few characters is no secret and may stand in any word."""
    return text.replace(key, "***") if len(key) > 5 else text
