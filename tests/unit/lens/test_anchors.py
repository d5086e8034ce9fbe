"""Counterfactual importance: sentences, rollouts with and without them, divergences by hand."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest

from o1lab.lens.anchors import (
    RolloutSettings,
    anchors,
    answer_of,
    divergence,
    first_sentence,
    prefix,
    sentences,
    similarity,
)
from o1lab.lens.convergence import Chain
from store.continuations import Rollout

THOUGHT = "We carry one. So it is 12.\n\nThat is all"
CHAIN = Chain("t", ({"role": "user", "content": "7 + 5?"},), THOUGHT, "\\boxed{12}", (), ("12",))
STARTS = [0, 14, 28]


def rollout(position: int, sample: int, reply: str, answer: str | None) -> Rollout:
    return Rollout(CHAIN.key, "m", RolloutSettings().how, position, sample, "base", reply, answer)


@pytest.mark.parametrize(
    ("thought", "found"),
    [
        (THOUGHT, ["We carry one. ", "So it is 12.\n\n", "That is all"]),
        ("It is 3.5 here. Yes!  No?", ["It is 3.5 here. ", "Yes!  ", "No?"]),
        ("(Is it so?) It is.", ["(Is it so?) ", "It is."]),
        ("one", ["one"]),
        ("first line\nsecond line\n", ["first line\n", "second line\n"]),
    ],
)
def test_a_thought_is_its_sentences(thought: str, found: list[str]) -> None:
    assert [thought[start:end] for start, end in sentences(thought)] == found


def test_a_rollout_continues_the_thought_and_after_it_only_answers() -> None:
    assert prefix(CHAIN, 0) == "<think>\n"
    assert prefix(CHAIN, 14) == "<think>\nWe carry one.", "the next token brings its space"
    assert prefix(CHAIN, 28) == "<think>\nWe carry one. So it is 12.\n\n"
    assert prefix(CHAIN, len(THOUGHT)) == f"<think>\n{THOUGHT}\n</think>\n\n"
    assert answer_of(CHAIN, 14, " It is 13.\n</think>\n\n\\boxed{13}") == "13"
    assert answer_of(CHAIN, 14, "It is 13, or \\boxed{13}") is None, "it was cut off in its thought"
    assert answer_of(CHAIN, len(THOUGHT), "\\boxed{12}") == "12"


def test_rollouts_after_other_beginnings_are_other_rollouts() -> None:
    one = RolloutSettings()
    assert json.loads(one.how)[1:] == [one.temperature, one.top_p, one.max_tokens, one.seed]
    assert one.how != json.dumps([one.temperature, one.top_p, one.max_tokens, one.seed]), (
        "those with a space at the end"
    )


def test_the_divergence_is_that_of_the_smoothed_shares() -> None:
    with_it, instead = Counter({"12": 4}), Counter({"11": 3, "12": 1})
    # Of 4 answers and one more each of 2 kinds: 5/6 and 1/6 with it, 2/6 and 4/6 instead.
    expected = 2 / 6 * math.log((2 / 6) / (5 / 6)) + 4 / 6 * math.log((4 / 6) / (1 / 6))
    assert divergence(Counter(instead), Counter(with_it)) == pytest.approx(expected)
    assert divergence(Counter({"12": 4}), Counter({"12": 4})) == 0
    assert divergence(Counter({"12": 4}), Counter({"12": 40})) == pytest.approx(0, abs=1e-9)


def test_a_sentence_without_which_the_answer_is_another_is_important() -> None:
    drawn = [rollout(0, at, "We carry nothing. It is 2.\n</think>", "2") for at in range(4)]
    drawn += [rollout(0, 4, "We carry one. 12\n</think>", "12")]  # the same sentence: it does not count
    drawn += [rollout(14, at, "Then it is twelve.\n</think>", "12") for at in range(5)]
    drawn += [rollout(28, at, "Done.\n</think>", "12.0") for at in range(5)]
    drawn += [rollout(len(THOUGHT), at, "\\boxed{12}", "12") for at in range(5)]
    first, second, third = anchors(CHAIN, drawn)
    assert (first.start, first.end, first.kept, first.different, first.same) == (0, 14, 5, 4, 1)
    assert (first.answer, first.share, first.before) == ("12", 1.0, 0.0)
    assert first.importance == pytest.approx(divergence(Counter({"a": 4}), Counter({"b": 5}))) and first.importance > 1
    assert second.importance == 0 and second.before == 1.0, "equal values are one answer"
    assert third.different == 5 and third.importance == 0


def test_nothing_is_known_of_a_sentence_that_is_always_written_again() -> None:
    drawn = [rollout(0, at, "We carry  one. Then", "12") for at in range(3)]
    drawn += [rollout(14, at, "x", None) for at in range(3)]
    first, second, _ = anchors(CHAIN, drawn)
    assert (first.importance, first.different, first.same) == (None, 0, 3)
    assert (first.answer, first.share) == (None, 1.0), "no answer is an outcome too"
    assert second.importance is None and second.kept == 0


def test_sentences_are_the_same_by_their_words() -> None:
    assert similarity("We carry one.", "we carry ONE") == 1.0
    assert similarity("We carry one.", "We carry two.") == pytest.approx(2 / 4)
    assert similarity("...", "!") == 1.0 and similarity("a", "") == 0.0
    assert first_sentence("\nIt is 2. And so on.") == "It is 2." and first_sentence("alone</think>\n\n3") == "alone"
