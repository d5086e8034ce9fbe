"""What is one real number exactly written, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.distill.filters.numbers import LONGEST, read_answer

NUMBERS = [
    "27", "-3", "−3", "060", "1,234,567", "1{,}000", r"10,\!080", r"11,\! 111,\! 111,\! 100", "3.14", ".5", "27.",
    "1 000 000", "-1 000", "$1 000$", r"\boxed{1 000}", "1 000 km", "[1 000]", "3 100/200",
    r"\log_2 128", r"\fbox{7}", "[5]",
    "$27$", r"\boxed{27}", r"\frac{3}{4}", r"\dfrac34", r"-\frac{35}{9}", "3/4", r"137 \frac{1}{2}", "3 1/2", "½",
    "62.5%", r"8 \%", r"\sqrt{2}", r"\sqrt[3]{7}", r"11\sqrt2", "√2", r"\frac{-1+\sqrt{5}}{2}", r"22+12\sqrt{2}",
    r"12\pi", "2π", r"\frac{5 \pi}{4} \sqrt{17}", r"10+2 \sqrt{2}", r"90^{\circ}", r"18.8^{\circ}", "45°",
    r"\$32,\!348", "$5", "£7.50", r"15\mbox{ cm}^2", r"864 \mbox{ inches}^2", r"18 \text{ integers}",
    r"5.4 \text{ cents}", "10 cm", "3 apples", "5元", "12 平方厘米", r"6 \mathrm{m}", r"3 \times 10^{8} \mathrm{~m/s}",
    "10^{100}", "2^{-2 / 3}", r"\frac{100!}{2^{50}}", r"2021 \cdot 505 \cdot 337", r"\binom{10}{3}", r"\log_{2} 3",
    "e^2", r"0.\overline{3}", "203_7", r"\lfloor 3.7 \rfloor", "10^(10^10)", "99999999!", "9^9^9^9", "27。", "(5)",
    r"\left(1+\sqrt{2}\right)/3", "6 miles per hour", r"$\boxed{5}$.", r"\boxed{1e11}.", r"\frac{\log 2}{\log 3}",
]  # fmt: skip
SEVERAL = [
    "1,3", "$69$,$84$", "$221,$8$", "1, 3, 5, 15", "5 or 7", r"12\text{ and }13", r"1 \pm \sqrt{19}", "3 和 4",
    "2;3", "7 and 1 000", "$a=2$, $a=-6$",
]  # fmt: skip
OTHERS = [
    "", "   ", "(1,2)", "(2,251,252)", r"\left(3,\frac{\pi}{2}\right)", "[0,1]", r"(6,235^\circ)", "(0,1]",
    "3 to 5", r"3\text{ to }5", "12 34", "2023-01-01", "1+" * 400 + "1",
    r"(-\infty, 3)", r"\{1,2\}", r"\{1\pm\sqrt{5}\}", r"\emptyset", r"[1,2]\cup[3,4]", "x=5", "k = 1", "y = 2x + 3",
    r"k \geqslant 2", "x<3", "n", "2n", "6m", "n^2+1", r"\frac{n}{2}", "2k", "x", r"2\theta", r"\binom{2n}{n}", "i",
    "3+4i", r"\sqrt{-1}", r"\frac{1}{0}", "1/0", "A", "(B)", r"\text{(C)}", r"\textbf{(C)} 119", "E",
    r"\text{Evelyn}", r"\text{even}", "yes", "infinitely many", r"\infty", "about 5", r"\approx 3.14", "3.14...",
    r"3.14\ldots", r"\text{about } 5", "3:2", "5:30", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "none", "两个",
    "5 + x", "f(4)", "((((", "1 2 3", "++", r"\frac{1}", "3(", "3)", r"\log 0", "mn", "3 mn", "e",
    r"Then $2^8 = 4^x$, so $x = \boxed{4}$.", r"49\ \textbf{(A)}",
]  # fmt: skip


@pytest.mark.parametrize("answer", NUMBERS)
def test_one_number(answer: str) -> None:
    assert read_answer(answer).kind == "number"


@pytest.mark.parametrize("answer", SEVERAL)
def test_several_numbers(answer: str) -> None:
    assert read_answer(answer).kind == "several"


@pytest.mark.parametrize("answer", OTHERS)
def test_no_number_and_why(answer: str) -> None:
    reading = read_answer(answer)
    assert reading.kind == "other"
    assert reading.why


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("(1,2)", "tuple or an interval"), ("[1,2]", "interval"), (r"\{1\}", "set"), ("x=5", "equation"),
        ("2n", "variable n"), ("3+4i", "not real"), (r"\text{Navin}", "words"), ("(B)", "option letter"),
        ("1/0", "divides by zero"), ("3.14...", "not exactly"), (r"\infty", "infinite"),
    ],
)  # fmt: skip
def test_the_reason_names_the_cause(answer: str, why: str) -> None:
    assert why in read_answer(answer).why


# What a number can be made of, each with its ways of being written.
INTEGERS = st.integers(-(10**12), 10**12).flatmap(
    lambda number: st.sampled_from([str(number), f"{number:,}", f"{number:,}".replace(",", "{,}")])
)
POSITIVE = st.integers(1, 10**6).map(str)
PLAIN = st.one_of(
    INTEGERS,
    st.decimals(-1000, 1000, places=3, allow_nan=False).map(lambda number: f"{number:f}"),
    st.tuples(INTEGERS, POSITIVE).map("/".join),
    st.tuples(POSITIVE, POSITIVE, st.sampled_from(["frac", "dfrac", "tfrac"])).map(
        lambda made: f"\\{made[2]}{{{made[0]}}}{{{made[1]}}}"
    ),
    POSITIVE.map(lambda number: f"\\sqrt{{{number}}}"),
    st.tuples(POSITIVE, POSITIVE).map(lambda made: f"{made[0]}\\sqrt{{{made[1]}}}"),
    POSITIVE.map(lambda number: f"{number}\\pi"),
    POSITIVE.map(lambda number: f"\\frac{{{number}\\pi}}{{6}}"),
)
NUMBER = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]})+({two[1]})"),
        inner.map(lambda one: f"\\frac{{{one}}}{{7}}"),
        inner.map(lambda one: f"\\left({one}\\right)^2"),
    ),
    max_leaves=6,
)
UNIT = st.sampled_from(["", "\\%", "^{\\circ}", r"\text{ cm}^2", r" \mathrm{~kg}", " miles", r"\text{ square units}"])
WRAP = st.sampled_from(["{}", "${}$", "\\({}\\)", "\\boxed{{{}}}", " {} ", "{}."])


@given(NUMBER, UNIT, WRAP)
def test_a_number_stays_one_in_any_dress(number: str, unit: str, wrap: str) -> None:
    assert read_answer(wrap.format(number + unit)).kind == "number"


@given(PLAIN, PLAIN, st.sampled_from(["({}, {})", "[{}, {}]", "({}, {}]", "\\left({},{}\\right)", "\\{{{}, {}\\}}"]))
def test_two_numbers_in_brackets_are_none(one: str, other: str, brackets: str) -> None:
    assert read_answer(brackets.format(one, other)).kind == "other"


@given(PLAIN, PLAIN, st.sampled_from(["{}, {}", "{} and {}", "${}$, ${}$", "{} \\text{{ or }} {}"]))
def test_two_numbers_side_by_side_are_several(one: str, other: str, between: str) -> None:
    assert read_answer(between.format(one, other)).kind == "several"


@given(
    NUMBER, st.sampled_from("xyznkabcdpqrt"), st.sampled_from(["{0}{1}", "{1}+{0}", "{1}={0}", "{0}^{1}", "{1}<{0}"])
)
def test_a_letter_makes_it_no_number(number: str, letter: str, how: str) -> None:
    assert read_answer(how.format(number, letter)).kind == "other"


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert read_answer(text).kind in ("number", "several", "other")


@given(st.text(alphabet=r"0123456789.,\{}()[]^_+-/*!$%= fracsqtpiloge", max_size=120))
def test_any_mess_of_latex_can_be_read(text: str) -> None:
    assert read_answer(text).why


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "part",
    [
        "(",
        "9",
        "9,",
        "\\frac{",
        "^",
        "1+",
        "$",
        "{",
        "9^",
        "\\sqrt",
        " ",
        "x",
        "-",
        "!",
        "\\text{a}",
        "9 ",
        "log",
        "9^-",
        "9 9/9 ",
    ],
)
def test_long_answers_take_no_time(part: str) -> None:
    """A megabyte, and the longest that is parsed at all: quadratic time would take hours or minutes."""
    assert read_answer(part * (1_000_000 // len(part))).kind == ("number" if part == "9" else "other")
    for start in ("", "2", "2^", "\\frac", "(") * 4:
        assert read_answer(start + part * (LONGEST // len(part) - 5)).kind in ("number", "several", "other")
