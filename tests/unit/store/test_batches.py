"""Iterables in batches: all items once, in order, and no more read than a batch needs."""

from __future__ import annotations

from itertools import count

from store.batches import batched


def test_the_last_batch_has_what_is_left() -> None:
    assert list(batched("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(batched("abcd", 2)) == [["a", "b"], ["c", "d"]]
    assert list(batched((), 2)) == []


def test_a_batch_is_read_when_it_is_asked_for() -> None:
    numbers = count()
    assert next(batched(numbers, 3)) == [0, 1, 2]
    assert next(numbers) == 3
