"""Verdicts against those of a careful person on the small cases, by kind, with every difference.

Run: ``python -m bench.answers``. The cases are pairs of a gold answer and a response, at ``../shared/cases``.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from o1lab.chains.answers import extract_answer
from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool

DATA = Path(os.environ.get("O1LAB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
CASES = DATA.parent / "cases" / "answers.jsonl"

# Why a case is judged differently on purpose, by its id.
REASONS: dict[str, str] = {}


@dataclass(frozen=True)
class Judged:
    """A case with our verdict."""

    id: str
    kind: str
    gold: str
    answer: str | None
    expected: str
    status: str
    reason: str

    @property
    def agrees(self) -> bool:
        return (self.status == "correct") is (self.expected == "correct")

    @property
    def wrong_called_right(self) -> bool:
        return self.status == "correct" and not self.agrees


def judge(path: Path = CASES) -> Iterator[Judged]:
    """Yield every case with our verdict."""
    with VerifierPool(workers=1) as pool, path.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            parsed = parse(row["response"])
            found = extract_answer(parsed.solution_of(row["response"]), parsed.thought_of(row["response"]))
            answer = found.text if found else None
            verdict = pool.verify(row["gold"], answer)
            yield Judged(
                row["id"], row["kind"], row["gold"], answer, row["verdict"], verdict.status, verdict.reason
            )  # fmt: skip


def main() -> None:
    judged = list(judge())
    kinds: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        kinds[one.kind].append(one)
    print(f"{'kind':<32}{'cases':>6}{'agree':>6}{'wrong called right':>20}")
    for kind, some in kinds.items():
        wrong = sum(one.wrong_called_right for one in some)
        print(f"{kind:<32}{len(some):>6}{sum(one.agrees for one in some):>6}{wrong:>20}")
    for one in judged:
        if not one.agrees:
            print(
                f"\n{one.id} ({one.kind}): gold {one.gold!r}, answer {one.answer!r}"
                f"\n  expected {one.expected}, got {one.status} ({one.reason})"
                f"\n  {REASONS.get(one.id, 'no reason is known')}"
            )
    agree = sum(one.agrees for one in judged)
    wrong = sum(one.wrong_called_right for one in judged)
    print(f"\n{agree} of {len(judged)} agree = {agree / len(judged):.1%}; {wrong} wrong answers called right")


if __name__ == "__main__":
    main()
