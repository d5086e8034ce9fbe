"""LaTeX and Markdown as Unicode: what is drawn, and the map back to the source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from o1lab.chains.mathtext import Rendering, parts_of, render
from o1lab.chains.mathtext.formula import Formula
from o1lab.chains.mathtext.rendering import Run

FORMULAS = json.loads((Path(__file__).parents[3] / "fixtures" / "formulas.json").read_text(encoding="utf-8"))
TOKENS = (
    r"\frac { } \sqrt[3] ^ _ $ $$ \( \) \[ \] & \\ \begin{array}{c|c} \end{array} \begin{cases} \end{cases} \text{ a "
    r"12 ** * ` \left( \right. \boxed{ \over \hline = \sin \cdot 中 \ "
)
PIECES = st.lists(
    st.sampled_from([*TOKENS.split(), " ", "\n", "\n\n", "```\n", "# ", "- ", "\x1b[2J"]), max_size=60
).map("".join)
HOSTILE = {
    "$" + "{" * 5000 + "$", "$" + "^{" * 200 + "$", "\\frac" * 2000, "\\boxed{" * 2000, "$" * 9001,
    "\\begin{array}" * 2000, "**a" * 5000, "` `` " * 3000, "\\[" * 5000, "[asy]" * 2000 + "[/asy]", "```\n" * 2001,
    "\\left(" * 3000,
}  # fmt: skip


def blocks(rendering: Rendering) -> Iterator[tuple[int, int, int, int]]:
    for source, source_end, drawn, drawn_end, _ in rendering.pieces(0, rendering.size):
        yield source, source_end, drawn, drawn_end


@pytest.mark.parametrize(("source", "expected"), FORMULAS, ids=range(len(FORMULAS)))
def test_formulas_as_they_occur_in_chains(source: str, expected: str) -> None:
    assert render(source).text == expected


def test_there_are_at_least_a_hundred_formulas() -> None:
    assert len(FORMULAS) >= 100


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (r"2\frac{1}{3} \frac{1}{2}x", "2 1/3 (1/2)x"),
        ("Costs $5 and $10, or $ 5 and $ 6.", "Costs $5 and $10, or $ 5 and $ 6."),
        (r"\$5 is 50\% of $\$10$", "$5 is 50% of $10"),
        ("snake_case x_1 a*b*c 2*3", "snake_case x_1 a*b*c 2*3"),
        ("x^2 + y^{10}", "x² + y¹⁰"),
        (r"\unknown{x} $\unknown{\frac12}$", r"\unknown{x} \unknown{1/2}"),
        (r"$\text{if $x>0$ then}$", "if x > 0 then"),
        (r"unclosed $x and \[ y and \frac{1", r"unclosed $x and \[ y and \frac{1"),
        ("`$x$` and $x^2$", "`$x$` and x²"),
        ("```python\nx = a**2  # $y$\n```\n$y^2$", "```python\nx = a**2  # $y$\n```\ny²"),
        ("### **Step $n$**\n- *one*", "Step n\n• one"),
        (r"**\boxed{5}**", "⟦5⟧"),
        ("中文 $x\\in\\mathbb{R}$，", "中文 x ∈ ℝ，"),
        ("\\[\nx = 1 \\\\\ny = 2\n\\]", "  x = 1 \n  y = 2"),
        ("so \\[ x \\] then", "so \n  x then"),
        ("[asy] draw($x^2$); [/asy] $x^2$", "[asy] draw($x^2$); [/asy] x²"),
    ],
)
def test_markup(source: str, expected: str) -> None:
    assert render(source).text == expected


def test_aligned_rows_and_matrices_are_laid_out_in_lines() -> None:
    aligned = "\\[\n\\begin{aligned}\nx &= 1 + 2\\\\\n  &= 3 \\\\\nlonger &= y\n\\end{aligned}\n\\]"
    assert render(aligned).text == "       x = 1 + 2\n         = 3\n  longer = y"
    matrix = r"$$A=\left[\begin{array}{cc|c} 1 & 20 & x \\ \hline 3 & 4 & y \end{array}\right]$$"
    assert render(matrix).text == "  A = ⎡ 1  20 │ x ⎤\n        ─────────\n      ⎣ 3  4  │ y ⎦"
    assert render(r"$A=\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$").text == "A = (1 2; 3 4)"
    cases = "$$f(x)=\\begin{cases} x, & x>0 \\\\ -x & \\text{otherwise} \\end{cases}$$"
    assert render(cases).text == "  f(x) = ⎧ x,  x > 0\n         ⎩ −x  otherwise"


def test_markdown_has_looks() -> None:
    rendering = render("# Title\n**bold** *it* `code` $\\boxed{3}$")
    looks = {rendering.text[a:b]: look for _, _, a, b, look in rendering.pieces(0, rendering.size)}
    assert looks == {
        "T": "heading", "itle": "heading", "\n": None, "b": "strong", "ol": "strong", "d": "strong", " ": None,
        "i": "emphasis", "t": "emphasis", "`code`": "code", "⟦": "strong", "3": "strong", "⟧": "strong",
    }  # fmt: skip


@given(PIECES)
@example("\\frac\\text{}")  # the end draws nothing
def test_the_runs_partition_source_and_drawing(source: str) -> None:
    rendering = render(source)
    assert rendering.source_size == len(source)
    assert rendering.size == len(rendering.text)
    at = drawn_at = 0
    for start, end, drawn, drawn_end in blocks(rendering):
        assert drawn == drawn_at
        assert start in (at, at - (end - start)), "in order, a block once for each of its looks"
        at, drawn_at = end, drawn_end
    assert drawn_at == rendering.size
    assert at == (len(source) if rendering.size else 0)


@given(PIECES, st.data())
def test_places_go_back_and_forth(source: str, data: st.DataObject) -> None:
    rendering = render(source)
    if not rendering.size:
        return
    offset = data.draw(st.integers(0, len(source) - 1))
    start, end = rendering.block(offset)
    assert start <= offset < end
    assert start <= rendering.to_source(rendering.to_drawn(offset)) <= offset
    drawn = data.draw(st.integers(0, rendering.size - 1))
    assert rendering.to_drawn(rendering.to_source(drawn)) <= drawn + 1  # after a line break of its own


@given(PIECES)
def test_what_is_not_markup_is_drawn(source: str) -> None:
    plain = "".join(char for char in source if char in "中\x1b12")
    drawn = render(source).text
    assert "".join(char for char in drawn if char in "中\x1b").count("中") == plain.count("中")
    assert drawn.count("\x1b") == plain.count("\x1b")


@given(st.lists(PIECES, max_size=5))
def test_parts_cover_a_text_in_order(texts: list[str]) -> None:
    source = "\n\n".join(text * 40 for text in texts)
    at = 0
    for part in parts_of(source):
        assert part.start == at < part.stop
        at = part.stop
    assert at == len(source)


@pytest.mark.parametrize("source", sorted(HOSTILE), ids=range(len(HOSTILE)))
def test_hostile_nesting_is_drawn(source: str) -> None:
    assert render(source).source_size == len(source)


@pytest.mark.parametrize("command", ["hat", "sqrt", "mathbf", "text", "boxed", "frac", "overset"])
def test_commands_as_arguments_of_commands_are_not_read_again_and_again(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    atom = Formula.atom

    def counted(formula: Formula, at: int, end: int) -> tuple[list[Run], int]:
        nonlocal read
        read += 1
        return atom(formula, at, end)

    monkeypatch.setattr(Formula, "atom", counted)
    source = "$" + f"\\{command}" * 12 + " x" * 13 + "$"
    assert render(source).source_size == len(source)
    assert 0 < read < 1000
    deep = r"\[" + f"\\{command}" * 700 + r"\]"
    assert render(deep).source_size == len(deep)


def test_a_brace_that_is_not_closed_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    match = Formula._match_braces

    def counted(formula: Formula, at: int) -> None:
        nonlocal looked
        looked += 1
        match(formula, at)

    monkeypatch.setattr(Formula, "_match_braces", counted)
    source = r"\[" + r"\boxed{" * 700 + r"\]"
    assert render(source).source_size == len(source)
    assert 0 < looked < 10


@pytest.mark.data
@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_the_texts_of_the_shared_data_are_rendered(shared_data: Path, every: int) -> None:
    files = [*shared_data.glob("long/*.json*"), *shared_data.glob("maths/*.json*")]
    assert files
    raw_formulas = formulas = 0
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines()[::every]:
            for text in (
                strings(json.loads(line)) if line.strip().startswith("{") and line.strip().endswith("}") else ()
            ):
                rendering = render(text)
                assert rendering.source_size == len(text)
                formulas += text.count("\\frac")
                raw_formulas += rendering.text.count("\\frac")
    assert raw_formulas < formulas / 50, "nearly every fraction is drawn as one"


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)
