"""What the columns of a file were taken for, and how much text of them is stored nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from o1lab.errors import UsageError
from o1lab.ingest.formats import KEPT, ParsedRow
from o1lab.ingest.importers.roles import ROLES

_LONG = 40
"""Characters per row from which an unused column is named on a line of its own."""


@dataclass
class Unused:
    """Text of one column that is stored nowhere: the number of rows and of characters."""

    rows: int = 0
    chars: int = 0


@dataclass
class Columns:
    """The columns of a file.

    Attributes:
        used: what each column was taken for; several roles if rows differ.
        unused: the columns with text that is stored nowhere.
    """

    used: dict[str, list[str]] = field(default_factory=dict)
    unused: dict[str, Unused] = field(default_factory=dict)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, row: ParsedRow) -> None:
        self._counts.update(row.used.items())
        for column, chars in row.unused.items():
            one = self.unused.setdefault(column, Unused())
            one.rows += 1
            one.chars += chars

    def close(self) -> None:
        """Fill ``used``, the most frequent role of each column first."""
        for (column, role), _ in self._counts.most_common():
            self.used.setdefault(column, []).append(role)

    def as_json(self, path: str) -> dict[str, object]:
        return {"path": path, "used": self.used, "unused": {name: asdict(one) for name, one in self.unused.items()}}


def parse_mapping(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of column and role of ``COLUMN=ROLE`` texts.

    Raises:
        UsageError: a text has another form, or names an unknown role.
    """
    pairs = []
    for text in given:
        column, equals, role = text.rpartition("=")
        if not equals or not column or role not in ROLES:
            raise UsageError(
                f"'{text}' does not say what a column is.",
                f"Write --map COLUMN=ROLE with one of these roles: {', '.join(ROLES)}.",
            )
        pairs.append((column, role))
    return tuple(pairs)


def lines_of(path: str, columns: Columns, *, every: bool) -> list[str]:
    """Return the columns of a file as lines for people: what was not used, and with ``every`` what the others are."""
    lines = []
    if every:
        lines += [f"  {column}: {', '.join(map(_meaning, roles))}" for column, roles in columns.used.items()]
    short = []
    for column, one in columns.unused.items():
        size = f"{one.chars:,} characters" + (f" in {one.rows:,} rows" if one.rows > 1 else "")
        if column in columns.used:
            lines.append(f"{path}: of the column {column}, {size} were not used.")
        elif one.chars >= _LONG * one.rows:
            lines.append(f"{path}: column {column} ({size}) was not used. If it matters: --map {column}=ROLE")
        else:
            short.append(f"{column} ({size})")
    if short:
        lines.append(f"{path}: columns with short texts were not used: {', '.join(short)}.")
    return lines


def _meaning(role: str) -> str:
    return "kept with the trace or problem" if role == KEPT else f"{role} ({ROLES[role]})" if role in ROLES else role


def unknown_columns(mapping: Iterable[tuple[str, str]], seen: Iterable[Columns]) -> list[str]:
    """Return the columns of a mapping that no row has."""
    present = {column for columns in seen for column in (*columns.used, *columns.unused)}
    return [column for column, _ in mapping if column not in present]
