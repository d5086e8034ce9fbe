"""Calibrations: random samples of an evaluation that persons label, to measure how far a scorer agrees with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from store.evaluations import JOINED, require_sample
from store.records import now, scrubbed
from store.rows import insert, values
from store.sqlite import Database

_LATEST = (
    "l.label IS NOT NULL AND NOT EXISTS "
    "(SELECT 1 FROM sample_labels later WHERE later.seq = l.seq AND later.annotator = l.annotator AND later.id > l.id)"
)
_CHOSEN = "FROM calibration_samples c JOIN sample_labels l ON l.seq = c.seq WHERE c.evaluation_id = ? AND c.scorer = ?"


class Scored(NamedTuple):
    """A complete sample with the result of a scorer; ``answer`` is what the scorer extracted."""

    seq: int
    item: str
    sample: int
    outcome: str
    answer: str | None


class Chosen(NamedTuple):
    """A sample to label, with the scorer's class of it and the number of samples of that class."""

    seq: int
    stratum: str
    population: int


def scored(db: Database, evaluation_id: str, scorer: str) -> list[Scored]:
    """Return the complete samples of an evaluation, in order."""
    rows = db.execute(
        f"SELECT s.seq, s.item, s.sample, coalesce(c.outcome, 'unscored'), c.answer FROM {JOINED} "
        "WHERE s.evaluation_id = ? AND s.state = 'complete' ORDER BY s.seq",
        [scorer, evaluation_id],
    )
    return [Scored(*row) for row in rows]


def choose(db: Database, evaluation_id: str, scorer: str, chosen: Sequence[Chosen], seed: int) -> None:
    """Store the samples to label, in their order. They replace an earlier choice; labels of samples stay."""
    same = {"evaluation_id": evaluation_id, "scorer": scorer, "seed": seed, "created_at": now()}
    with db.atomic():
        db.conn.execute(
            "DELETE FROM calibration_samples WHERE evaluation_id = ? AND scorer = ?", [evaluation_id, scorer]
        )
        rows = ({**same, "position": position, **values(one)} for position, one in enumerate(chosen, 1))
        insert(db, "calibration_samples", rows)


def chosen(db: Database, evaluation_id: str, scorer: str) -> list[Chosen]:
    """Return the samples to label, in their order; empty if none were chosen."""
    rows = db.execute(
        "SELECT seq, stratum, population FROM calibration_samples WHERE evaluation_id = ? AND scorer = ? "
        "ORDER BY position",
        [evaluation_id, scorer],
    )
    return [Chosen(*row) for row in rows]


def label(db: Database, seq: int, label: str | None, *, annotator: str) -> None:
    """Record a person's label of a sample, or withdraw it with None; it is durable when this returns.

    Raises:
        NotFoundError: There is no such sample.
    """
    with db.atomic():
        require_sample(db, seq)
        row = {"seq": seq, "annotator": annotator, "label": label, "created_at": now()}
        insert(db, "sample_labels", [row])


def labels(db: Database, evaluation_id: str, scorer: str, annotator: str) -> dict[int, str]:
    """Return an annotator's current labels of the chosen samples, by seq."""
    return dict(
        db.execute(
            f"SELECT l.seq, l.label {_CHOSEN} AND l.annotator = ? AND {_LATEST}",
            [evaluation_id, scorer, scrubbed(annotator)],
        )
    )


def last_labelled(db: Database, evaluation_id: str, scorer: str, annotator: str) -> int | None:
    """Return the seq of the chosen sample with the annotator's latest current label."""
    seq: int | None = db.value(
        f"SELECT l.seq {_CHOSEN} AND l.annotator = ? AND {_LATEST} ORDER BY l.id DESC LIMIT 1",
        [evaluation_id, scorer, scrubbed(annotator)],
    )
    return seq
