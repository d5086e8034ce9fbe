"""Spans that a translation must not touch: found, taken out, put back."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from o1lab.chains.protected import mask, placeholders, protected_spans, unmask, without_protected


def kept(text: str) -> list[str]:
    return [text[slice(*span)] for span in protected_spans(text)]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("so $x+1$ and $$y = 2$$ hold", ["$x+1$", "$$y = 2$$"]),
        (r"so \(a\) and \[ b \] hold", [r"\(a\)", r"\[ b \]"]),
        ("$ x = 3 $ is set wide", ["$ x = 3 $"]),
        ("She pays $5 and gets $10 back.", []),
        ("It costs $18-$12 or \\$7.", []),
        ("one $ alone, \\( open, \\[ open, ` open, ``` open, \\boxed{ open", [r"\boxed"]),
        (r"the answer is \boxed{\frac{1}{2} \text{ of } \{a, b\}}.", [r"\boxed{\frac{1}{2} \text{ of } \{a, b\}}"]),
        (r"\boxed{\boxed{7}} twice", [r"\boxed{\boxed{7}}"]),
        (r"bare \sqrt[3]{8} = 2 and \pi here", [r"\sqrt[3]{8}", r"\pi"]),
        (r"a \begin{cases} x & \begin{cases} y \end{cases} \end{cases} b", [
            r"\begin{cases} x & \begin{cases} y \end{cases} \end{cases}",
        ]),
        (r"a \begin{align} x never ends", [r"\begin{align}"]),
        ("run `x = 1` or\n```python\nprint('$5')\n```\nnow", ["`x = 1`", "```python\nprint('$5')\n```"]),
        ("see https://example.org/a_(b)?c=1. Then", ["https://example.org/a_(b)?c=1"]),
        ("见https://example.org/a，然后", ["https://example.org/a"]),
        ("talk of </think> and <|end_of_thought|>", ["</think>", "<|end_of_thought|>"]),
        ("a mark ⟦3⟧ or [[4]] of its own", ["⟦3⟧", "[[4]]"]),
        ("a $x\n\ny$ paragraph lies between", []),
        (r"\(x \(y\) z", [r"\(y\)"]),
        ("$$a\n\nb$$ too", []),
    ],
)  # fmt: skip
def test_what_is_protected(text: str, spans: list[str]) -> None:
    assert kept(text) == spans


def test_words_of_formulas_stay_in_them() -> None:
    masked = mask(r"Let $n$ be \(\text{the number of apples}\).")
    assert masked.text == "Let ⟦0⟧ be ⟦1⟧."
    assert masked.kept == ("$n$", r"\(\text{the number of apples}\)")
    assert without_protected("Let $n$ be").split() == ["Let", "be"]


MARKS = r"$ $$ \( \) \[ \] ` ``` { } \boxed{ \begin{a} \end{a} ⟦ ⟧ [[ ]] 0 12 ٣ \ x 等等 https://a.b/ </think> \text"
PIECES = st.sampled_from([*MARKS.split(), " ", "\n", "\n\n", "\x00", "\ud800"])


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200))
@settings(max_examples=600)
@example("⟦⟦0⟧")
@example("[[1]]$x$⟦ 1 ⟧")
def test_taking_out_and_putting_back_changes_nothing(text: str) -> None:
    masked = mask(text)
    assert unmask(masked.text, masked.kept) == text
    assert placeholders(masked.text) == dict.fromkeys(range(len(masked.kept)), 1)
    spans = protected_spans(text)
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_placeholders_are_read_however_a_translator_writes_them() -> None:
    assert unmask("甲 ⟦ 0 ⟧ 乙 [[1]] 丙 〚2〛 丁 ⟦９⟧", ("$a$", "$b$", "$c$")) == "甲 $a$ 乙 $b$ 丙 $c$ 丁 ⟦９⟧"


@pytest.mark.data
def test_real_chains_lose_nothing(shared_data: Path) -> None:
    found = 0
    with (shared_data / "long/skyt1_minerva_amc.jsonl").open(encoding="utf-8") as rows:
        for row in rows:
            raw = json.loads(row)["raw"]
            masked = mask(raw)
            found += len(masked.kept)
            assert unmask(masked.text, masked.kept) == raw
            assert "\\boxed{" not in masked.text or not json.loads(row)["complete"]
    assert found > 10_000
