"""Counts of traces by how they were made, to compare synthesis methods."""

from __future__ import annotations

from typing import NamedTuple

from store.selecting import EVALUATED
from store.sqlite import Database

_COLUMNS = """t.synthesis, t.model, (SELECT r.run_id FROM responses r WHERE r.trace_id = t.id LIMIT 1), count(*),
    sum(t.decision IS 'accept'), sum(t.decision IS NOT NULL), sum(t.verdict IS 'correct'), count(t.tokens),
    coalesce(sum(t.tokens), 0), sum(t.tokens IS NOT NULL AND t.reflect IS NOT NULL),
    coalesce(sum(t.tokens) FILTER (WHERE t.reflect IS NOT NULL), 0),
    coalesce(sum(t.reflect + t.backtrack) FILTER (WHERE t.tokens IS NOT NULL), 0)"""


class MadeChains(NamedTuple):
    """Counts of the traces that have synthesis, model and teacher run in common.

    Attributes:
        run_id: The teacher run that made them; None for other traces.
        accepted: Traces with the decision ``accept``.
        decided: Traces with any decision.
        correct: Traces with the verdict ``correct``.
        counted: Traces whose length in tokens is known; ``tokens`` is its sum.
        measured: Those of the counted traces whose moves are known; ``measured_tokens`` is the sum of their lengths.
        reflections: Number of moves ``reflect`` and ``backtrack`` in the measured traces.
    """

    synthesis: str
    model: str
    run_id: str | None
    chains: int
    accepted: int
    decided: int
    correct: int
    counted: int
    tokens: int
    measured: int
    measured_tokens: int
    reflections: int


def made_chains(db: Database) -> list[MadeChains]:
    """Count all traces of the lab, without answers to evaluations and what was made from such answers."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM traces t WHERE NOT {EVALUATED} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")
    return [MadeChains(*row) for row in rows]


def chains_of_dataset(db: Database, name: str) -> list[MadeChains]:
    """Count the rows of a dataset in the same way."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM dataset_traces d JOIN traces t ON t.id = d.trace_id WHERE d.name = ? "
        "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        [name],
    )
    return [MadeChains(*row) for row in rows]
