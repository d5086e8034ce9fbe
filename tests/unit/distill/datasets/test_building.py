"""A dataset from a filter as the form describes it: what is taken, and what is mixed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.distill.datasets.building import DatasetPlan, create, preview
from o1lab.errors import UsageError
from store import Store, annotations, datasets, open_store, traces
from store.errors import NameTakenError, NotFoundError
from store.filters import TraceQuery
from tests.support.lab_seed import make_lab

ALL = TraceQuery()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(make_lab(tmp_path / "lab", 12).database)
    for row in traces.page(store.db, ALL, limit=4):
        annotations.annotate(store.db, row.id, "decision", "accept", annotator="ann")
    return store


def test_the_accepted_traces_of_a_filter_are_what_the_command_line_makes_of_them(store: Store) -> None:
    plan = DatasetPlan(TraceQuery.parse("sort:-chars"))
    assert preview(store, plan).rows == 4
    made = create(store, "by-hand", plan)
    assert (made.dataset.rows, made.dataset.query, made.dataset.selection) == (4, "sort:-chars decision:accept", {})
    assert made.dataset.hash == datasets.create(store.db, "same", TraceQuery.parse(made.dataset.query)).hash


def test_an_open_quotation_mark_does_not_take_in_what_the_form_adds(store: Store) -> None:
    selected = DatasetPlan(TraceQuery.parse('"wait'), longest=200).selected
    assert selected.source == '"wait" decision:accept chars<=200'
    assert TraceQuery.parse(selected.source) == selected


def test_a_preview_says_what_is_made(store: Store) -> None:
    for plan in (
        DatasetPlan(ALL, "verified"),
        DatasetPlan(ALL, "all", "shortest"),
        DatasetPlan(ALL, "accepted", "longest", phase=1),
        DatasetPlan(ALL, "all", longest=200),
    ):
        expected = preview(store, plan)
        made = create(store, f"set-{plan.take}-{plan.per_problem}-{plan.longest}", plan)
        assert made.dataset.rows == expected.rows == len(expected.choice.ids), plan
        assert dict(made.dropped) == expected.choice.counts, plan
    assert create(store, "short", DatasetPlan(ALL, "all", longest=200)).dataset.query == "chars<=200"


def test_other_datasets_are_mixed_in_once_and_in_equal_parts_if_wanted(store: Store) -> None:
    datasets.create(store.db, "old", TraceQuery.parse("sort:-added"))
    plan = DatasetPlan(ALL, mix=("old",))
    assert preview(store, plan).rows == create(store, "both", plan).dataset.rows == 12
    balanced = DatasetPlan(ALL, mix=("old",), balance=True)
    made = create(store, "equal", balanced)
    assert made.dataset.rows == preview(store, balanced).rows == 8
    assert made.own is not None
    assert (made.own.name, made.own.rows) == ("equal-own", 4)
    assert [part["name"] for part in made.dataset.selection["from"]] == ["equal-own", "old"]


def test_what_cannot_be_mixed_leaves_nothing_behind(store: Store) -> None:
    datasets.create(store.db, "first", ALL, phase=1)
    with pytest.raises(UsageError, match="has phase 1"):
        preview(store, DatasetPlan(ALL, mix=("first",)))
    with pytest.raises(NotFoundError):
        preview(store, DatasetPlan(ALL, mix=("nowhere",)))
    datasets.create(store.db, "taken", ALL)
    with pytest.raises(NameTakenError):
        create(store, "taken", DatasetPlan(ALL, mix=("taken",), balance=True))
    assert {one.name for one in datasets.all_datasets(store.db)} == {"first", "taken"}
