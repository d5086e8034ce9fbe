"""Parts of requests that a server refuses: options, a system message, too many tokens; and a record of them.

A refused option is left out of later requests. The record is a file of this user, so that later runs use it. An
entry expires after ``FORGOTTEN_AFTER_S``, and ``o1lab models forget`` removes it.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o1lab.files import write_json
from o1lab.inference.calls import Message
from o1lab.paths import state_dir
from o1lab.serve.endpoints import ModelAddress
from o1lab.text import one_line

SYSTEM = "system"
"""The change that puts the system message before the first user message."""
BOTH = "temperature+top_p"
"""The change that omits ``top_p`` where there is a ``temperature``."""
FORGOTTEN_AFTER_S = 7 * 86_400.0

_DROPPABLE = frozenset(
    {"temperature", "top_p", "seed", "reasoning_effort", "stop", "stream", "stream_options", "max_tokens"}
)
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|extra|not permitted|not allowed|deprecated|cannot find"
    r"|not available|not implemented|invalid (?:parameter|argument|field)|additional propert|forbidden",
    re.IGNORECASE,
)
_UNSUPPORTED_CODES = ("unsupported_parameter", "unsupported_value", "unknown_parameter")
_WRONG_VALUE = re.compile(r"supported values are|invalid value|must be one of", re.IGNORECASE)
_MAY_BE_VALUE = re.compile(
    r"must be|should be|less than|greater than|at most|at least|range|too (?:large|high|small|long)|maximum|exceed",
    re.IGNORECASE,
)
_TOGETHER = re.compile(
    r"both|only one|one of|either|mutually|together|at the same time|combin|unset|\bwith\b", re.IGNORECASE
)
_ROLE = re.compile(
    r"system[ -]?(?:role|message|prompt|instruction)s?\W[^.]*(?:not|n't|un)|(?:role|support|accept)\w*\W[^.]*\bsystem\b"
    r"|developer instruction|roles must alternate|only (?:the )?\W?user\W? and \W?(?:assistant|model)",
    re.IGNORECASE,
)

# --- the record -----------------------------------------------------------------------------------------


class Refusals:
    """What the server of one model refuses, and the changes that this makes to requests.

    Args:
        target: the model.
        note: called with a sentence for people, once for each change that a request needed.
    """

    def __init__(self, target: ModelAddress, note: Callable[[str], None] = lambda _: None) -> None:
        self.target = target
        self.note = note
        self.known = remembered(target.base_url, target.model)
        """The name of each change, and the server's message."""
        self._noted: set[str] = set()

    def add(self, found: Mapping[str, str]) -> None:
        """Record refusals, here and for later runs."""
        new = {name: self.target.redact(words) for name, words in found.items() if name not in self.known}
        self.known |= new
        if new:  # calls in flight together are refused together
            _remember(self.target, new)

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request without what the server refuses and what the endpoint's settings omit."""
        changed = dict(body)
        for name in self.target.omit:
            if _change(changed, name, rename=False):
                self._say(name, f"{name} is not sent to {self.target.model}, as o1lab.toml says (omit).")
        for name, words in self.known.items():
            if _change(changed, name, rename=True):
                what = _SENTENCES.get(name, "{} does not accept " + name + ", so it is omitted")
                self._say(name, f"{what.format(self.target.model)}: {one_line(words, 200)}")
        return changed

    def _say(self, name: str, sentence: str) -> None:
        if name not in self._noted:
            self._noted.add(name)
            self.note(sentence)


_SENTENCES = {
    SYSTEM: "{} does not accept a system message, so it is put before the first user message",
    BOTH: "{} does not accept temperature together with top_p, so top_p is omitted",
    "max_tokens": "{} does not accept max_tokens, so max_completion_tokens is sent instead",
}


def _change(body: dict[str, Any], name: str, *, rename: bool) -> bool:
    """Apply one change to a request; returns whether it needed it."""
    if name == SYSTEM:
        messages = body.get("messages", ())
        body["messages"] = folded(messages)
        return len(body["messages"]) != len(messages)
    if name == BOTH:
        return "temperature" in body and body.pop("top_p", None) is not None
    if name not in body:
        return False
    value = body.pop(name)
    if name == "stream":
        body.pop("stream_options", None)  # not accepted without it
    if name == "max_tokens" and rename:
        body["max_completion_tokens"] = value
    return True


