"""Nested subsets of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from o1lab.distill.datasets.subset import default_sizes, draw_order, make_subsets
from o1lab.errors import UsageError
from store import Store, datasets, open_store, traces
from store.errors import NameTakenError, NotFoundError
from store.filters import TraceQuery
from store.records import NewTrace
from tests.support.training_lab import make_lab


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(make_lab(tmp_path / "lab").database)
    yield opened
    opened.close()


def ids(store: Store, name: str) -> list[str]:
    return datasets.trace_ids(store.db, name)


def test_each_subset_contains_the_smaller_ones_in_the_order_of_the_dataset(store: Store) -> None:
    made = make_subsets(store, "sums", [12, 3, 6, 24, 3], seed=5)
    assert [(one.name, one.rows) for one in made] == [("sums-3", 3), ("sums-6", 6), ("sums-12", 12), ("sums-24", 24)]
    whole = ids(store, "sums")
    sets = [ids(store, one.name) for one in made]
    for small, large in pairwise(sets):
        assert set(small) < set(large)
    assert all(chosen == [one for one in whole if one in chosen] for chosen in sets)
    parent = datasets.get(store.db, "sums")
    assert made[-1].hash == parent.hash
    assert dict(made[0].selection) == {
        "subset_of": "sums", "parent_hash": parent.hash, "seed": 5, "problems": 3, "parent_rows": 24,
    }  # fmt: skip


def test_the_draw_depends_on_the_seed_alone(store: Store) -> None:
    first = make_subsets(store, "sums", [6])[0]
    assert make_subsets(store, "sums", [6])[0] == first  # the same again, with its time
    with pytest.raises(NameTakenError):
        make_subsets(store, "sums", [6], seed=1)
    other = make_subsets(store, "sums", [6], seed=1, prefix="again")[0]
    assert (other.name, other.hash != first.hash) == ("again-6", True)
    assert set(ids(store, "sums-6")) != set(ids(store, "sums")[:6])  # drawn, not the first


def test_chains_of_one_problem_stay_together(store: Store) -> None:
    rows = list(datasets.rows(store.db, "sums"))
    with store.db.atomic():
        for row in rows[:12]:
            raw = f"<think>\n{row.thought} Wait.\n</think>\n\n{row.solution}"
            start, end = raw.index(row.thought), raw.index("</think>") + 10
            trace = NewTrace(
                problem_id=row.problem_id, model="other", raw=raw, thought=(start, start + len(row.thought) + 6),
                solution=(end, len(raw)), complete=True, format="r1", source="sums",
            )  # fmt: skip
            traces.add(store.db, [(trace, row.statement)])
    datasets.create(store.db, "twice", TraceQuery())
    found = list(datasets.rows(store.db, "twice"))
    assert len(found) == 36
    for seed in range(5):
        drawn = [found[place].problem_id for place in draw_order(found, seed)]
        runs = [one for at, one in enumerate(drawn) if at == 0 or drawn[at - 1] != one]
        assert len(runs) == len(set(drawn)) == 24


def test_sizes_that_do_not_fit_are_refused(store: Store) -> None:
    for sizes, words in (([], "No size"), ([0, 3], "1 to 24 rows, not 0"), ([25], "1 to 24 rows, not 25")):
        with pytest.raises(UsageError, match=words) as raised:
            make_subsets(store, "sums", sizes)
        assert raised.value.hint == "Give sizes such as --sizes 3,6,12,24."
    with pytest.raises(NotFoundError):
        make_subsets(store, "none", [1])
    assert [default_sizes(rows) for rows in (1, 3, 400)] == [[1], [1, 3], [50, 100, 200, 400]]
