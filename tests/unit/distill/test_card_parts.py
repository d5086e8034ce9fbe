"""The parts of a card that need no lab: licences, Markdown, histograms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.distill.datasets import length_histogram, licences
from o1lab.markdown import fenced, inline, table


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"MIT": 3, "Apache-2.0": 2, "CC-BY-4.0": 1, "CC0": 1, "BSD-3-Clause": 1}, []),
        ({"MIT": 3, "CC-BY-NC-4.0": 2}, ["Licences clash"]),
        ({"CC-BY-NC-4.0": 2}, ["for non-commercial use only."]),
        ({"CC-BY-NC-SA-4.0": 1, "CC-BY-SA-4.0": 1}, ["Licences clash", "each require to be the licence of the whole"]),
        ({"CC-BY-SA-4.0": 1, "CC-BY-NC-4.0": 1}, ["Licences clash", "One work cannot satisfy both", "must be shared"]),
        ({"GPL-3.0": 1, "CC-BY-SA-4.0": 1}, ["each require to be"]),
        ({"GPL-3.0": 1, "MIT": 1}, ["must be shared under GPL-3.0"]),
        ({"CC-BY-ND-4.0": 4}, ["4 rows are under CC-BY-ND-4.0, which forbids sharing altered versions"]),
        ({"unknown": 2, "": 1, "MIT": 1}, ["The licence of 3 rows is unknown"]),
        ({"Some Terms 1.0": 1}, ["read these licences: Some Terms 1.0"]),
    ],
)
def test_what_licences_come_to(rows: dict[str, int], said: list[str]) -> None:
    found = licences.clashes(rows)
    assert len(found) == len(said)
    assert all(any(words in sentence for sentence in found) for words in said)


@pytest.mark.parametrize(
    ("name", "hub"),
    [
        ("MIT", "mit"), ("Apache 2.0", "apache-2.0"), ("CC-BY-SA-4.0", "cc-by-sa-4.0"), ("GPL-3.0", "gpl-3.0"),
        ("odd terms", "other"), (None, "unknown"), ("  ", "unknown"),
    ],
)  # fmt: skip
def test_licences_are_named_as_the_hub_names_them(name: str | None, hub: str) -> None:
    assert licences.read(name).hub == hub


@given(st.text(max_size=300))
def test_inline_text_is_one_line_and_opens_nothing(text: str) -> None:
    made = inline(text)
    assert "\n" not in made
    plain = made.replace("\\\\", "")
    assert not made.startswith(("- ", "+ "))
    for mark in "`*_[]<>|#":
        assert plain.count(mark) == plain.count(f"\\{mark}")


@given(st.text(alphabet="`~\n ab\x1b", max_size=60))
def test_a_fence_holds_whatever_is_in_it(text: str) -> None:
    first, *inside, last = fenced(text).rstrip("\n").split("\n")
    fence = first.removesuffix("text")
    assert last == fence
    assert not any(line.strip().startswith(fence) for line in inside)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=200))
def test_a_histogram_counts_every_row(lengths: list[int]) -> None:
    first, *bins = length_histogram.histogram(lengths).split("\n")
    assert sum(int(line.split()[-1].replace(",", "")) for line in bins) == len(lengths)
    assert len(bins) <= 14
    assert first.startswith(f"min {min(lengths):,}  p5 ")
    assert f"max {max(lengths):,}" in first
    assert first.endswith(f"total {sum(lengths):,}")


def test_tables_show_numbers_and_what_is_unknown() -> None:
    assert table(("a", "b"), [(1234, None)]).splitlines()[2] == "| 1,234 | unknown |"
