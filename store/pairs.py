"""Datasets of pairs: a better and a worse answer to the same question, for preference training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store import datasets
from store.datasets import DatasetRow
from store.errors import NothingChosenError
from store.records import Dataset, now, require_name
from store.sqlite import Database

_PHASE = 2


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two answers to one question; their statements and contexts are the same."""

    chosen: DatasetRow
    rejected: DatasetRow


def snapshot(
    db: Database,
    name: str,
    pairs: Sequence[tuple[str, str]],
    *,
    query: str = "",
    selection: Mapping[str, Any] | None = None,
    drops: Mapping[str, str] | None = None,
) -> Dataset:
    """Create a dataset of pairs. Creating the same content under the same name again is not an error.

    The hash covers the content of the rows only, and differs from that of a dataset of the better answers.

    Args:
        db: The lab's database.
        name: Name of the dataset.
        pairs: (better trace, worse trace), in the order of the rows.
        query: What the pairs were made from.
        selection: How they were chosen.
        drops: The reason for each trace that was considered and is in no pair.

    Raises:
        UsageError: The name is a path, blank, or not printable.
        NameTakenError: A dataset of this name has other content.
        NothingChosenError: There is no pair.
    """
    require_name(name)
    with db.atomic():
        if not pairs:
            raise NothingChosenError("There is no pair.", "Vote on more answers, or choose other traces.")
        digest, traces = hashlib.sha256(b"pairs\n"), [one for pair in pairs for one in pair]
        for row in _rows(db, pairs):
            one, two = row.chosen, row.rejected
            content = [one.statement, one.context, one.thought, one.solution, two.thought, two.solution]
            digest.update(json.dumps(content).encode() + b"\n")
        made = Dataset(
            name, digest.hexdigest()[:16], _PHASE, query, len(pairs), datasets.tokens(db, traces), now(),
            selection or {}, datasets.decided(db), "pairs",
        )  # fmt: skip
        datasets.keep(db, made, pairs, drops or {})
    return datasets.get(db, name)


def ids(db: Database, name: str, *, limit: int = -1, offset: int = 0) -> list[tuple[str, str]]:
    """Return (better trace, worse trace) of each row in order; ``name`` is not a hash. -1: no limit."""
    return db.execute(
        "SELECT trace_id, rejected_id FROM dataset_rows WHERE name = ? ORDER BY position LIMIT ? OFFSET ?",
        [name, limit, offset],
    ).fetchall()


def rows(db: Database, name: str) -> Iterator[PairRow]:
    """Yield the pairs of a dataset in order.

    Raises:
        NotFoundError: There is no such dataset.
        WrongKindError: Its rows are single answers.
    """
    yield from _rows(db, ids(db, datasets.get(db, name, kind="pairs").name))


def _rows(db: Database, pairs: Sequence[tuple[str, str]]) -> Iterator[PairRow]:
    for pair in pairs:
        yield PairRow(*datasets.rows_of(db, pair, _PHASE))
