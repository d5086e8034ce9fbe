"""Evaluations in a lab whose figures are known: no model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from store import Store, evaluations
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, ScoreOutcome, State

ENDS: Mapping[str, tuple[State, ScoreOutcome | None]] = {
    "c": ("complete", "correct"),
    "w": ("complete", "incorrect"),
    "u": ("complete", "unextracted"),
    "?": ("complete", None),
    "i": ("incomplete", None),
    "f": ("failed", None),
}


def put(
    store: Store,
    identity: str,
    ends: Sequence[tuple[ItemRow, str]],
    *,
    model: str = "base",
    scorer: str = "math@1",
    answers: Mapping[str, Sequence[str | None]] | None = None,
    tokens: int = 100,
    **changes: object,
) -> Evaluation:
    """An evaluation of these items, whose samples end as their letters say (see ``ENDS``).

    Args:
        answers: what each sample of an item answered; else nothing is said.
        tokens: of the first sample of an item; the second has twice as many, and so on.
        changes: other fields of the evaluation.
    """
    values: dict[str, object] = {
        "suite": "sums", "suite_version": 1, "items_hash": "h", "family": "mathematics", "role": "base",
        "revision": "r", "sampling": {"temperature": 0.0, "max_tokens": 4096}, "settings": {"max_tokens": 4096},
        "items": len(ends), "samples": max((len(letters) for _, letters in ends), default=1),
    } | changes  # fmt: skip
    one = Evaluation(id=identity, dir=f"evals/{identity}", model=model, scorer=scorer, **values)  # type: ignore[arg-type]  # the fields of an evaluation
    evaluations.add(store.db, one, [row for row, _ in ends])
    new = [
        NewSample(
            row.item, number, ENDS[letter][0], (), f"{identity}-{row.item}-{number}",
            output_tokens=0 if letter == "f" else tokens * (number + 1), thought_tokens=tokens // 2,
        )
        for row, letters in ends for number, letter in enumerate(letters)
    ]  # fmt: skip
    said = [ENDS[letter][1] for _, letters in ends for letter in letters]
    with store.db.atomic():
        seqs = evaluations.add_samples(store.db, identity, new)
        evaluations.add_scores(
            store.db,
            [
                NewScore(seq, scorer, outcome, answer=(answers or {}).get(sample.item, [None] * 99)[sample.sample])
                for seq, sample, outcome in zip(seqs, new, said, strict=True)
                if outcome is not None
            ],
        )
    return one
