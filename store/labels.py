"""The labels that the lab offers for spans of chains, each with a colour and a digit.

An annotation of the kind ``span`` names its label. It may also name one that is not among these: a person can type any
label, and annotations of other labs bring theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from store.annotation_sql import ALIVE, PRESENT_LABEL
from store.errors import NameTakenError, NotFoundError, UsageError
from store.rows import insert
from store.sqlite import Database

COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta", "white")
DIGITS = range(1, 10)
LONGEST = 40
NAME_RULE = f"A label has up to {LONGEST} printable characters, no quotation mark, and no space at its ends."


@dataclass(frozen=True, slots=True)
class Label:
    """A label of the lab; without a digit, it has no key."""

    name: str
    colour: str
    digit: int | None


class Use(NamedTuple):
    """The number of spans with a label, and of their traces."""

    spans: int = 0
    traces: int = 0


def every(db: Database) -> list[Label]:
    """Return the labels of the lab, those with a digit first and in its order."""
    rows = db.execute("SELECT name, colour, digit FROM labels ORDER BY digit IS NULL, digit, name")
    return [Label(*row) for row in rows]


def get(db: Database, name: str) -> Label:
    """Return a label by its present or an earlier name.

    Raises:
        NotFoundError: The lab has no such label; the hint lists those that it has.
    """
    labels = {one.name: one for one in every(db)}
    found = labels.get(name) or labels.get(present(db, name))
    if found is None:
        near = get_close_matches(name, labels, 1)
        meant = f"Did you mean '{near[0]}'? " if near else ""
        raise NotFoundError(f"The lab has no label '{name}'.", f"{meant}It has {', '.join(labels) or 'none'}.")
    return found


def present(db: Database, name: str) -> str:
    """Return the name that a label has now, given this or an earlier one."""
    return db.value("SELECT name FROM label_names WHERE earlier = ?", [name]) or name


def known(db: Database) -> list[str]:
    """Return the name of each label: those of the lab, then others in use, the most used first."""
    used = uses(db)
    names = [one.name for one in every(db)]
    return [*names, *sorted(used.keys() - set(names), key=lambda name: (-used[name].spans, name))]


def uses(db: Database) -> dict[str, Use]:
    """Return the uses of each label that has any, by its present name."""
    rows = db.execute(
        f"SELECT {PRESENT_LABEL}, count(*), count(DISTINCT a.trace_id) FROM annotations a "
        f"WHERE a.kind = 'span' AND {ALIVE} GROUP BY 1"
    )
    return {name: Use(spans, traces) for name, spans, traces in rows}


def add(db: Database, name: str, *, colour: str | None = None, digit: int | None = None) -> Label:
    """Add a label to the lab.

    Args:
        db: The lab's database.
        name: Its name. Spans that already have this label count as its spans.
        colour: Its colour; None for the least used one.
        digit: Its digit; None for the first free one, none if all are taken.

    Raises:
        UsageError: Name, colour or digit is not valid.
        NameTakenError: There is such a label, or the digit is taken.
    """
    name = _checked(name)
    with db.atomic():
        labels = every(db)
        _require_free(db, name)
        taken = {one.digit: one.name for one in labels}
        if digit is not None and _valid_digit(digit) in taken:
            raise NameTakenError(f"The digit {digit} gives '{taken[digit]}'.", "Choose another digit.")
        used = [one.colour for one in labels]
        chosen = min(COLOURS, key=used.count) if colour is None else _valid_colour(colour)
        free = next((one for one in DIGITS if one not in taken), None) if digit is None else digit
        made = Label(name, chosen, free)
        insert(db, "labels", [made])
    return made


def recolour(db: Database, name: str, colour: str) -> Label:
    """Give a label another colour.

    Raises:
        NotFoundError: The lab has no such label.
        UsageError: There is no such colour.
    """
    with db.atomic():
        label = get(db, name)
        db.execute("UPDATE labels SET colour = ? WHERE name = ?", [_valid_colour(colour), label.name])
        return get(db, label.name)


def set_digit(db: Database, name: str, digit: int | None) -> tuple[Label, Label | None]:
    """Give a label another digit, or none. The label that has the digit now gets the old digit of this one.

    Returns:
        The label, and the other one if there was one.

    Raises:
        NotFoundError: The lab has no such label.
        UsageError: The digit is not from 1 to 9.
    """
    with db.atomic():
        label = get(db, name)
        wanted = None if digit is None else _valid_digit(digit)
        other = next((one for one in every(db) if one.digit == wanted is not None and one.name != label.name), None)
        if other is not None:
            db.execute("UPDATE labels SET digit = NULL WHERE name = ?", [other.name])
        db.execute("UPDATE labels SET digit = ? WHERE name = ?", [wanted, label.name])
        if other is not None:
            db.execute("UPDATE labels SET digit = ? WHERE name = ?", [label.digit, other.name])
        return get(db, label.name), None if other is None else get(db, other.name)


def rename(db: Database, name: str, new: str) -> Label:
    """Rename a label. Its spans have the new name from now on, also those of annotations that are merged later.

    Raises:
        NotFoundError: The lab has no such label.
        UsageError: The new name is not valid.
        NameTakenError: Another label has, or had, that name.
    """
    new = _checked(new)
    with db.atomic():
        label = get(db, name)
        if new == label.name:
            return label
        if present(db, new) != label.name:
            _require_free(db, new)
        db.execute("DELETE FROM label_names WHERE earlier = ?", [new])
        db.execute("UPDATE label_names SET name = ? WHERE name = ?", [new, label.name])
        db.execute("INSERT INTO label_names(earlier, name) VALUES (?, ?)", [label.name, new])
        db.execute("UPDATE labels SET name = ? WHERE name = ?", [new, label.name])
        return get(db, new)


def remove(db: Database, name: str) -> Label:
    """Remove a label from those that the lab offers; its spans stay.

    Raises:
        NotFoundError: The lab has no such label.
    """
    with db.atomic():
        label = get(db, name)
        db.execute("DELETE FROM labels WHERE name = ?", [label.name])
    return label


class Snapshot(NamedTuple):
    """All labels of a lab and their earlier names."""

    labels: tuple[Label, ...]
    earlier: tuple[tuple[str, str], ...]


def snapshot(db: Database) -> Snapshot:
    """Return the labels as they are now, for :func:`restore`."""
    return Snapshot(tuple(every(db)), tuple(earlier_names(db)))


def restore(db: Database, before: Snapshot, after: Snapshot) -> bool:
    """Undo a change of the labels from ``before`` to ``after``; return False if they changed since and stay."""
    with db.atomic():
        if snapshot(db) != after:
            return False
        db.conn.execute("DELETE FROM labels")
        db.conn.execute("DELETE FROM label_names")
        insert(db, "labels", before.labels)
        db.conn.executemany("INSERT INTO label_names(earlier, name) VALUES (?, ?)", before.earlier)
    return True


def earlier_names(db: Database) -> Iterator[tuple[str, str]]:
    """Yield (earlier, present name) of each renamed label."""
    yield from db.execute("SELECT earlier, name FROM label_names ORDER BY earlier")


def _checked(name: str) -> str:
    if not (0 < len(name) <= LONGEST and name.isprintable() and name == name.strip() and '"' not in name):
        raise UsageError(f"'{name}' cannot be the name of a label.", NAME_RULE)
    return name


def _require_free(db: Database, name: str) -> None:
    if any(one.name == name for one in every(db)):
        raise NameTakenError(f"The lab has a label '{name}' already.", "Choose another name.")
    if (now := present(db, name)) != name:
        raise NameTakenError(f"'{name}' is the earlier name of '{now}'.", "Choose another name.")


def _valid_colour(colour: str) -> str:
    if colour not in COLOURS:
        raise UsageError(f"A label cannot have the colour '{colour}'.", f"It is one of {', '.join(COLOURS)}.")
    return colour


def _valid_digit(digit: int) -> int:
    if digit not in DIGITS:
        raise UsageError(f"A label cannot have the digit {digit}.", "It is one of 1 to 9.")
    return digit
