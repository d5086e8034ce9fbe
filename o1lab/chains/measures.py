"""What can be counted in a response without judging it."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from o1lab.chains.moves import Move, MoveKind
from o1lab.chains.parse import ParsedResponse

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MEASURES_VERSION = 1

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
    """Counts of one response.

    Attributes:
        chars: code points of the raw text.
        moves: how many moves of each kind the thought has; kinds that do not occur are left out.
        complete: see :class:`o1lab.chains.parse.ParsedResponse`.
        looping: the response ends in a loop, see :func:`ends_in_loop`.
    """

    chars: int
    moves: dict[MoveKind, int]
    complete: bool
    looping: bool


def measure(raw: str, parsed: ParsedResponse, segments: Iterable[Move]) -> Measures:
    """Measure a response that was parsed and segmented already."""
    moves = Counter(move.kind for move in segments)
    closed = parsed.complete and parsed.thought is not None
    return Measures(len(raw), dict(moves), parsed.complete, looping=not closed and ends_in_loop(raw))


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
