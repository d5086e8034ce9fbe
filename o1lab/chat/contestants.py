"""Contestants of votes: a model with the settings that it was asked with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from o1lab.text import one_line
from store import conversations
from store.conversations import Message, Vote
from store.sqlite import Database

FIELDS = ("temperature", "top_p", "max_tokens", "system")
_WORDS = {"temperature": "temperature", "top_p": "top-p", "max_tokens": "max"}


@dataclass(frozen=True)
class Contestant:
    """A model with settings. A model with other settings is another contestant; the seed makes no difference.

    Attributes:
        system: the system prompt; empty for none. None, in rounds only: that of the student's run.
        temperature, top_p, max_tokens: None for the server's default.
    """

    model: str
    system: str | None = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None

    @classmethod
    def of(cls, model: str, asked: Mapping[str, Any]) -> Self:
        """Make a contestant of what a vote says of a candidate."""
        return cls(
            model, asked.get("system", ""), asked.get("temperature"), asked.get("top_p"), asked.get("max_tokens")
        )

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}


def names(contestants: Iterable[Contestant]) -> dict[Contestant, str]:
    """Name contestants: the model, with those settings in which contestants of that model differ."""
    by_model: dict[str, list[Contestant]] = {}
    for one in dict.fromkeys(contestants):
        by_model.setdefault(one.model, []).append(one)
    found = {}
    for model, several in by_model.items():
        differing = [name for name in FIELDS if len({getattr(one, name) for one in several}) > 1]
        for one in several:
            words = words_of({name: getattr(one, name) for name in differing})
            found[one] = f"{model} ({words})" if words else model
    return found


def words_of(settings: Mapping[str, Any]) -> str:
    """Return settings in words: ``temperature 0.7, system "Be brief."``."""
    parts = []
    for name, value in sorted(settings.items(), key=lambda one: one[0] == "system"):
        if name == "system":
            parts.append("no system prompt" if value == "" else "default system prompt" if value is None
                         else f"system {one_line(repr(str(value)), 32)}")  # fmt: skip
        elif value is None:
            parts.append(f"{_WORDS.get(name, name)} of the server")
        else:
            parts.append(f"{_WORDS.get(name, name)} {value:g}" if isinstance(value, float) else
                         f"{_WORDS.get(name, name)} {value}")  # fmt: skip
    return ", ".join(parts)


def asked_with(answer: Message) -> dict[str, Any]:
    """Return an answer's id and pane, and what it was asked with, as a vote records it."""
    settings, sampling = answer.settings, answer.settings.get("sampling") or {}
    asked = {"system": settings.get("system") or ""} | {name: sampling.get(name) for name in FIELDS[:-1]}
    return {"pane": answer.pane, "answer": answer.id, **asked}


def contestants_of(ballot: Vote) -> list[Contestant]:
    """Return the contestants of a vote, in the order shown."""
    asked = ballot.contestants or ({},) * len(ballot.candidates)
    return [Contestant.of(model, one) for model, one in zip(ballot.candidates, asked, strict=False)]


def completed(db: Database, votes: Sequence[Vote]) -> list[Vote]:
    """Return votes, with the settings that votes of earlier versions do not have taken from the answers."""
    found = []
    for ballot in votes:
        if ballot.contestants:
            found.append(ballot)
            continue
        record = conversations.get(db, ballot.conversation_id)
        history = conversations.messages(db, record.id, branches=True)
        panes = {pane.model: pane.position for pane in record.panes}  # each model had one pane
        asked = []
        for model in ballot.candidates:
            pane = panes.get(model)
            shown = [
                one for one in history
                if pane is not None and one.pane == pane and one.turn == ballot.turn
                and one.created_at <= ballot.created_at
            ]  # fmt: skip
            asked.append(asked_with(shown[-1]) if shown else {"pane": pane})
        found.append(replace(ballot, contestants=tuple(asked), winner_pane=panes.get(ballot.winner)))
    return found
