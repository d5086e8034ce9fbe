"""Verify pairs of a gold answer and an answer, each once in the life of a lab."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from o1lab.chains.verify import VERIFIER_VERSION, Verdict, VerifierPool, settle
from store import verifications
from store.sqlite import Database
from store.verifications import Verification

_Pair = tuple[str, str]
Asked = Verdict | Future[Verdict]
"""A verdict, or one that a verifier process is still looking for."""


def verify_pairs(db: Database, pool: VerifierPool, pairs: Sequence[tuple[str | None, str | None]]) -> list[Verdict]:
    """Return the verdicts on (gold, answer) pairs, in order; see :class:`PairVerifier`.

    Raises:
        RuntimeError: the pool is closed.
    """
    verifier = PairVerifier(db, pool)
    try:
        verdicts = [verdict_of(one) for one in verifier.ask(pairs)]
    finally:
        verifier.cancel()
    verifier.store()
    return verdicts


def verdict_of(asked: Asked) -> Verdict:
    """Return the verdict, after waiting for it if it is being looked for."""
    return asked if isinstance(asked, Verdict) else asked.result()


class PairVerifier:
    """Verifies pairs in the processes of a pool while its caller does other work.

    What :func:`~o1lab.chains.verify.settle` cannot decide is looked up in the lab. Only pairs that are not there go to
    the verifier processes, each once.
    """

    def __init__(self, db: Database, pool: VerifierPool) -> None:
        self._db, self._pool = db, pool
        self._known: dict[_Pair, Asked] = {}
        self._new: dict[_Pair, Future[Verdict]] = {}  # not in the lab yet

    def ask(self, pairs: Sequence[tuple[str | None, str | None]]) -> list[Asked]:
        """Return the verdicts on (gold, answer) pairs, in order.

        Raises:
            RuntimeError: the pool is closed.
        """
        settled = [settle(*pair) for pair in pairs]
        hard = dict.fromkeys(
            (pair[0], pair[1])
            for pair, verdict in zip(pairs, settled, strict=True)
            if verdict is None and pair[0] is not None and pair[1] is not None
        )
        unseen = [pair for pair in hard if pair not in self._known]
        for pair, one in verifications.known(self._db, unseen, VERIFIER_VERSION).items():
            self._known[pair] = Verdict.of(one.status, one.reason)
        for pair in unseen:
            if pair not in self._known:
                self._known[pair] = self._new[pair] = self._pool.ask(*pair)
        return [
            verdict or self._known[pair[0] or "", pair[1] or ""] for pair, verdict in zip(pairs, settled, strict=True)
        ]

    def store(self) -> None:
        """Store the verdicts that were found since the last time."""
        done = {pair: future.result() for pair, future in self._new.items() if future.done()}
        lasting = {pair: Verification(one.status, one.reason) for pair, one in done.items() if one.lasting}
        if lasting:
            verifications.add(self._db, lasting, VERIFIER_VERSION)
        for pair in done:
            del self._new[pair]

    def cancel(self) -> None:
        """Ask for nothing more; what a process is comparing goes on."""
        for pair, future in list(self._new.items()):
            if future.cancel():
                del self._new[pair]
