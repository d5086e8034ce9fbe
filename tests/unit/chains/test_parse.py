"""Thought and solution are told apart in every format, and offsets hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.chains.marks import Marks, table, use, use_marks_of
from o1lab.chains.parse import join, parse
from o1lab.errors import LabError
from o1lab.paths import Lab


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
        ("<THINK>a</Think>b", "r1", "a", "b", True),
        ("<thinking>a</thinking>b", "thinking", "a", "b", True),
        ("<Reasoning>a</reasoning>b", "reasoning", "a", "b", True),
        ("[THINK]a[/THINK]b", "magistral", "a", "b", True),
        ("◁think▷a◁/think▷b", "kimi", "a", "b", True),
        ("<seed:think>a</seed:think>b", "seed", "a", "b", True),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "command-a", "a", "b", True),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>",
            "gpt-oss",
            "a",
            "b",
            True,
        ),
        ("<|channel|>analysis<|message|>a<|end|>", "gpt-oss", "a<|end|>", "", False),
        ("<|channel|>final<|message|>b", "gpt-oss", "", "b", True),
        ("İ <THINK>a</THINK>b", "r1", "a", "b", True),
        ("  just an answer ", "plain", "", "just an answer", True),
        ("we write <think> to begin a thought", "plain", "", "we write <think> to begin a thought", True),
        ("", "plain", "", "", False),
        (" \n", "plain", "", "", False),
    ],
)
def test_formats(raw: str, kind: str, thought: str, solution: str, complete: bool) -> None:
    parsed = parse(raw)
    assert parsed.format == kind
    assert parsed.thought_of(raw) == thought
    assert parsed.solution_of(raw) == solution
    assert parsed.complete is complete


def test_join_is_the_students_format() -> None:
    raw = join("  a\n", "b ")
    assert raw == "<think>\n  a\n\n</think>\n\nb "
    parsed = parse(raw)
    assert (parsed.thought_of(raw), parsed.solution_of(raw)) == ("a", "b")
    assert join("", "b") == join(None, "b") == "b"


def test_text_outside_the_marks_is_found() -> None:
    raw = "before <think>a</think> b"
    assert [raw[slice(*span)] for span in parse(raw).outside] == ["before"]
    raw = "<|begin_of_thought|>a<|end_of_thought|> between <|begin_of_solution|>b<|end_of_solution|> after"
    assert [raw[slice(*span)] for span in parse(raw).outside] == ["between", "after"]


@pytest.fixture
def _no_own_marks() -> Iterator[None]:
    yield
    use(())


@pytest.mark.usefixtures("_no_own_marks")
def test_a_lab_has_marks_of_its_own(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.config.write_text(
        '[[marks]]\nname = "mine"\nthought = ["{{Ponder}}", "{{/ponder}}"]\nsolution = ["{{", "}}"]\n'
    )
    use_marks_of(lab)
    assert table()[0] == Marks("mine", ("{{ponder}}",), ("{{/ponder}}",), ("{{",), ("}}",))
    raw = "{{PONDER}} a {{/Ponder}} {{b}}"
    parsed = parse(raw)
    assert (parsed.format, parsed.thought_of(raw), parsed.solution_of(raw)) == ("mine", "a", "b")
    lab.config.write_text('[[marks]]\nname = "mine"\nthought = ["", "x"]\n')
    with pytest.raises(LabError, match="marks"):
        use_marks_of(lab)
    lab.config.write_text("")
    use_marks_of(lab)
    assert parse(raw).format == "plain"


marks = st.sampled_from(
    ["<think>", "</think>", "<Thought>", "</Thought>", "<Output>", "</Output>", "<|begin_of_thought|>",
     "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>", "[THINK]",
     "[/think]", "İ", " ", "\n", "a", "等", "\0", "\ud800"]
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
