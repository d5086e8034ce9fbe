"""Thought and solution are told apart in every format, and offsets hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.chains.parse import ThinkFormat, join, parse


@pytest.mark.parametrize(
    ("raw", "kind", "thought", "solution", "complete"),
    [
        (
            "<|begin_of_thought|>\n\nhm\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n27<|end_of_solution|>",
            "sky-t1",
            "hm",
            "27",
            True,
        ),
        ("<|begin_of_thought|>hm", "sky-t1", "hm", "", False),
        ("<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>2", "sky-t1", "a", "2", False),
        ("<think>\na\n</think>\n\nb", "r1", "a", "b", True),
        ("a, opened in the prompt\n</think>\nb", "r1", "a, opened in the prompt", "b", True),
        ("<think>never closed", "r1", "never closed", "", False),
        ("<think>a</think>", "r1", "a", "", False),
        ("<think>\n\n</think>\n\nb", "r1", "", "b", True),
        ("Sure. <think>a</think>b", "r1", "a", "b", True),
        ("<think>a</think>b<think>c</think>d", "r1", "a", "b<think>c</think>d", True),
        ("<Thought>\na\n</Thought>\n<Output>\nyes\n</Output>", "marco-o1", "a", "yes", True),
        ("<Thought>a</Thought><Output>ye", "marco-o1", "a", "ye", False),
        ("<Thought>a</Thought>yes", "marco-o1", "a", "yes", True),
        ("  just an answer ", "plain", "", "just an answer", True),
        ("we write <think> to begin a thought", "plain", "", "we write <think> to begin a thought", True),
        ("", "plain", "", "", False),
        (" \n", "plain", "", "", False),
    ],
)
def test_formats(raw: str, kind: str, thought: str, solution: str, complete: bool) -> None:
    parsed = parse(raw)
    assert parsed.format == ThinkFormat(kind)
    assert parsed.thought_of(raw) == thought
    assert parsed.solution_of(raw) == solution
    assert parsed.complete is complete


def test_join_is_the_students_format() -> None:
    raw = join("  a\n", "b ")
    assert raw == "<think>\n  a\n\n</think>\n\nb "
    parsed = parse(raw)
    assert (parsed.thought_of(raw), parsed.solution_of(raw)) == ("a", "b")
    assert join("", "b") == join(None, "b") == "b"


marks = st.sampled_from(
    ["<think>", "</think>", "<Thought>", "</Thought>", "<Output>", "</Output>", "<|begin_of_thought|>",
     "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>", " ", "\n", "a", "等", "\0", "\ud800"]
)  # fmt: skip


@given(st.lists(marks, max_size=12).map("".join))
def test_spans_are_in_order_and_trimmed_whatever_the_marks(raw: str) -> None:
    parsed = parse(raw)
    spans = [span for span in (parsed.thought, parsed.solution) if span]
    assert all(0 <= start < end <= len(raw) for start, end in spans)
    assert all(raw[slice(*span)] == raw[slice(*span)].strip() for span in spans)
    if len(spans) == 2:
        assert spans[0][1] <= spans[1][0]
    if parsed.complete:
        assert parsed.solution
