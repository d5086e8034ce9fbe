"""Rule ``duplicate``: the pool already has the problem, exactly or nearly.

Exact means the same words after normalisation. Nearly means that the Jaccard similarity of the word triples is at least
``NEAR``, all numbers are the same, and the gold answers do not contradict each other; below eight words, only exact
duplicates count. Candidates come from MinHash signatures (datasketch) split into bands: statements with a common band
are compared word by word, so a signature alone never decides. Of a cluster, the earliest problem with an answer is
kept, else the earliest.

The bands are stored in arrays and sorted. datasketch's MinHashLSH, with one set per bucket, needs about 70 times the
memory (bench/decontaminate.py prints both).
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from o1lab.chains.verify import settle
from o1lab.distill.filters.rule import Check, Fetch, Finding, Pool, named, pool_rule
from o1lab.distill.filters.words import jaccard, words_of
from store.batches import batched
from store.records import Problem

if TYPE_CHECKING:
    import numpy as np

TRIPLE = 3
FEWEST_WORDS = 8
NEAR = 0.7
BANDS, ROWS = 25, 5  # a pair at 0.7 shares a band with probability 0.99, one at 0.5 with 0.55, one at 0.3 with 0.06

_ODD = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio: odd multipliers of it spread bits


class Twin(NamedTuple):
    """A duplicate: the problem that is kept, and the similarity to it (None for an exact duplicate)."""

    stays: str
    shared: float | None


class Signatures:
    """The signature of each problem: 25 bands of 4 bytes, a hash, its id, and whether it has an answer or few words."""

    def __init__(self) -> None:
        import numpy as np
        from datasketch import MinHash

        self._sketch = MinHash(num_perm=BANDS * ROWS, hashfunc=zlib.crc32)
        self._mix = np.array([_ODD * (2 * row + 1) % 2**64 for row in range(ROWS)], dtype=np.uint64)
        self._bands = array("I")
        self._exact = array("Q")
        self._ids = array("Q")
        self._answered = bytearray()
        self._few = bytearray()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def bytes(self) -> int:
        """Memory of the arrays in bytes, without spare capacity."""
        arrays = (self._bands, self._exact, self._ids)
        return sum(len(one) * one.itemsize for one in arrays) + len(self._answered) + len(self._few)

    def add(self, problem: Problem) -> None:
        """Add a problem. Problems must be added in the order of import."""
        statement = words_of(problem)
        numbers = _hash64(" ".join(statement.numbers))
        few = len(statement.words) < FEWEST_WORDS
        self._ids.append(int(problem.id, 16))
        self._exact.append(_hash64(statement.compact) ^ numbers if statement.words else int(problem.id, 16))
        self._answered.append(problem.answer is not None)
        self._few.append(few)
        self._bands.extend([0] * BANDS if few else self._signature(statement.runs(TRIPLE), numbers))

    def _signature(self, triples: Sequence[str], numbers: int) -> list[int]:
        """Return a 32-bit number for each band; problems with different numbers share one only by chance."""
        import numpy as np

        self._sketch.clear()
        self._sketch.update_batch([triple.encode("utf-8", "surrogatepass") for triple in triples])
        rows = self._sketch.hashvalues.astype(np.uint64).reshape(BANDS, ROWS)
        mixed = (rows * self._mix).sum(axis=1, dtype=np.uint64) ^ np.uint64(numbers)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(_ODD)
        bands: list[int] = (mixed >> np.uint64(32)).tolist()
        return bands

    def twins(self, fetch: Fetch) -> dict[str, Twin]:
        """Return, for each duplicate, the problem that is kept.

        Args:
            fetch: loads problems by id.

        Returns:
            Twins by the id of the duplicate.
        """
        import numpy as np

        clusters = _Clusters(len(self))
        exact = np.frombuffer(self._exact, dtype=np.uint64)
        for first, second in _pairs(exact, np.arange(len(self))):
            clusters.join(first, second)
        many = np.flatnonzero(np.frombuffer(self._few, dtype=np.uint8) == 0)
        bands = np.frombuffer(self._bands, dtype=np.uint32).reshape(-1, BANDS)
        for band in range(BANDS):
            fresh = [pair for pair in _pairs(bands[:, band][many], many) if not clusters.seen(*pair)]
            for first, second in self._near(fresh, fetch):
                clusters.join(first, second)
        return self._twins_of(clusters, fetch)

    def _near(self, pairs: Sequence[tuple[int, int]], fetch: Fetch) -> Iterator[tuple[int, int]]:
        """Yield the candidate pairs that are near-duplicates when compared word by word."""
        for first, one, second, other in self._fetched(pairs, fetch):
            if _shared(one, other) >= NEAR and not _contradict(one, other):
                yield first, second

    def _twins_of(self, clusters: _Clusters, fetch: Fetch) -> dict[str, Twin]:
        twins: dict[str, Twin] = {}
        pairs = []
        for members in clusters.groups():
            stays = next((at for at in members if self._answered[at]), members[0])
            for at in members:
                if at == stays:
                    continue
                if self._exact[at] == self._exact[stays]:
                    twins[self._id(at)] = Twin(self._id(stays), None)
                else:
                    pairs.append((at, stays))
        for at, one, stays, other in self._fetched(pairs, fetch):
            twins[self._id(at)] = Twin(self._id(stays), _shared(one, other))
        return twins

    def _fetched(self, pairs: Sequence[tuple[int, int]], fetch: Fetch) -> Iterator[tuple[int, Problem, int, Problem]]:
        """Yield the pairs with their problems, those that still exist, loading some at a time."""
        for some in batched(pairs, 200):
            problems = {problem.id: problem for problem in fetch(list({self._id(at) for pair in some for at in pair}))}
            for first, second in some:
                one, other = problems.get(self._id(first)), problems.get(self._id(second))
                if one is not None and other is not None:
                    yield first, one, second, other

    def _id(self, at: int) -> str:
        return f"{self._ids[at]:016x}"


class _Clusters:
    """Clusters of problems by position (union-find; the smallest position is the root of its cluster)."""

    def __init__(self, size: int) -> None:
        self._parent = array("q", range(size))
        self._compared: set[tuple[int, int]] = set()

    def top(self, at: int) -> int:
        while self._parent[at] != at:
            self._parent[at] = self._parent[self._parent[at]]
            at = self._parent[at]
        return at

    def join(self, first: int, second: int) -> None:
        low, high = sorted((self.top(first), self.top(second)))
        self._parent[high] = low

    def seen(self, first: int, second: int) -> bool:
        """Return whether the two are in one cluster or were compared before; record them as compared."""
        if (first, second) in self._compared or self.top(first) == self.top(second):
            return True
        self._compared.add((first, second))
        return False

    def groups(self) -> Iterator[list[int]]:
        """Yield the clusters of more than one problem, each in order of import."""
        members: dict[int, list[int]] = {}
        for at in range(len(self._parent)):
            if (top := self.top(at)) != at:
                members.setdefault(top, [top]).append(at)
        yield from members.values()


def _pairs(keys: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """Yield pairs of positions with the same key: each with the first of its group and with the one before it."""
    import numpy as np

    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1  # positions whose predecessor has the same key
    first = last = -1
    for at in same.tolist():
        if at != last + 1 or first < 0:
            first = int(places[order[at - 1]])
        here, before = int(places[order[at]]), int(places[order[at - 1]])
        yield first, here
        if before != first:
            yield before, here
        last = at


def _shared(one: Problem, other: Problem) -> float:
    """Return the Jaccard similarity of the word triples; 0 if the numbers differ."""
    left, right = words_of(one), words_of(other)
    return jaccard(left.runs(TRIPLE), right.runs(TRIPLE)) if left.numbers == right.numbers else 0.0


def _contradict(one: Problem, other: Problem) -> bool:
    if one.answer is None or other.answer is None:
        return False
    verdict = settle(one.answer, other.answer)
    return verdict is not None and verdict.status == "incorrect"


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


@pool_rule(
    "duplicate",
    version=1,
    order=70,
    about=f"is in the pool already: the same text, or {NEAR:.0%} of the word triples with the same numbers and no "
    "other answer",
)
def duplicates_of(pool: Pool) -> Check:
    """Read the pool once and return the check of its problems."""
    signatures = Signatures()
    for problem in pool.problems():
        signatures.add(problem)
    twins = signatures.twins(pool.fetch)

    def check(problem: Problem) -> Finding | None:
        if (twin := twins.get(problem.id)) is None:
            return None
        name = next((named(stays) for stays in pool.fetch([twin.stays])), twin.stays)
        if twin.shared is None:
            return Finding(f"is, white space and marks aside, {name}", twin.stays)
        return Finding(f"shares {twin.shared:.0%} of its word triples with {name}", twin.stays)

    return check
