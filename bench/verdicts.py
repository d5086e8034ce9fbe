"""Verdicts against the recorded scores of skyt1_minerva_amc.jsonl, every disagreement with its reason.

Run: ``python -m bench.verdicts``. Only complete rows count: a truncated response has no final answer to judge.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from o1lab.chains.answers import extract_answer
from o1lab.chains.parse import parse
from o1lab.chains.verify import VerifierPool

DATA = Path(os.environ.get("O1LAB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Compared:
    """One complete row: what was recorded and what the verifier says."""

    id: str
    gold: str
    recorded_pred: str | None
    recorded_score: bool
    answer: str | None
    how: str | None
    status: str
    reason: str

    @property
    def agrees(self) -> bool:
        return (self.status == "correct") is self.recorded_score


def compare(path: Path) -> Iterator[Compared]:
    """Judge every complete row of ``path``."""
    with VerifierPool(workers=1) as pool, path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if not row["complete"]:
                continue
            parsed = parse(row["raw"])
            found = extract_answer(parsed.solution_of(row["raw"]), parsed.thought_of(row["raw"]))
            verdict = pool.verify(row["gold_answer"], found.text if found else None)
            yield Compared(
                row["id"], row["gold_answer"], row["pred"], row["score"], found and found.text, found and found.how,
                verdict.status, verdict.reason,
            )  # fmt: skip


RECORD_IS_WRONG = "the recorded score is wrong"
VERIFIER_DIFFERS = "the verifier judges differently"


def explain(row: Compared, pool: VerifierPool) -> tuple[str, str]:
    """Who is right about a disagreement, and why: one of the two sentences above, and the reason.

    Only what can be shown counts against the record: that it scored another text than the answer, or that the part
    of the answer it stumbled over does not change the value.
    """
    answer, pred = row.answer or "", row.recorded_pred or ""
    if row.status == "correct":
        if re.search(r"\de[+-]?\d", row.gold):
            return RECORD_IS_WRONG, f"the gold answer is the number {row.gold}, which it did not read as one"
        if _squeeze(pred) != _squeeze(answer):
            return RECORD_IS_WRONG, f"it scored {pred!r}, which is not what the response answers"
        named, _, value = answer.rpartition("=")
        if named and "=" not in row.gold and pool.verify(row.gold, value).status == "correct":
            return RECORD_IS_WRONG, f"the answer names what it gives ({named.strip()} = …), the value is the gold one"
        if "\\frac{d" in row.gold:
            return RECORD_IS_WRONG, "the same equation, solved for another term"
        if re.search(r"\\ ?[a-zA-Z]+$", answer):
            return RECORD_IS_WRONG, "the answer carries its unit, the value is the gold one"
        return RECORD_IS_WRONG, "the same value in another form"
    if row.reason.startswith("the gold answer is not mathematics"):
        return VERIFIER_DIFFERS, f"{row.gold!r} names things, it is no value; the record scored {pred!r} against it"
    if row.status == "incorrect":
        return VERIFIER_DIFFERS, "the recorded scorer rounds or cuts the answer, the verifier compares it as it stands"
    return VERIFIER_DIFFERS, row.reason


def _squeeze(text: str) -> str:
    text = re.sub(r"\\(?:text|mathrm)\{([^{}]*)\}|\\(?:left|right|,|quad)(?![a-z])", r"\1", text).replace(
        "dfrac", "frac"
    )
    return re.sub(r"\s|\.$", "", text)


def main() -> None:
    started = time.perf_counter()
    rows = list(compare(DATA / "long" / "skyt1_minerva_amc.jsonl"))
    agree = sum(row.agrees for row in rows)
    print(
        f"complete rows {len(rows)}, agreement {agree} = {agree / len(rows):.2%}, {time.perf_counter() - started:.1f} s"
    )
    print("verdicts", dict(Counter(row.status for row in rows)), "answers", dict(Counter(str(row.how) for row in rows)))
    print("reasons", dict(Counter(row.reason for row in rows)))
    wrong = 0
    with VerifierPool(workers=1) as pool:
        for row in rows:
            if not row.agrees:
                who, why = explain(row, pool)
                wrong += who is RECORD_IS_WRONG
                print(
                    f"\n{row.id}\n  gold {row.gold!r}\n  answer {row.answer!r} ({row.how})\n  recorded score"
                    f" {row.recorded_score}, verdict {row.status} ({row.reason})\n  {who}: {why}"
                )
    judged = len(rows) - wrong
    print(
        f"\nas recorded {agree}/{len(rows)} = {agree / len(rows):.2%}; without the {wrong} rows whose recorded score is"
        f" wrong {agree}/{judged} = {agree / judged:.2%}"
    )


if __name__ == "__main__":
    main()
