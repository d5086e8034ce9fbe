"""Read conversations: lists of turns under any of the usual keys and roles, as objects, as JSON text or as columns."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.ingest.importers.base import RowError
from o1lab.ingest.importers.texts import THOUGHT_KEYS, content_in, decoded, string, strings, thought_in, tool_call

_ROLES: Mapping[str, str] = {
    word: role
    for role, words in {
        "user": "user human prompter question questioner customer person 用户 问",
        "assistant": "assistant gpt model bot ai chatgpt chatbot 助手 答",
        "system": "system developer 系统",
        "tool": "tool function observation ipython environment tool_response function_response tool_result",
        "call": "function_call tool_call",
        "thought": "reasoning thinking thought analysis 思考",
    }.items()
    for word in words.split()
}
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
_CONTENT_KEYS = ("content", "value", "text", "message", "utterance", "parts")
_CALL_KEYS = ("tool_calls", "function_call")


@dataclass(slots=True)
class Turn:
    """A turn of a conversation; ``role`` is system, user, assistant or tool."""

    role: str
    content: str
    thought: str = ""


def turns_of(value: Any, left: list[str]) -> list[Turn] | None:
    """Return the turns of a conversation; None if ``value`` is none.

    Args:
        value: the value of a column.
        left: strings of the turns that are no part of them are added here.

    Raises:
        RowError: a turn has an unknown role.
    """
    value = decoded(value)
    if isinstance(value, str) and value.startswith("[{'"):
        value = _literal(value)
    if isinstance(value, Mapping):
        value = value["messages"] if isinstance(value.get("messages"), list) else _from_columns(value)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(one, Mapping) for one in value):
        if not _has_roles(value):
            value = [{str(key).lower(): text for key, text in one.items()} for one in value]
        if _has_roles(value):
            return _turns(value, left)
        if {"user", "assistant"} <= {_role(key) for one in value for key in one}:  # {"human": ..., "assistant": ...}
            return _turns([{"role": key, "content": text} for one in value for key, text in one.items()], left)
        return None
    if all(isinstance(one, list) and len(one) == 2 and _role(one[0]) for one in value):
        return _turns([{"role": role, "content": text} for role, text in value], left)
    return None


def _literal(text: str) -> Any:
    """Return the list that a text holds as Python writes it."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _has_roles(value: Sequence[Mapping[str, Any]]) -> bool:
    return all(any(key in one for key in _ROLE_KEYS) for one in value)


def alternating_turns(value: Any) -> list[Turn] | None:
    """Return a list of strings, or of pairs of strings, as turns of user and assistant; None if it is none."""
    value = decoded(value)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(one, list) and len(one) == 2 for one in value):
        value = [text for pair in value for text in pair]
    if not all(isinstance(one, str) for one in value):
        return None
    return [Turn(("user", "assistant")[at % 2], text) for at, text in enumerate(value)]


def _from_columns(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the turns of an object of lists, as Parquet stores a list of objects."""
    role = next((key for key in _ROLE_KEYS if isinstance(value.get(key), list)), None)
    if role is None:
        return None
    number = len(value[role])
    lists = {key: one for key, one in value.items() if isinstance(one, list) and len(one) == number}
    return [{key: one[at] for key, one in lists.items()} for at in range(number)]


def _turns(given: Sequence[Mapping[str, Any]], left: list[str]) -> list[Turn]:
    turns: list[Turn] = []
    thoughts: list[str] = []
    for one in given:
        turn = _turn(one, left)
        if turn.role == "thought":
            thoughts += (turn.thought, turn.content)
            continue
        if turn.role == "assistant":
            turn.thought = _paragraphs(*thoughts, turn.thought)
            thoughts = []
        elif turn.thought:  # only answers have thoughts
            left.append(turn.thought)
        turns.append(turn)
    if thought := _paragraphs(*thoughts):
        turns.append(Turn("assistant", "", thought))
    return turns


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _turn(one: Mapping[str, Any], left: list[str]) -> Turn:
    role_key = next(key for key in _ROLE_KEYS if key in one)
    given = one[role_key]
    role = _role(given.get("role") if isinstance(given, Mapping) else given)
    if role is None:
        raise RowError(f"the conversation has a turn with an unknown role: {given!r}"[:120])
    content_key = next((key for key in _CONTENT_KEYS if one.get(key) is not None), "")
    content, thought = content_in(one.get(content_key), left)
    if len(one) > 2:
        thoughts = [thought] if thought else []
        calls = []
        for key, value in one.items():
            if key in (role_key, content_key) or value is None:
                continue
            if key in THOUGHT_KEYS:
                thoughts += _new(thought_in(value, left), thoughts)
            elif key in _CALL_KEYS:
                calls += _calls(value, left)
            elif key != "channel":
                left += strings(value)
        thought = _paragraphs(*thoughts)
        content = _paragraphs(content, *calls)
        if role == "assistant" and str(one.get("channel")).lower() == "analysis":
            role = "thought"
    if role == "call":
        return Turn("assistant", f"<tool_call>\n{content}\n</tool_call>", thought)
    return Turn(role, content, thought)


def _new(thought: str, known: Sequence[str]) -> list[str]:
    """Return ``thought`` unless it is empty or known: some servers send it under two keys."""
    return [thought] if thought and not any(thought in one for one in known) else []


def _calls(value: Any, left: list[str]) -> list[str]:
    texts = []
    for call in value if isinstance(value, list) else [value]:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if isinstance(function, Mapping) and string(function.get("name")):
            texts.append(tool_call(function["name"], function.get("arguments", function.get("parameters"))))
            left += (one for key, part in call.items() if key not in ("function", "type") for one in strings(part))
        else:
            left += strings(call)
    return texts


def _role(value: Any) -> str | None:
    """Return the role that a name means: ``user`` for Human, ``assistant`` for gpt-4."""
    if not isinstance(value, str):
        return None
    name = value.strip().lower()
    return _ROLES.get(name) or ((first := _FIRST_WORD.match(name)) and _ROLES.get(first[0])) or None
