"""What a row's columns mean in a suite: question, gold answers, wrong ones, weight and the rest."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from o1lab.chains.answers import How, extract_answer
from o1lab.chains.verify import normalise
from o1lab.evaluate.suites.builders.base import Question
from o1lab.evaluate.suites.rows import TEXT, Record, RowError
from o1lab.evaluate.suites.suite import ItemsSpec
from o1lab.text import one_line

_USUAL: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "unique_id", "question_id", "prompt_id", "uuid", "idx", "key"),
    "question": ("question", "problem", "prompt", "statement", "query", "instruction", "Question", "Problem", TEXT),
    "gold": ("gold", "gold_answer", "answer", "final_answer", "Answer"),
    "wrong": ("wrong", "wrong_answers", "incorrect_answers"),
    "choices": ("choices", "options"),
    "turns": ("turns",),
    "context": ("context",),
    "group": ("group",),
    "variant": ("variant",),
    "weight": ("weight",),
}
"""Where each part is looked for unless the suite says which column holds it."""

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_LONGEST_META = 2000
_LONGEST_LIST = 20_000  # characters of JSON
_LONGEST_ID = 200
_SHAPES = 1000  # of rows that are remembered


class Columns:
    """Turns a suite's rows into questions."""

    def __init__(self, spec: ItemsSpec, needs_gold: bool) -> None:
        self.spec = spec
        self.needs_gold = needs_gold
        taken = {name for names in spec.fields.values() for name in _tuple(names)}
        self._names = {part: tuple(name for name in names if name not in taken) for part, names in _USUAL.items()}
        self._names |= {part: _tuple(names) for part, names in spec.fields.items()}
        self._there: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}

    def fits(self, record: Record) -> bool:
        """Whether the row is one of those the suite wants.

        Raises:
            RowError: it lacks a column that decides this.
        """
        for name, wanted in self.spec.where.items():
            if name not in record.data:
                raise RowError(
                    record.place, f"items.where asks for the column '{name}', which is not there", _has(record)
                )
            allowed = wanted if isinstance(wanted, list | tuple) else [wanted]
            if _word(record.data[name]) not in {_word(one) for one in allowed}:
                return False
        return True

    def question(self, record: Record) -> Question:
        """The question of a row.

        Raises:
            RowError: it has none, or no gold answer where it needs one, or something that cannot be put to a model.
        """
        held = self._held(record)

        def texts(part: str) -> list[str]:
            return self._texts(record, part, held[part]) if part in held else []

        def one(part: str) -> str:
            return next(iter(texts(part)), "")

        turns = tuple(texts("turns"))
        text = one("question") or (turns[0] if turns else "")
        if not text.strip():
            raise RowError(
                record.place,
                f"it has no question (looked for in: {', '.join(self._names['question'])})",
                f"Name the column under items.fields.question. {_has(record)}",
            )
        context = one("context")
        text = f"{context}\n\n{text}" if context.strip() else text
        gold = tuple(self._gold(record, texts("gold")))
        if not gold and self.needs_gold:
            raise RowError(
                record.place,
                f"it has no gold answer (looked for in: {', '.join(self._names['gold'])})",
                "Give it one, name its column under items.fields.gold, or leave such rows out with items.where. "
                + _has(record),
            )
        question = Question(
            id=_id(record, one("id")),
            text=text,
            place=record.place,
            gold=gold,
            wrong=tuple(texts("wrong")),
            choices=tuple(texts("choices")),
            turns=turns[1:],
            group=one("group") or None,
            variant=one("variant") or None,
            meta=self._meta(record, held),
            columns={**record.data, **self.spec.fixed} if self.spec.fixed else record.data,
        )
        self._check(question, record.place)
        return question

    def _check(self, question: Question, place: str) -> None:
        """What no server takes and no person meant."""
        parts = (
            ("question", (question.text, *question.turns)),
            ("gold answer", question.gold),
            ("wrong answer", question.wrong),
            ("choice", question.choices),
            ("group", (question.group,) if question.group else ()),
            ("variant", (question.variant,) if question.variant else ()),
        )
        for what, texts in parts:
            for text in texts:
                if len(text) > self.spec.longest:
                    raise RowError(
                        place,
                        f"the {what} has {len(text):,} characters, and {self.spec.longest:,} are the most",
                        "If that is meant, set items.longest in the suite.",
                    )
                if fault := unsendable(text):
                    raise RowError(place, f"the {what} holds {fault}", "Clean the file.")

    def _held(self, record: Record) -> dict[str, Any]:
        """The raw values by part: what the suite fixes, else the first of the part's columns that holds something."""
        held: dict[str, Any] = {}
        for part, names in self._columns(record).items():
            for name in names:
                if (value := record.data[name]) not in (None, "", []):
                    held[part] = value
                    break
        for part, inner in self.spec.inner.items():
            objects = record.data.get(inner.column)
            held[part] = [
                one.get(inner.take)
                for one in (objects if isinstance(objects, list) else [])
                if isinstance(one, dict) and all(_word(one.get(name)) == _word(to) for name, to in inner.where.items())
            ]
        return held | self.spec.fixed if self.spec.fixed else held

    def _columns(self, record: Record) -> dict[str, tuple[str, ...]]:
        """Which of the row's columns hold which part. Rows of one set have one shape, so this is found out once."""
        shape = tuple(record.data)
        found = self._there.get(shape)
        if found is None:
            held = {part: tuple(name for name in names if name in record.data) for part, names in self._names.items()}
            found = {part: names for part, names in held.items() if names}
            if len(self._there) < _SHAPES:
                self._there[shape] = found
        return found

    def _texts(self, record: Record, part: str, value: Any) -> list[str]:
        """A part's texts, blank ones left out."""
        if isinstance(value, str):
            if separator := self.spec.split.get(part):
                value = [one.strip() for one in value.split(separator)]
            elif part not in self.spec.values:
                return [] if value.isspace() else [value]
        values = value if isinstance(value, list | tuple) else [value]
        texts = [text for one in values if (text := _word(one)) and not text.isspace()]
        stands_for = self.spec.values.get(part)
        if stands_for is None:
            return texts
        if unknown := next((text for text in texts if text not in stands_for), None):
            raise RowError(
                record.place,
                f"its {part} is '{one_line(unknown, 60)}', for which items.values.{part} has no word",
                f"There are: {', '.join(stands_for)}.",
            )
        return [stands_for[text] for text in texts]

    def _gold(self, record: Record, texts: list[str]) -> Iterator[str]:
        for text in texts:
            if self.spec.gold_form == "boxed":
                found = extract_answer(text)
                if found is None or found.how is not How.BOXED:
                    raise RowError(record.place, "its solution has no \\boxed answer", _has(record))
                yield found.text
            else:
                yield normalise(text) if "####" in text else text.strip()

    def _meta(self, record: Record, held: Mapping[str, Any]) -> dict[str, Any]:
        meta: dict[str, Any] = {}
        for part in self.spec.fields:
            if part not in _USUAL and part in held:
                value = held[part]
                meta[part] = value if _keeps(value) else _word(value)[:_LONGEST_META]
        if "weight" in held:
            meta["weight"] = _weight(held["weight"], record)
        return meta


