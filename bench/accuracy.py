"""Accuracy by model and data set on skyt1_minerva_amc.jsonl, from our scorer, beside the recorded scores.

Over all rows: what was cut off or runs in a loop is incomplete, counts against the accuracy and is a column of its own,
even where a box stands in it. The record judged such rows by what stands in them, which is the larger part of the
difference. Every disagreement is listed with its reason; the reasons of complete rows are those of ``bench.verdicts``.
Run: ``python -m bench.accuracy``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.verdicts import RECORD_IS_WRONG, Compared, explain
from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool
from o1lab.evaluate.items import Item
from o1lab.evaluate.scorers import ScorerSpec, make_scorer
from o1lab.evaluate.scorers.base import Attempt
from o1lab.evaluate.stats.metrics import wilson
from store.evaluations import OUTCOMES, Turn

DATA = Path(os.environ.get("O1LAB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILE = "skyt1_minerva_amc.jsonl"
CUT_OFF = "it is cut off or runs in a loop: incomplete, whatever it got to"


@dataclass(frozen=True)
class Judged:
    """One row: what was recorded, and our outcome."""

    id: str
    model: str
    dataset: str
    gold: str
    recorded_pred: str | None
    recorded: bool
    outcome: str
    answer: str | None
    reason: str

    @property
    def agrees(self) -> bool:
        return (self.outcome == "correct") is self.recorded

    def compared(self) -> Compared:
        """As ``bench.verdicts`` compares."""
        status = {"unscored": "unverifiable", "unextracted": "unverifiable"}.get(self.outcome, self.outcome)
        return Compared(self.id, self.gold, self.recorded_pred, self.recorded, self.answer, None, status, self.reason)


async def judge(path: Path) -> tuple[str, list[Judged]]:
    """(the scorer's label, every row of the file with its outcome)."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    attempts = []
    for row in rows:
        if row["complete"]:
            said = parse(row["raw"])
            turn = Turn(row["problem"], said.thought_of(row["raw"]), said.solution_of(row["raw"]))
            item = Item(row["id"], row["problem"], (row["problem"],), (row["gold_answer"],))
            attempts.append(Attempt(item, 0, (turn,)))
    async with make_scorer(ScorerSpec(name="math")) as scorer:
        scores = dict(zip((one.item.id for one in attempts), await scorer.score(attempts), strict=True))
        label = scorer.label
    judged = []
    for row in rows:
        score = scores.get(row["id"])
        told = (score.outcome, score.answer, score.reason) if score else ("incomplete", None, CUT_OFF)
        judged.append(
            Judged(row["id"], row["model"], row["dataset"], row["gold_answer"], row["pred"], row["score"], *told)
        )
    return label, judged


def line(name: str, rows: Sequence[Judged]) -> str:
    """One line of the table."""
    counts = Counter(row.outcome for row in rows)
    recorded = sum(row.recorded for row in rows)
    low, high = wilson(counts["correct"], len(rows))
    columns = "".join(f"{counts[outcome]:>12}" for outcome in OUTCOMES[:-1])
    return (
        f"{name:<44}{len(rows):>5}{recorded / len(rows):>10.1%}{counts['correct'] / len(rows):>8.1%}"
        f"  [{low:>5.1%}, {high:>5.1%}]{columns}"
    )


def main() -> None:
    started = time.perf_counter()
    label, rows = asyncio.run(judge(DATA / "long" / FILE))
    print(f"{FILE}, all rows; scorer {label}; accuracy is correct over all; {time.perf_counter() - started:.1f} s\n")
    columns = "".join(f"{outcome:>12}" for outcome in OUTCOMES[:-1])
    print(f"{'model, data set':<44}{'rows':>5}{'recorded':>10}{'ours':>8}  {'95 %':<16}{columns}")
    groups: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for row in rows:
        groups[row.dataset, row.model].append(row)
    for (dataset, model), some in sorted(groups.items()):
        print(line(f"{model}, {dataset}", some))
    for dataset in sorted({row.dataset for row in rows}):
        print(line(f"all, {dataset}", [row for row in rows if row.dataset == dataset]))
    print(line("all", rows))
    complete = [row for row in rows if row.outcome != "incomplete"]
    print(line("all complete rows", complete))

    why = Counter[str]()
    with VerifierPool(workers=1) as pool:
        for row in rows:
            if row.agrees:
                continue
            who, reason = ("", CUT_OFF) if row.outcome == "incomplete" else explain(row.compared(), pool)
            kind = CUT_OFF if row.outcome == "incomplete" else who
            why[kind] += 1
            print(
                f"\n{row.id}\n  gold {row.gold!r}"
                f"\n  recorded {'right' if row.recorded else 'wrong'}, {row.recorded_pred!r}"
                f"\n  ours {row.outcome}{f', {row.answer!r}' if row.answer else ''} ({row.reason})"
                + (f"\n  {who}: {reason}" if who else "")
            )
    agree = sum(row.agrees for row in rows)
    print(f"\n{agree} of {len(rows)} rows agree = {agree / len(rows):.2%}; of the others")
    for kind, number in why.most_common():
        print(f"  {number:>4}  {kind}")
    ours = len(rows) - agree - why[RECORD_IS_WRONG] - why[CUT_OFF]
    print(f"so {ours} of {len(rows)} rows speak against our scorer: those where it judges a whole answer differently")


if __name__ == "__main__":
    main()
