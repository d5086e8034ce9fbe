"""Conversations: the first user turn is the problem, the first turn of the assistant is the response.

Later turns answer other questions; how many there are is stored in the trace's meta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from o1lab.chains.parse import join
from o1lab.ingest.importers.base import REASONING, Found, RowError, TraceText, importer, string, words

_USER, _ASSISTANT = ("user", "human"), ("assistant", "gpt", "model", "bot")


def _conversation(turns: Any) -> Found | None:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return None
    by_role = [(string(turn.get("role") or turn.get("from")), turn) for turn in turns]
    question = next((index for index, (role, _) in enumerate(by_role) if role in _USER), None)
    if question is None:
        raise RowError("the conversation has no user turn")
    answer = next((turn for role, turn in by_role[question + 1 :] if role in _ASSISTANT), None)
    if answer is None:
        raise RowError("the conversation has no assistant turn after the question")
    raw = join(words(answer, REASONING), _content(answer))
    answers = sum(role in _ASSISTANT for role, _ in by_role)
    return Found(_content(by_role[question][1]), [TraceText(raw, turns=answers)])


def _content(turn: Mapping[str, Any]) -> str:
    """Return the text of a turn; of a list of parts, the text parts."""
    value = turn.get("content", turn.get("value"))
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        return "".join(part for part in parts if isinstance(part, str))
    return value if isinstance(value, str) else ""


@importer("sharegpt", order=30, own_name=False)
def sharegpt(row: Mapping[str, Any]) -> Found | None:
    return _conversation(row.get("conversations", row.get("conversation")))


@importer("messages", order=40)
def messages(row: Mapping[str, Any]) -> Found | None:
    return _conversation(row.get("messages"))
