"""Measures of a response that need no judgement: moves, loops, the final answer, tokens."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from o1lab.chains.answers import extract_answer
from o1lab.chains.parse import Span
from o1lab.chains.segmentation.moves import Move, segment
from store.records import scrubbed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MEASURES_VERSION = 3

# Loops are searched in this many characters at the end; periods longer than a third of them are not detected.
_WINDOW = 1 << 16
_PROBE = 40
_REPEATS = 3
_SHORTEST_LOOP = 200
# Loops that change a number in each round have no exact period, but their text compresses far better than prose.
_TAIL = 4000
_PACKED = 0.125


@dataclass(frozen=True)
class Measures:
    """The measures of a response.

    Attributes:
        moves: the moves of the text that :func:`read_text` picks, in order, without gaps.
        in_thought: whether that text is the thought.
        looping: whether the response ends in a loop, see :func:`ends_in_loop`.
        answer: the final answer, or None if there is none.
    """

    moves: tuple[Move, ...]
    in_thought: bool
    looping: bool
    answer: str | None

    @property
    def counts(self) -> dict[str, int]:
        """The number of moves of each kind in the thought; kinds that do not occur are left out."""
        return dict(Counter(str(move.kind) for move in self.moves)) if self.in_thought else {}


def read_text(thought: str, solution: str) -> str:
    """Return the text that is segmented into moves: the thought, or the solution if there is no thought."""
    return thought or solution


def measure(raw: str, thought: Span, solution: Span, *, complete: bool) -> Measures:
    """Measure a response whose thought and solution are known.

    Args:
        raw: the whole response.
        thought: (start, end) of the thought in ``raw``, in code points; empty if there is none.
        solution: the same for the solution.
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
    """Return whether ``text`` ends in a repetition.

    Either its end repeats exactly, three times in a row and over at least 200 characters, or its last 4,000 characters
    compress to under an eighth of their size, which prose and mathematics never do. Takes linear time: one search from
    the end, then each character is compared once.
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
    """Return the number of tokens of ``text``, without special tokens.

    Args:
        text: the text.
        tokenizer_path: the tokenizer.json of the model that wrote it.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not tokenizer_path.is_file():
        raise FileNotFoundError(tokenizer_path)
    tokenizer = _tokenizer(str(tokenizer_path), tokenizer_path.stat().st_mtime_ns)
    return len(tokenizer.encode(scrubbed(text), add_special_tokens=False).ids)  # tokenizers reject lone surrogates


@lru_cache(maxsize=4)
def _tokenizer(path: str, _changed: int) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(path)
