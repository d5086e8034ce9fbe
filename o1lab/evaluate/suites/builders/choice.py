"""Multiple-choice items: answers listed by letter."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.evaluate.items import Item
from o1lab.evaluate.suites.builders.base import Options, Question, Templates, stable_hash

_LETTERS = string.ascii_uppercase


class ChoiceOptions(Options):
    """``shuffle``: order the choices by a hash of the question; ``at_most``: maximum number of choices."""

    shuffle: bool = True
    at_most: int = 8


@dataclass(frozen=True, slots=True)
class LetteredChoices:
    """Answers by letter, and the letter of the right answer."""

    choices: dict[str, str]
    right: str

    def letter(self, answer: str) -> str:
        return next(letter for letter, one in self.choices.items() if one == answer)

    @property
    def lines(self) -> str:
        return "\n".join(f"({letter}) {text}" for letter, text in self.choices.items())


def choice(
    questions: Sequence[Question], templates: Templates, options: ChoiceOptions, left_out: Callable[[str], None]
) -> Iterator[Item]:
    """Yield one item per question; ``gold`` is the right letter, ``meta["choices"]`` the texts by letter.

    The choices are those of the row, or its gold and wrong answers. A prompt without ``{{choices}}`` is followed by
    them.
    """
    for question in questions:
        right = right_choice(question)
        wrong = [one for one in (question.choices or question.wrong) if one != right]
        if right is None or not wrong:
            left_out("has no choices, or the right one is not among them")
            continue
        lettered = letters(question.id, right, wrong[: options.at_most - 1], shuffle=options.shuffle)
        values = question.values(choices=lettered.lines)
        yield templates.item(
            question,
            [with_choices(templates, values), *question.turns],
            values,
            gold=(lettered.right,),
            meta={**question.meta, "choices": lettered.choices},
        )


def with_choices(templates: Templates, values: dict[str, Any]) -> str:
    """Return the first user message with the choices in their slot, or below it if there is no slot."""
    prompt = templates.first_turn(values)
    return prompt if templates.has_slot("choices") else f"{prompt}\n\n{values['choices']}"


def right_choice(question: Question) -> str | None:
    """Return the text of the right choice, or None. Gold may be that text, its letter, or its index from 0."""
    gold = question.gold[0] if question.gold else ""
    if not question.choices or gold in question.choices:
        return gold or None
    bare = gold.strip("() .")
    if len(bare) == 1 and bare.upper() in _LETTERS[: len(question.choices)]:
        return question.choices[_LETTERS.index(bare.upper())]
    if bare.isascii() and bare.isdigit() and len(bare) < 4 and int(bare) < len(question.choices):
        return question.choices[int(bare)]
    return None


def letters(key: str, right: str, wrong: Sequence[str], *, shuffle: bool = True) -> LetteredChoices:
    """Letter the right and wrong answers; the order depends only on ``key`` and the answers."""
    answers = list(dict.fromkeys([right, *wrong]))[: len(_LETTERS)]
    if shuffle:
        answers.sort(key=lambda answer: stable_hash(key, answer))
    choices = dict(zip(_LETTERS, answers, strict=False))
    return LetteredChoices(choices, next(letter for letter, one in choices.items() if one == right))
