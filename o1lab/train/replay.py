"""Replay: answers of the base itself among the training rows, so that the student keeps what the base could do.

A replay dataset is made by ``o1lab dataset replay``, which compares its prompts with the items of the suites. Its
``selection`` says so, and names the base. Does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from o1lab.errors import NotFoundError, RefusedError, UsageError
from o1lab.models.student import STUDENT
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.rows import TrainingRow, training_row
from store import datasets
from store.records import Dataset
from store.sqlite import Database

SELECTION = "replay_of"
"""The key of a dataset's ``selection`` that names the base which gave the answers."""


def replayed_base(dataset: Dataset) -> str:
    """Return the base whose answers a replay dataset holds; empty for another dataset."""
    return str(dataset.selection.get(SELECTION) or "")


def replay_datasets(db: Database, base: str | None = None) -> list[Dataset]:
    """Return the replay datasets of a base, or of all bases, the newest first."""
    return [
        one
        for one in datasets.all_datasets(db)
        if (whose := replayed_base(one)) and (base is None or _same(whose, base))
    ]


def replay_rows(
    db: Database, recipe: Recipe, rows: Sequence[TrainingRow]
) -> tuple[Mapping[str, Any], list[TrainingRow]]:
    """Return the replay rows of a run, a sample with the recipe's seed.

    Args:
        db: the lab's database.
        recipe: the recipe; its base is a name or an absolute folder.
        rows: the rows of the run's dataset.

    Returns:
        The name and the hash of the replay dataset, as values of the recipe, and the rows. Without replay they are
        empty, even if the recipe names a dataset.

    Raises:
        NotFoundError: there is no such dataset, or none of this base.
        UsageError: the dataset does not have the hash in the recipe.
        RefusedError: it was not made as a replay dataset (code ``not_replay``), is of another base (``replay_base``),
            or has too few rows for the share (``replay_rows``).
    """
    if not recipe.replay:
        return {"replay_dataset": None, "replay_hash": ""}, []
    dataset = _dataset(db, recipe)
    known = {row.trace_id for row in rows}
    found = [
        training_row(row, 2, replay=dataset.name)
        for row in datasets.rows(db, dataset.name)
        if row.trace_id not in known
    ]
    wanted = max(round(len(rows) * recipe.replay / (1 - recipe.replay)), 1)  # a small share takes a row at least
    if wanted > len(found):
        most = len(found) / max(len(found) + len(rows), 1)
        raise RefusedError(
            f"A share of {recipe.replay:g} with {len(rows):,} other rows needs {wanted:,} replay rows, but "
            f"{dataset.name} has {len(found):,}.",
            f"Lower replay to {int(most * 100) / 100:g}, or make more answers: {command(recipe.base)} --n 4.",
            code="replay_rows",
        )
    draw = Random(recipe.seed)  # noqa: S311 - not used for secrets
    chosen = [found[at] for at in sorted(draw.sample(range(len(found)), wanted))]
    return {"replay_dataset": dataset.name, "replay_hash": dataset.hash}, chosen


def command(base: str) -> str:
    """Return the command that makes the replay dataset of a base."""
    return f"o1lab dataset replay --base {base}"


def _dataset(db: Database, recipe: Recipe) -> Dataset:
    if recipe.replay_dataset is None:
        if not (known := replay_datasets(db, recipe.base)):
            raise NotFoundError(
                f"This lab has no answers of {recipe.base} to general prompts, which replay needs.",
                f"Make them: {command(recipe.base)}.",
                code="no_replay",
            )
        return known[0]
    dataset = datasets.get(db, recipe.replay_dataset, kind="sft")
    if not (whose := replayed_base(dataset)):
        raise RefusedError(
            f"{dataset.name} is not a replay dataset: its prompts were not compared with the items of the suites.",
            f"Make one: {command(recipe.base)}.",
            code="not_replay",
        )
    if not _same(whose, recipe.base):
        raise RefusedError(
            f"The answers of {dataset.name} are those of {whose}, not of {recipe.base}.",
            f"Make those of this base: {command(recipe.base)}.",
            code="replay_base",
        )
    if recipe.replay_hash and recipe.replay_hash != dataset.hash:
        raise UsageError(
            f"The dataset {dataset.name} has the hash {dataset.hash}, but the recipe expects {recipe.replay_hash}.",
            "Clear replay_hash in the recipe to train with the current dataset.",
        )
    return dataset


def _same(one: str, other: str) -> bool:
    """Whether two names mean the same base; that of the embedded student may be written in capitals."""
    return one == other or {one.lower(), other.lower()} == {STUDENT}
