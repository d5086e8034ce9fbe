"""The panes of a conversation: their common settings, the events of each, and the verdict on an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from o1lab.chains.answers import extract_answer
from o1lab.chains.verify import VerifierPool
from o1lab.inference.events import Event, Sampling
from o1lab.ingest.verifying import verify_pairs
from store import Store, conversations

TITLE_LENGTH = 80
"""The number of characters of the first question that become the title of a conversation."""


@dataclass(frozen=True)
class Settings:
    """The settings of all panes.

    Attributes:
        system: the system prompt; None for that of each student's run, an empty text for none.
        blind: shuffle the panes and hide the models until the vote.
    """

    system: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    blind: bool = False


@dataclass(frozen=True)
class Saved:
    """The answer is saved as ``message``; follows the event that ended it."""

    message: conversations.Message


@dataclass(frozen=True)
class PaneEvent:
    """An event in one pane."""

    pane: int
    turn: int
    event: Event | Saved


def settings_from(saved: dict[str, Any]) -> Settings:
    """Read stored settings; fields that a later version added get their defaults."""
    sampling = {k: v for k, v in saved.get("sampling", {}).items() if k in Sampling.__dataclass_fields__}
    if "stop" in sampling:
        sampling["stop"] = tuple(sampling["stop"])
    system = saved.get("system", "")
    return Settings(system if system is None else str(system), Sampling(**sampling), bool(saved.get("blind", False)))


class AnswerVerifier:
    """Call it with (gold answer, text of the answer). Its process starts with the first answer; close it.

    Args:
        store: the lab's database, which remembers verdicts.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = VerifierPool()

    def __call__(self, gold: str, answer: str) -> str:
        """correct, incorrect or unverifiable. Blocks up to the verifier's limit.

        Raises:
            StoreError: the database failed.
            RuntimeError: it is closed.
        """
        found = extract_answer(answer)
        with self._store.explained():
            return verify_pairs(self._store.db, self._pool, [(gold, found.text if found else None)])[0].status

    def close(self) -> None:
        self._pool.close()
