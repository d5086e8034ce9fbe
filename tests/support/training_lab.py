"""A lab with a small dataset and a tiny base model, for tests that really train."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from o1lab.config import init_lab
from o1lab.paths import Lab
from o1lab.train.launch import prepare
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.recipes.recipe_file import resolve
from o1lab.train.replay import SELECTION
from o1lab.train.rows import TrainingRow
from o1lab.train.runs.directory import RunDir
from store import Store, datasets, open_store, problems, traces
from store.filters import TraceQuery
from store.records import Dataset, NewProblem, NewTrace


def rows(count: int = 24) -> list[TrainingRow]:
    return [
        TrainingRow(
            f"t{n}",
            f"What is {n} + {n + 3}?",
            f"ones: {n} + {n + 3} = {2 * n + 3}, holds",
            f"The answer is {2 * n + 3}.",
        )
        for n in range(count)
    ]


def recipe(base: Path, **values: Any) -> Recipe:
    quick: Mapping[str, Any] = {
        "base": str(base),
        "dataset": "sums",
        "steps": 8,
        "batch_size": 4,
        "max_length": 128,
        "dtype": "fp32",
        "device": "cpu",
        "save_steps": 0,
        "eval_steps": 0,
        "probe_tokens": 6,
    }
    return resolve({**quick, **values})


def prepared(root: Path, name: str, chosen: Recipe, learn: Iterable[TrainingRow] | None = None) -> RunDir:
    """A run directory that is ready for its worker."""
    run = RunDir(root / "runs" / name)
    prepare(Lab(root), run, chosen, rows() if learn is None else learn)
    return run


def make_lab(root: Path, *, count: int = 24) -> Lab:
    """A lab that holds the dataset ``sums``."""
    lab = init_lab(root)
    store = open_store(lab.database)
    try:
        for row in rows(count):
            problem = NewProblem(statement=row.prompt, source="sums", answer=row.solution.split()[-1].rstrip("."))
            raw = f"<think>\n{row.thought}\n</think>\n\n{row.solution}"
            start, end = raw.index(row.thought), raw.index(row.solution)
            trace = NewTrace(
                problem_id=problem.id,
                model="solver",
                raw=raw,
                thought=(start, start + len(row.thought)),
                solution=(end, len(raw)),
                complete=True,
                format="r1",
                source="sums",
            )
            with store.db.atomic():
                problems.add(store.db, [problem])
                traces.add(store.db, [(trace, problem.statement)])
        datasets.create(store.db, "sums", TraceQuery())
    finally:
        store.close()
    return lab


def add_replay(store: Store, base: str, count: int) -> Dataset:
    """A replay dataset of a base; every other answer has a thought."""
    made = []
    for number in range(count):
        problem = NewProblem(f"{base}, tell me {number} things.", "talk", key=str(number), licence="Apache-2.0")
        thought = f"<think>\nSay {number}.\n</think>\n\n" if number % 2 else ""
        raw = f"{thought}Here are {number} things."
        end = raw.index("Here")
        made.append(
            NewTrace(
                problem_id=problem.id, model=base, raw=raw, thought=(8, end - 11) if thought else (0, 0),
                solution=(end, len(raw)), complete=True, format="r1", source="distill/x", synthesis="replay", tokens=9,
            )
        )  # fmt: skip
        with store.db.atomic():
            problems.add(store.db, [problem])
            traces.add(store.db, [(made[-1], problem.statement)])
    name = f"replay-{base.replace('/', '-')}"
    return datasets.snapshot(store.db, name, [one.id for one in made], selection={SELECTION: base})
