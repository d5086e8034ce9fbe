"""The filter language of the traces list: ``verdict:wrong teacher:sky-t1 reflect>=3 sort:-chars "wait"``.

One form for the screen, the command line and the snapshot a dataset remembers. ``reflective:yes`` finds chains that
hold retrospection and self-reflection: at least one reflection, and a backtracking or a check beside it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from store.errors import QueryError
from store.migrations import MOVE_KINDS
from store.search import expressions, match_expression, require_words

SORTS = {  # each has its index over just this expression (migration 0003)
    "added": "t.seq",
    "problem": "t.problem_id",
    "model": "t.model",
    "verdict": "coalesce(t.verdict, '')",
    "decision": "coalesce(t.decision, '')",
    "rating": "coalesce(t.rating, -1)",
    "chars": "t.chars",
    "tokens": "coalesce(t.tokens, -1)",
    **{kind: f"coalesce(t.{kind}, -1)" for kind in MOVE_KINDS},
}
SYNONYMS = {
    "right": "correct",
    "wrong": "incorrect",
    "teacher": "model",
    "license": "licence",
}
TEXT_FIELDS = (
    "verdict",
    "model",
    "source",
    "synthesis",
    "licence",
    "format",
    "problem",
    "id",
    "tag",
    "decision",
    "key",
    "parent",
    "dataset",
    "run",
)
NUMBER_FIELDS = ("chars", "tokens", "rating", *MOVE_KINDS)
FLAGS = ("complete", "looping", "reflective")
_REFLECTIVE = "(t.reflect >= 1 AND (t.backtrack >= 1 OR t.verify >= 1))"  # null, like the moves, until measured
DECISIONS = ("accept", "reject", "skip", "none")
VERDICTS = ("correct", "incorrect", "unverifiable", "none")

_TERM = re.compile(
    r"""(?P<not>-)?(?P<field>[a-z]+)(?P<op>:|>=|<=|>|<|=)(?P<value>"[^"]*"|\S+) | (?P<text>-?"[^"]*"?|\S+)""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"^(\d+(?:\.\d+)?)(k?)$")


