"""Iterables in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of ``size``, the last of what is left (itertools.batched needs Python 3.12)."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
