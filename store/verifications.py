"""Verdicts on pairs of a gold answer and an answer, kept so that each pair is verified once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from store.batches import batched
from store.records import now
from store.rows import insert, values
from store.sqlite import Database

Pair = tuple[str, str]
_AT_ONCE = 500


class Verification(NamedTuple):
    """A stored verdict: correct, incorrect or unverifiable, and the reason."""

    status: str
    reason: str


def known(db: Database, pairs: Iterable[Pair], verifier: int) -> dict[Pair, Verification]:
    """Return the stored verdicts of this version of the verifier on (gold, answer) pairs."""
    by_key = {_key(pair): pair for pair in pairs}
    found: dict[Pair, Verification] = {}
    for some in batched(by_key, _AT_ONCE):
        marks = ", ".join("?" * len(some))
        rows = db.execute(
            f"SELECT pair, status, reason FROM verifications WHERE verifier = ? AND pair IN ({marks})",
            [verifier, *some],
        )
        found.update((by_key[key], Verification(status, reason)) for key, status, reason in rows)
    return found


def add(db: Database, verdicts: Mapping[Pair, Verification], verifier: int) -> None:
    """Store verdicts in one transaction; a pair that has one keeps it."""
    same = {"verifier": verifier, "created_at": now()}
    with db.atomic():
        rows = ({"pair": _key(pair), **values(one), **same} for pair, one in verdicts.items())
        insert(db, "verifications", rows, on_conflict="IGNORE")


def _key(pair: Pair) -> bytes:
    digest = blake2b(digest_size=16)
    for part in pair:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()