def _id(record: Record, given: str) -> str:
    found = given.strip() or str(record.number)
    if len(found) > _LONGEST_ID or _UNSENDABLE.search(found):
        raise RowError(record.place, f"its id has more than {_LONGEST_ID} characters or none one can print")
    return found


def unsendable(text: str) -> str:
    """What a text holds that cannot be sent or kept, and where; nothing of most texts."""
    found = _UNSENDABLE.search(text)
    if found is None:
        return ""
    kind = "a NUL character" if found[0] == "\0" else "half a surrogate pair"
    return f"{kind} at character {found.start() + 1}"


def _keeps(value: Any) -> bool:
    """Whether the lab can keep a value as it is: a number, or a list that JSON has words for."""
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, list):
        return isinstance(value, int)
    try:
        return len(json.dumps(value, allow_nan=False)) <= _LONGEST_LIST
    except (TypeError, ValueError, RecursionError):
        return False


def _weight(value: Any, record: Record) -> float:
    try:
        weight = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise RowError(record.place, f"its weight is '{one_line(str(value), 40)}'", "A weight is a number above 0.")
    return weight


def _tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _word(value: Any) -> str:
    """A value as text: 27.0 is 27, true and false are words, None is nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value) if math.isfinite(value) else ""
    return str(value)


def _has(record: Record) -> str:
    names = [one_line(str(name), 40) for name in record.data]
    return f"Its columns are: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}."
