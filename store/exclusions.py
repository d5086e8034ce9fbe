"""Excluded problems: the findings of rules, and the rulings of persons.

A rule's findings are replaced when it runs again; rulings are append-only. ``problems.excluded_by`` is derived from
both, in the same transaction: NULL for a problem that is kept, ``person`` for one that a person excluded, else the
names of the rules with findings, in alphabetical order, separated by commas.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from store.errors import NotFoundError
from store.records import new_id, now, scrubbed
from store.rows import insert, read_all, values
from store.sqlite import Database

Ruled = Literal["keep", "exclude", "none"]


class Exclusion(NamedTuple):
    """A rule's finding on a problem; ``twin`` is the id of the problem it resembles, if that is the reason."""

    problem_id: str
    rule: str
    version: int
    reason: str
    twin: str | None = None


class Ruling(NamedTuple):
    """A person's ruling on a problem: keep, exclude, or none (the rules decide again)."""

    id: str
    problem_id: str
    ruling: str
    note: str
    annotator: str
    created_at: str


class RuleRun(NamedTuple):
    """A rule's last run: the number of problems it checked (``looked``), and of those it excludes (``excluded``)."""

    rule: str
    version: int
    looked: int
    excluded: int
    ran_at: str


class Standing(NamedTuple):
    """The ruling on a problem, and whether rules other than those asked about have findings on it."""

    ruling: str  # a person's latest ruling; none without one
    other_rules: bool


def record(db: Database, looked: Sequence[str], rules: Iterable[str], found: Iterable[Exclusion]) -> None:
    """Replace the findings of these rules on the problems they checked, and update ``excluded_by``."""
    created_at = now()
    with db.atomic():
        db.conn.execute(
            "DELETE FROM exclusions WHERE problem_id IN (SELECT value FROM json_each(?)) "
            "AND rule IN (SELECT value FROM json_each(?))",
            (json.dumps(list(looked)), json.dumps(list(rules))),
        )
        insert(db, "exclusions", ({**values(one), "created_at": created_at} for one in found))
        derive(db, looked)


def record_runs(db: Database, runs: Iterable[RuleRun]) -> None:
    """Record the last run of each of these rules."""
    with db.atomic():
        insert(db, "rule_runs", runs, on_conflict="REPLACE")


def runs(db: Database) -> dict[str, RuleRun]:
    """Return the last run of each rule, by name."""
    return {one.rule: one for one in read_all(db, RuleRun, "FROM rule_runs ORDER BY rule")}


def counts(db: Database) -> dict[str, int]:
    """Count the problems that each rule has a finding on."""
    return dict(db.execute("SELECT rule, count(*) FROM exclusions GROUP BY rule ORDER BY rule"))


def of_problem(db: Database, problem_id: str) -> list[Exclusion]:
    """Return the findings on a problem, by rule."""
    return read_all(db, Exclusion, "FROM exclusions WHERE problem_id = ? ORDER BY rule", [problem_id])


def rule_on(db: Database, problem_ids: Sequence[str], ruling: Ruled, *, annotator: str, note: str = "") -> list[Ruling]:
    """Record a person's ruling on problems in one transaction; ``none`` withdraws an earlier ruling.

    Raises:
        NotFoundError: One of the problems does not exist.
    """
    created_at = now()
    made = [
        Ruling(new_id(), one, ruling, scrubbed(note), scrubbed(annotator), created_at)
        for one in dict.fromkeys(problem_ids)
    ]
    with db.atomic():
        for one in made:
            if db.execute("SELECT 1 FROM problems WHERE id = ?", [one.problem_id]).fetchone() is None:
                raise NotFoundError(f"There is no problem '{one.problem_id}'.", "`o1lab problems ls` lists them.")
        insert(db, "rulings", made)
        derive(db, [one.problem_id for one in made])
    return made


def rulings(db: Database, problem_id: str) -> list[Ruling]:
    """Return the rulings on a problem in order; the last one applies."""
    return read_all(db, Ruling, "FROM rulings WHERE problem_id = ? ORDER BY seq", [problem_id])


def standing_rulings(db: Database) -> list[tuple[str, str]]:
    """Return (problem, keep or exclude) for each problem whose latest ruling is one of the two."""
    return db.execute(
        "SELECT problem_id, ruling FROM rulings r WHERE ruling != 'none' "
        "AND seq = (SELECT max(seq) FROM rulings l WHERE l.problem_id = r.problem_id) ORDER BY seq"
    ).fetchall()


def standing(db: Database, problem_ids: Iterable[str], *, apart_from: Iterable[str]) -> Mapping[str, Standing]:
    """Return the standing of each problem apart from the findings of the rules in ``apart_from``."""
    rows = db.execute(
        """SELECT p.id,
                  coalesce((SELECT ruling FROM rulings r WHERE r.problem_id = p.id ORDER BY seq DESC LIMIT 1), 'none'),
                  EXISTS (SELECT 1 FROM exclusions e WHERE e.problem_id = p.id
                          AND e.rule NOT IN (SELECT value FROM json_each(:rules)))
           FROM problems p WHERE p.id IN (SELECT value FROM json_each(:ids))""",
        {"ids": json.dumps(list(problem_ids)), "rules": json.dumps(list(apart_from))},
    )
    return {str(identity): Standing(str(ruling), bool(other)) for identity, ruling, other in rows}


def derive(db: Database, problem_ids: Iterable[str]) -> None:
    """Update ``excluded_by`` of these problems from rulings and findings."""
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
