r"""Dates, times by name, quantities in several units, segments, definitions and families, right and wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from o1lab.chains.verify import VerifierPool, canonical

Z = r"k \in \mathbb{Z}"


@pytest.fixture(scope="module")
def pool() -> Iterator[VerifierPool]:
    with VerifierPool(workers=1, limit_s=10) as made:
        yield made


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("noon", "12:00 PM"),
        (r"\text{noon}", "12:00"),
        ("12 p.m.", "12 noon"),
        ("midnight", "12:00 AM"),
        ("0:00", "midnight"),
        ("2024-03-05", "March 5, 2024"),
        ("March 5, 2024", "2024-03-05"),
        (r"\text{March 5, 2024}", "Tuesday, March 5th, 2024"),
        ("5 March 2024", "the 5th of March, 2024"),
        ("Mar. 5, 2024", "2024年3月5日"),
        ("Sept. 1, 1999", "1999-09-01"),
        ("1.5 hours", "1 hour and 30 minutes"),
        ("1 hour and 30 minutes", "90 minutes"),
        (r"1\text{ hour and }30\text{ minutes}", "1.5 h"),
        ("2 days, 3 hours, and 5 minutes", "51 hours 5 minutes"),
        ("5 feet and 3 inches", "63 inches"),
        (r"\overline{AB}", "AB"),
        ("AB", r"$\overline{AB}$"),
        ("f(x)=2x", "f(t)=2t"),
        ("f(x) = x^2 + 1", "f(n) = 1 + n^2"),
        ("f(x,y)=x-y", "f(a,b)=a-b"),
        (r"f(x)=\frac{\sin x}{x}", r"f(t)=\frac{\sin t}{t}"),
        (rf"k\pi, {Z}", r"n\pi, n \in \mathbb{Z}"),
        (r"x = k\pi, k \in Z", r"x=m\pi\ (m\in\mathbf{Z})"),
        (r"\frac{\pi}{4}+k\pi (k\in\mathbb{Z})", r"\frac{\pi}{4}+n\pi, n\in\mathbb{Z}"),
        (rf"2k+1, {Z}", r"1 + 2n \text{ for } n \in \mathbb{Z}"),
    ],
)
def test_the_same(gold: str, answer: str, pool: VerifierPool) -> None:
    assert pool.verify(gold, answer).status == "correct"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("noon", "midnight"),
        ("noon", "12:00 AM"),
        ("midnight", "12:00 PM"),
        ("noon", "afternoon"),
        ("noon", "11:00 AM"),
        ("2024-03-05", "May 3, 2024"),
        ("2024-03-05", "2024-05-03"),
        ("2024-03-05", "2016"),
        ("March 5, 2024", "March 5, 2023"),
        ("March 5, 2024", "March 6, 2024"),
        ("2024-03-05", "3/5/2024"),
        ("1.5 hours", "1 hour and 50 minutes"),
        ("1.5 hours", "1 hour and 5 minutes"),
        ("1 hour and 30 minutes", "1 hour"),
        ("3 apples and 5 oranges", "8"),
        (r"\overline{AB}", "BC"),
        (r"\overline{AB}", r"\overline{AC}"),
        (r"0.\overline{3}", "0.3"),
        (r"\overline{z}", "z"),
        ("f(x)=2x", "f(t)=3t"),
        ("f(x)=2x", "f(t)=2x+1"),
        ("f(x,y)=x-y", "f(a,b)=b-a"),
        ("f(x)=x+a", "f(t)=t+b"),
        ("f(x)=2x", "f(2)=4"),
        ("y=2x", "s=2t"),
        (rf"k\pi, {Z}", r"2n\pi, n \in \mathbb{Z}"),
        (rf"k\pi, {Z}", r"n\pi, n \in \mathbb{N}"),
        (rf"k\pi, {Z}", r"\pi"),
        (rf"k\pi + n, {Z}", r"n\pi + k, n \in \mathbb{Z}"),
        (rf"2k+1, {Z}", r"2n, n \in \mathbb{Z}"),
        (r"k\pi", r"n\pi"),
    ],
)
def test_not_the_same(gold: str, answer: str, pool: VerifierPool) -> None:
    assert pool.verify(gold, answer).status == "incorrect"


def test_they_are_one_vote() -> None:
    for one, other in (("noon", "12:00 PM"), ("2024-03-05", "March 5, 2024"), ("k, k \\in Z", "n, n \\in Z")):
        assert canonical(one) == canonical(other)
    assert canonical("2024-03-05") != canonical("2024-05-03")
