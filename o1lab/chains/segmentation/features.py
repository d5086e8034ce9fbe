"""The features by which a linear classifier tells the kinds of the sentences of a thought in English.

Dense features are what the rules say of a sentence and its neighbours, its place in the chain, its length and signs.
Hashed features are its words, its first words and n-grams of its characters. Training uses this module as well, so
training and inference cannot differ. ``bench/moves.py`` says what else was tried.

All sentences of a chain are hashed at once by numpy, with the polynomial hash of Rabin and Karp.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from o1lab.chains.segmentation.linear import Grams, normed
from o1lab.chains.segmentation.moves import MoveKind, Sentence
from o1lab.text import lowered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEATURES_VERSION = 1
"""Raised with every change of the features; weights of another version are not used."""
BUCKETS = {"words": 1 << 14, "first": 1 << 13, "characters": 1 << 15}
"""Number of buckets of each group.

``words``: 1 to 3 words of the sentence; ``first``: its first 1 to 4 words; ``characters``: 2 to 5 characters of it.
"""
_READ = 400
"""Characters of a sentence that count; of a longer one, the first."""
_TOKEN = re.compile(r"[a-z']+|\d+|[^\sa-z\d]")
_NUMBER = "0"
_PRIME = 1_000_003
_MASK = (1 << 40) - 1
_KINDS = list(MoveKind)
_SIGNS = {
    "equals": re.compile(r"[=≈]"),
    "asks": re.compile(r"\?"),
    "colon": re.compile(r":\s*\Z"),
    "formula": re.compile(r"\\[(\[]|\$"),
    "boxed": re.compile(r"\\boxed"),
    "operator": re.compile(r"[-+*/×÷^]"),
    "digit": re.compile(r"\d"),
    "item": re.compile(r"[-*•]\s|\d+[.)]\s"),
}
_LENGTHS = (15, 30, 60, 100, 160)


if TYPE_CHECKING:
    _Hashed = tuple[NDArray[np.int64], NDArray[np.int64]]  # two numbers for each n-gram, word or character


class Features(NamedTuple):
    """The features of the sentences of a chain.

    Attributes:
        dense: (sentences, features).
        hashed: the n-grams, by group.
    """

    dense: NDArray[np.float32]
    hashed: dict[str, Grams]


DENSE = 3 * len(_KINDS) + len(_SIGNS) + len(_LENGTHS) + 7
"""Number of dense features."""


def features(thought: str, sentences: Sequence[Sentence]) -> Features:
    """Return the features of the sentences of a thought. Takes linear time."""
    import numpy as np

    starts = [sentence.start for sentence in sentences]
    text = lowered(thought)
    texts = [text[start:end][:_READ].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    words, of = _words(texts)
    spans = _characters(texts)
    found = {
        "words": _concatenated(*(_grams(words, of, n) for n in (1, 2, 3))),
        "first": _prefixes(words, of, 4),
        "characters": _concatenated(*(_grams(*spans, n) for n in (2, 3, 4, 5))),
    }
    hashed = {group: normed(*found[group], BUCKETS[group]) for group in BUCKETS}
    return Features(np.array(_dense(thought, sentences, texts), np.float32).reshape(len(texts), DENSE), hashed)


def _dense(thought: str, sentences: Sequence[Sentence], texts: Sequence[str]) -> list[list[float]]:
    number = len(texts)
    none = [0.0] * len(_KINDS)
    kinds = [[float(sentence.kind is kind) for kind in _KINDS] for sentence in sentences]
    rows = []
    for at, text in enumerate(texts):
        start = sentences[at].start
        place = at / number
        rows.append(
            [
                *kinds[at],
                *(kinds[at - 1] if at else none),
                *(kinds[at + 1] if at + 1 < number else none),
                *(float(sign.search(text) is not None) for sign in _SIGNS.values()),
                *(float(len(text) > least) for least in _LENGTHS),
                place,
                float(at < 2),
                float(at < 6),
                float(place > 0.95),
                float(at == number - 1),
                float(sentences[at].cued),
                float(thought[start - 1 : start] == "\n"),
            ]
        )
    return rows


def _words(texts: Sequence[str]) -> _Hashed:
    """Return the hash of each word and its text. Each text has a mark of the beginning before its words."""
    import numpy as np

    known: dict[str, int] = {}
    found: list[int] = []
    of: list[int] = []
    for at, text in enumerate(texts):
        tokens = ["^", *(_NUMBER if token.isdigit() else token for token in _TOKEN.findall(text))]
        for token in tokens:
            value = known.get(token)
            if value is None:
                value = known[token] = zlib.crc32(token.encode("utf-8", "surrogatepass"))
            found.append(value)
        of += [at] * len(tokens)
    return np.array(found, np.int64), np.array(of, np.int64)


def _characters(texts: Sequence[str]) -> _Hashed:
    """Return each code point and its text. Each text has a space before it; all digits are the same."""
    import numpy as np

    joined = "".join(f" {text}" for text in texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    codes = np.where((codes >= ord("0")) & (codes <= ord("9")), ord("0"), codes)
    return codes, np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])


def _grams(units: NDArray[np.int64], of: NDArray[np.int64], n: int) -> _Hashed:
    """Return text and hash of the n-grams of ``units`` that lie within a text."""
    import numpy as np

    if len(units) < n:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    size = len(units) - n + 1
    hashes = np.full(size, n, np.int64)
    for at in range(n):
        hashes = (hashes * _PRIME + units[at : at + size]) & _MASK
    whole = of[:size] == of[n - 1 :]
    return of[:size][whole], _mixed(hashes[whole], n)


def _prefixes(units: NDArray[np.int64], of: NDArray[np.int64], longest: int) -> _Hashed:
    """Return text and hash of the first 1 to ``longest`` units of each text, without the mark of the beginning."""
    import numpy as np

    begins = np.flatnonzero(np.diff(of, prepend=-1))
    found = []
    for n in range(1, longest + 1):
        size = len(units) - n
        here = begins[begins < size]
        here = here[of[here] == of[here + n]]
        hashes = np.full(len(here), 100 + n, np.int64)
        for at in range(1, n + 1):
            hashes = (hashes * _PRIME + units[here + at]) & _MASK
        found.append((of[here], _mixed(hashes, 100 + n)))
    return _concatenated(*found)


def _mixed(hashes: NDArray[np.int64], salt: int) -> NDArray[np.int64]:
    """Spread hashes over all bits: buckets are taken from the lowest ones."""
    hashes = ((hashes ^ (hashes >> 17)) * 0x9E3779B1 + salt) & _MASK
    return (hashes ^ (hashes >> 15)) & _MASK


def _concatenated(*parts: _Hashed) -> _Hashed:
    import numpy as np

    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
