"""Which samples of an evaluation are there, which an earlier one can lend, and which wait for a scorer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from store.evaluations import JOINED, OUTCOME
from store.sqlite import Database

_CHUNK = 500


def ended(db: Database, evaluation_id: str) -> set[tuple[str, int]]:
    """The (item, sample) pairs that came to an end other than failure."""
    rows = db.execute("SELECT item, sample FROM samples WHERE evaluation_id = ? AND state != 'failed'", [evaluation_id])
    return {(str(name), int(number)) for name, number in rows}


def cached(db: Database, keys: Sequence[str]) -> dict[str, int]:
    """For each of these cache keys that has one, the seq of a sample that would come out the same again: a complete
    one, or one that reached the length it was allowed. A server's abort or filter may do otherwise the next time."""
    found: dict[str, int] = {}
    for start in range(0, len(keys), _CHUNK):
        rows = db.execute(
            "SELECT cache_key, min(seq) FROM samples WHERE (state = 'complete' "
            "OR state = 'incomplete' AND reason IN ('length', 'max_tokens', 'model_length')) "
            "AND cache_key IN (SELECT value FROM json_each(?)) GROUP BY cache_key",
            [json.dumps(list(keys[start : start + _CHUNK]))],
        )
        found.update((str(key), int(seq)) for key, seq in rows)
    return found


def to_score(db: Database, evaluation_id: str, scorer: str) -> list[int]:
    """The seqs of complete samples that this scorer has not looked at."""
    rows = db.execute(
        f"SELECT s.seq FROM {JOINED} WHERE s.evaluation_id = ? AND s.state = 'complete' AND c.seq IS NULL "
        "ORDER BY s.seq",
        [scorer, evaluation_id],
    )
    return [int(seq) for (seq,) in rows]


def places(db: Database, evaluation_id: str, scorer: str, outcome: str) -> list[tuple[int, str, int]]:
    """(seq, item, sample) of every sample with this outcome under one scorer."""
    rows = db.execute(
        f"SELECT s.seq, s.item, s.sample FROM {JOINED} WHERE s.evaluation_id = ? AND {OUTCOME} = ? ORDER BY s.seq",
        [scorer, evaluation_id, outcome],
    )
    return [(int(seq), str(name), int(number)) for seq, name, number in rows]
