"""Maps the columns of a row to the parts of a question: text, gold answers, wrong answers, weight and so on."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from o1lab.chains.answers import How, extract_answer
from o1lab.chains.equality.notation import normalise
from o1lab.evaluate.items import ADAPTED
from o1lab.evaluate.suites.builders.base import Question
from o1lab.evaluate.suites.rows import TEXT, Record, RowError
from o1lab.evaluate.suites.suite import ItemsSpec
from o1lab.text import one_line

_DEFAULT_COLUMNS: Mapping[str, tuple[str, ...]] = {
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
    **{part: (part,) for part in ADAPTED},
}
"""The columns tried for each part, unless the suite names its column."""

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_LONGEST_META = 2000
_LONGEST_LIST = 20_000  # characters of JSON
_LONGEST_ID = 200


class Columns:
    """Turns the rows of a suite into questions.

    Args:
        spec: the suite's description of its items.
        needs_gold: whether a row without a gold answer is an error.
    """

    def __init__(self, spec: ItemsSpec, needs_gold: bool) -> None:
        self.spec = spec
        self.needs_gold = needs_gold
        taken = {name for names in spec.fields.values() for name in _tuple(names)}
        self._names = {
            part: tuple(name for name in names if name not in taken) for part, names in _DEFAULT_COLUMNS.items()
        }
        self._names |= {part: _tuple(names) for part, names in spec.fields.items()}

    def fits(self, record: Record) -> bool:
        """Whether the row matches ``items.where``.

        Raises:
            RowError: the row lacks a column that ``items.where`` names.
        """
        for name, wanted in self.spec.where.items():
            if name not in record.data:
                raise RowError(
                    record.place, f"it has no column '{name}', which items.where names", _columns_hint(record)
                )
            allowed = wanted if isinstance(wanted, list | tuple) else [wanted]
            if _as_text(record.data[name]) not in {_as_text(one) for one in allowed}:
                return False
        return True

    def question(self, record: Record) -> Question:
        """Return the question of a row.

        Raises:
            RowError: the row has no question, no gold answer where one is needed, or text that cannot be sent.
        """
        values_by_part = self._values(record)

        def texts(part: str) -> list[str]:
            return self._texts(record, part, values_by_part[part]) if part in values_by_part else []

        def one(part: str) -> str:
            return next(iter(texts(part)), "")

        turns = tuple(texts("turns"))
        text = one("question") or (turns[0] if turns else "")
        if not text.strip():
            raise RowError(
                record.place,
                f"it has no question (columns tried: {', '.join(self._names['question'])})",
                f"Name the column under items.fields.question. {_columns_hint(record)}",
            )
        context = one("context")
        text = f"{context}\n\n{text}" if context.strip() else text
        gold = tuple(self._gold(record, texts("gold")))
        if not gold and self.needs_gold:
            raise RowError(
                record.place,
                f"it has no gold answer (columns tried: {', '.join(self._names['gold'])})",
                "Add one, name its column under items.fields.gold, or exclude such rows with items.where. "
                + _columns_hint(record),
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
            meta=self._meta(record, values_by_part),
            columns={**record.data, **self.spec.fixed} if self.spec.fixed else record.data,
        )
        self._check(question, record.place)
        return question

    def _check(self, question: Question, place: str) -> None:
        """Raise RowError for text that is too long or that no server accepts."""
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
                        f"the {what} has {len(text):,} characters, more than the limit of {self.spec.longest:,}",
                        "To allow it, raise items.longest in the suite.",
                    )
                if fault := unsendable(text):
                    raise RowError(place, f"the {what} contains {fault}", "Clean the file.")

    def _values(self, record: Record) -> dict[str, Any]:
        """Return the raw value of each part: what the suite fixes, else the first non-empty column of the part."""
        values_by_part: dict[str, Any] = {}
        for part, names in self._names.items():
            for name in names:
                if (value := record.data.get(name)) not in (None, "", []):
                    values_by_part[part] = value
                    break
        for part, inner in self.spec.inner.items():
            objects = record.data.get(inner.column)
            values_by_part[part] = [
                one.get(inner.take)
                for one in (objects if isinstance(objects, list) else [])
                if isinstance(one, dict)
                and all(_as_text(one.get(name)) == _as_text(to) for name, to in inner.where.items())
            ]
        return values_by_part | self.spec.fixed if self.spec.fixed else values_by_part

    def _texts(self, record: Record, part: str, value: Any) -> list[str]:
        """Return the non-blank texts of a part, translated by ``items.values``."""
        if isinstance(value, str):
            if separator := self.spec.split.get(part):
                value = [one.strip() for one in value.split(separator)]
            elif part not in self.spec.values:
                return [] if value.isspace() else [value]
        values = value if isinstance(value, list | tuple) else [value]
        texts = [text for one in values if (text := _as_text(one)) and not text.isspace()]
        stands_for = self.spec.values.get(part)
        if stands_for is None:
            return texts
        if unknown := next((text for text in texts if text not in stands_for), None):
            raise RowError(
                record.place,
                f"its {part} is '{one_line(unknown, 60)}', which items.values.{part} does not list",
                f"It lists: {', '.join(stands_for)}.",
            )
        return [stands_for[text] for text in texts]

    def _gold(self, record: Record, texts: list[str]) -> Iterator[str]:
        for text in texts:
            if self.spec.gold_form == "boxed":
                found = extract_answer(text)
                if found is None or found.how is not How.BOXED:
                    raise RowError(record.place, "its solution has no \\boxed answer", _columns_hint(record))
                yield found.text
            else:
                yield normalise(text) if "####" in text else text.strip()

    def _meta(self, record: Record, values_by_part: Mapping[str, Any]) -> dict[str, Any]:
        meta: dict[str, Any] = {}
        for part in self.spec.fields:
            if part not in _DEFAULT_COLUMNS and part in values_by_part:
                value = values_by_part[part]
                meta[part] = value if _is_storable(value) else _as_text(value)[:_LONGEST_META]
        for part in ADAPTED:
            if part in values_by_part and (text := _as_text(values_by_part[part]).strip()):
                meta[part] = text[:_LONGEST_META]
        if "weight" in values_by_part:
            meta["weight"] = _weight(values_by_part["weight"], record)
        return meta


def _id(record: Record, given: str) -> str:
    found = given.strip() or str(record.number)
    if len(found) > _LONGEST_ID or _UNSENDABLE.search(found):
        raise RowError(
            record.place, f"its id has more than {_LONGEST_ID} characters, or characters that cannot be printed"
        )
    return found


def unsendable(text: str) -> str:
    """Describe the first character of a text that cannot be sent or stored; an empty string if there is none."""
    found = _UNSENDABLE.search(text)
    if found is None:
        return ""
    kind = "a NUL character" if found[0] == "\0" else "half a surrogate pair"
    return f"{kind} at character {found.start() + 1}"


def _is_storable(value: Any) -> bool:
    """Whether a value can be stored unchanged: a finite number, or a short list that JSON can hold."""
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


def _as_text(value: Any) -> str:
    """Return a value as text: 27.0 becomes 27, booleans become true and false, None an empty string."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value) if math.isfinite(value) else ""
    return str(value)


def _columns_hint(record: Record) -> str:
    names = [one_line(str(name), 40) for name in record.data]
    return f"Its columns are: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}."
