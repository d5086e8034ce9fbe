"""The verdict on an answer in a conversation, for questions whose gold answer the lab knows."""

from __future__ import annotations

from o1lab.chains.answers import extract_answer
from o1lab.chains.verify import VerifierPool


class AnswerVerifier:
    """Call it with (gold answer, text of the answer). Its process starts with the first answer; close it."""

    def __init__(self) -> None:
        self._pool = VerifierPool()

    def __call__(self, gold: str, answer: str) -> str:
        """correct, incorrect or unverifiable. Blocks up to the verifier's limit."""
        found = extract_answer(answer)
        return self._pool.verify(gold, found.text if found else None).status

    def close(self) -> None:
        self._pool.close()
