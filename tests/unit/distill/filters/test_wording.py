"""Rules that read a statement or its answer: image, proof, no-answer, not-numerical, several-parts, multiple-choice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.distill.filters import RULES, Rule
from store.records import NewProblem, Problem

ALONE = [rule for rule in RULES.all().values() if isinstance(rule, Rule)]


def problem(statement: str, answer: str | None = "7") -> Problem:
    return Problem(NewProblem(statement, "").id, statement, answer, None, None, "pool", None, "1")


def reason(rule: str, statement: str, answer: str | None = "7") -> str | None:
    found = RULES.get(rule)
    assert isinstance(found, Rule)
    finding = found.check(problem(statement, answer))
    return finding.reason if finding else None


@pytest.mark.parametrize(
    "statement",
    [
        "What is the area of triangle $ABC$? [asy] draw((0,0)--(1,1)); [/asy]",
        "Find x. ![a triangle](figures/3.png)",
        r"\includegraphics{t.png} What is the area?",
        "See https://cdn.example.com/a/b.png and find the area.",
        "In the figure, $AB = 3$. Find $AC$.",
        "In the diagram below, two circles touch.",
        "What is the area of the shaded region?",
        "The graph of $y=f(x)$ is shown below. What is $f(2)$?",
        "Two squares are placed as shown. Find the area of the smaller square.",
        "The isosceles trapezoid shown has side lengths as labeled. How long is $AC$?",
        "如图，在三角形ABC中，求角A的度数。",
        "求图中阴影部分的面积。",
    ],
)
def test_an_image_is_needed(statement: str) -> None:
    assert reason("image", statement)


@pytest.mark.parametrize(
    "statement",
    [
        "What is $1+1$?",
        "The figure is rotated about $M$ and reflected. What is the image of $Q$?",
        "Consider the graph of $y = x^2$. At which $x$ is it above the line $y = 4$?",
        "The numbers shown on two dice are added. What is the probability of a sum of 7?",
        r"The data are shown below. \begin{tabular}{cc} 1&2\\3&4 \end{tabular} What is the median?",
        "Sarah can not figure out how many pictures she took. She took 3 on Monday and 4 on Tuesday.",
        "已知二次函数的图象经过点(1,2)，求a的值。",
        r"Rows of a triangle are shown below. 1 1 1 1 3 1 1 5 5 1 1 7 11 7 1 What is the sum of row 2023?",
    ],
)
def test_no_image_is_needed(statement: str) -> None:
    assert reason("image", statement) is None


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("Prove that $n^2+n$ is even.", None),
        ("Show that there are no integers with $4x^3-7y^3=2003$.", None),
        ("Let $a,b$ be the sides of a triangle. Prove that $a+b>c$. Determine when equality occurs.", None),
        ("Show that the sum of the digits is 7.", "7"),
        ("Determine all functions $f$ with $f(x+y)=f(x)+f(y)$.", None),
        ("Let $x$ be an integer. If $x$ is odd, then $8$ divides $x^2-1$.", None),
        ("设n为正整数，证明n(n+1)是偶数。", None),
        (
            "Let $G$ be a graph in which every vertex has degree 3, so one can colour it. Prove it is bipartite.",
            "7",
        ),
        ("Show, for each $n$, that there is a prime $p$ which does not divide $n$.", "7"),
        ("Prove that $a+b>c$. When does equality hold?", "7"),
        ("Show $x^2+1 \\ge 2x$ for real $x$. Find when equality occurs.", "7"),
        ("Prove or disprove: every such set, which may be empty, has a least element.", "7"),
        ("在平面几何中，四边形ABCD内接于圆，求证：对角互补。", "7"),
        ("Show that $n$ is odd.", "proof"),
        ("Let $AB$ be a chord where $C$ lies on the arc. Then $ABC$ is right-angled when $AB$ is a diameter.", None),
        ("Is it true that every such graph, which is finite, has a cycle?", None),
        ("Find the least such $n$, with proof.", None),
    ],
)
def test_a_proof_is_asked_for(statement: str, answer: str | None) -> None:
    assert reason("proof", statement, answer)


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("What is $2+5$?", "7"),
        ("What is $2+5$?", None),
        ("Determine, with proof, the least such $n$.", "7"),
        ("Find the largest moment, or prove that there is none.", "7"),
        ("Write a proof-reader's hourly wage of 14 dollars for half an hour in dollars.", "7"),
        ("A claim without a question, with its answer.", "7"),
        ("Determine whether the series converges and justify your answer.", "yes"),
        ("Prove that there are finitely many of them, and find the largest.", "7"),
        ("Show that $f$ has a zero. What is it?", "7"),
        ("Does there exist such a triangle? Prove your answer.", "no"),
        ("Sam went to a show. Each ticket is 7 dollars. How much do 3 cost? Show your work.", "21"),
        ("The value of $x+y$ is", None),
        ("The sum of the digits of 25 equals ____.", None),
        ("已知a+b=3，ab=2，则a²+b²=", None),
        (r"The product $abc$ is $\textbf{(A)}\ 1 \qquad \textbf{(B)}\ 2 \qquad \textbf{(C)}\ 3$", None),
    ],
)
def test_no_proof_is_asked_for(statement: str, answer: str | None) -> None:
    assert reason("proof", statement, answer) is None


@pytest.mark.parametrize("answer", [None, "", "  ", "N/A", "?", "None.", "proof", "Proof.", "notfound", "证明略"])
def test_no_answer(answer: str | None) -> None:
    assert reason("no-answer", "What is $2+5$?", answer)
    assert reason("not-numerical", "What is $2+5$?", answer) is None


def test_not_numerical_says_what_the_answer_is() -> None:
    assert reason("not-numerical", "Solve.", "(2,3)") == 'the answer is a tuple or an interval: "(2,3)"'
    assert reason("not-numerical", "Solve.", "7") is None
    # A name and its value is an equation, but where the statement asks for that name it is the number asked for.
    assert "equation" in str(reason("not-numerical", "Describe the line.", "x=3"))
    assert reason("not-numerical", "Find the smallest real constant $M$ that will do.", "$M=3$") is None
    assert "equation" in str(reason("not-numerical", "Find the line $y$.", "$y=2x+1$"))


def test_several_parts() -> None:
    assert reason("several-parts", "Let $n=5$. (a) Find $n^2$. (b) Find $n^3$.")
    assert reason("several-parts", "(1) 求a的值；(2) 求b的值。")
    assert reason("several-parts", "Let $x = 3$.\na) What is $x^2$?\nb) What is $x^3$?")
    assert "several numbers" in str(reason("several-parts", "Find all roots.", "1, 3"))
    assert reason("several-parts", "Rules: (i) no king attacks; (ii) each row has one. Find how many.") is None
    assert reason("several-parts", "With $f(a)$ and $g(b)$ as in part (a), find $f(1)$, given condition (b).") is None
    assert reason("several-parts", "What is $1{,}000 + 7$?", "1,007") is None


@pytest.mark.parametrize(
    "statement",
    [
        r"What is $2+5$? $\textbf{(A)}\ 5 \qquad\textbf{(B)}\ 6 \qquad\textbf{(C)}\ 7$",
        r"What is it? $ \mathrm{(A) \ } 10\qquad \mathrm{(B) \ } 11\qquad \mathrm{(C) \ } 12$",
        "Which shape is it?\n(A) Line\n(B) Circle\n(C) Plane",
        "下列哪个正确？\nA．一\nB．二\nC．三",
        r"Which is it? $\bold{A)} P \qquad \bold{B)} Q \qquad \bold{C)} R$",
    ],
)
def test_multiple_choice(statement: str) -> None:
    assert reason("multiple-choice", statement)


@pytest.mark.parametrize(
    "statement",
    [
        "Find $P(A)+P(B)+P(C)$.",
        "Points (A) and (B) lie on a line.",
        r"Find $\mathbf{A}$, $\mathbf{B}$ and $\mathbf{C}$ as an ordered triple $(A, B, C)$.",
        "Cities A, B and C are 45 miles apart.",
    ],
)
def test_no_multiple_choice(statement: str) -> None:
    assert reason("multiple-choice", statement) is None


def test_a_letter_of_the_following_is_a_choice() -> None:
    assert reason("multiple-choice", "Which of the following is prime? 4, 6, 7", r"\text{(C)}")
    assert reason("multiple-choice", "Which of the following is prime? 4, 6, 7", "7") is None


@given(st.text(), st.none() | st.text())
def test_any_text_can_be_looked_at(statement: str, answer: str | None) -> None:
    for rule in ALONE:
        finding = rule.check(problem(statement, answer))
        assert finding is None or finding.reason


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "part",
    [
        "(a) ",
        "\n",
        "\nA. ",
        " ",
        "in the ",
        "shown ",
        "![[",
        "[asy]",
        "http://a.",
        "$",
        "(",
        "find all ",
        "图",
        "a",
        "1 ",
    ],
)
def test_long_statements_take_no_time(part: str) -> None:
    """A megabyte: anything quadratic would take hours."""
    text = part * (1_000_000 // len(part))
    for rule in ALONE:
        rule.check(problem(text, None))


def test_every_rule_has_a_version_and_says_what_it_is_about() -> None:
    assert list(RULES.all()) == [
        "image", "proof", "no-answer", "not-numerical", "several-parts", "multiple-choice", "duplicate", "contaminated",
    ]  # fmt: skip
    assert all(rule.version >= 1 and rule.about for rule in RULES.all().values())
