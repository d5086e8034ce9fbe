"""Matched controls: the problems of a dataset with short solutions only, to see what the long thoughts add."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from o1lab.errors import UsageError
from store import Store, datasets, problems, traces
from store.datasets import DatasetRow
from store.records import Dataset, NewTrace

Match = Literal["rows", "tokens"]
REFERENCE = "reference"
"""Model and synthesis of a trace that is the reference solution of its problem."""


def make_control(
    store: Store, name: str, new_name: str, *, match: Match = "rows", count_tokens: Callable[[str], int]
) -> Dataset:
    """Create the control of a dataset.

    Each row is the reference solution of its problem or, if the problem has none, the solution of its trace without
    the thought. It is a dataset for phase 1.

    Args:
        store: the lab's database.
        name: name or hash of the dataset.
        new_name: name of the control.
        match: "rows": as many rows; "tokens": rows are repeated, in their order, for as many trained tokens.
        count_tokens: the number of tokens of a text, by the tokenizer of the base.

    Returns:
        The control; its ``selection`` records the parent, the repetitions and both numbers of trained tokens.

    Raises:
        NotFoundError: there is no such dataset.
        UsageError: it is a dataset for phase 1, which has no thoughts.
        NothingChosenError: no row has a solution.
    """
    parent = datasets.get(store.db, name, kind="sft")
    if parent.phase == 1:
        raise UsageError(f"{parent.name} has no thoughts: it is a dataset for phase 1.", "Name a dataset for phase 2.")
    rows = list(datasets.rows(store.db, parent.name))
    long_tokens = sum(count_tokens(row.thought) + count_tokens(row.solution) for row in rows)
    with store.db.atomic():
        short = [one for row in rows if (one := _short(store, row))[1]]
        ids = [trace_id for trace_id, _, _ in short]
        counted = [count_tokens(text) for _, text, _ in short]
        repeated = _repeated(ids, counted, long_tokens) if match == "tokens" else ids
        per_id = dict(zip(ids, counted, strict=True))
        selection = {
            "control_of": parent.name,
            "parent_hash": parent.hash,
            "match": match,
            "reference_solutions": sum(reference for *_, reference in short),
            "repeats": len(repeated) / (len(ids) or 1),
            "without_solution": len(rows) - len(short),
            "trained_tokens": sum(per_id[one] for one in repeated),
            "parent_trained_tokens": long_tokens,
        }
        return datasets.snapshot(
            store.db, new_name, repeated, phase=1, query=f"control of {parent.name}", selection=selection
        )


def find_control(store: Store, parent: Dataset) -> Dataset | None:
    """Return the newest control of a dataset; None if there is none."""
    wanted = parent.name, parent.hash
    found = datasets.all_datasets(store.db)
    return next(
        (one for one in found if (one.selection.get("control_of"), one.selection.get("parent_hash")) == wanted), None
    )


def _short(store: Store, row: DatasetRow) -> tuple[str, str, bool]:
    """Return the trace of a row's short solution, its text, and whether it is the reference solution."""
    problem = problems.resolve(store.db, row.problem_id)
    text = (problem.solution or "").strip()
    if not text:
        return row.trace_id, row.solution.strip(), False
    trace = NewTrace(
        problem.id, REFERENCE, text, (0, 0), (0, len(text)), complete=True, format=REFERENCE, source=problem.source,
        key=problem.key, licence=problem.licence, synthesis=REFERENCE,
    )  # fmt: skip
    traces.add(store.db, [(trace, problem.statement)])
    return trace.id, text, True


def _repeated(ids: Sequence[str], tokens: Sequence[int], wanted: int) -> list[str]:
    """Repeat rows in their order until they have at least ``wanted`` tokens."""
    chosen: list[str] = []
    total = 0
    while total < wanted and any(tokens):
        for one, size in zip(ids, tokens, strict=True):
            chosen.append(one)
            total += size
            if total >= wanted:
                break
    return chosen or list(ids)