@dataclass(frozen=True, slots=True)
class Condition:
    field: str
    op: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces, in which order. ``ids`` narrows it to a queue of chosen ones."""

    text: str = ""
    conditions: tuple[Condition, ...] = ()
    sort: str = "added"
    descending: bool = False
    ids: tuple[str, ...] | None = None
    source: str = field(default="", compare=False)

    def narrowed(self, *conditions: Condition) -> TraceQuery:
        return replace(self, conditions=self.conditions + conditions)

    @property
    def only_text(self) -> bool:
        """Whether it is a search and nothing else."""
        return not self.conditions and self.ids is None and match_expression(self.text) is not None

    @property
    def direction(self) -> str:
        return "DESC" if self.descending else "ASC"

    @property
    def order(self) -> str:
        added = f"t.seq {self.direction}"
        return added if self.sort == "added" else f"{SORTS[self.sort]} {self.direction}, {added}"


def parse_query(text: str) -> TraceQuery:
    """Read a filter.

    Raises:
        QueryError: an unknown field, value or order, with the ones there are; or a search without a word in it.
    """
    conditions: list[Condition] = []
    words: list[str] = []
    sort, descending = "added", False
    for term in _TERM.finditer(text):
        if term["text"] is not None:
            words.append(term["text"])
            continue
        name, op, value = SYNONYMS.get(term["field"], term["field"]), term["op"], term["value"].strip('"')
        if name == "sort":
            descending, sort = value.startswith("-"), value.lstrip("-")
            if sort not in SORTS:
                raise QueryError(
                    f"Cannot sort by '{sort}'.", f"Sort by {', '.join(SORTS)}; a minus turns the order round."
                )
        elif name in NUMBER_FIELDS or name in FLAGS or name in TEXT_FIELDS:
            conditions.append(_condition(name, op, value, negated=bool(term["not"])))
        elif op == ":":
            raise QueryError(f"There is no field '{name}'.", _instead(name, term[0]))
        else:
            words.append(term[0])
    searched = " ".join(words)
    require_words(searched)
    return TraceQuery(searched, tuple(conditions), sort, descending, None, text)


def _instead(name: str, term: str) -> str:
    near = get_close_matches(name, (*TEXT_FIELDS, *NUMBER_FIELDS, *FLAGS, *SYNONYMS, "sort"), 1)
    return f"Did you mean {near[0]}:?" if near else f'To search for those words, write "{term}".'


def _condition(name: str, op: str, value: str, *, negated: bool) -> Condition:
    if name in NUMBER_FIELDS:
        number = _NUMBER.match(value.lower())
        if number is None:
            raise QueryError(f"'{name}' takes a number, not '{value}'.", f"For example {name}>=3.")
        size = float(number[1]) * (1000 if number[2] else 1)
        return Condition(name, "=" if op == ":" else op, str(int(size) if size.is_integer() else size), negated)
    if op not in (":", "="):
        raise QueryError(f"'{name}' cannot be compared with '{op}'.", f"Write {name}:{value}.")
    value = value.lower() if name in ("verdict", "decision", *FLAGS) else value
    if name == "verdict":
        value = SYNONYMS.get(value, value)
    if name == "decision":
        value = {"accepted": "accept", "rejected": "reject", "skipped": "skip", "todo": "none"}.get(value, value)
    allowed = {"verdict": VERDICTS, "decision": DECISIONS} | dict.fromkeys(FLAGS, ("yes", "no"))
    if name in allowed and value not in allowed[name]:
        raise QueryError(f"'{name}' cannot be '{value}'.", f"It is one of {', '.join(allowed[name])}.")
    return Condition(name, ":", value, negated)


def where(query: TraceQuery) -> tuple[str, list[str | float]]:
    """The SQL condition over ``traces t`` and its parameters."""
    clauses: list[str] = []
    parameters: list[str | float] = []
    if query.ids is not None:
        clauses.append("t.id IN (SELECT value FROM json_each(?))")
        parameters.append(json.dumps(query.ids))
    wanted, unwanted = expressions(query.text)
    if wanted:
        # The plus: a row is looked up among those found, not each of those found in an index of the table.
        clauses.append("+t.seq IN (SELECT rowid FROM traces_fts WHERE traces_fts MATCH ?)")
        parameters.append(wanted)
    if unwanted:
        clauses.append("t.seq NOT IN (SELECT rowid FROM traces_fts WHERE traces_fts MATCH ?)")
        parameters.append(unwanted)
    for condition in query.conditions:
        clause, values = _clause(condition)
        clauses.append(f"NOT coalesce({clause}, 0)" if condition.negated else clause)
        parameters += values
    return " AND ".join(clauses) or "1", parameters


def _clause(condition: Condition) -> tuple[str, list[str | float]]:
    name, value = condition.field, condition.value
    if name in NUMBER_FIELDS:
        return f"t.{name} {condition.op} ?", [float(value)]
    if name in FLAGS:
        flag = _REFLECTIVE if name == "reflective" else f"t.{name}"
        return f"{flag} = ?", [1.0 if value == "yes" else 0.0]
    if name in ("verdict", "decision"):
        return (f"t.{name} IS NULL", []) if value == "none" else (f"t.{name} = ?", [value])
    if name == "tag":
        return "t.id IN (SELECT trace_id FROM trace_tags WHERE tag = ?)", [value]
    if name == "dataset":
        return "t.id IN (SELECT trace_id FROM dataset_rows WHERE name = ?)", [value]
    if name == "run":
        return "t.id IN (SELECT trace_id FROM responses WHERE run_id GLOB ?)", [re.sub(r"[*?\[]", "", value) + "*"]
    column = {"problem": "problem_id", "id": "id", "parent": "parent_id"}.get(name)
    if column:
        return f"t.{column} GLOB ?", [re.sub(r"[*?\[]", "", value) + "*"]
    return f"t.{name} LIKE ? ESCAPE '\\'", ["%" + re.sub(r"([%_\\])", r"\\\1", value) + "%"]
