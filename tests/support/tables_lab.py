"""A store with evaluations as their runs would leave them, for tests of tables and plots. Nothing is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from store import Store, evaluations
from store.evaluations import Evaluation, ItemRow, NewSample, NewScore, State, Turn

# One letter a sample: right, wrong, cut off, no answer, not scored, failed.
LETTERS = {"+": "correct", "-": "incorrect", "c": "incomplete", "x": "unextracted", "?": "unscored", "!": "failed"}
MARKED = "m"  # neither right nor wrong, but with a value


def evaluated(
    store: Store,
    identity: str,
    suite: str,
    model: str,
    outcomes: Sequence[str],
    *,
    version: int = 1,
    items_hash: str = "h1",
    family: str = "mathematics",
    role: str = "",
    revision: str = "",
    scorer: str = "math@1",
    tokens: int = 100,
    asked_for: int | None = None,
    variants: Sequence[str] = (),
    values: Sequence[float] = (),
    settings: Mapping[str, Any] | None = None,
    answers: Sequence[str] = (),
    metric: str = "accuracy",
) -> None:
    """Record an evaluation. Item i's sample k has tokens + i + k output tokens.

    Args:
        outcomes: a string an item, a letter a sample (LETTERS, MARKED).
        asked_for: items of the evaluation where not all of them have samples yet.
        variants: dealt out over the items in turn; items of a group share their question.
        values: grades of the samples, in order.
        answers: what the scorer took for the answer, in order.
        metric: the headline that the suite asks for.
    """
    samples = max(len(one) for one in outcomes)
    number = asked_for or len(outcomes)
    about = {"temperature": 0.0, "max_tokens": 4096, "seed": 42} | dict(settings or {})
    one = Evaluation(
        identity, f"evals/{identity}", suite, version, items_hash, family, model, role, revision, {}, about, number,
        samples, scorer, f"2026-11-23T00:00:{len(evaluations.all_evaluations(store.db)):02}Z", metric,
    )  # fmt: skip
    deal = [variants[place % len(variants)] if variants else None for place in range(number)]
    groups = [f"g{place // len(variants)}" if variants else None for place in range(number)]
    rows = [ItemRow(f"i{place}", "What is it?", ("2",), groups[place], deal[place]) for place in range(number)]
    evaluations.add(store.db, one, rows)
    scores: list[NewScore] = []
    with store.db.atomic():
        for place, letters in enumerate(outcomes):
            for k, letter in enumerate(letters):
                said = LETTERS["?" if letter == MARKED else letter]
                state = cast("State", said if said in ("incomplete", "failed") else "complete")
                made = NewSample(
                    f"i{place}", k, state, (Turn("?", "", "2"),), f"{identity}-{place}-{k}",
                    output_tokens=0 if state == "failed" else tokens + place + k,
                )  # fmt: skip
                (seq,) = evaluations.add_samples(store.db, identity, [made])
                if state == "complete" and letter != "?":
                    where = len(scores)
                    value = values[where] if where < len(values) else None
                    answer = answers[where] if where < len(answers) else None
                    scores.append(NewScore(seq, scorer, cast("Any", said), value, answer))
        evaluations.add_scores(store.db, scores)