def folded(messages: Sequence[Message]) -> list[Message]:
    """Return messages whose system messages are put before the first user message."""
    system = [message["content"] for message in messages if message["role"] == SYSTEM]
    rest = [dict(message) for message in messages if message["role"] != SYSTEM]
    first = next((message for message in rest if message["role"] == "user"), None)
    if not system or first is None:
        return list(messages)
    first["content"] = "\n\n".join([*system, first["content"]])
    return rest


def remembered(base_url: str, model: str) -> dict[str, str]:
    """Return the recent refusals of the server of a model: the name of each change, and the server's message."""
    entry = _entries().get(f"{base_url} {model}", {})
    return {name: words for name, (at, words) in entry.items() if at > _oldest()}


def forget(base_url: str, model: str) -> list[str]:
    """Delete the refusals of the server of a model, and return the names of the changes."""
    entries = _entries()
    gone = entries.pop(f"{base_url} {model}", {})
    if gone:
        write_json(_file(), entries)
    return sorted(gone)


def _remember(target: ModelAddress, found: Mapping[str, str]) -> None:
    entries, now = _entries(), time.time()
    entries.setdefault(f"{target.base_url} {target.model}", {}).update(
        {name: (now, one_line(words, 300)) for name, words in found.items()}
    )
    recent = {key: {n: e for n, e in names.items() if e[0] > _oldest()} for key, names in entries.items()}
    with contextlib.suppress(OSError):  # without the file, the next run is refused again
        write_json(_file(), {key: names for key, names in recent.items() if names}, durable=False)


