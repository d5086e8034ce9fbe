"""Batches of rows of similar length: every row once, less padding, an order that a resumed run repeats."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from o1lab.train.trainer.batching import grouped, padded_over_real, padding

_DRAW = random.Random(7)
MIXED = [min(int(_DRAW.lognormvariate(6.2, 0.9)) + 20, 8192) for _ in range(2000)]


@pytest.mark.parametrize("count", [1, 3, 16, 37, 2000])
def test_every_row_comes_once_and_the_longest_first(count: int) -> None:
    lengths = MIXED[:count]
    order = grouped(lengths, 4, seed=1)
    assert sorted(order) == list(range(count))
    assert max(lengths[at] for at in order[:4]) == max(lengths)


def test_grouping_takes_the_padding_of_mixed_lengths_away() -> None:
    for batch, most in ((4, 1.05), (8, 1.1)):
        found = padding(MIXED, batch, seed=1)
        order = grouped(MIXED, batch, seed=1)
        padded = sum(max(MIXED[at] for at in order[i : i + batch]) * batch for i in range(0, len(order), batch))
        assert found.grouped == padded / sum(MIXED) < most
        assert found.random > 1.6
        assert found.is_worth_it


def test_rows_of_one_length_are_not_worth_grouping() -> None:
    found = padding([100, 101, 102, 100] * 8, 4, seed=1)
    assert not found.is_worth_it


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert grouped(MIXED, 4, seed=1) == grouped(MIXED, 4, seed=1)
    orders = {tuple(grouped(MIXED, 4, seed=seed, epoch=epoch)) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4


def test_batches_are_not_in_the_order_of_their_lengths() -> None:
    order = grouped(MIXED, 4, seed=1)
    longest = [max(MIXED[at] for at in order[i : i + 4]) for i in range(0, len(order), 4)]
    falls = sum(a > b for a, b in pairwise(longest))
    assert 0.3 < falls / len(longest) < 0.7


def test_padded_over_real_counts_by_hand() -> None:
    assert padded_over_real([10, 30, 20, 20], [0, 1, 2, 3], 2) == (60 + 40) / 80
