"""Which problems are left out, by which rules, and what a person said of it.

Rules' findings are replaced when a rule looks again; rulings are append-only. ``problems.excluded_by`` is derived from
both, in the same transaction: NULL for a problem that is kept, ``person`` for one that a person left out, else the
names of the rules that found something, in alphabetical order with commas between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from store.errors import MissingError
from store.records import new_id, now, scrubbed
from store.sqlite import Database

Ruled = Literal["keep", "exclude", "none"]


class Exclusion(NamedTuple):
    """A rule's finding on a problem; ``twin`` is the id of the problem it resembles, where that is the reason."""

    problem_id: str
    rule: str
    version: int
    reason: str
    twin: str | None = None


class Ruling(NamedTuple):
    """A person's word on a problem: keep, exclude, or none (the rules decide again)."""

    id: str
    problem_id: str
    ruling: str
    note: str
    annotator: str
    created_at: str


class RuleRun(NamedTuple):
    """A rule's last run: how many problems it looked at, and how many of them it found something on."""

    rule: str
    version: int
    looked: int
    excluded: int
    ran_at: str


class Standing(NamedTuple):
    """What speaks on a problem beside the rules asked about."""

    ruling: str  # the person's latest word, none if there is no word
    other_rules: bool  # whether another rule has a finding


def record(db: Database, looked: Sequence[str], rules: Iterable[str], found: Iterable[Exclusion]) -> None:
    """Replace what these rules said of the problems they looked at, and derive what follows."""
    created_at = now()
    ids, names = json.dumps(list(looked)), json.dumps(list(rules))
    with db.atomic():
        db.conn.execute(
            "DELETE FROM exclusions WHERE problem_id IN (SELECT value FROM json_each(?)) "
            "AND rule IN (SELECT value FROM json_each(?))",
            (ids, names),
        )
        db.conn.executemany(
            "INSERT INTO exclusions(problem_id, rule, version, reason, twin, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            [(one.problem_id, one.rule, one.version, scrubbed(one.reason), one.twin, created_at) for one in found],
        )
        derive(db, looked)


def record_runs(db: Database, runs: Iterable[RuleRun]) -> None:
    """Record rules' runs; a rule has one, its last."""
    with db.atomic():
        db.conn.executemany(
            "INSERT INTO rule_runs(rule, version, looked, excluded, ran_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO "
            "UPDATE SET version = excluded.version, looked = excluded.looked, excluded = excluded.excluded, "
            "ran_at = excluded.ran_at",
            [tuple(run) for run in runs],
        )


def runs(db: Database) -> dict[str, RuleRun]:
    """The last run of each rule that ever ran, by name."""
    rows = db.execute("SELECT rule, version, looked, excluded, ran_at FROM rule_runs ORDER BY rule")
    return {row[0]: RuleRun(*row) for row in rows}


def counts(db: Database) -> dict[str, int]:
    """How many problems each rule has a finding on now."""
    return {str(rule): int(number) for rule, number in db.execute(
        "SELECT rule, count(*) FROM exclusions GROUP BY rule ORDER BY rule"
    )}  # fmt: skip


def of_problem(db: Database, problem_id: str) -> list[Exclusion]:
    """What the rules say of a problem, by rule."""
    rows = db.execute(
        "SELECT problem_id, rule, version, reason, twin FROM exclusions WHERE problem_id = ? ORDER BY rule",
        [problem_id],
    )
    return [Exclusion(*row) for row in rows]


def rule_on(db: Database, problem_ids: Sequence[str], ruling: Ruled, *, annotator: str, note: str = "") -> list[Ruling]:
    """Record a person's word on problems, all or none; ``none`` takes an earlier word back.

    Raises:
        MissingError: one of the problems is not there.
    """
    created_at = now()
    made = [
        Ruling(new_id(), one, ruling, scrubbed(note), scrubbed(annotator), created_at)
        for one in dict.fromkeys(problem_ids)
    ]
    with db.atomic():
        for one in made:
            if db.execute("SELECT 1 FROM problems WHERE id = ?", [one.problem_id]).fetchone() is None:
                raise MissingError(f"There is no problem '{one.problem_id}'.", "`o1lab problems ls` lists them.")
        db.conn.executemany(
            "INSERT INTO rulings(id, problem_id, ruling, note, annotator, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            [tuple(one) for one in made],
        )
        derive(db, [one.problem_id for one in made])
    return made


def rulings(db: Database, problem_id: str) -> list[Ruling]:
    """A person's words on a problem in the order they were said; the last one holds."""
    rows = db.execute(
        "SELECT id, problem_id, ruling, note, annotator, created_at FROM rulings WHERE problem_id = ? ORDER BY seq",
        [problem_id],
    )
    return [Ruling(*row) for row in rows]


def standing(db: Database, problem_ids: Iterable[str], *, beside: Iterable[str]) -> Mapping[str, Standing]:
    """For each of the problems, what speaks on it beside these rules."""
    rows = db.execute(
        """SELECT p.id,
                  coalesce((SELECT ruling FROM rulings r WHERE r.problem_id = p.id ORDER BY seq DESC LIMIT 1), 'none'),
                  EXISTS (SELECT 1 FROM exclusions e WHERE e.problem_id = p.id
                          AND e.rule NOT IN (SELECT value FROM json_each(:rules)))
           FROM problems p WHERE p.id IN (SELECT value FROM json_each(:ids))""",
        {"ids": json.dumps(list(problem_ids)), "rules": json.dumps(list(beside))},
    )
    return {str(identity): Standing(str(ruling), bool(other)) for identity, ruling, other in rows}


def derive(db: Database, problem_ids: Iterable[str]) -> None:
    """Bring ``excluded_by`` of these problems in line with rulings and findings."""
    db.conn.execute(
        """UPDATE problems SET excluded_by =
             CASE (SELECT ruling FROM rulings r WHERE r.problem_id = problems.id ORDER BY r.seq DESC LIMIT 1)
               WHEN 'keep' THEN NULL
               WHEN 'exclude' THEN 'person'
               ELSE (SELECT group_concat(rule, ',') FROM
                      (SELECT rule FROM exclusions e WHERE e.problem_id = problems.id ORDER BY rule))
             END
           WHERE id IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(problem_ids)),),
    )
