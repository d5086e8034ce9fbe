"""The panes of a conversation: their common settings, the events of each, and the verdict on an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from o1lab.chains.answers import extract_answer
from o1lab.chains.verify import VerifierPool
from o1lab.errors import O1LabError
from o1lab.inference.events import Event, Sampling
from o1lab.ingest.verifying import verify_pairs
from o1lab.serve.registry import ModelRef
from store import Store, conversations, problems
from store.errors import StoreError

TITLE_LENGTH = 80
"""The number of characters of the first question that become the title of a conversation."""


@dataclass(frozen=True)
class Settings:
    """The settings of all panes, and where single panes differ from them.

    Attributes:
        system: the system prompt; None for that of each student's run, an empty text for none.
        blind: shuffle the panes and hide the models until the vote.
        panes: for each pane its own values of ``OWN``; a pane without an entry has none.
    """

    system: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    blind: bool = False
    panes: tuple[dict[str, Any], ...] = ()

    def own(self, pane: int) -> dict[str, Any]:
        """Return the values in which a pane differs from the others."""
        return self.panes[pane] if pane < len(self.panes) else {}

    def of(self, pane: int) -> Settings:
        """Return the settings that a pane is asked with."""
        own = self.own(pane)
        sampling = replace(self.sampling, **{name: value for name, value in own.items() if name != "system"})
        return Settings(own.get("system", self.system), sampling, self.blind)

    def with_pane(self, pane: int, chosen: Settings) -> Self:
        """Return these settings with those of one pane as ``chosen``; what is equal to the others is not its own."""
        mine, all_ = _values(chosen), _values(self)
        own = {name: value for name, value in mine.items() if value != all_[name]}
        panes = [*self.panes, *({} for _ in range(pane + 1 - len(self.panes)))]
        panes[pane] = own
        return replace(self, panes=tuple(panes))


OWN = ("temperature", "top_p", "max_tokens", "seed", "system")
"""The settings that a pane can have of its own."""


def _values(settings: Settings) -> dict[str, Any]:
    return {name: settings.system if name == "system" else getattr(settings.sampling, name) for name in OWN}


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
    panes = [one if isinstance(one, Mapping) else {} for one in saved.get("panes", ())]
    return Settings(
        system if system is None else str(system),
        Sampling(**sampling),
        bool(saved.get("blind", False)),
        tuple({name: value for name, value in one.items() if name in OWN} for one in panes),
    )


Verifier = Callable[[str, str], str]
"""Called with (gold answer, text of an answer); returns correct, incorrect or unverifiable. May block."""


async def verdict_on(store: Store, verifier: Verifier, question: str, answer: str) -> str | None:
    """Verify an answer if the question is a known problem with a gold answer; else None.

    An answer is saved without a verdict if the verifier fails, for example because it is closed.
    """

    def verify() -> str | None:
        with store.explained():
            problem = problems.find(store.db, question)
        return verifier(problem.answer, answer) if problem and problem.answer else None

    try:
        return await asyncio.to_thread(verify)
    except (StoreError, RuntimeError):
        return None


def model_of(find: Callable[[str], ModelRef], pane: conversations.Pane) -> ModelRef:
    """Return the model of a pane; one that is no longer in the lab keeps its id."""
    try:
        return find(pane.model)
    except O1LabError:
        return ModelRef(pane.model, "other", f"{pane.label} (gone)", "server")


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
