"""Lots that are always drawn the same way: no random state, so a suite gives the same items on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Drawn = TypeVar("Drawn")


def drawn(*parts: object) -> int:
    """A number that depends on the parts alone and is spread evenly."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])


def sample(things: Sequence[Drawn], size: int, keys: Sequence[str], seed: int) -> list[Drawn]:
    """``size`` of the things in their order. Which ones depends on their keys and the seed, not on their order."""
    first = sorted(range(len(things)), key=lambda at: (drawn(seed, keys[at]), at))[:size]
    return [things[at] for at in sorted(first)]
