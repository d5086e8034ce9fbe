"""The settings that all panes of a conversation share, and the events of each pane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from o1lab.inference.events import Event, Sampling
from store import conversations

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
