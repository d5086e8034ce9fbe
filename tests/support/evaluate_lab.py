"""Labs with evaluations put in through the store's own functions: two models on the same items, no model asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from o1lab.config import init_lab
from o1lab.paths import Lab
from store import Store, evaluations, open_store
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, ScoreOutcome, State, Turn

SCORER = "math@1"
RUN = "20260101-col"
STUDENT = f"{RUN}/50"
BASE = "SmolLM2-135M"
# What each model answers to item n, and how it came out; the student's slip on 3 is the base's luck.
SAYS: dict[str, Sequence[str]] = {
    BASE: ("incorrect", "correct", "incorrect", "correct", "incomplete", "failed"),
    STUDENT: ("correct", "correct", "correct", "incorrect", "correct", "unextracted"),
}


def item(number: int, variant: str | None = None) -> ItemRow:
    a, b = 123 + 37 * number, 288 + 53 * number
    return ItemRow(f"add:{number}", f"What is {a} + {b}?", (str(a + b),), None, variant)


def turn(model: str, one: ItemRow, outcome: str) -> Turn:
    """What a model says: the student thinks aloud, the base does not."""
    gold = one.gold[0]
    said = gold if outcome == "correct" else "911"
    answer = "I would rather not say." if outcome == "unextracted" else f"The sum is \\boxed{{{said}}}."
    thought = (
        f"So I need {one.question[8:-1]}.\n\nFirst the ones, then the tens.\n\nThat gives {said}.\n\n"
        f"Wait, let me check by subtracting. It holds.\n\nTherefore the answer is {said}."
    )
    return Turn(one.question, thought if model == STUDENT else "", answer)


def evaluation(
    identity: str, model: str, items: int = 6, suite: str = "sums", family: str = "mathematics"
) -> Evaluation:
    role = "student" if "/" in model else "base"
    sampling = {"temperature": 0.0, "max_tokens": 512, "seed": 42}
    created = f"2026-11-2{len(identity) % 10}T08:00:00.000000+00:00"
    return Evaluation(
        identity, f"evals/{identity}", suite, 1, "items-hash", "mathematics", model, role, "rev", sampling, {}, items,
        1, SCORER, created,
    )  # fmt: skip


def put(store: Store, one: Evaluation, outcomes: Sequence[str]) -> list[int]:
    """An evaluation with a sample of these outcomes on items 0, 1, ...; their seqs."""
    items = [item(number, "hint" if number % 2 else "plain") for number in range(len(outcomes))]
    evaluations.add(store.db, one, items)
    states: dict[str, State] = {"failed": "failed", "incomplete": "incomplete"}
    samples = [
        NewSample(
            row.item, 0, states.get(said, "complete"), () if said == "failed" else (turn(one.model, row, said),),
            f"{one.id}-{row.item}", "the server went away" if said == "failed" else "", 20, 40 + 10 * at,
            30 if one.model == STUDENT else None,
        )
        for at, (row, said) in enumerate(zip(items, outcomes, strict=True))
    ]  # fmt: skip
    words: dict[str, ScoreOutcome] = {"correct": "correct", "incorrect": "incorrect", "unextracted": "unextracted"}
    with store.db.atomic():
        seqs = evaluations.add_samples(store.db, one.id, samples)
        evaluations.add_scores(
            store.db,
            [
                NewScore(
                    seq, SCORER, words[said], 1.0 if said == "correct" else 0.0,
                    None if said == "unextracted" else row.gold[0] if said == "correct" else "911",
                    {"correct": "equal", "incorrect": f"911 is not {row.gold[0]}"}.get(said, "it holds no answer"),
                )
                for seq, row, said in zip(seqs, items, outcomes, strict=True)
                if said in words
            ],
        )  # fmt: skip
    return seqs


def make_lab(folder: Path) -> Lab:
    """A lab with base and student evaluated on six sums, and the rows the student was trained on."""
    lab = init_lab(folder, name="sums")
    store = open_store(lab.database)
    put(store, evaluation("base-1", BASE), SAYS[BASE])
    put(store, evaluation("student-1", STUDENT), SAYS[STUDENT])
    store.close()
    run = lab.runs / RUN
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(f"base: {BASE}\n", "utf-8")
    rows = [
        {
            "trace_id": f"{number:016x}",
            "prompt": item(number).question,
            "thought": f"Column by column: {item(number).question[8:-1]}.",
            "solution": f"The sum is {item(number).gold[0]}.",
        }
        for number in range(8)
    ]
    (run / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return lab
