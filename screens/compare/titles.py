"""How settings are named in the heading of the Compare screen and in the titles of its panes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from o1lab.chat.contestants import words_of
from o1lab.chat.conversation import ConversationSession
from o1lab.chat.panes import Settings
from o1lab.serve.registry import ModelRef
from screens.compare.panes import Panes
from screens.compare.status import PaneState, mark

_OPENING = {"solver": "starting", "base": "loading the model", "checkpoint": "loading the model"}


def describe(settings: Settings) -> str:
    """Describe the settings in a line."""
    sampling = settings.sampling
    parts = [f"temperature {sampling.temperature:g}"] if sampling.temperature is not None else []
    parts += [f"top-p {sampling.top_p:g}"] if sampling.top_p is not None else []
    parts += [f"max {sampling.max_tokens}"] if sampling.max_tokens is not None else []
    parts += [f"seed {sampling.seed}"] if sampling.seed is not None else []
    parts += ["system prompt" if settings.system else "no system"] if settings.system is not None else []
    parts += ["panes differ"] if any(settings.panes) else []
    return " · ".join([*parts, f"blind {'on' if settings.blind else 'off'}"])


def pane_title(label: str, settings: Settings, pane: int) -> str:
    """Return the title of a pane: the model, and the settings in which the pane differs from the others."""
    words = words_of(settings.own(pane))
    return f"{label} · {words}" if words else label


def own_settings(before: Sequence[ModelRef], settings: Settings, refs: Sequence[ModelRef]) -> list[dict[str, Any]]:
    """Return what the panes of other models have of their own: a model that is kept keeps its own settings."""
    left = [(ref.id, settings.own(pane)) for pane, ref in enumerate(before)]
    found = []
    for ref in refs:
        at = next((number for number, (model, _) in enumerate(left) if model == ref.id), None)
        found.append(left.pop(at)[1] if at is not None else {})
    return found


def draw_titles(
    panes: Panes,
    order: Sequence[int],
    refs: Sequence[ModelRef],
    states: Sequence[PaneState],
    settings: Settings,
    *,
    session: ConversationSession | None,
    hidden: bool,
    seen: bool,
) -> None:
    """Draw the titles and status lines of all panes.

    Args:
        panes: The panes by place.
        order: The number of the pane in each place.
        refs: The models by the numbers of their panes.
        states: The states by the numbers of their panes.
        settings: The settings of the conversation.
        session: The conversation, if it has begun.
        hidden: Whether the names of the models are hidden.
        seen: Whether the names of this turn were shown.
    """
    names = []
    # While panes are added or removed, their number may differ from that of the models.
    for place, (pane, stream) in enumerate(zip(order, panes.places, strict=False)):
        ref, state = refs[pane], states[pane]
        letter = chr(ord("A") + place)
        name = f"model {letter}" if hidden else pane_title(ref.label, settings, pane)
        if settings.blind and seen:
            name = f"{letter} was {name}"
        version = session.version(pane) if session is not None else None
        name += f" · {version}" if version is not None and version.count > 1 else ""
        stream.set_title(f"{place + 1} {name}")
        stream.set_status(state.line(_OPENING.get(ref.source, "connecting"), stream.size.width - 4, hidden=hidden))
        sign = "…" if state.busy else " " if hidden else mark(state.message)
        names.append((f"{place + 1} {name}", sign))
    panes.name_places(names)
