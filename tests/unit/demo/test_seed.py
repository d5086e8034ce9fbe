"""The demo's lab: disjoint operands, what stands in the store, and doing it twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.chains.parse import parse
from o1lab.demo import seed as demo
from o1lab.demo.seed import DATASET, HELD_OUT_SOURCE, SOURCE, seed_demo
from o1lab.errors import RefusedError
from o1lab.serve.solver import respond
from store import datasets, problems, traces
from store.connection import open_store
from store.filters import TraceQuery
from store.records import NewProblem, NewTrace


def test_no_held_out_pair_is_trained_on_in_either_order() -> None:
    training, held_out = demo.draw()
    assert (len(training), len(held_out)) == (400, 60)
    pairs = {frozenset((one.a, one.b)) for one in training + held_out}
    assert len(pairs) == 460
    assert frozenset(demo.EXAMPLE) not in pairs
    assert all(100 <= number <= 999 for one in training + held_out for number in one)
    assert demo.draw() == (training, held_out)


def test_a_commuted_pair_is_caught() -> None:
    training = [demo.Sum(123, 456), demo.Sum(500, 500)]
    demo.require_disjoint(training, [demo.Sum(123, 457)])
    for leak in (demo.Sum(123, 456), demo.Sum(456, 123), demo.Sum(500, 500)):
        with pytest.raises(AssertionError, match="held-out operands"):
            demo.require_disjoint(training, [leak])


def test_the_lab_holds_what_the_demo_says(tmp_path: Path) -> None:
    told: list[str] = []
    seeded = seed_demo(tmp_path / "lab", progress=told.append)
    assert (seeded.dataset, seeded.rows, seeded.added) == (DATASET, 400, 412)
    assert "400 chains of the solver, 12 undecided chains to practise on" in told[0]
    store = open_store(seeded.lab.database)
    try:
        assert problems.count(store.db, source=SOURCE) == 400
        assert problems.count(store.db, source=HELD_OUT_SOURCE) == 60
        demo_chains = TraceQuery.parse(f"source:{SOURCE}")
        assert traces.counts(store.db, demo_chains, "verdict") == {"correct": 400}
        assert traces.counts(store.db, demo_chains, "decision") == {"accept": 400}
        assert traces.counts(store.db, TraceQuery(), "decision") == {"accept": 400, "": 12}
        rows = list(datasets.rows(store.db, DATASET))
        held_out = {problem.statement for problem in problems.page(store.db, source=HELD_OUT_SOURCE)}
        assert {one.statement for one in seeded.held_out} == held_out
        assert not held_out & {row.statement for row in rows}
        for row in rows:
            assert respond(row.statement).thought == row.thought
            assert row.solution == rf"\boxed{{{row.gold}}}"
        reflecting = [row for row in rows if "Wait" in row.thought]
        assert traces.count(store.db, TraceQuery.parse(f"source:{SOURCE} reflect>=1")) == len(reflecting) > 40
    finally:
        store.close()


def test_seeding_twice_changes_nothing(tmp_path: Path) -> None:
    first = seed_demo(tmp_path / "lab")
    before = (tmp_path / "lab" / "o1lab.toml").read_bytes()
    again = seed_demo(tmp_path / "lab")
    assert again.added == 0
    assert again.dataset_hash == first.dataset_hash == seed_demo(tmp_path / "other").dataset_hash
    assert (tmp_path / "lab" / "o1lab.toml").read_bytes() == before


def test_a_seeding_that_was_killed_half_way_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("o1lab.demo.seed._measure", killed)
        with pytest.raises(KeyboardInterrupt):
            seed_demo(tmp_path / "lab")
    seeded = seed_demo(tmp_path / "lab")
    assert (seeded.added, seeded.rows) == (0, 400)


def test_a_lab_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "lab.db")
    problem = NewProblem("What is 2 + 2?", "mine")
    parsed = parse("<think>two and two</think>4")
    assert parsed.thought
    assert parsed.solution
    trace = NewTrace(
        problem.id, "me", "<think>two and two</think>4", parsed.thought, parsed.solution, True, "r1", "mine"
    )
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, problem.statement)])
    with pytest.raises(RefusedError, match="not from the demo"):
        seed_demo(tmp_path)
    assert problems.count(store.db) == 1
    store.close()
