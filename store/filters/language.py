"""Parsing, completion, help and checks of a filter; each list declares its own fields.

The grammar is described in the package's docstring.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import ClassVar, Self

from store.errors import QueryError

Sql = tuple[str, list[str | float]]
"""An SQL condition and its parameters."""
Clause = Callable[[str, Sequence[str]], Sql]
"""The SQL of a field for an operator and values; one matching value is enough."""

_NAME = "[a-z]+(?:-[a-z]+)*"  # of a field
TERM = re.compile(
    rf"""(?P<not>-)?(?P<field>{_NAME})(?P<op>:|>=|<=|>|<|=)(?P<value>(?:"[^"]*"|\S)*) | (?P<text>-?"[^"]*"?|\S+)""",
    re.VERBOSE,
)
"""One term of a filter: a field with its value, or a word or phrase."""
_VALUE = re.compile(r'(?:"[^"]*"|[^,])+')
_NUMBER = re.compile(r"^(\d+(?:\.\d+)?(?:e[+-]?\d{1,2})?)(k?)$")
_UNFINISHED = re.compile(rf'(?:^|\s)-?{_NAME}(?:[:<>=]|>=|<=)(?:[^\s"]*,)?-?"?$')
_LAST_NAME = re.compile(rf"(?:^|\s)-?({_NAME})$")
_LAST_FIELD = re.compile(rf'(?:^|\s)-?({_NAME})[:<>=](?:"[^"]*"|[^\s"])*(?:"[^"]*)?$')
_LAST = re.compile(rf'(?:^|\s)-?(?:(?P<field>{_NAME}):(?:(?:"[^"]*"|[^\s"])*,)?)?(?P<start>[^\s:",]*)$')
_LAST_QUOTED = re.compile(rf'(?:^|\s)-?(?P<field>{_NAME}):(?:(?:"[^"]*"|[^\s"])*,)?"(?P<start>[^"]*)$')
_NEAR, _NEAR_COMPARED = 0.6, 0.8  # similarity to a field from which an unknown name is treated as a typo
_LISTED = 12
_NO_VALUES: Mapping[str, Sequence[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a filter.

    Attributes:
        name: The name before the operator.
        sql: Makes the SQL condition.
        help: What its value is; empty if ``values`` say enough.
        values: The values it can have, in lower case. Empty: any text.
        suggested: Values that completion offers; they do not limit the field.
        synonyms: Other spellings of values, each with the values it means.
        aliases: Other spellings of the name.
        is_number: Whether its values are numbers, which can be compared.
        lab: What a value names, if the lab has a list of them: another value is a mistake.
        exact: With ``lab``: whether a value is a whole name, and not a part of one.
        table: The alias of the table that ``sql`` reads, for lists that join tables only when needed.
    """

    name: str
    sql: Clause
    help: str = ""
    values: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    is_number: bool = False
    lab: str = ""
    exact: bool = True
    table: str = ""

    def condition(self, op: str, values: Sequence[str], *, negated: bool) -> Condition:
        """Check the values and return the condition.

        Raises:
            QueryError: The operator or a value does not fit the field.
        """
        if not values:
            raise QueryError(f"'{self.name}' needs a value.", self.explained())
        if self.is_number:
            numbers = tuple(self._number(value) for value in values)
            if len(numbers) > 1 and op not in (":", "="):
                raise QueryError(f"'{self.name}' is compared with one number.", f"Write {self.name}{op}{values[0]}.")
            return Condition(self.name, numbers, "=" if op == ":" else op, negated)
        if op not in (":", "="):
            raise QueryError(f"'{self.name}' cannot be compared with '{op}'.", f"Write {self.name}:{values[0]}.")
        if self.values:
            checked = [one for value in values for one in self._allowed(value.lower())]
            values = tuple(dict.fromkeys(checked))
        return Condition(self.name, tuple(values), ":", negated)

    def _number(self, value: str) -> str:
        number = _NUMBER.match(value.lower())
        if number is None:
            raise QueryError(f"'{self.name}' takes a number, not '{value}'.", f"For example {self.name}>=3.")
        size = float(number[1]) * (1000 if number[2] else 1)
        return str(int(size) if size.is_integer() else size)

    def _allowed(self, value: str) -> tuple[str, ...]:
        if value in self.values:
            return (value,)
        if value in self.synonyms:
            return self.synonyms[value]
        near = get_close_matches(value, (*self.values, *self.synonyms), 1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise QueryError(f"'{self.name}' cannot be '{value}'.", f"{meant}It is one of {self.accepted}.")

    @property
    def accepted(self) -> str:
        """All words that the field accepts, each value with its other spellings."""
        others: dict[str, list[str]] = {value: [] for value in self.values}
        groups = []
        for word, meant in self.synonyms.items():
            if len(meant) == 1:
                others[meant[0]].append(word)
            else:
                groups.append(word)
        shown = [f"{value} (or {', '.join(words)})" if words else value for value, words in others.items()]
        return ", ".join([*shown, *groups])

    def explained(self, here: Sequence[str] = ()) -> str:
        """Return one line of help: the field's names and values, and values of the lab."""
        name = " or ".join((self.name, *self.aliases))
        what = f"a number: {self.name}>=3, {self.name}<10k" if self.is_number else self.accepted
        found = f"here: {_listed(here)}" if here and self.lab else ""
        return f"{name}: " + "; ".join(filter(None, (what, self.help, found)))

    def unknown(self, values: Sequence[str], here: Sequence[str]) -> str:
        """Return a sentence on the first value that the lab does not have, with those that it has; empty for none."""
        for value in values:
            if not any(value == one or (not self.exact and value.lower() in one.lower()) for one in here):
                near = get_close_matches(value, here, 1)
                meant = f"Did you mean '{near[0]}'? " if near else ""
                has = f"It has {_listed(here)}." if here else "It has none."
                return f"The lab has no {self.lab} '{value}'. {meant}{has}"
        return ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A field that has one of some values or, ``negated``, none of them."""

    field: str
    values: tuple[str, ...]
    op: str = ":"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Language:
    """The fields, the orders and the text search of one kind of list.

    Attributes:
        fields: In the order in which completion and help offer them.
        search: Makes the SQL conditions of the text of a filter, which are joined with AND; raises QueryError for a
            text without words.
        searched: What the text of a filter is searched in, for the help.
        sorts: The SQL of each order by its name, the default first; empty if the list has only one order.
        colon_words: Whether an unknown name before a colon is text (``add:5``) unless it resembles a field.
    """

    fields: tuple[Field, ...]
    search: Callable[[str], list[Sql]]
    searched: str
    sorts: Mapping[str, str] = field(default_factory=dict)
    colon_words: bool = False
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = {name: one for one in self.fields for name in (one.name, *one.aliases)}
        object.__setattr__(self, "by_name", names)

    # Reading.

    def read(self, text: str) -> tuple[str, tuple[Condition, ...], tuple[str, bool] | None]:
        """Parse a filter.

        Returns:
            Its text, its conditions, and its order as (name, whether it is reversed), None without one.

        Raises:
            QueryError: An unknown field, value or order, with a suggestion; or a text without words.
        """
        words: list[str] = []
        conditions: list[Condition] = []
        order = None
        for term in TERM.finditer(text):
            name, op = term["field"], term["op"]
            if term["text"] is not None:
                words.append(term["text"])
            elif name == "saved":
                raise QueryError("A saved filter cannot be named here.", "Write the filter itself.")
            elif name == "sort" and self.sorts:
                order = self._order(term["value"].strip('"'))
            elif name in self.by_name:
                values = [part for found in _VALUE.findall(term["value"]) if (part := found.replace('"', ""))]
                conditions.append(self.by_name[name].condition(op, values, negated=bool(term["not"])))
            else:
                self._require_word(term)
                words.append(term[0])
        searched = " ".join(words)
        self.search(searched)
        return searched, tuple(conditions), order

    def _order(self, value: str) -> tuple[str, bool]:
        name, reverse = value.lstrip("-"), value.startswith("-")
        if name not in self.sorts:
            raise QueryError(f"Cannot sort by '{value}'.", self._sort_help)
        return name, reverse

    def _require_word(self, term: re.Match[str]) -> None:
        """Reject a term with an operator whose name looks like a mistyped field."""
        name, op = term["field"], term["op"]
        if op == "=" or not term["value"]:
            return
        known = self.names if op == ":" else [one.name for one in self.fields if one.is_number]
        near = get_close_matches(name, known, 1, _NEAR if op == ":" else _NEAR_COMPARED)
        if not near and (op != ":" or self.colon_words):
            return
        words = f'To search for these words, write "{term[0]}". The fields are {", ".join(self.names)}.'
        raise QueryError(f"Unknown field '{name}'.", f"Did you mean {near[0]}?" if near else words)

    # Help.

    @property
    def names(self) -> list[str]:
        """Every field name that can be written, ``sort`` among them."""
        return [*self.by_name, *(["sort"] if self.sorts else [])]

    @property
    def _sort_help(self) -> str:
        return f"Sort by {', '.join(self.sorts)}; a minus in front reverses the order."

    @property
    def help(self) -> str:
        """A summary of the language in a line or two."""
        texts = [f"{one.name}:" for one in self.fields if not one.is_number]
        numbers = [one.name for one in self.fields if one.is_number]
        parts = [f'words or "a phrase" {self.searched}, -word or -field: without it', _some(texts, 8)]
        parts += [f"{_some(numbers, 6)} >=3"] if numbers else []
        parts += [f"sort: {_some([*self.sorts], 3)}"] if self.sorts else []
        return " · ".join(parts)

    def explain(self, text: str, values: Mapping[str, Sequence[str]] = _NO_VALUES) -> str:
        """Return help on the word that is being typed at the end of ``text``, with ``values`` of the lab by field."""
        word = _LAST_FIELD.search(text)
        if word and word[1] == "sort" and self.sorts:
            return self._sort_help
        found = self.by_name.get(word[1]) if word else None
        return found.explained(values.get(found.name, ())) if found else self.help

    def unknown(self, conditions: Sequence[Condition], values: Mapping[str, Sequence[str]]) -> str:
        """Return a sentence on a value that the lab does not have, by its ``values``; empty if it has all of them."""
        asked = ((self.by_name[one.field], one.values) for one in conditions)
        found = (one.unknown(given, values[one.name]) for one, given in asked if one.lab and one.name in values)
        return next(filter(None, found), "")

    def complete(self, text: str, values: Mapping[str, Sequence[str]] = _NO_VALUES) -> str | None:
        """Complete the last word of ``text``.

        Args:
            text: The filter as typed so far.
            values: Values of the lab by field, for fields that take any text.

        Returns:
            ``text`` followed by the rest of a field name or value; None if nothing matches.
        """
        quoted = _LAST_QUOTED.search(text)
        last = quoted or _LAST.search(text)
        if last is None or not last["start"]:
            return None
        name, start = last["field"], last["start"].lower()
        if name:
            found = (one for one in self._values(name, values) if one.lower().startswith(start) and '"' not in one)
            if quoted:
                return next((text + one[len(start) :] + '"' for one in found), None)
            return next((text + one[len(start) :] for one in found if not re.search(r"[\s,]", one)), None)
        if len(start) < 2:
            return None
        words = ["sort:"] if self.sorts else []
        words += [f"{word}{'>=' if one.is_number else ':'}" for word, one in self.by_name.items()]
        return next((text + word[len(start) :] for word in words if word.startswith(last["start"])), None)

    def _values(self, name: str, values: Mapping[str, Sequence[str]]) -> Iterator[str]:
        if name == "sort":
            yield from self.sorts
        elif (one := self.by_name.get(name)) is not None:
            yield from (*one.values, *one.synonyms, *one.suggested, *values.get(one.name, ()))

    def is_unfinished(self, text: str) -> bool:
        """Whether ``text`` ends in a field that lacks its value."""
        return bool(_UNFINISHED.search(text))

    def may_become_field(self, text: str) -> bool:
        """Whether the last word of ``text`` is the beginning of a field name."""
        word = _LAST_NAME.search(text)
        return word is not None and any(name.startswith(word[1]) for name in self.names)

    def with_sort(self, text: str, order: str) -> str:
        """Return ``text`` with another order, the default one if ``order`` is empty."""
        other = [f"sort:{order}"] if order and order != next(iter(self.sorts)) else []
        return " ".join([*filter(None, [self.without(text, "sort")]), *other])

    def without(self, text: str, *fields: str) -> str:
        """Return ``text`` without the terms of ``fields``, whichever of its names a field is written with."""
        named = ((term[0], self.by_name.get(term["field"]), term["field"]) for term in TERM.finditer(text))
        return " ".join(term for term, one, name in named if (one.name if one else name) not in fields)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed filter: which rows of a list, in which order.

    Attributes:
        text: Words to search for, as typed.
        conditions: Conditions, joined with AND.
        sort: The name of the order.
        descending: Whether the order is reversed.
        source: The filter as typed, with its quotation marks closed, so that other terms can follow.
    """

    NAME: ClassVar[str]
    """What the list has, such as ``traces``."""
    LANGUAGE: ClassVar[Language]

    text: str = ""
    conditions: tuple[Condition, ...] = ()
    sort: str = ""
    descending: bool = False
    source: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a filter.

        Raises:
            QueryError: An unknown field, value or order, with a suggestion; or a text without words.
        """
        text = closed(text)
        words, conditions, order = cls.LANGUAGE.read(text)
        query = cls(text=words, conditions=conditions, source=text)
        return query if order is None else replace(query, sort=order[0], descending=order[1])

    def narrowed(self, *conditions: Condition) -> Self:
        """Return the query with more conditions."""
        return replace(self, conditions=self.conditions + conditions)

    def asks(self, *fields: str) -> bool:
        """Whether one of ``fields`` is among the conditions."""
        return any(condition.field in fields for condition in self.conditions)

    def reads(self, table: str) -> bool:
        """Whether a condition reads the table with this alias."""
        return any(self.LANGUAGE.by_name[condition.field].table == table for condition in self.conditions)

    def clauses(self) -> Iterator[Sql]:
        """Yield the SQL conditions, which are joined with AND."""
        if self.text:
            yield from self.LANGUAGE.search(self.text)
        for condition in self.conditions:
            clause, values = self.LANGUAGE.by_name[condition.field].sql(condition.op, condition.values)
            yield (f"NOT coalesce({clause}, 0)" if condition.negated else clause), values

    def where(self) -> Sql:
        """Return one SQL condition and its parameters."""
        clauses = list(self.clauses())
        return " AND ".join(clause for clause, _ in clauses) or "1", [one for _, values in clauses for one in values]


def closed(text: str) -> str:
    """Return a filter with an open quotation mark closed at the end of its term, so that it takes in no later term."""

    def close(term: re.Match[str]) -> str:
        quotes = term["text"] is None or term["text"].removeprefix("-").startswith('"')  # a mark within a word does not
        return term[0] + '"' if quotes and term[0].count('"') % 2 else term[0]

    return TERM.sub(close, text)


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:_LISTED], *(["…"] if len(names) > _LISTED else [])])


def _some(words: Sequence[str], number: int) -> str:
    return " ".join([*words[:number], *(["…"] if len(words) > number else [])])
