"""Conversations: the questions, the answer of each pane, and the preference votes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from store.naming import BEGINNING, bounds, resolved
from store.records import new_id, now
from store.rows import columns, insert, read, read_all, values
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Pane:
    position: int
    model: str
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """Who wrote ``raw[start:end]`` of an answer: a model of the registry, or a person."""

    start: int
    end: int
    kind: Literal["model", "person"]
    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``pane`` is None for a message of the user, which is sent to all panes.

    Messages form a tree (:mod:`store.branches`). Each question has a turn of its own, and the answers of a pane to one
    question are its versions.

    Attributes:
        raw: Of an answer: the text as it was written, with its think marks; None in those of earlier versions.
        spans: Of an answer: who wrote which part of ``raw``.
        parent: Of a question: the turn that it follows, 0 for none; None is the turn before.
        follows: Of a question: the ids of the answers that it follows.
        shown: Of an answer: whether it is the version that is shown, or was shown last.
    """

    id: str
    conversation_id: str
    turn: int
    pane: int | None
    role: str
    state: str  # complete, stopped, failed
    content: str
    thought: str = ""
    error: str | None = None
    verdict: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    thought_tokens: int | None = None
    ttft_s: float | None = None
    seconds: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    created_at: str = field(default_factory=now)
    raw: str | None = None
    spans: tuple[Span, ...] = ()
    parent: int | None = None
    follows: tuple[str, ...] = ()
    shown: bool = True

    @property
    def before(self) -> int:
        """The turn that a question follows; 0 for none."""
        return self.turn - 1 if self.parent is None else self.parent


@dataclass(frozen=True, slots=True)
class Vote:
    """A preference.

    Attributes:
        winner: A model reference, ``tie`` or ``none``.
        candidates: The model references in the order shown.
        contestants: For each candidate its ``pane``, the id of its ``answer``, and what it was asked with: ``system``,
            ``temperature``, ``top_p``, ``max_tokens``. Empty, or without ``answer``, in votes of earlier versions.
        winner_pane: The pane of the winner, since several panes may have one model.
    """

    conversation_id: str
    turn: int
    winner: str
    candidates: tuple[str, ...]
    blind: bool
    annotator: str
    contestants: tuple[dict[str, Any], ...] = ()
    winner_pane: int | None = None
    id: str = field(default_factory=new_id)
    created_at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    title: str
    settings: dict[str, Any]
    panes: tuple[Pane, ...]
    created_at: str
    updated_at: str
    round: str | None = None
    """The round that it belongs to: a prompt set that was sent in the background."""
    head: int | None = None
    """The last turn of the branch that is shown; None is the latest question's."""


_SELECT = "SELECT id, title, settings, created_at, updated_at, round, head FROM conversations c"


def create(
    db: Database,
    title: str,
    panes: Sequence[tuple[str, str]],
    settings: dict[str, Any],
    *,
    identity: str | None = None,
    round: str | None = None,
) -> Conversation:
    """Create a conversation with a pane for each (model reference, label); without ``identity``, its id is random."""
    identity, time = identity or new_id(), now()
    row = {"id": identity, "title": title, "settings": settings, "created_at": time, "updated_at": time, "round": round}
    with db.atomic():
        insert(db, "conversations", [row])
        numbered = (Pane(position, *pane) for position, pane in enumerate(panes))
        insert(db, "panes", ({"conversation_id": identity, **values(pane)} for pane in numbered))
    return get(db, identity)


def set_settings(db: Database, identity: str, settings: dict[str, Any]) -> None:
    """Replace the settings of a conversation."""
    with db.atomic():
        db.conn.execute("UPDATE conversations SET settings = ? WHERE id = ?", (json.dumps(settings), identity))


def get(db: Database, identity: str) -> Conversation:
    """Return the conversation with this id, or the only one whose id begins with it.

    Raises:
        NotFoundError: No conversation, or several conversations, have such an id.
    """
    rows = db.execute(f"{_SELECT} WHERE {BEGINNING}", bounds(identity)).fetchall()
    return resolved(
        [_conversation(db, row) for row in rows], identity, "conversation", "The Compare screen lists them."
    )


def exists(db: Database, identity: str) -> bool:
    return db.value("SELECT 1 FROM conversations WHERE id = ?", [identity]) is not None


def page(
    db: Database, *, text: str = "", round: str | None = None, limit: int = 50, offset: int = 0
) -> list[Conversation]:
    """Return conversations, the latest first.

    Args:
        db: The lab's database.
        text: Only conversations with this text in title, question, thought or answer; empty for all.
        round: Only conversations of this round.
        limit: Maximum number of conversations.
        offset: Number of conversations to skip.
    """
    condition, parameters = _condition(text)
    rows = db.execute(
        f"{_SELECT} WHERE ({condition}) AND (? IS NULL OR round = ?) ORDER BY updated_at DESC LIMIT ? OFFSET ?",
        [*parameters, round, round, limit, offset],
    ).fetchall()
    return [_conversation(db, row) for row in rows]


