"""Conversations with votes, put into the store as Compare saves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store import Store, conversations
from store.conversations import Conversation, Message, Vote
from store.records import new_id

MODELS = ("left", "right")


def conversation(store: Store, models: Sequence[str] = MODELS) -> Conversation:
    return conversations.create(store.db, "votes", [(model, model) for model in models], {})


def turn(
    store: Store, record: Conversation, number: int, question: str, answers: Sequence[str], **settings: Any
) -> list[Message]:
    """Save a question and the answer of each pane."""
    conversations.save_message(store.db, Message(new_id(), record.id, number, None, "user", "complete", question))
    return [answer(store, record, number, pane, text, **settings) for pane, text in enumerate(answers)]


def answer(store: Store, record: Conversation, number: int, pane: int, text: str, **settings: Any) -> Message:
    """Save the answer of a pane."""
    saved = Message(
        new_id(), record.id, number, pane, "assistant", "complete", text,
        settings={"system": "", "finish_reason": "stop"} | settings,
    )  # fmt: skip
    conversations.save_message(store.db, saved)
    return saved


def vote(
    store: Store, record: Conversation, winner: str, *, number: int = 1, blind: bool = True, by: str = "ann"
) -> None:
    """Save a vote on a turn."""
    shown = tuple(pane.model for pane in record.panes)
    conversations.vote(store.db, Vote(record.id, number, winner, shown, blind, by))


def voted(store: Store, question: str, better: str, worse: str) -> None:
    """A conversation of one turn in which the left answer won blindly."""
    record = conversation(store)
    turn(store, record, 1, question, [better, worse])
    vote(store, record, "left")
