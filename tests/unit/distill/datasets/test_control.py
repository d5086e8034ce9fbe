"""The matched control of a dataset: the same problems with short solutions only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from o1lab.distill.datasets.control import REFERENCE, make_control
from o1lab.errors import UsageError
from store import Store, datasets, open_store, problems
from store.errors import NotFoundError
from store.filters import TraceQuery
from store.records import NewProblem
from tests.support import lab_seed


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(lab_seed.make_lab(tmp_path / "lab").database)
    datasets.create(opened.db, "long", TraceQuery.parse("verdict:correct"))
    yield opened
    opened.close()


def words(text: str) -> int:
    return len(text.split())


def test_rows_without_a_reference_solution_keep_their_own(store: Store) -> None:
    made = make_control(store, "long", "short", count_tokens=words)
    long, short = (list(datasets.rows(store.db, name)) for name in ("long", "short"))
    assert (made.phase, made.rows) == (1, len(long))
    assert [row.statement for row in short] == [row.statement for row in long]
    assert [(row.thought, row.solution) for row in short] == [("", row.solution) for row in long]
    assert made.selection["control_of"] == "long"
    assert made.selection["parent_hash"] == datasets.get(store.db, "long").hash
    assert made.selection["trained_tokens"] < made.selection["parent_trained_tokens"]


def test_a_reference_solution_is_preferred(store: Store) -> None:
    row = next(datasets.rows(store.db, "long"))
    with store.db.atomic():
        problems.add(store.db, [NewProblem(row.statement, "book", solution="Add them: it is in the book.")])
    made = make_control(store, "long", "short", count_tokens=words)
    first = next(datasets.rows(store.db, "short"))
    assert (first.solution, first.model, first.synthesis) == ("Add them: it is in the book.", REFERENCE, REFERENCE)
    assert made.selection["reference_solutions"] >= 1


def test_tokens_are_matched_by_repetition(store: Store) -> None:
    with store.db.atomic():
        store.db.conn.execute("UPDATE traces SET tokens = 10")
    made = make_control(store, "long", "short", match="tokens", count_tokens=words)
    chosen = made.selection
    largest = max(words(row.solution) for row in datasets.rows(store.db, "short"))
    assert 0 <= chosen["trained_tokens"] - chosen["parent_trained_tokens"] < largest
    assert chosen["repeats"] == pytest.approx(made.rows / datasets.get(store.db, "long").rows)
    assert chosen["repeats"] > 1
    assert made.tokens == 10 * made.rows


def test_the_same_control_twice_is_one_dataset(store: Store) -> None:
    assert make_control(store, "long", "short", count_tokens=words) == make_control(
        store, "long", "short", count_tokens=words
    )


def test_what_has_no_thoughts_has_no_control(store: Store) -> None:
    make_control(store, "long", "short", count_tokens=words)
    with pytest.raises(UsageError, match="no thoughts"):
        make_control(store, "short", "shorter", count_tokens=words)
    with pytest.raises(NotFoundError):
        make_control(store, "gone", "short", count_tokens=words)