def grouped(db: Database, *, text: str = "", limit: int = 50) -> list[tuple[Conversation, int]]:
    """Return conversations as :func:`page` does, but of each round only the latest, with the number of those found."""
    condition, parameters = _condition(text)
    rows = db.execute(  # with max(), the other columns are those of the latest conversation
        f"{_SELECT.replace(' FROM', ', count(*), max(updated_at) FROM')} WHERE {condition} "
        "GROUP BY coalesce('round ' || round, id) ORDER BY max(updated_at) DESC LIMIT ?",
        [*parameters, limit],
    ).fetchall()
    return [(_conversation(db, row), row[7]) for row in rows]


def count(db: Database, *, text: str = "") -> int:
    condition, parameters = _condition(text)
    return int(db.value(f"SELECT count(*) FROM conversations c WHERE {condition}", parameters))


def save_message(db: Database, message: Message) -> None:
    """Save a message; it replaces one with the same id."""
    with db.atomic():
        insert(db, "messages", [message], on_conflict="UPDATE")
        db.conn.execute("UPDATE conversations SET updated_at = ? WHERE id = ?", (now(), message.conversation_id))


def messages(db: Database, conversation_id: str, *, branches: bool = False) -> list[Message]:
    """Return the messages of the branch that is shown, in order; with ``branches``, every message."""
    condition = "" if branches else f"AND turn IN ({_BRANCH}) AND (pane IS NULL OR shown)"
    wanted = f"conversation_id = :id {condition} ORDER BY turn, pane IS NOT NULL, pane, seq"
    return read_all(db, Message, f"FROM messages WHERE {wanted}", {"id": conversation_id})


_BRANCH = """
    WITH RECURSIVE branch(turn) AS (
        SELECT coalesce(head, (SELECT max(turn) FROM messages WHERE conversation_id = :id))
            FROM conversations WHERE id = :id
        UNION SELECT coalesce(q.parent, q.turn - 1) FROM branch JOIN messages q
            ON q.conversation_id = :id AND q.turn = branch.turn AND q.pane IS NULL)
    SELECT turn FROM branch"""
"""The turns of the branch that is shown."""


def vote(db: Database, ballot: Vote) -> None:
    """Record a preference; the latest vote of an annotator on a turn counts."""
    with db.atomic():
        insert(db, "votes", [ballot])


def withdraw(db: Database, vote_id: str) -> None:
    """Withdraw a vote; the annotator's vote before it on the same turn counts again, if there is one."""
    with db.atomic():
        db.conn.execute("UPDATE votes SET withdrawn_at = ? WHERE id = ?", (now(), vote_id))


def votes(db: Database, *, conversation_id: str | None = None, round: str | None = None) -> list[Vote]:
    """Return the votes that count, the earliest first: the latest of each annotator on each turn.

    Args:
        db: The lab's database.
        conversation_id: Only votes in this conversation.
        round: Only votes in conversations of this round.
    """
    conditions, parameters = ["withdrawn_at IS NULL"], []
    if conversation_id is not None:
        conditions.append("conversation_id = ?")
        parameters.append(conversation_id)
    if round is not None:
        conditions.append("conversation_id IN (SELECT id FROM conversations WHERE round = ?)")
        parameters.append(round)
    # With max(), the other columns are those of the latest vote. rowid has the order in which votes were recorded.
    rows = db.execute(
        f"SELECT {columns(Vote)}, max(rowid) FROM votes WHERE {' AND '.join(conditions)} "
        "GROUP BY conversation_id, turn, annotator ORDER BY max(rowid)",
        parameters,
    )
    return [read(Vote, row[:-1]) for row in rows]


def voted_turns(db: Database, conversation_id: str, annotator: str) -> set[int]:
    """Return the turns that an annotator has voted on, including withdrawn votes."""
    return set(
        db.column(
            "SELECT DISTINCT turn FROM votes WHERE conversation_id = ? AND annotator = ?", [conversation_id, annotator]
        )
    )


def questions(db: Database, turns: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return the question of each (conversation, turn)."""
    query = "SELECT content FROM messages WHERE conversation_id = ? AND turn = ? AND pane IS NULL"
    return {turn: db.value(query, turn) or "" for turn in dict.fromkeys(turns)}


def save_prompt_set(db: Database, name: str, prompts: Sequence[str]) -> None:
    with db.atomic():
        row = {"name": name, "prompts": list(prompts), "created_at": now()}
        insert(db, "prompt_sets", [row], on_conflict="REPLACE")


def prompt_sets(db: Database) -> dict[str, list[str]]:
    """Return every saved prompt set by name."""
    return {
        name: json.loads(prompts) for name, prompts in db.execute("SELECT name, prompts FROM prompt_sets ORDER BY name")
    }


def _condition(text: str) -> tuple[str, list[str]]:
    if not text:
        return "EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = c.id)", []
    return (
        "instr(lower(c.title), lower(?)) > 0 OR EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = c.id "
        "AND (instr(lower(m.content), lower(?)) > 0 OR instr(lower(m.thought), lower(?)) > 0))",
        [text, text, text],
    )


def _conversation(db: Database, row: Sequence[Any]) -> Conversation:
    panes = db.execute("SELECT position, model, label FROM panes WHERE conversation_id = ? ORDER BY position", [row[0]])
    return Conversation(row[0], row[1], json.loads(row[2]), tuple(Pane(*pane) for pane in panes), *row[3:7])
