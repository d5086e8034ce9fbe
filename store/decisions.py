"""Decisions and ratings of each annotator, adjudicated decisions, the decision under the lab's policy, and assignments.

An annotator's latest decision and rating count, and never replace those of another. An adjudication names the
adjudications that it replaces. Those of two labs, which do not name each other, settle a trace only if they agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from store.policy import DEFAULT, DIFFERING, DISPUTED, POLICIES, SETTLED, standing
from store.records import Annotation
from store.rows import insert, values
from store.sqlite import Database

DECISIONS = ("accept", "reject", "skip")
ADJUDICATION = "adjudication"
"""The kind of annotation that decides a trace whatever its annotators decided."""
ASSIGNMENTS = ("assign", "unassign")
"""The kinds of annotations that assign a trace to a person and withdraw that; the value is the person's name."""


@dataclass(frozen=True, slots=True)
class Vote:
    """The decision and rating of one annotator on a trace."""

    annotator: str
    decision: str | None
    rating: int | None


@dataclass(frozen=True, slots=True)
class View:
    """The current user (``me``) and the policy of the lab."""

    policy: str = DEFAULT
    me: str = ""

    def decision(self, records: Sequence[Annotation]) -> str | None:
        """Return the decision that counts, from the records of one trace."""
        votes = votes_in(records)
        if self.policy == "own":
            return next((vote.decision for vote in votes if vote.annotator == self.me), None)
        given = [vote.decision for vote in votes if vote.decision is not None]
        return standing(given, adjudicated_in(records), self.policy)


def view_of(db: Database) -> View:
    """Return the current user and the policy of the lab."""
    return View(policy_of(db), db.value("SELECT me()"))


def policy_of(db: Database) -> str:
    """Return the policy that the database applies."""
    return str(db.value("SELECT policy FROM decision_policy"))


def use_policy(db: Database, policy: str) -> None:
    """Apply a policy, and update the decisions on the traces for which it matters.

    Raises:
        ValueError: There is no such policy.
    """
    if policy not in POLICIES:
        raise ValueError(policy)
    if policy_of(db) == policy:
        return
    with db.atomic():
        db.conn.execute("UPDATE decision_policy SET policy = ?", (policy,))
        for (seq,) in db.conn.execute(f"{DIFFERING} UNION {SETTLED}").fetchall():
            _settle(db, seq, policy)


def votes_in(records: Iterable[Annotation]) -> list[Vote]:
    """Return each annotator's vote, from the records of one trace that are not undone, the latest last."""
    decided: dict[str, str] = {}
    rated: dict[str, int] = {}
    for record in records:
        if record.kind == "decision":
            decided.pop(record.annotator, None)
            decided[record.annotator] = record.value
        elif record.kind == "rating":
            rated[record.annotator] = int(record.value)
    names = [*(name for name in rated if name not in decided), *decided]
    return [Vote(name, decided.get(name), rated.get(name)) for name in names]


def adjudications_in(records: Iterable[Annotation]) -> list[Annotation]:
    """Return the adjudications in the ``records`` of one trace that no other adjudication replaces."""
    found = [record for record in records if record.kind == ADJUDICATION]
    replaced = {identity for record in found for identity in (record.target or "").split()}
    return [record for record in found if record.id not in replaced]


def adjudicated_in(records: Iterable[Annotation]) -> str | None:
    """Return the adjudicated decision; None without one, and if adjudications of two labs differ."""
    values = {record.value for record in adjudications_in(records)}
    return values.pop() if len(values) == 1 else None


def made_at(db: Database, records: Sequence[Annotation]) -> str:
    """Return when the decision that counts was made, from the records of one trace; empty without a decision."""
    view = view_of(db)
    found = view.decision(records)
    made = [
        record for record in records
        if record.kind in ("decision", ADJUDICATION) and record.value == found
        and (view.policy != "own" or (record.kind == "decision" and record.annotator == view.me))
    ]  # fmt: skip
    return made[-1].created_at if made else ""


def derive(db: Database, seq: int, records: Sequence[Annotation]) -> None:
    """Store each annotator's vote on a trace and the decision that counts, inside the caller's transaction."""
    db.conn.execute("DELETE FROM decisions WHERE seq = ?", (seq,))
    insert(db, "decisions", ({"seq": seq, **values(vote)} for vote in votes_in(records)))
    db.conn.execute("DELETE FROM adjudications WHERE seq = ?", (seq,))
    if adjudications_in(records):
        insert(db, "adjudications", [{"seq": seq, "decision": adjudicated_in(records)}])
    _settle(db, seq, policy_of(db))


def _settle(db: Database, seq: int, policy: str) -> None:
    """Store the decision of the trace under the policy, and the mean rating."""
    given = db.conn.execute("SELECT decision, rating FROM decisions WHERE seq = ?", (seq,)).fetchall()
    settled = db.conn.execute("SELECT decision FROM adjudications WHERE seq = ?", (seq,)).fetchone()
    decision = standing([one for one, _ in given if one is not None], settled and settled[0], policy)
    ratings = [one for _, one in given if one is not None]
    rating = fmean(ratings) if ratings else None
    db.conn.execute("UPDATE traces SET decision = ?, rating = ? WHERE seq = ?", (decision, rating, seq))


def of_trace(db: Database, seq: int) -> list[Vote]:
    """Return each annotator's vote on a trace."""
    rows = db.execute("SELECT annotator, decision, rating FROM decisions WHERE seq = ? ORDER BY annotator", [seq])
    return [Vote(*row) for row in rows]


def annotators(db: Database) -> dict[str, int]:
    """Return the annotators who decided, with the number of their decisions."""
    return dict(
        db.execute(
            "SELECT annotator, count(*) FROM decisions WHERE decision IS NOT NULL GROUP BY annotator ORDER BY annotator"
        )
    )


def assigned(db: Database) -> dict[str, tuple[int, int]]:
    """Return for each person the number of assigned traces, and how many of them the person has decided on."""
    rows = db.execute(
        """SELECT a.annotator, count(*), count(d.decision) FROM assignments a
           LEFT JOIN decisions d ON d.seq = a.seq AND d.annotator = a.annotator GROUP BY 1 ORDER BY 1"""
    )
    return {name: (number, done) for name, number, done in rows}


def disputed(db: Database) -> list[str]:
    """Return the ids of the disputed traces, in the order in which they were added."""
    return db.column(f"SELECT t.id FROM traces t WHERE t.seq IN ({DISPUTED}) ORDER BY t.seq")


def by_trace(db: Database) -> dict[str, list[Vote]]:
    """Return the votes on each trace, by its id, in the order in which traces were added."""
    found: dict[str, list[Vote]] = defaultdict(list)
    rows = db.execute(
        "SELECT t.id, d.annotator, d.decision, d.rating FROM decisions d JOIN traces t ON t.seq = d.seq "
        "ORDER BY d.seq, d.annotator"
    )
    for trace_id, *vote in rows:
        found[str(trace_id)].append(Vote(*vote))
    return dict(found)