def _entries() -> dict[str, dict[str, tuple[float, str]]]:
    try:
        values = json.loads(_file().read_text("utf-8"))
        return {
            str(key): {str(name): (float(at), str(words)) for name, (at, words) in names.items()}
            for key, names in values.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _file() -> Path:
    return state_dir() / "refused.json"


def _oldest() -> float:
    return time.time() - FORGOTTEN_AFTER_S


# --- what was refused -----------------------------------------------------------------------------------


def words_of(body: Any) -> str:
    """Return the message in the body of an error, or the text of a web page."""
    match body:
        case str():
            text = re.sub(r"(?is)<(script|style|title)\b.*?</\1>", _title, body) if "<" in body else body
            return " ".join(re.sub(r"<[^>]{0,2000}>", " ", text).split())
        case {"msg": str(message), "loc": list(where)}:
            return f"{'.'.join(str(part) for part in where if part != 'body')}: {message}"
        case dict():
            for name in ("error", "message", "detail", "msg", "errors", "title"):
                if body.get(name) and (found := words_of(body[name])):
                    return found
        case list():
            return "; ".join(filter(None, map(words_of, body[:5])))
    return ""


def _title(found: re.Match[str]) -> str:
    return found[0] if found[1].lower() == "title" else ""


def refused_options(
    status: int, payload: Any, sent: Mapping[str, Any], *, code: str | None = None, param: str | None = None
) -> dict[str, str]:
    """Return what a server rejects of a request as unsupported.

    A parameter with a wrong value is supported, so it is not returned. ``max_tokens`` is returned only if the server
    asks for ``max_completion_tokens`` instead, because the cost of a call without a limit is unbounded.

    Args:
        status: the HTTP status.
        payload: the body of the error, parsed if it is JSON.
        sent: the body of the request.
        code: the error's code, if it has one.
        param: the parameter that the error names, if it names one.

    Returns:
        The name of each change that the request needs, with the server's message; empty if it cannot be repeated.
    """
    words = words_of(payload)
    if status not in (400, 422) or code == "context_length_exceeded" or token_room(words, sent) is not None:
        return {}
    options = [name for name in sent if name in _DROPPABLE]
    has_system = any(message.get("role") == SYSTEM for message in sent.get("messages", ()))
    located = list(_located(payload))
    found = {
        name: one_line(words_of(one), 200)
        for one in located
        for name in options
        if name in one["loc"] and _UNSUPPORTED.search(f"{one.get('type')} {one.get('msg')}")
    }
    if (
        not found
        and has_system
        and (_ROLE.search(words) or any({"messages", "role"} <= {*one["loc"]} for one in located))
    ):
        found = {SYSTEM: words}
    if not found and {"temperature", "top_p"} <= sent.keys() and _names(words, ["temperature", "top_p"], 2):
        found = {BOTH: words} if _TOGETHER.search(words) else {}
    doubtful = _MAY_BE_VALUE.search(words) and code not in _UNSUPPORTED_CODES
    unsupported = (code in _UNSUPPORTED_CODES or _UNSUPPORTED.search(words)) and not _WRONG_VALUE.search(words)
    if not found and unsupported and not doubtful and not located:
        found = {name: words for name in ([param] if param in options else _names(words, options, 1)) if name}
    if "max_tokens" in found and "max_completion_tokens" not in words:
        del found["max_tokens"]
    return found


def _names(words: str, options: Sequence[str], number: int) -> list[str]:
    """Return the first ``number`` of the options that a text names; none if it names fewer."""
    places = {name: found.start() for name in options if (found := re.search(rf"(?<!\w){name}(?!\w)", words))}
    return sorted(places, key=places.__getitem__)[:number] if len(places) >= number else []


def _located(payload: Any) -> Iterator[dict[str, Any]]:
    """Yield the errors of a validation report, which name the place of each in ``loc``."""
    if isinstance(payload, dict):
        if isinstance(payload.get("loc"), list):
            yield payload
        else:
            for value in payload.values():
                yield from _located(value)
    elif isinstance(payload, list):
        for value in payload:
            yield from _located(value)


# --- too many tokens ------------------------------------------------------------------------------------

_NUMBER = r"\W{0,4}(\d[\d,]*)"
_CONTEXT = re.compile(
    r"(?:context (?:length|window|size|limit)s?|max_model_len|max_total_tokens|max_seq_len)\D{0,30}?" + _NUMBER
    + r"|(\d[\d,]*)[ -]?tokens? context|\d\s*\+\s*\d[\d,]*\s*>\s*(\d[\d,]*)|max_new_tokens\W{0,3} must be <=" + _NUMBER,
    re.IGNORECASE,
)  # fmt: skip
_OUTPUT = re.compile(
    r"(?:at most|up to|maximum of|less than or equal to|<=|limit(?:ed)? (?:is|to|of)|maximum value\D{0,30}? is)"
    + _NUMBER
    + r"|range[^\[]*\[\s*\d+\s*,\s*(\d[\d,]*)\s*\]|\d\s*>\s*(\d[\d,]*)",
    re.IGNORECASE,
)  # fmt: skip
_PROMPT = re.compile(
    r"(\d[\d,]*)\W{0,2}(?:(?:tokens?\s+)?(?:in|from|of) (?:the|your|text) (?:messages|input|prompt)|(?:input|prompt)"
    r"(?: messages)? tokens|\W?inputs\W? tokens|input characters)|prompt (?:contains|has)\D{0,20}(\d[\d,]*)"
    r"|(\d[\d,]*)\s*\+\s*\d[\d,]*\s*>",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class TokenRoom:
    """The room for a response: ``limit`` tokens for prompt and response together if ``prompt`` is not None, otherwise
    for the response alone. ``fits`` is the largest ``max_tokens`` that the server accepts."""

    limit: int
    prompt: int | None

    @property
    def fits(self) -> int:
        return self.limit - (self.prompt or 0)


def token_room(words: str, sent: Mapping[str, Any]) -> TokenRoom | None:
    """Return the room that a server's message states; None unless ``max_tokens`` is what is too large."""
    asked = sent.get("max_tokens") or sent.get("max_completion_tokens")
    if not isinstance(asked, int):
        return None
    context, prompt = _first(_CONTEXT, words), _first(_PROMPT, words)
    room = TokenRoom(context, prompt) if context is not None and prompt is not None else None
    if room is None and context is None and re.search(r"max_(?:completion_|output_|new_)?tokens", words):
        output = _first(_OUTPUT, words)
        room = TokenRoom(output, None) if output is not None else None
    return room if room is not None and 1 <= room.fits < asked else None


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    number = next((group for group in found.groups() if group), None) if found else None
    return int(number.replace(",", "")) if number else None
