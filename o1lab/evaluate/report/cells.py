"""The data of a table: columns, sections, rows and cells, and the text of a cell. Layout is in ``render``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from o1lab.evaluate.stats.metrics import rounded_ends
from o1lab.text import json_of

Kind = Literal["percent", "rate", "count", "tokens", "fraction", "difference", "text"]
Verdict = Literal["better", "worse", "no clear change", "the same"]
Interval = tuple[float, float]

# Every verdict has a word and a sign, so that it does not depend on colour.
SIGNS: Mapping[Verdict, str] = {"better": "▲", "worse": "▼", "no clear change": "=", "the same": "="}
EMPTY = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``kind`` is the format of its numbers; percentages and their differences are out of 100."""

    key: str
    title: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure and its origin.

    Attributes:
        value: the figure; a pair for a count before and after.
        interval: at 95 %, in the unit of the value.
        p: the p-value of a difference.
        of: the number that the value is a share of.
        verdict: what a difference means.
        note: shown after the value, or instead of it.
        scorer: the label of the scores.
        evaluations: the ids it was computed from; empty for published figures.
        digits: decimals of a percentage or rate: one for our figures, as published for others.
    """

    value: float | int | str | tuple[int, int] | None = None
    interval: Interval | None = None
    p: float | None = None
    of: int | None = None
    verdict: Verdict | None = None
    note: str = ""
    scorer: str = ""
    evaluations: tuple[str, ...] = ()
    digits: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the value and everything else that is set."""
        found: dict[str, Any] = {"value": _rounded(self.value)}
        if self.interval is not None:
            found["interval"] = rounded_ends(self.interval)
        if self.p is not None:
            found["p"] = round(self.p, 6)
        if self.of is not None:
            found["of"] = self.of
        for name in ("verdict", "note", "scorer"):
            if value := getattr(self, name):
                found[name] = value
        if self.evaluations:
            found["evaluations"] = list(self.evaluations)
        return found


NOTHING = Cell()


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table; ``published`` rows are not computed here."""

    label: str
    cells: Mapping[str, Cell]
    published: bool = False
    mean: bool = False  # the mean of the rows above

    def cell(self, column: Column) -> Cell:
        return self.cells.get(column.key, NOTHING)

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "label", "published", "cells")


@dataclass(frozen=True, slots=True)
class Section:
    """Comparable rows under one heading: the same suite version, items and scorer."""

    title: str
    rows: tuple[TableRow, ...]
    suite: str = ""
    items_hash: str = ""
    scorer: str = ""

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "title", "suite", "items_hash", "scorer", "rows")


@dataclass(frozen=True, slots=True)
class Table:
    """A table with notes below it."""

    name: str
    title: str
    first: str  # the heading of the column of labels
    columns: tuple[Column, ...]
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return the table as a JSON object; percentages and their differences are out of 100."""
        columns = [json_of(one, "key", "title", "kind") for one in self.columns]
        return json_of(self, "table=name", "title") | {"columns": columns} | json_of(self, "sections", "notes")


def verdict(difference: float, interval: Interval | None, p: float | None = None) -> Verdict:
    """Return what a difference means.

    It is unclear if its interval contains 0 or, without an interval, if ``p`` is over 0.05. With neither, as for
    published differences, only the direction counts.
    """
    if interval is not None:
        unclear = interval[0] <= 0 <= interval[1]
    elif p is not None:
        unclear = p > 0.05
    else:
        unclear = False
    if unclear:
        return "no clear change"
    if round(difference, 2) == 0:
        return "the same"
    return "better" if difference > 0 else "worse"


def ends(interval: Interval | None, digits: int = 1) -> str:
    """Format an interval: ``[24.6, 57.7]``; empty if there is none."""
    return "" if interval is None else f"[{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def figure_text(value: float | None, interval: Interval | None, unit: str = "") -> str:
    """Format a figure and its interval, such as ``43.3 % [24.6, 57.7]``; a figure without a value is ``-``."""
    return "-" if value is None else f"{value:.1f}{unit} {ends(interval)}".rstrip()


def shown(column: Column, cell: Cell) -> tuple[str, str]:
    """Return the text of a cell's value, and of its interval or p-value (may be empty)."""
    if cell.value is None:
        return cell.note or EMPTY, ""
    return _value(column.kind, cell) + (f" {cell.note}" if cell.note else ""), _interval(cell)


def _value(kind: Kind, cell: Cell) -> str:
    match cell.value:
        case str():
            return cell.value
        case (before, after):
            return f"{before:,} → {after:,}"
        case None:
            return EMPTY
        case number if kind in ("percent", "rate"):
            return _decimals(number, cell.digits)
        case number if kind == "difference":
            sign, word = (SIGNS[cell.verdict], f" {cell.verdict}") if cell.verdict else ("", "")
            return f"{sign} {_decimals(number, cell.digits, signed=True)}{word}".strip()
        case number if kind == "fraction" and cell.of is not None:
            return f"{number:,.0f}/{cell.of:,}"
        case number:
            return f"{number:,.0f}"


def _interval(cell: Cell) -> str:
    if cell.interval is None:
        return "" if cell.p is None else f"p = {cell.p:.2g}"
    signed = cell.verdict is not None
    low, high = (_decimals(end, max(cell.digits, 1), signed=signed) for end in cell.interval)
    return f"[{low}, {high}]"


def _decimals(number: float, digits: int = 1, *, signed: bool = False) -> str:
    text = f"{number:+.{digits}f}" if signed else f"{number:.{digits}f}"
    return text[1:] if signed and float(text) == 0 else text


def _rounded(value: float | int | str | tuple[int, int] | None) -> object:
    if isinstance(value, float):
        return round(value, 4)
    return list(value) if isinstance(value, tuple) else value
