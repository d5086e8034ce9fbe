"""What can be counted in a response without judging it."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from o1lab.chains.answers import extract_answer
from o1lab.chains.moves import Move, segment
from o1lab.chains.parse import Span

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MEASURES_VERSION = 2

# A loop is sought in this much of the end: longer periods than a third of it go unseen.
_WINDOW = 1 << 16
_PROBE = 40
_REPEATS = 3
_SHORTEST_LOOP = 200
# Loops that change a number each time round: no exact period, but the end packs far better than prose does.
_TAIL = 4000
_PACKED = 0.125


@dataclass(frozen=True)
class Measures:
    """What a response shows without judging it.

    Attributes:
        moves: the moves of the text that :func:`read_text` picks, in order, without gaps.
        in_thought: whether that text is the thought.
        looping: the response ends in a loop, see :func:`ends_in_loop`.
        answer: the final answer, or None if there is none.
    """

    moves: tuple[Move, ...]
    in_thought: bool
    looping: bool
    answer: str | None

    @property
    def counts(self) -> dict[str, int]:
        """How many moves of each kind the thought has; kinds that do not occur are left out."""
        return dict(Counter(str(move.kind) for move in self.moves)) if self.in_thought else {}


def read_text(thought: str, solution: str) -> str:
    """The text that has moves: the thought, or the solution of a response without a thought."""
    return thought or solution


def measure(raw: str, thought: Span, solution: Span, *, complete: bool) -> Measures:
    """Measure a response whose thought and solution are known.

    Args:
        raw: the whole response.
        thought, solution: (start, end) offsets into ``raw``, in code points; an empty span means there is none.
        complete: whether the response is complete, see :class:`o1lab.chains.parse.ParsedResponse`.
    """
    thinking, solving = raw[slice(*thought)], raw[slice(*solution)]
    closed = complete and bool(thinking)
    answer = extract_answer(solving, thinking)
    return Measures(
        moves=tuple(segment(read_text(thinking, solving))),
        in_thought=bool(thinking),
        looping=not closed and ends_in_loop(raw),
        answer=answer.text if answer else None,
    )


def ends_in_loop(text: str) -> bool:
    """Whether ``text`` ends by saying the same again and again.

    Either its last stretch stands there three times running, word for word and at least 200 characters in all, or
    the last 4,000 characters pack to under an eighth of their size, which prose and mathematics never do. Linear: one
    search from the end, then each character is compared once.
    """
    tail = text[-_WINDOW:].rstrip()
    probe = tail[-_PROBE:]
    before = tail.rfind(probe, 0, len(tail) - 1)
    if len(probe) == _PROBE and before >= 0:
        period = len(tail) - _PROBE - before
        times = max(_REPEATS, -(-_SHORTEST_LOOP // period))
        if period * times <= len(tail) and tail.endswith(tail[-period:] * times):
            return True
    end = tail[-_TAIL:].encode("utf-8", "surrogatepass")
    return len(end) >= _TAIL and len(zlib.compress(end, 6)) < _PACKED * len(end)


def count_tokens(text: str, tokenizer_path: Path) -> int:
    """Tokens of ``text`` by the tokenizer.json of the model that wrote it, special tokens not added.

    Raises:
        FileNotFoundError: there is no such tokenizer.json.
    """
    if not tokenizer_path.is_file():
        raise FileNotFoundError(tokenizer_path)
    tokenizer = _tokenizer(str(tokenizer_path), tokenizer_path.stat().st_mtime_ns)
    readable = text.encode("utf-8", "replace").decode("utf-8")  # tokenizers refuse lone surrogates
    return len(tokenizer.encode(readable, add_special_tokens=False).ids)


@lru_cache(maxsize=4)
def _tokenizer(path: str, _changed: int) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(path)
