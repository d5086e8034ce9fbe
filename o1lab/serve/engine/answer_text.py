"""Decode tokens to text incrementally: never part of a character, never past a stop string. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

THOUGHT_END = "</think>"
_CONTEXT = 8
"""Tokens of the text before an answer that are decoded with it."""


class AnswerText:
    """The text of one answer. :meth:`push` takes each token and returns the text that is ready to send.

    Text that may become a stop string is buffered.

    Args:
        tokenizer: the tokenizer of the model.
        stops: the stop strings.
        before: the tokens of the text that the answer continues. Decoders remove the space of a first token only.

    Attributes:
        stopped: whether a stop string was found; it is not part of the text.
        thought_tokens: number of tokens up to the closing mark of the thought, 0 without a thought.
    """

    def __init__(self, tokenizer: Tokenizer, stops: tuple[str, ...] = (), before: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._stops = tuple(stop for stop in stops if stop)
        self._ids: list[int] = []
        self._decoded = ""
        self._sent = 0
        self.stopped = False
        self.thought_tokens = 0
        context = list(before[-_CONTEXT:])
        for token in context:
            self._decoded += self._stream.step(tokenizer, token) or ""
        self._ids += context
        self._first, self._begun = len(context), len(self._decoded)
        self._sent = self._begun

    @property
    def tokens(self) -> int:
        return len(self._ids) - self._first

    def push(self, token: int) -> str:
        """Add a token and return the text that is now ready."""
        if self.stopped:
            return ""
        self._ids.append(token)
        piece = self._stream.step(self._tokenizer, token) or ""
        return self._grow(piece)

    def flush(self) -> str:
        """Return the rest at the end: buffered text, and bytes that form no character as U+FFFD."""
        if self.stopped:
            return ""
        whole = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        rest = whole[len(self._decoded) :] if whole.startswith(self._decoded) else ""
        ready = self._grow(rest)
        if not self.stopped:
            ready += self._decoded[self._sent :]
            self._sent = len(self._decoded)
        return ready

    def _grow(self, piece: str) -> str:
        before = len(self._decoded)
        self._decoded += piece
        if not self.thought_tokens and THOUGHT_END in self._decoded[max(self._begun, before - len(THOUGHT_END)) :]:
            self.thought_tokens = self.tokens
        end = len(self._decoded) - self._buffered()
        for stop in self._stops:
            at = self._decoded.find(stop, max(self._begun, before - len(stop) + 1))
            if at >= 0 and (not self.stopped or at < end):
                self.stopped, end = True, at
        ready = self._decoded[self._sent : end]
        self._sent = max(self._sent, end)
        return ready

    def _buffered(self) -> int:
        """Return the length of the longest end of the text that is the start of a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        ends = range(min(longest, len(self._decoded) - self._begun), 0, -1)
        return next((n for n in ends if any(s.startswith(self._decoded[-n:]) for s in self._stops)), 0)
