"""What every builder starts from: questions as they stand in a set, and prompts with slots to fill."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from o1lab.evaluate.items import Item

_SLOT = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


class SlotError(ValueError):
    """A prompt has a slot that nothing fills; the message is its name."""


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a set. ``gold`` are accepted answers, ``wrong`` answers known to be wrong, ``choices`` those to choose
    from; ``turns`` is what the user says after the first answer; ``meta`` goes with every item made of it.
    """

    id: str
    text: str
    place: str
    gold: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    group: str | None = None
    variant: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)

    def values(self, **more: str) -> dict[str, Any]:
        """What slots are filled with: the row's columns, then ``question``, then ``more``."""
        return {**self.columns, "question": self.text, **more}


class Options(BaseModel):
    """A builder's options, which stand in the suite under ``items.options``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoOptions(Options):
    """A builder without options."""


@dataclass(frozen=True, slots=True)
class Templates:
    """The suite's own words: the system message and what the user says first."""

    system: str
    prompt: str

    def asked(self, values: Mapping[str, Any]) -> str:
        return fill(self.prompt, values)

    def wants(self, slot: str) -> bool:
        """Whether the prompt has a place for it."""
        return slot in _SLOT.findall(self.prompt)

    def item(self, question: Question, turns: Sequence[str], values: Mapping[str, Any], **changes: Any) -> Item:
        """The item of a question put with these turns; ``changes`` are other fields of :class:`Item`."""
        item = Item(
            question.id,
            question.text,
            tuple(turns),
            question.gold,
            fill(self.system, values),
            question.group,
            question.variant,
            question.meta,
        )
        return replace(item, **changes) if changes else item


class Build(Protocol):
    """Make items of questions, in their order. Every item of a question keeps its text, and in its gold what is right.

    Raises:
        SlotError: a prompt has a slot that nothing fills.
    """

    def __call__(
        self, questions: Sequence[Question], templates: Templates, options: Any, left_out: Callable[[str], None], /
    ) -> Iterator[Item]: ...


def fill(template: str, values: Mapping[str, Any]) -> str:
    """``template`` with its slots filled; what is filled in is never searched for slots.

    Raises:
        SlotError: there is no value for a slot.
    """

    def put(slot: re.Match[str]) -> str:
        if slot[1] not in values:
            raise SlotError(slot[1])
        value = values[slot[1]]
        return "" if value is None else str(value)

    return _SLOT.sub(put, template) if "{{" in template else template
