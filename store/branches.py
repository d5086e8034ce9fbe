"""Branches of a conversation: the tree of its messages, the branch that is shown, and the tokens of its answers.

A question follows the answers to the question before it. Several questions that follow the same answers are versions
of each other, and so are the answers of a pane to one question. What is shown is one branch: from the first question to
the ``head``, with one version of each answer.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from store import conversations
from store.conversations import Message
from store.rows import insert
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of an answer.

    Attributes:
        model: The model, as a reference of the registry.
        ids: Their ids, after those of the prompt.
        ends: The offset in the answer's raw text at which each ends; -1 inside a piece that holds several tokens.
    """

    model: str
    ids: tuple[int, ...]
    ends: tuple[int, ...]

    def up_to(self, offset: int) -> tuple[int, ...] | None:
        """Return the tokens of the text before ``offset``; None if none of them ends there."""
        return self.ids[: self.ends.index(offset) + 1] if offset in self.ends else None


def question(history: Sequence[Message], turn: int) -> Message | None:
    return next((one for one in history if one.pane is None and one.turn == turn), None)


def path(history: Sequence[Message], head: int) -> list[int]:
    """Return the turns from the first question to ``head``."""
    turns: list[int] = []
    while head > 0 and head not in turns:
        turns.append(head)
        asked = question(history, head)
        head = asked.before if asked is not None else 0
    return turns[::-1]


def shown(history: Sequence[Message], turn: int) -> tuple[str, ...]:
    """Return the ids of the answers shown in a turn."""
    return tuple(one.id for one in history if one.turn == turn and one.pane is not None and one.shown)


def answers(history: Sequence[Message], pane: int, turn: int) -> list[Message]:
    """Return the versions of an answer, the earliest first."""
    return sorted(
        (one for one in history if one.pane == pane and one.turn == turn), key=lambda answer: answer.created_at
    )


def questions(history: Sequence[Message], turn: int) -> list[Message]:
    """Return the versions of a question: those that follow the same answers, the earliest first."""
    mine = question(history, turn)
    if mine is None:
        return []
    versions = (one for one in history if one.pane is None and one.before == mine.before)
    return sorted((one for one in versions if set(one.follows) == set(mine.follows)), key=lambda one: one.turn)


def latest(history: Sequence[Message], turn: int) -> int:
    """Return the last turn of the latest branch that continues from the answers shown in ``turn``."""
    here = set(shown(history, turn))
    after = [one.turn for one in history if one.pane is None and one.before == turn and set(one.follows) <= here]
    return latest(with_branch(history, max(after)), max(after)) if after else turn


def with_branch(history: Sequence[Message], head: int) -> list[Message]:
    """Return the messages with the answers shown that the questions up to ``head`` follow."""
    wanted: dict[int, set[str]] = {}
    for turn in path(history, head):
        asked = question(history, turn)
        if asked is not None and asked.follows:
            wanted[asked.before] = set(asked.follows)
    panes = {turn: {one.pane for one in history if one.id in ids} for turn, ids in wanted.items()}
    return [
        replace(one, shown=one.id in wanted[one.turn])
        if one.pane is not None and one.turn in wanted and one.pane in panes[one.turn]
        else one
        for one in history
    ]


def show(db: Database, before: Sequence[Message], after: Sequence[Message], head: int) -> None:
    """Store which answers are shown, and that the branch to ``head`` is.

    Args:
        db: The lab's database.
        before: The messages of the conversation.
        after: The same messages, in the same order, some with another ``shown``.
        head: The last turn of the branch.
    """
    newest = max((one.turn for one in after), default=head)
    with db.atomic():
        for old, new in zip(before, after, strict=True):
            if old.shown != new.shown:
                db.conn.execute("UPDATE messages SET shown = ? WHERE id = ?", (new.shown, new.id))
        if after:
            db.conn.execute(
                "UPDATE conversations SET head = ? WHERE id = ?",
                (None if head == newest else head, after[0].conversation_id),
            )


def save(db: Database, messages: Sequence[Message], *, head: int | None, tokens: Tokens | None = None) -> None:
    """Save messages of one conversation in one transaction.

    Args:
        db: The lab's database.
        messages: The messages. The last is new, or replaces that with its id.
        head: The last turn of the branch that is shown from now on; None is the latest question's.
        tokens: The tokens of the last message, if they are known.
    """
    with db.atomic():
        for one in messages:
            conversations.save_message(db, one)
        last = messages[-1]
        db.conn.execute("UPDATE conversations SET head = ? WHERE id = ?", (head, last.conversation_id))
        if tokens is not None and tokens.ids:
            packed = zlib.compress(json.dumps([tokens.ids, tokens.ends]).encode())
            row = {"message_id": last.id, "model": tokens.model, "tokens": packed}
            insert(db, "message_tokens", [row], on_conflict="REPLACE")


def tokens_of(db: Database, message_id: str) -> Tokens | None:
    """Return the tokens of an answer; None if its server did not return them."""
    row = db.execute("SELECT model, tokens FROM message_tokens WHERE message_id = ?", [message_id]).fetchone()
    if row is None:
        return None
    ids, ends = json.loads(zlib.decompress(row[1]))
    return Tokens(row[0], tuple(ids), tuple(ends))
