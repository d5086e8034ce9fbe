"""What a table is: columns, sections of rows, cells that keep their number beside how it is said. No layout here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["percent", "count", "tokens", "fraction", "difference", "text"]
Verdict = Literal["better", "worse", "no clear change", "the same"]
Interval = tuple[float, float]

# A word and a sign each: colour alone never says it.
SIGNS: Mapping[Verdict, str] = {"better": "▲", "worse": "▼", "no clear change": "=", "the same": "="}
EMPTY = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``kind`` says how its numbers are written; percentages and differences of them are out of 100."""

    key: str
    title: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure: its ``value`` (two where a thing is counted before and after), and what it rests on.

    ``interval`` at 95 %, in the value's unit; ``p`` of a difference, the chance of it if both were alike; ``of`` the
    number it is a share of; ``evaluations`` the ids it came from, none where it was published; ``scorer`` the label of
    who scored. ``note`` stands with the value.
    """

    value: float | int | str | tuple[int, int] | None = None
    interval: Interval | None = None
    p: float | None = None
    of: int | None = None
    verdict: Verdict | None = None
    note: str = ""
    scorer: str = ""
    evaluations: tuple[str, ...] = ()
    digits: int = 1  # decimals of a percentage: ours have one, published ones what they were printed with

    def as_json(self) -> dict[str, Any]:
        """Only what there is, but always the value."""
        found: dict[str, Any] = {"value": _rounded(self.value)}
        if self.interval is not None:
            found["interval"] = [round(end, 4) for end in self.interval]
        if self.p is not None:
            found["p"] = round(self.p, 6)
        if self.of is not None:
            found["of"] = self.of
        for name in ("verdict", "note", "scorer"):
            if said := getattr(self, name):
                found[name] = said
        if self.evaluations:
            found["evaluations"] = list(self.evaluations)
        return found


NOTHING = Cell()


@dataclass(frozen=True, slots=True)
class TableRow:
    """A line of a table; ``published`` ones are not ours."""

    label: str
    cells: Mapping[str, Cell]
    published: bool = False
    mean: bool = False  # made of the rows above it

    def cell(self, column: Column) -> Cell:
        return self.cells.get(column.key, NOTHING)

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "published": self.published,
            "cells": {key: cell.as_json() for key, cell in self.cells.items()},
        }


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that stand under one heading and may be compared: one suite, one version, one set of items, one scorer."""

    title: str
    rows: tuple[TableRow, ...]
    suite: str = ""
    items_hash: str = ""
    scorer: str = ""

    def as_json(self) -> dict[str, Any]:
        about = {"suite": self.suite, "items_hash": self.items_hash, "scorer": self.scorer}
        return {"title": self.title, **about, "rows": [row.as_json() for row in self.rows]}


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and under it what a reader must know."""

    name: str
    title: str
    first: str  # the heading over the rows' labels
    columns: tuple[Column, ...]
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The whole table as one object; percentages and their differences are out of 100."""
        return {
            "table": self.name,
            "title": self.title,
            "columns": [{"key": one.key, "title": one.title, "kind": one.kind} for one in self.columns],
            "sections": [section.as_json() for section in self.sections],
            "notes": list(self.notes),
        }


def verdict(difference: float, interval: Interval | None, p: float | None = None) -> Verdict:
    """What a difference says. Nothing clear where its interval holds 0 or, without one, its ``p`` is over 0.05; where
    there is neither, as in print, its direction alone."""
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


def shown(column: Column, cell: Cell) -> tuple[str, str]:
    """(the value as it is written, its interval or an empty string)."""
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
        case number if kind == "percent":
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
    low, high = (_decimals(end, signed=signed) for end in cell.interval)
    return f"[{low}, {high}]"


def _decimals(number: float, digits: int = 1, *, signed: bool = False) -> str:
    text = f"{number:+.{digits}f}" if signed else f"{number:.{digits}f}"
    return text[1:] if signed and float(text) == 0 else text


def _rounded(value: float | int | str | tuple[int, int] | None) -> object:
    if isinstance(value, float):
        return round(value, 4)
    return list(value) if isinstance(value, tuple) else value
