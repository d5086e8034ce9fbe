"""The parts that all builders share: questions, prompt templates, reproducible sampling; and the plain builder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from o1lab.evaluate.items import Item

_SLOT = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")

T = TypeVar("T")


class SlotError(ValueError):
    """A prompt has a slot without a value; the message is the name of the slot."""


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a data set.

    Attributes:
        place: where the row is in its file, for messages.
        gold: accepted answers.
        wrong: answers known to be wrong.
        choices: the answers to choose from.
        turns: the user's messages after the model's first answer.
        meta: copied to every item made from the question.
        columns: all columns of the row, for the slots of prompts.
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
        """Return the values for slots: the row's columns, then ``question``, then ``more``."""
        return {**self.columns, "question": self.text, **more}


class Options(BaseModel):
    """A builder's options, given in the suite under ``items.options``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoOptions(Options):
    """The options of a builder that has none."""


@dataclass(frozen=True, slots=True)
class Templates:
    """The suite's system message and first user message, with slots to fill."""

    system: str
    prompt: str

    def first_turn(self, values: Mapping[str, Any]) -> str:
        """Return the first user message."""
        return fill(self.prompt, values)

    def has_slot(self, slot: str) -> bool:
        """Whether the prompt has this slot."""
        return slot in _SLOT.findall(self.prompt)

    def item(self, question: Question, turns: Sequence[str], values: Mapping[str, Any], **changes: Any) -> Item:
        """Return an item with these turns; ``changes`` replace other fields of :class:`Item`."""
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
    """Build items from questions, in order. Each item keeps the question's text, and its gold is the right answer.

    ``left_out`` is called with the reason for every question that gives no item.

    Raises:
        SlotError: a prompt has a slot without a value.
    """

    def __call__(
        self, questions: Sequence[Question], templates: Templates, options: Any, left_out: Callable[[str], None], /
    ) -> Iterator[Item]: ...


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Return ``template`` with its slots filled. Slots inside the inserted values are not filled.

    Raises:
        SlotError: a slot has no value.
    """

    def put(slot: re.Match[str]) -> str:
        if slot[1] not in values:
            raise SlotError(slot[1])
        value = values[slot[1]]
        return "" if value is None else str(value)

    return _SLOT.sub(put, template) if "{{" in template else template


def plain(
    questions: Sequence[Question], templates: Templates, _options: NoOptions, _left_out: Callable[[str], None]
) -> Iterator[Item]:
    """Yield one item per question: the suite's prompt, then the row's further turns unchanged."""
    for question in questions:
        values = question.values()
        yield templates.item(question, [templates.first_turn(values), *question.turns], values)


def stable_hash(*parts: object) -> int:
    """Return a 64-bit number that depends only on ``parts``: choices made with it are the same on every machine."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])


def stable_sample(things: Sequence[T], size: int, keys: Sequence[str], seed: int) -> list[T]:
    """Return ``size`` of the things, in order. The choice depends on their keys and the seed, not on their order."""
    first = sorted(range(len(things)), key=lambda at: (stable_hash(seed, keys[at]), at))[:size]
    return [things[at] for at in sorted(first)]
