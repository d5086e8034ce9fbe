"""How a method says which prompts it asks with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from o1lab.inference.prompts import Prompt


class Need(NamedTuple):
    """One prompt of a method: the file it takes unless told otherwise, and the slots it can fill in."""

    default: str
    slots: frozenset[str]


Prompts = Mapping[str, Prompt]
"""The prompts of a method by their role; the first of its needs is the one that ``--prompt`` replaces."""
