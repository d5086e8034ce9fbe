"""Nested subsets of a dataset, to see how much a student learns from how many chains."""

from __future__ import annotations

import random
from collections.abc import Sequence

from o1lab.errors import UsageError
from store import Store, datasets
from store.datasets import DatasetRow
from store.records import Dataset


def make_subsets(
    store: Store, name: str, sizes: Sequence[int], *, seed: int = 0, prefix: str | None = None
) -> list[Dataset]:
    """Create nested subsets of a dataset: each contains the smaller ones.

    Problems are drawn at random, and all chains of a problem follow each other, so that at most one problem is split.
    The rows keep the order of the dataset. Asking again gives the same subsets.

    Args:
        store: the lab's database.
        name: name or hash of the dataset.
        sizes: the number of rows of each subset; all rows are a subset, too.
        seed: seed of the draw.
        prefix: the names of the subsets are PREFIX-SIZE; the dataset's name if None.

    Returns:
        The subsets, the smallest first; their ``selection`` records the parent, the seed and the number of problems.

    Raises:
        NotFoundError: there is no such dataset.
        UsageError: no size is given, or one is below 1 or above the number of rows.
        NameTakenError: a dataset with the name of a subset has other content.
    """
    parent = datasets.get(store.db, name, kind="sft")
    wanted = check_sizes(parent, sizes)
    rows = list(datasets.rows(store.db, parent.name))
    order = draw_order(rows, seed)
    made = []
    with store.db.atomic():
        for size in wanted:
            chosen = sorted(order[:size])
            problems = len({rows[place].problem_id for place in chosen})
            made.append(
                datasets.snapshot(
                    store.db,
                    f"{prefix or parent.name}-{size}",
                    [rows[place].trace_id for place in chosen],
                    phase=parent.phase,
                    query=f"subset of {parent.name}",
                    selection={
                        "subset_of": parent.name, "parent_hash": parent.hash, "seed": seed, "problems": problems,
                        "parent_rows": parent.rows,
                    },
                )
            )  # fmt: skip
    return made


def check_sizes(parent: Dataset, sizes: Sequence[int]) -> list[int]:
    """Return the sizes of subsets, the smallest first.

    Raises:
        UsageError: no size is given, or one is below 1 or above the number of rows.
    """
    odd = next((size for size in sizes if not 1 <= size <= parent.rows), None)
    if odd is not None or not sizes:
        proposal = ",".join(map(str, default_sizes(parent.rows)))
        raise UsageError(
            "No size of a subset is given."
            if odd is None
            else f"A subset of {parent.name} has 1 to {parent.rows:,} rows, not {odd:,}.",
            f"Give sizes such as --sizes {proposal}.",
        )
    return sorted(set(sizes))


def draw_order(rows: Sequence[DatasetRow], seed: int) -> list[int]:
    """Return the places of the rows in the order of the draw: problem by problem, at random."""
    by_problem: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        by_problem.setdefault(row.problem_id, []).append(place)
    problems = list(by_problem)
    random.Random(seed).shuffle(problems)  # noqa: S311 - not used for secrets
    return [place for problem in problems for place in by_problem[problem]]


def default_sizes(rows: int) -> list[int]:
    """Return the sizes of a curve over a dataset: all rows, halved up to three times."""
    return sorted({size for size in (rows // 8, rows // 4, rows // 2, rows) if size})
