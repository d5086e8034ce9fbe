"""Conversations: the questions, the answer of each pane, and the preference votes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from store.naming import BEGINNING, bounds, resolved
from store.records import new_id, now, scrubbed
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class Pane:
    position: int
    model: str
    label: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``pane`` is None for a message of the user, which is sent to all panes."""

    id: str
    conversation_id: str
    turn: int
    pane: int | None
    role: str
    state: str  # complete, stopped, failed, replaced
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


@dataclass(frozen=True, slots=True)
class Vote:
    """A preference. ``winner`` is a model reference, ``tie`` or ``none``; ``candidates`` are in the order shown."""

    conversation_id: str
    turn: int
    winner: str
    candidates: tuple[str, ...]
    blind: bool
    annotator: str
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


_MESSAGE_COLUMNS = ", ".join(f.name for f in fields(Message))
_SELECT = "SELECT id, title, settings, created_at, updated_at FROM conversations c"


def create(db: Database, title: str, panes: Sequence[tuple[str, str]], settings: dict[str, Any]) -> Conversation:
    """Create a conversation with a pane for each (model reference, label)."""
    identity, time = new_id(), now()
    with db.atomic():
        db.conn.execute(
            "INSERT INTO conversations(id, title, settings, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
            (identity, scrubbed(title), scrubbed(json.dumps(settings)), time, time),
        )
        db.conn.executemany(
            "INSERT INTO panes(conversation_id, position, model, label) VALUES (?, ?, ?, ?)",
            [(identity, position, scrubbed(model), scrubbed(label)) for position, (model, label) in enumerate(panes)],
        )
    return get(db, identity)


def get(db: Database, identity: str) -> Conversation:
    """Return the conversation with this id, or the only one whose id begins with it.

    Raises:
        MissingError: No conversation, or several conversations, have such an id.
    """
    rows = db.execute(f"{_SELECT} WHERE {BEGINNING}", bounds(identity)).fetchall()
    return resolved(
        [_conversation(db, row) for row in rows], identity, "conversation", "The Compare screen lists them."
    )


def page(db: Database, *, text: str = "", limit: int = 50, offset: int = 0) -> list[Conversation]:
    """Return conversations, the latest first; with ``text``, those with it in title, question, thought or answer."""
    condition, parameters = _condition(text)
    rows = db.execute(
        f"{_SELECT} WHERE {condition} ORDER BY updated_at DESC LIMIT ? OFFSET ?", [*parameters, limit, offset]
    ).fetchall()
    return [_conversation(db, row) for row in rows]


def count(db: Database, *, text: str = "") -> int:
    condition, parameters = _condition(text)
    return int(db.execute(f"SELECT count(*) FROM conversations c WHERE {condition}", parameters).fetchone()[0])


def save_message(db: Database, message: Message) -> None:
    """Save a message; it replaces one with the same id."""
    values = [getattr(message, f.name) for f in fields(Message)]
    values = [json.dumps(v) if isinstance(v, dict) else scrubbed(v) if isinstance(v, str) else v for v in values]
    marks = ", ".join("?" * len(values))
    updates = ", ".join(f"{f.name} = excluded.{f.name}" for f in fields(Message) if f.name not in ("id", "created_at"))
    with db.atomic():
        db.conn.execute(
            f"INSERT INTO messages({_MESSAGE_COLUMNS}) VALUES ({marks}) ON CONFLICT(id) DO UPDATE SET {updates}",
            values,
        )
        db.conn.execute("UPDATE conversations SET updated_at = ? WHERE id = ?", (now(), message.conversation_id))


def messages(db: Database, conversation_id: str, *, replaced: bool = False) -> list[Message]:
    """Return a conversation's messages in order; with ``replaced``, also answers that were regenerated."""
    condition = "" if replaced else "AND state != 'replaced'"
    rows = db.execute(
        f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE conversation_id = ? {condition} "
        "ORDER BY turn, pane IS NOT NULL, pane, seq",
        [conversation_id],
    )
    names = [f.name for f in fields(Message)]
    found = []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        values["settings"] = json.loads(values["settings"])
        found.append(Message(**values))
    return found


def vote(db: Database, ballot: Vote) -> None:
    """Record a preference; the latest vote of an annotator on a turn counts."""
    with db.atomic():
        db.conn.execute(
            "INSERT INTO votes(id, conversation_id, turn, winner, candidates, blind, annotator, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                ballot.id, ballot.conversation_id, ballot.turn, ballot.winner, json.dumps(ballot.candidates),
                ballot.blind, scrubbed(ballot.annotator), ballot.created_at,
            ),
        )  # fmt: skip


def votes(db: Database, *, conversation_id: str | None = None) -> list[Vote]:
    """Return the votes that count: the latest of each annotator on each turn."""
    condition, parameters = ("conversation_id = ?", [conversation_id]) if conversation_id else ("1", [])
    rows = db.execute(
        f"""SELECT conversation_id, turn, winner, candidates, blind, annotator, id, max(created_at)
            FROM votes WHERE {condition} GROUP BY conversation_id, turn, annotator ORDER BY 8""",
        parameters,
    )
    return [Vote(r[0], r[1], r[2], tuple(json.loads(r[3])), bool(r[4]), r[5], r[6], r[7]) for r in rows]


def save_prompt_set(db: Database, name: str, prompts: Sequence[str]) -> None:
    with db.atomic():
        db.conn.execute(
            "INSERT OR REPLACE INTO prompt_sets(name, prompts, created_at) VALUES (?, ?, ?)",
            (scrubbed(name), scrubbed(json.dumps(list(prompts))), now()),
        )


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
    return Conversation(row[0], row[1], json.loads(row[2]), tuple(Pane(*pane) for pane in panes), row[3], row[4])
