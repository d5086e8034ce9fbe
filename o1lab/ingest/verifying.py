"""Verify pairs of a gold answer and an answer, each once in the life of a lab."""

from __future__ import annotations

from collections.abc import Sequence

from o1lab.chains.verify import VERIFIER_VERSION, Verdict, VerifierPool, settle
from store import verifications
from store.sqlite import Database
from store.verifications import Verification


def verify_pairs(db: Database, pool: VerifierPool, pairs: Sequence[tuple[str | None, str | None]]) -> list[Verdict]:
    """Return the verdicts on (gold, answer) pairs, in order.

    What :func:`~o1lab.chains.verify.settle` cannot decide is looked up in the lab. Only pairs that are not there go to
    the verifier processes, and their verdicts are stored.

    Raises:
        RuntimeError: the pool is closed.
    """
    settled = [settle(*pair) for pair in pairs]
    hard = dict.fromkeys(
        (pair[0], pair[1])
        for pair, verdict in zip(pairs, settled, strict=True)
        if verdict is None and pair[0] is not None and pair[1] is not None
    )
    verdicts: dict[tuple[str | None, str | None], Verdict] = {
        pair: Verdict.of(one.status, one.reason)
        for pair, one in verifications.known(db, hard, VERIFIER_VERSION).items()
    }
    new = [pair for pair in hard if pair not in verdicts]
    if new:
        found = pool.verify_many(new)
        lasting: dict[tuple[str, str], Verification] = {}
        for pair, one in zip(new, found, strict=True):
            verdicts[pair] = one
            if one.lasting:
                lasting[pair] = Verification(one.status, one.reason)
        verifications.add(db, lasting, VERIFIER_VERSION)
    return [verdict or verdicts[pair] for pair, verdict in zip(pairs, settled, strict=True)]
