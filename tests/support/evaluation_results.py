"""Results of an evaluation without a store: what figures are computed of."""

from __future__ import annotations

from store.evaluations import Result


def result(
    item: str,
    outcome: str = "correct",
    *,
    sample: int = 0,
    answer: str | None = None,
    value: float | None = None,
    tokens: int = 10,
    thought: int | None = None,
    group: str | None = None,
    variant: str | None = None,
) -> Result:
    return Result(item, sample, outcome, value, answer, tokens, thought, group, variant, 0.0, 0.0, False)


def marked(marks: dict[str, str]) -> list[Result]:
    """Samples of items, a letter each: ``c`` correct, ``w`` wrong, ``i`` cut off, ``u`` unextracted, ``f`` failed."""
    outcomes = {"c": "correct", "w": "incorrect", "i": "incomplete", "u": "unextracted", "f": "failed"}
    return [
        result(item, outcomes[letter], sample=number)
        for item, letters in marks.items()
        for number, letter in enumerate(letters)
    ]


def voted(samples: dict[str, list[str | None]], gold: str) -> list[Result]:
    """Samples of items with the answers they gave; right is what equals ``gold``, without an answer unextracted."""
    return [
        result(
            item,
            "unextracted" if answer is None else "correct" if answer == gold else "incorrect",
            sample=number,
            answer=answer,
        )
        for item, answers in samples.items()
        for number, answer in enumerate(answers)
    ]
