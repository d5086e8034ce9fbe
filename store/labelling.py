"""Moves whose kinds a classifier gives to chains that the rules have segmented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from store import corrections
from store.records import OWN_MOVES
from store.schema.migrations import MOVE_KINDS
from store.sqlite import Database

Span = tuple[int, int]


class Unlabelled(NamedTuple):
    """A chain that a classifier has not labelled.

    Attributes:
        raw: The encoded text of the response.
        own: The moves that its writer marked, if any.
        corrected: The spans whose kind persons corrected.
    """

    seq: int
    trace_id: str
    raw: bytes
    thought: Span
    solution: Span
    own: str | None
    corrected: tuple[Span, ...]


class Relabelled(NamedTuple):
    """The moves of a chain, packed, with the number of each kind in its thought, and who gave the kinds."""

    trace_id: str
    moves: str
    counts: dict[str, int]
    by: str


_PENDING = """trace_segments s JOIN traces t ON t.seq = s.seq
    WHERE s.labeller IS NOT ? AND s.segmenter = ? AND t.measured_by LIKE 'moves %'"""


def unlabelled(
    db: Database, labeller: str, segmenter: int, *, after: int = 0, limit: int = 50, trace_id: str | None = None
) -> list[Unlabelled]:
    """Return measured chains that a classifier has not labelled, in the order they were added.

    Args:
        db: The database.
        labeller: The name of the classifier.
        segmenter: The version of the segmenter that measured them.
        after: Only traces with a greater seq.
        limit: Maximum number.
        trace_id: Only this trace.
    """
    only, values = ("", []) if trace_id is None else ("AND t.id = ?", [trace_id])
    rows = db.execute(
        f"""SELECT t.seq, t.id, x.raw, x.thought_start, x.thought_end, x.solution_start, x.solution_end,
                   CASE t.synthesis WHEN 'human' THEN json_extract(x.meta, '$.{OWN_MOVES}') END
            FROM (SELECT t.seq, t.id, t.synthesis FROM {_PENDING} AND t.seq > ? {only} ORDER BY t.seq LIMIT ?) t
            JOIN trace_texts x ON x.seq = t.seq ORDER BY t.seq""",
        [labeller, segmenter, after, *values, limit],
    ).fetchall()
    spans = corrections.spans(db, [row[1] for row in rows])
    return [
        Unlabelled(seq, identity, raw, (start, end), (solved, to), own, spans.get(identity, ()))
        for seq, identity, raw, start, end, solved, to, own in rows
    ]


def count_unlabelled(db: Database, labeller: str, segmenter: int) -> int:
    return int(db.value(f"SELECT count(*) FROM {_PENDING}", [labeller, segmenter]))


def count_never_labelled(db: Database) -> int:
    """Count chains that no classifier has labelled yet, measured or not. An index answers the query."""
    return int(db.value("SELECT count(*) FROM trace_segments WHERE kinds_by = 'rules' AND labeller IS NULL"))


def set_labelled(db: Database, labeller: str, found: Sequence[Relabelled]) -> None:
    """Save the moves of chains in one transaction; the moves of the rules are kept."""
    columns = ", ".join(f"{kind} = ?" for kind in MOVE_KINDS)
    with db.atomic():
        db.conn.executemany(
            "UPDATE trace_segments SET rule_moves = CASE WHEN labeller IS NULL THEN moves ELSE rule_moves END, "
            "moves = ?, labeller = ?, kinds_by = ? WHERE seq = (SELECT seq FROM traces WHERE id = ?)",
            [(one.moves, labeller, one.by, one.trace_id) for one in found],
        )
        db.conn.executemany(
            f"UPDATE traces SET {columns} WHERE id = ?",
            [(*(one.counts.get(kind, 0) for kind in MOVE_KINDS), one.trace_id) for one in found],
        )
        corrections.derive(db, [one.trace_id for one in found])


def by_whom(db: Database) -> dict[str, int]:
    """Count chains by what gave the kinds of their moves: model, rules, writer, and pending."""
    rows = db.execute("SELECT iif(labeller IS NULL, 'pending', kinds_by), count(*) FROM trace_segments GROUP BY 1")
    return dict.fromkeys(("model", "rules", "writer", "pending"), 0) | dict(rows)
