"""How a method says which prompts it asks with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

from o1lab.distill.prompts import Prompt


class Need(NamedTuple):
    """One prompt of a method: the file it takes unless told otherwise, and the slots it can fill in."""

    default: str
    slots: frozenset[str]


class Prompted(Protocol):
    """What every method's class has: its prompts by their role, the one that ``--prompt`` replaces first."""

    needs: ClassVar[Mapping[str, Need]]


Prompts = Mapping[str, Prompt]
"""The prompts of a method by their role."""
