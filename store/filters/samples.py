"""The filter of an evaluation's samples: ``outcome:incorrect,failed variant:hint sort:longest carry``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from store.evaluations import OUTCOME, OUTCOMES
from store.filters.clauses import begins, cases, number, substrings
from store.filters.language import Field, Language, Query, Sql

_QUESTION = "(instr(lower(i.question), lower(?)) OR i.item = ?)"


def _outcome(_: str, values: Sequence[str]) -> Sql:
    return f"{OUTCOME} IN (SELECT value FROM json_each(?))", [json.dumps(list(values))]


def _question(_: str, values: Sequence[str]) -> Sql:
    return f"({' OR '.join([_QUESTION] * len(values))})", [value for one in values for value in (one, one)]


SAMPLES = Language(
    fields=(
        Field(
            "outcome", _outcome, "wrong is all but correct", values=OUTCOMES, table="c",
            synonyms={"wrong": tuple(outcome for outcome in OUTCOMES if outcome != "correct")},
        ),
        Field("variant", cases("i.variant = ?"), "the variant of the question", table="i"),
        Field("item", begins("i.item"), "the beginning of the item's id", table="i"),
        Field("question", _question, "part of the question, or an item's id", table="i"),
        Field("tokens", number("s.output_tokens"), is_number=True),
    ),
    search=lambda text: substrings(text, _QUESTION, 2),
    searched="of the question or an item's id",
    sorts={"suite": "i.position, s.sample", "longest": "s.output_tokens DESC, s.seq"},
    colon_words=True,
)  # fmt: skip
REVERSED = {"suite": "i.position DESC, s.sample DESC", "longest": "s.output_tokens, s.seq DESC"}


@dataclass(frozen=True, slots=True)
class SampleQuery(Query):
    """A filter of the samples of an evaluation."""

    NAME: ClassVar[str] = "samples"
    LANGUAGE: ClassVar[Language] = SAMPLES

    sort: str = "suite"

    @property
    def order(self) -> str:
        """The terms of ORDER BY."""
        return REVERSED[self.sort] if self.descending else SAMPLES.sorts[self.sort]
