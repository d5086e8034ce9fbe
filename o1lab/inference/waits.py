"""How long a server asks to wait, from its headers or its words, and how that is shown."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from o1lab.format import duration

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
