"""A thought without marks is split where the text says that it concludes, and nowhere else."""

from __future__ import annotations

import time

import pytest

from o1lab.chains.marks import PLAIN
from o1lab.chains.parse import split_unmarked

THOUGHT = "3 * 7 is 24... wait, it is 21. Let me check: 7 + 7 + 7 = 21. Then 21 + 5 = 26."


@pytest.mark.parametrize(
    ("thought", "conclusion"),
    [
        (THOUGHT, "The total is \\boxed{26}."),
        (THOUGHT, "So the answer is 26."),
        (THOUGHT, "**Final Answer**\n\nThere are 26 pears. She has 21 in crates."),
        (THOUGHT, "### Final Answer:\n26"),
        (THOUGHT, "Conclusion: there are 26 pears."),
        (THOUGHT, "Therefore, the final answer is 26. I hope this helps!"),
        ("Is the answer 24? No, 3 * 7 is 21. " + THOUGHT, "The answer is $26$."),
        ("I first think \\boxed{24}. No, wait. " + THOUGHT, "So it is \\boxed{26}."),
        ("我们先算 3 * 7 = 24。等等,是 21。", "所以答案是26。"),
    ],
)
def test_the_conclusion_is_the_last_heading_or_sentence_with_the_answer(thought: str, conclusion: str) -> None:
    for gap in ("\n\n", " " if "answer is" in conclusion else "\n"):
        raw = f" {thought}{gap}{conclusion}\n"
        found = split_unmarked(raw)
        assert (found.thought_of(raw), found.solution_of(raw), found.complete) == (thought, conclusion, True)


@pytest.mark.parametrize(
    "text",
    [
        THOUGHT,
        "If the answer is 26, then each crate has 7. But I should check whether that holds, and it does not.",
        "The answer is 24. " + "No, that cannot be right, as 3 * 7 is 21. " * 30 + "Hm.",
        "Is it \\boxed{24}? No.",
        "Final Answer\n" + THOUGHT * 9,
        "26",
    ],
)
def test_a_text_that_does_not_conclude_is_a_thought(text: str) -> None:
    found = split_unmarked(text)
    assert (found.thought_of(text), found.solution, found.complete) == (text, None, False)


def test_a_blank_text_and_a_conclusion_alone_have_no_thought() -> None:
    assert split_unmarked(" \n").thought is None
    found = split_unmarked("So the answer is 26.")
    assert (found.format, found.thought, found.complete) == (PLAIN, None, True)


def test_long_texts_take_linear_time() -> None:
    for part in ("So the answer is ", "\\boxed{", "Final Answer\n", "A. ", "\n \n"):
        began = time.process_time()
        split_unmarked(part * (400_000 // len(part)))
        assert time.process_time() - began < 3
