"""Mathematics: extracts the final answer and compares it by value, in a process with limits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Literal

from o1lab.chains.answers import Answer, How, extract_answer
from o1lab.chains.verify import VERIFIER_VERSION, Verdict, VerifierPool
from o1lab.evaluate.scorers.base import Attempt, Options, PlainScorer, Score, kept, no_gold, scorer
from o1lab.ingest.verifying import verify_pairs

_MOST_WORKERS = 4


class MathOptions(Options):
    """Options of the scorer ``math``.

    Attributes:
        accept: which answers count: only ``\\boxed`` ones, also stated ones, or also the last number.
        thought: whether an answer that is boxed or stated in the thought counts if the text after it has none.
    """

    accept: Literal["boxed", "stated", "any"] = "any"
    thought: bool = True


_ACCEPTED = {
    "boxed": frozenset({How.BOXED}),
    "stated": frozenset({How.BOXED, How.STATED}),
    "any": frozenset(How),
}


@scorer("math", version=VERIFIER_VERSION, options=MathOptions, order=10)
class MathScorer(PlainScorer[MathOptions]):
    """Correct if the final answer equals a gold answer; unextracted if there is none; unscored if undecidable."""

    needs_gold = True
    votes = "always"

    def __init__(self, options: MathOptions, *, workers: int | None = None) -> None:
        super().__init__(options)
        self._pool = VerifierPool(workers or min(_MOST_WORKERS, os.cpu_count() or 1))

    def score_attempt(self, attempt: Attempt) -> Score:
        return self.score_batch([attempt])[0]

    def score_batch(self, attempts: Sequence[Attempt]) -> list[Score]:
        found = [self._answer(attempt) for attempt in attempts]
        pairs = dict.fromkeys(
            (gold, answer.text)
            for attempt, answer in zip(attempts, found, strict=True)
            if answer is not None
            for gold in attempt.item.gold
            if gold.strip()
        )  # samples of an item often agree: compare each pair once
        verdicts = dict(zip(pairs, self._verify(list(pairs)), strict=True))
        return [self._score(attempt, answer, verdicts) for attempt, answer in zip(attempts, found, strict=True)]

    async def __aexit__(self, *_: object) -> None:
        self._pool.close()

    def _verify(self, pairs: Sequence[tuple[str, str]]) -> Iterable[Verdict]:
        """Return the verdicts in order. A lab remembers them, for other evaluations and for its traces."""
        if self.store is None:
            return self._pool.verify_many(pairs)
        with self.store.explained():
            return verify_pairs(self.store.db, self._pool, pairs)

    def _answer(self, attempt: Attempt) -> Answer | None:
        found = extract_answer(attempt.answer, attempt.thought if self._options.thought else "")
        return found if found is not None and found.how in _ACCEPTED[self._options.accept] else None

    @staticmethod
    def _score(attempt: Attempt, answer: Answer | None, verdicts: dict[tuple[str, str], Verdict]) -> Score:
        if (score := no_gold(attempt)) is not None:
            return score
        if answer is None:
            return Score("unextracted", reason="no final answer was found")
        results = [verdicts[gold, answer.text] for gold in attempt.item.gold if gold.strip()]
        # A gold answer that could not be compared might have been the right one.
        verdict = min(results, key=lambda one: ("correct", "unverifiable", "incorrect").index(one.status))
        how = "" if answer.how is How.BOXED else f" ({_HOW[answer.how]})"
        outcome = "unscored" if verdict.status == "unverifiable" else verdict.status
        return Score(outcome, answer=kept(answer.text), reason=verdict.reason + how)


_HOW = {How.STATED: "stated, not boxed", How.LAST_NUMBER: "its last number"}
