"""The filter of the list of samples: ``outcome:incorrect,failed variant:hint sort:longest carry``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from store.errors import QueryError
from store.evaluations import OUTCOMES

SORTS = ("suite", "longest")
HELP = (
    f"words of the question or an item's id · outcome:{', '.join(OUTCOMES)} or wrong (with commas) · "
    "variant: · sort:longest"
)
_TERM = re.compile(r'(?P<field>[a-z]+):(?P<value>"[^"]*"|\S*)')
_WRONG = tuple(outcome for outcome in OUTCOMES if outcome != "correct")


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """Which samples of an evaluation, in which order; ``source`` is what was typed."""

    outcomes: tuple[str, ...] = ()
    words: str = ""
    variant: str | None = None
    longest_first: bool = False
    source: str = ""


def parse_sample_query(text: str) -> SampleQuery:
    """Read a filter.

    Raises:
        QueryError: an unknown outcome or order, with those there are.
    """
    outcomes: dict[str, None] = {}
    variant, longest = None, False

    def field(found: re.Match[str]) -> str:
        nonlocal variant, longest
        name, value = found["field"], found["value"].strip('"')
        if name == "outcome":
            for wanted in filter(None, value.split(",")):
                if wanted not in (*OUTCOMES, "wrong"):
                    raise QueryError(f"There is no outcome '{wanted}'.", f"It is one of {', '.join(OUTCOMES)}, wrong.")
                outcomes.update(dict.fromkeys(_WRONG if wanted == "wrong" else (wanted,)))
        elif name == "variant":
            variant = value or None
        elif name == "sort":
            if value and value not in SORTS:
                raise QueryError(f"Cannot sort by '{value}'.", f"Sort by {' or '.join(SORTS)}.")
            longest = value == "longest"
        else:
            return found[0]  # words that happen to have a colon
        return " "

    words = " ".join(_TERM.sub(field, text).split())
    return SampleQuery(tuple(outcomes), words, variant, longest, text)
