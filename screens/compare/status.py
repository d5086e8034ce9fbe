"""The title and the status line in the border of a pane: the model, the progress, the figures of its answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from o1lab.chat.contestants import words_of
from o1lab.chat.conversation import ConversationSession
from o1lab.chat.panes import Settings
from o1lab.inference.calls import LIMITS
from o1lab.serve.registry import ModelRef
from screens.compare.panes import Panes
from store.conversations import Message

Phase = Literal["idle", "opening", "waiting", "thinking", "answering", "ended"]

_OPENING = {"solver": "starting", "base": "loading the model", "checkpoint": "loading the model"}
_FAILED = "failed · ctrl+r tries again"
_VERDICTS = {"correct": "✓ correct", "incorrect": "✗ incorrect", "unverifiable": "? unverifiable"}


@dataclass
class PaneState:
    """The state of one pane. Times are seconds of ``time.monotonic``."""

    phase: Phase = "idle"
    message: Message | None = None
    """The saved answer, once ``phase`` is ended."""
    pieces: int = 0
    """Number of chunks received, about one per token; replaced by the server's count at the end."""
    notes: list[str] = field(default_factory=list)
    """What was changed in the request, because the server refuses part of it."""
    unsaved: bool = False
    """Whether it failed before anything was received that could be saved."""
    since: float = field(default_factory=time.monotonic)
    ttft_s: float | None = None
    first: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the answer failed and can be retried."""
        return not self.busy and (self.unsaved or (self.message is not None and self.message.state == "failed"))

    @property
    def busy(self) -> bool:
        return self.phase not in ("idle", "ended")

    def enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, time.monotonic()

    def received(self, phase: Phase) -> None:
        """Count a chunk of thought or answer."""
        if self.pieces == 0:
            self.first = time.monotonic()
        self.phase, self.pieces = phase, self.pieces + 1

    def line(self, opening: str, width: int, *, hidden: bool = False) -> str:
        """Return the line for the border.

        Args:
            opening: What is done before the question can be sent.
            width: The width in cells to aim for.
            hidden: Whether to leave out the figures that could identify the model.
        """
        if self.phase == "idle":
            return ""
        if self.unsaved and not self.busy:
            return _FAILED
        if hidden:
            return "answering" if self.busy else _ending(self.message) or "done"
        if self.busy:
            return self._progress(opening)
        return figures(self.message, width) if self.message is not None else "stopped before the first token"

    def _progress(self, opening: str) -> str:
        now = time.monotonic()
        waited = f"{now - self.since:.0f} s"
        if self.phase == "opening":
            return f"{opening} · {waited}"
        if self.phase == "waiting":
            return f"waiting for the first token · {waited}"
        parts = [self.phase, f"~{self.pieces:,} tok"]
        if self.ttft_s is not None:
            parts.append(f"ttft {seconds(self.ttft_s)}")
        if now - self.first > 1:
            parts.append(f"~{(self.pieces - 1) / (now - self.first):.0f} tok/s")
        return " · ".join(parts)


def figures(message: Message, width: int = 200) -> str:
    """Format verdict, ending, tokens, time to first token and tokens per second, shortened to ``width`` if possible."""
    if message.state == "failed":
        return _ending(message)
    verdict = _VERDICTS.get(message.verdict or "", "")
    tokens = f"{message.output_tokens:,} tok" if message.output_tokens is not None else ""
    thought = f" ({message.thought_tokens:,} thought)" if message.thought_tokens else ""
    rest = [f"ttft {seconds(message.ttft_s)}"] if message.ttft_s is not None else []
    rest += [f"{speed:,.0f} tok/s"] if (speed := _speed(message)) is not None else []
    ending = _ending(message)
    candidates = (
        (verdict, ending, tokens + thought, *rest),
        (verdict, ending, tokens, *rest),
        (f"{verdict[:1]} {ending or tokens}".strip(), *rest),
    )
    lines = [" · ".join(filter(None, parts)) for parts in candidates]
    return next((line for line in lines if len(line) <= width), lines[-1])


def mark(message: Message | None) -> str:
    """Return one character for a tab: the verdict, or whether the answer failed."""
    if message is None:
        return " "
    if message.state == "failed":
        return "!"
    return {"correct": "✓", "incorrect": "✗", "unverifiable": "?"}.get(message.verdict or "", "·")


def seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _ending(message: Message | None) -> str:
    if message is None:
        return ""
    if message.state == "failed":
        return _FAILED
    if message.state == "stopped":
        return "stopped"
    if str(message.settings.get("finish_reason")).lower() in LIMITS:
        limit = message.settings.get("sampling", {}).get("max_tokens")
        return f"cut at {limit} tokens" if isinstance(limit, int) else "cut at the limit"
    return ""


def _speed(message: Message) -> float | None:
    """Return the tokens per second between the first token and the end of the answer."""
    if not message.output_tokens or message.output_tokens < 2 or message.seconds is None or message.ttft_s is None:
        return None
    decoding = message.seconds - message.ttft_s
    return (message.output_tokens - 1) / decoding if decoding > 0 else None


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
    """Return the settings in which each pane differs: a model that is kept keeps those it had."""
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
