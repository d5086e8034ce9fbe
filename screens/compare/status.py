"""What stands in the border of a pane: what it is doing now, and the figures of its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from store.conversations import Message

Phase = Literal["idle", "opening", "waiting", "thinking", "answering", "ended"]

_FAILED = "failed · ctrl+r tries again"
_VERDICTS = {"correct": "✓ correct", "incorrect": "✗ incorrect", "unverifiable": "? unverifiable"}


@dataclass
class PaneState:
    """What one pane is doing. Times are seconds of ``time.monotonic``."""

    phase: Phase = "idle"
    message: Message | None = None
    """The answer as it is on disk, once ``phase`` is ended."""
    pieces: int = 0
    """Chunks that came: about one a token; the server's own count takes its place at the end."""
    unsaved: bool = False
    """Whether it failed and nothing of it could be saved."""
    since: float = field(default_factory=time.monotonic)
    ttft_s: float | None = None
    first: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether trying again is the thing to do."""
        return not self.busy and (self.unsaved or (self.message is not None and self.message.state == "failed"))

    @property
    def busy(self) -> bool:
        return self.phase not in ("idle", "ended")

    def enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, time.monotonic()

    def came(self, phase: Phase) -> None:
        """A chunk of thought or answer came."""
        if self.pieces == 0:
            self.first = time.monotonic()
        self.phase, self.pieces = phase, self.pieces + 1

    def line(self, opening: str, width: int, *, hidden: bool = False) -> str:
        """One line for the border, in ``width`` columns if it can be said in so few. ``opening`` says what is done
        before the question can be asked; ``hidden`` keeps back the figures that would tell one model from another.
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
    """Verdict, how the answer ended, tokens, time to the first one, tokens a second; shorter where it is narrow."""
    if message.state == "failed":
        return _ending(message)
    verdict = _VERDICTS.get(message.verdict or "", "")
    tokens = f"{message.output_tokens:,} tok" if message.output_tokens is not None else ""
    thought = f" ({message.thought_tokens:,} thought)" if message.thought_tokens else ""
    rest = [f"ttft {seconds(message.ttft_s)}"] if message.ttft_s is not None else []
    rest += [f"{speed:,.0f} tok/s"] if (speed := _speed(message)) is not None else []
    ending = _ending(message)
    sayings = [
        " · ".join(part for part in (says, ending, count, *rest) if part)
        for says, count in ((verdict, tokens + thought), (verdict, tokens))
    ]
    sayings.append(" · ".join(part for part in (f"{verdict[:1]} {ending or tokens}".strip(), *rest) if part))
    return next((saying for saying in sayings if len(saying) <= width), sayings[-1])


def mark(message: Message | None) -> str:
    """One character for a tab: the verdict, or how the answer ended."""
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
    if message.settings.get("finish_reason") == "length":
        limit = message.settings.get("sampling", {}).get("max_tokens")
        return f"cut at {limit} tokens" if isinstance(limit, int) else "cut at the limit"
    return ""


def _speed(message: Message) -> float | None:
    """Tokens a second between the first token and the end of the answer."""
    if not message.output_tokens or message.output_tokens < 2 or message.seconds is None or message.ttft_s is None:
        return None
    decoding = message.seconds - message.ttft_s
    return (message.output_tokens - 1) / decoding if decoding > 0 else None
