"""The word diff of two answers: complete, readable without colours, and not quadratic."""

from __future__ import annotations

import random

from o1lab.chat.word_diff import marked, word_diff


def test_the_differences_are_written_out() -> None:
    text, spans = marked(word_diff("The answer is 1458.", "The sum is 1458, I think."))
    assert text == "The [-answer-]{+sum+} is 1458{+, I think+}."
    assert [text[start:end] for start, end, _ in spans] == ["[-answer-]", "{+sum+}", "{+, I think+}"]


def test_each_side_can_be_put_together_again() -> None:
    rng = random.Random(2)
    words = ["a", "b", " ", "\n", "12", ".", "\u00e9t\u00e9", "[-", "{+"]
    for _ in range(200):
        one, other = ("".join(rng.choices(words, k=rng.randrange(30))) for _ in range(2))
        parts = word_diff(one, other)
        assert "".join(part.text for part in parts if part.kind != "second") == one
        assert "".join(part.text for part in parts if part.kind != "first") == other


def test_long_answers_are_compared_too() -> None:
    rng = random.Random(3)
    words = [rng.choice(["the ", "of ", f"{n} "]) for n in range(20_000)]
    changed = [*words[:9000], "HERE ", *words[9001:]]
    parts = word_diff("".join(words), "".join(changed))
    assert next(part for part in parts if part.kind == "second").text.strip() == "HERE"
