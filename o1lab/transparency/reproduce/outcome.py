"""The outcome of repeating one part of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["identical", "equal", "different", "not_possible"]
WORDS: dict[State, str] = {
    "identical": "identical",
    "equal": "equal",
    "different": "DIFFERENT",
    "not_possible": "not possible here",
}


@dataclass(frozen=True)
class Outcome:
    """One part of a report and the result of repeating it here.

    Attributes:
        what: the part, such as ``dataset sums: rows``.
        state: identical (by hash or by all counts), equal (within the stated interval), different, or not possible.
        expected: what the report says.
        found: the result here.
        reason: what differs, why it was not possible, or what limits the comparison.
    """

    what: str
    state: State
    expected: str = ""
    found: str = ""
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compared(what: str, expected: object, found: object, *, reason: str = "") -> Outcome:
    """Return ``identical`` if both are the same, else ``different``."""
    return Outcome(what, "identical" if expected == found else "different", str(expected), str(found), reason)


def compared_counts(what: str, expected: dict[str, Any], found: dict[str, Any]) -> Outcome:
    """Compare named values; the reason names those that differ."""
    other = [f"{key} {found.get(key)} instead of {value}" for key, value in expected.items() if found.get(key) != value]
    here = {key: found.get(key) for key in expected}
    return Outcome(what, "different" if other else "identical", _listed(expected), _listed(here), ", ".join(other))


def impossible(what: str, expected: object, reason: str) -> Outcome:
    return Outcome(what, "not_possible", str(expected), "", reason)


def is_ok(outcomes: Sequence[Outcome]) -> bool:
    """Whether every part is identical or equal."""
    return all(one.state in ("identical", "equal") for one in outcomes)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
