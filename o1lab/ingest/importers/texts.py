"""Read the text of values: strings, lists of parts as in chat APIs, thoughts in their spellings, JSON as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

IMAGE = "[image]"
"""Marks the place of a picture in a text; the rule ``image`` of the problem pool looks for it."""

THOUGHT_KEYS = (
    *("reasoning_content", "reasoning", "thinking", "thought", "thoughts"),
    *("reasoning_details", "thinking_blocks"),
)
"""The names of the thought of a message, next to its content, in data sets and in the replies of servers."""
_TEXT_KEYS = ("text", "content", "value", "response", "output", "generation", "completion", "answer", "solution")
_THOUGHT_TYPES = ("thinking", "reasoning", "thought", "redacted_thinking")
_THOUGHT_TEXTS = ("thinking", "reasoning", "text", "summary", "content", "thought", "step", "explanation")
_IMAGE_TYPES = ("image", "image_url", "input_image", "picture")
_JSON = re.compile(r"\s*[\[{]")
_FLAGS = {
    *("on", "off", "true", "false", "yes", "no", "enabled", "disabled", "none", "null", "low", "medium", "high"),
    *("minimal", "auto", "default", "n/a", "detailed_thinking_on", "detailed_thinking_off"),
}


def string(value: Any) -> str | None:
    """Return ``value`` if it is a non-empty string. Some data sets write None as "None"; it counts as empty."""
    return value if isinstance(value, str) and value and not value.isspace() and value != "None" else None


def glued(parts: Iterable[str]) -> str:
    """Join parts of a text. Where neither side has white space, a line break keeps two words apart."""
    text = ""
    for part in parts:
        apart = text and part and not text[-1].isspace() and not part[0].isspace()
        text += f"\n{part}" if apart else part
    return text


def strings(value: Any) -> Iterator[str]:
    """Yield every string in a value, without the keys."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one


def decoded(value: Any) -> Any:
    """Return the list or object that a string holds as JSON; any other value as it is."""
    if not isinstance(value, str) or not _JSON.match(value):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, list | dict) else value


def is_flag(text: str) -> bool:
    """Return whether a "thought" only says whether, or how much, the model thinks."""
    return len(text) < 40 and text.strip().lower().replace(" ", "_") in _FLAGS


def thought_in(value: Any, left: list[str]) -> str:
    """Return the thought that a value holds: text, or parts such as those of ``reasoning_details``.

    Args:
        value: the value.
        left: strings that are no part of the thought are added here.
    """
    if isinstance(value, str):
        return "" if is_flag(value) or not string(value) else value
    parts = value if isinstance(value, list) else [value]
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(thought_in(part, left))
        elif isinstance(part, Mapping):
            texts.append(_named(part, _THOUGHT_TEXTS, left))
        else:
            left += strings(part)
    return glued(text for text in texts if text)


def content_in(value: Any, left: list[str]) -> tuple[str, str]:
    """Return the text and the thought of a message's content, which may be a list of parts.

    A picture becomes :data:`IMAGE`, a call of a tool its JSON between marks.

    Args:
        value: the content.
        left: strings that are part of neither are added here.
    """
    if isinstance(value, str):
        return value, ""
    if value is None:
        return "", ""
    if isinstance(value, Mapping):
        value = value["parts"] if isinstance(value.get("parts"), list) else [value]
    if not isinstance(value, list):
        return str(value), ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in value:
        if isinstance(part, Mapping):
            _take_part(part, texts, thoughts, left)
        elif isinstance(part, str):
            texts.append(part)
        elif part is not None:
            left += strings(part)
    return glued(texts), glued(thoughts)


def _take_part(part: Mapping[str, Any], texts: list[str], thoughts: list[str], left: list[str]) -> None:
    kind = str(part.get("type") or part.get("content_type") or "").lower()
    if kind in _THOUGHT_TYPES or kind.startswith("reasoning."):
        thoughts.append(thought_in(part, left))
    elif kind in _IMAGE_TYPES or (not kind and {"image", "image_url"} & part.keys()):
        texts.append(picture(part))
    elif kind in ("tool_use", "tool_call", "function_call"):
        texts.append(tool_call(part.get("name"), part.get("input", part.get("arguments"))))
    elif kind == "tool_result":
        texts.append(content_in(part.get("content"), left)[0])
    elif text := _named(part, ("text", "content", "value", "refusal"), left):
        texts.append(text)
    elif kind not in ("", "text"):
        texts.append(f"[{kind}]")  # the place of a sound, a video or a file


def _named(part: Mapping[str, Any], names: tuple[str, ...], left: list[str]) -> str:
    """Return the text under the first of these keys that has one. Strings under other keys, save ``type``, are left."""
    text, found = "", ""
    for name in names:
        value = part.get(name)
        if isinstance(value, list | Mapping):
            value = content_in(value, left)[0]
        if isinstance(value, str) and value:
            text, found = value, name
            break
    for key, value in part.items():
        if key not in (found, "type", "content_type"):
            left += strings(value)
    return text


def picture(value: Any) -> str:
    """Return :data:`IMAGE`, with the address of the picture if it has one."""
    url = next((one for one in strings(value) if one.startswith(("http://", "https://"))), "")
    return f"[image: {url}]" if url else IMAGE


def tool_call(name: Any, arguments: Any) -> str:
    """Return the call of a tool as text, as chat templates write it."""
    given = decoded(arguments)
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': given}, ensure_ascii=False)}\n</tool_call>"


def response_in(value: Any, left: list[str]) -> tuple[str, str, str | None]:
    """Return (text, thought, model) of a response: a string, or an object with these.

    Args:
        value: the response.
        left: strings that are part of none are added here.
    """
    if not isinstance(value, Mapping) or "type" in value:
        text, thought = content_in(value, left)
        return ("" if text == "None" else text), thought, None
    thought = model = ""
    text = ""
    for key, one in value.items():
        name = str(key).lower()
        if name == "message" and isinstance(one, Mapping):
            return response_in({**one, **{other: more for other, more in value.items() if other != key}}, left)
        if name in THOUGHT_KEYS and not thought and (thought := thought_in(one, left)):
            continue
        if not text and name in _TEXT_KEYS and (text := content_in(one, left)[0]):
            continue
        if not model and name.endswith(("model", "model_name")) and isinstance(one, str):
            model = one
            continue
        left += strings(one)
    return text, thought, model or None
