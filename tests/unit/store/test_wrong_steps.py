"""Verdicts on the steps of a trace: the latest of each annotator counts, an undo takes it back, filters find them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Store, open_store, traces, wrong_steps
from store import annotations as annotation_log
from store.filters import TraceQuery
from tests.unit.store.test_store import add_chain


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lab.db")
    yield store
    store.close()


def steps(store: Store) -> dict[str, tuple[int, tuple[int, int] | None]]:
    return {one.annotator: (one.step, one.span) for one in wrong_steps.every(store.db)}


def test_the_latest_verdict_of_each_annotator_counts_until_it_is_undone(store: Store) -> None:
    trace = add_chain(store, "What is 6 * 7?", "Wait, 6 * 7 is 42.")
    annotation_log.annotate(store.db, trace, "wrong_step", "2", annotator="ann", span=(6, 18))
    annotation_log.annotate(store.db, trace, "wrong_step", "none", annotator="m (judge-steps@1)", run_id="r1")
    assert steps(store) == {"ann": (2, (6, 18)), "m (judge-steps@1)": (0, None)}
    assert [one.by_judge for one in wrong_steps.every(store.db)] == [False, True]
    annotation_log.annotate(store.db, trace, "wrong_step", "1", annotator="ann", span=(0, 6))
    assert steps(store)["ann"] == (1, (0, 6))
    annotation_log.undo(store.db, annotator="ann")
    assert steps(store)["ann"] == (2, (6, 18))
    annotation_log.annotate(store.db, trace, "wrong_step", "withdrawn", annotator="ann")
    assert list(steps(store)) == ["m (judge-steps@1)"]
    assert wrong_steps.has_run(store.db, "r1") and not wrong_steps.has_run(store.db, "r2")


def test_filters_find_traces_by_their_verdicts(store: Store) -> None:
    marked, right, disputed, bare = (add_chain(store, f"What is {n} * 7?", "It is so.") for n in range(4))
    for trace, annotator, value in (
        (marked, "ann", "1"), (right, "ann", "none"), (disputed, "ann", "none"), (disputed, "bo", "1"),
    ):  # fmt: skip
        annotation_log.annotate(store.db, trace, "wrong_step", value, annotator=annotator, span=(0, 9))

    def found(query: str) -> list[str]:
        return [row.id for row in traces.page(store.db, TraceQuery.parse(query))]

    assert found("wrong-step:marked") == [marked, disputed]
    assert found("wrong-step:right") == [right]
    assert found("wrong-step:disputed") == [disputed]
    assert found("wrong-step:none") == [bare]
    assert found("-wrong-step:none wrong-step:right,disputed") == [right, disputed]


def test_values_of_other_labs_are_checked() -> None:
    assert all(map(wrong_steps.is_value, ("1", "12", "none", "withdrawn")))
    assert not any(map(wrong_steps.is_value, ("0", "-1", "", "2.5", "three", "１", "9" * 40)))
