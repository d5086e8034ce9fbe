"""Conversations: the questions, the answer of each pane, and the preference votes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields
from typing import Any, Literal

from store.naming import BEGINNING, bounds, resolved
from store.records import new_id, now, scrubbed
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
    """The prompt set asked in the background that it belongs to."""
    head: int | None = None
    """The last turn of the branch that is shown; None is the latest question's."""


_MESSAGE_COLUMNS = ", ".join(f.name for f in fields(Message))
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
    """Create a conversation with a pane for each (model reference, label); ``identity`` None is a new one."""
    identity, time = identity or new_id(), now()
    with db.atomic():
        db.conn.execute(
            "INSERT INTO conversations(id, title, settings, created_at, updated_at, round) VALUES (?, ?, ?, ?, ?, ?)",
            (identity, scrubbed(title), scrubbed(json.dumps(settings)), time, time, round),
        )
        db.conn.executemany(
            "INSERT INTO panes(conversation_id, position, model, label) VALUES (?, ?, ?, ?)",
            [(identity, position, scrubbed(model), scrubbed(label)) for position, (model, label) in enumerate(panes)],
        )
    return get(db, identity)


def set_settings(db: Database, identity: str, settings: dict[str, Any]) -> None:
    """Replace the settings of a conversation."""
    with db.atomic():
        db.conn.execute(
            "UPDATE conversations SET settings = ? WHERE id = ?", (scrubbed(json.dumps(settings)), identity)
        )


def get(db: Database, identity: str) -> Conversation:
    """Return the conversation with this id, or the only one whose id begins with it.

    Raises:
        MissingError: No conversation, or several conversations, have such an id.
    """
    rows = db.execute(f"{_SELECT} WHERE {BEGINNING}", bounds(identity)).fetchall()
    return resolved(
        [_conversation(db, row) for row in rows], identity, "conversation", "The Compare screen lists them."
    )


def exists(db: Database, identity: str) -> bool:
    return db.execute("SELECT 1 FROM conversations WHERE id = ?", [identity]).fetchone() is not None


def page(
    db: Database, *, text: str = "", round: str | None = None, limit: int = 50, offset: int = 0
) -> list[Conversation]:
    """Return conversations, the latest first.

    Args:
        db: The lab's database.
        text: Only those with it in title, question, thought or answer; empty for all.
        round: Only those of this round.
        limit: The largest number of conversations.
        offset: The number of later ones that are left out.
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
    return int(db.execute(f"SELECT count(*) FROM conversations c WHERE {condition}", parameters).fetchone()[0])


def save_message(db: Database, message: Message) -> None:
    """Save a message; it replaces one with the same id."""
    values = [getattr(message, f.name) for f in fields(Message)]
    values = [scrubbed(v) if isinstance(v, str) else _json(v) if isinstance(v, dict | tuple) else v for v in values]
    marks = ", ".join("?" * len(values))
    updates = ", ".join(f"{f.name} = excluded.{f.name}" for f in fields(Message) if f.name != "id")
    with db.atomic():
        db.conn.execute(
            f"INSERT INTO messages({_MESSAGE_COLUMNS}) VALUES ({marks}) ON CONFLICT(id) DO UPDATE SET {updates}",
            values,
        )
        db.conn.execute("UPDATE conversations SET updated_at = ? WHERE id = ?", (now(), message.conversation_id))


def messages(db: Database, conversation_id: str, *, branches: bool = False) -> list[Message]:
    """Return the messages of the branch that is shown, in order; with ``branches``, every message."""
    condition = "" if branches else f"AND turn IN ({_BRANCH}) AND (pane IS NULL OR shown)"
    rows = db.execute(
        f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE conversation_id = :id {condition} "
        "ORDER BY turn, pane IS NOT NULL, pane, seq",
        {"id": conversation_id},
    )
    return [_message(row) for row in rows]


_BRANCH = """
    WITH RECURSIVE branch(turn) AS (
        SELECT coalesce(head, (SELECT max(turn) FROM messages WHERE conversation_id = :id))
            FROM conversations WHERE id = :id
        UNION SELECT coalesce(q.parent, q.turn - 1) FROM branch JOIN messages q
            ON q.conversation_id = :id AND q.turn = branch.turn AND q.pane IS NULL)
    SELECT turn FROM branch"""
"""The turns of the branch that is shown."""


def _message(row: Sequence[Any]) -> Message:
    values = dict(zip((f.name for f in fields(Message)), row, strict=True))
    values["settings"] = json.loads(values["settings"])
    values["spans"] = tuple(Span(*one) for one in json.loads(values["spans"]))
    values["follows"] = tuple(json.loads(values["follows"]))
    values["shown"] = bool(values["shown"])
    return Message(**values)


def _json(value: Any) -> str:
    if isinstance(value, tuple):
        value = [astuple(one) if isinstance(one, Span) else one for one in value]
    return scrubbed(json.dumps(value))


def vote(db: Database, ballot: Vote) -> None:
    """Record a preference; the latest vote of an annotator on a turn counts."""
    with db.atomic():
        db.conn.execute(
            "INSERT INTO votes(id, conversation_id, turn, winner, candidates, blind, annotator, created_at, "
            "contestants, winner_pane) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                ballot.id, ballot.conversation_id, ballot.turn, ballot.winner, json.dumps(ballot.candidates),
                ballot.blind, scrubbed(ballot.annotator), ballot.created_at, scrubbed(json.dumps(ballot.contestants)),
                ballot.winner_pane,
            ),
        )  # fmt: skip


def withdraw(db: Database, vote_id: str) -> None:
    """Withdraw a vote; the annotator's vote before it on the same turn counts again, if there is one."""
    with db.atomic():
        db.conn.execute("UPDATE votes SET withdrawn_at = ? WHERE id = ?", (now(), vote_id))


def votes(db: Database, *, conversation_id: str | None = None, round: str | None = None) -> list[Vote]:
    """Return the votes that count, the earliest first: the latest of each annotator on each turn.

    Args:
        db: The lab's database.
        conversation_id: Only those of this conversation.
        round: Only those of the conversations of this round.
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
        f"""SELECT conversation_id, turn, winner, candidates, blind, annotator, contestants, winner_pane, id,
            created_at, max(rowid) FROM votes WHERE {" AND ".join(conditions)}
            GROUP BY conversation_id, turn, annotator ORDER BY max(rowid)""",
        parameters,
    )
    return [
        Vote(r[0], r[1], r[2], tuple(json.loads(r[3])), bool(r[4]), r[5], tuple(json.loads(r[6])), *r[7:10])
        for r in rows
    ]


def voted_turns(db: Database, conversation_id: str, annotator: str) -> set[int]:
    """Return the turns that an annotator has voted on, also if the vote was withdrawn."""
    rows = db.execute(
        "SELECT DISTINCT turn FROM votes WHERE conversation_id = ? AND annotator = ?", [conversation_id, annotator]
    )
    return {turn for (turn,) in rows}


def questions(db: Database, turns: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return the question of each (conversation, turn)."""
    found = {}
    for identity, turn in dict.fromkeys(turns):
        row = db.execute(
            "SELECT content FROM messages WHERE conversation_id = ? AND turn = ? AND pane IS NULL", [identity, turn]
        ).fetchone()
        found[identity, turn] = "" if row is None else str(row[0])
    return found


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
    return Conversation(row[0], row[1], json.loads(row[2]), tuple(Pane(*pane) for pane in panes), *row[3:7])
