"""Corrected kinds of moves: the latest counts, the numbers of moves follow, and measuring again keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from o1lab.chains.segmentation.moves import MoveKind
from store import Store, corrections, open_store, traces
from store import annotations as annotation_log
from store.filters import TraceQuery
from store.records import Measured
from store.schema.migrations import MOVE_KINDS
from tests.unit.store.test_store import add_chain


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lab.db")
    yield store
    store.close()


@pytest.fixture
def trace(store: Store) -> str:
    trace = add_chain(store, "What is 6 * 7?", "Wait, 6 * 7 is 42.")
    measure(store, trace)
    return trace


def measure(store: Store, trace: str) -> None:
    moves = dict.fromkeys(MOVE_KINDS, 0) | {"reflect": 1, "compute": 1}
    traces.set_measures(
        store.db, [Measured(trace, False, moves, "42", "correct", "", "moves 1", segments="R6 C18", segmenter=1)]
    )


def correct(store: Store, trace: str, kind: str, span: tuple[int, int] = (6, 18), annotator: str = "ann") -> None:
    annotation_log.annotate(store.db, trace, "move", kind, annotator=annotator, span=span)


def counts(store: Store, trace: str) -> dict[str, int]:
    moves = traces.get(store.db, trace).moves
    assert moves is not None
    return {kind: number for kind, number in moves.items() if number}


def kinds(store: Store, trace: str) -> dict[tuple[int, int], str]:
    found = corrections.latest(annotation_log.of_trace(store.db, trace))
    return {span: record.value for span, record in found.items()}


def test_the_letters_are_those_of_the_segmenter() -> None:
    assert {kind.letter: kind.value for kind in MoveKind} == corrections.KIND_OF_LETTER


def test_the_numbers_of_moves_follow_a_correction_and_its_undo(store: Store, trace: str) -> None:
    correct(store, trace, "verify")
    assert counts(store, trace) == {"reflect": 1, "verify": 1}
    assert [row.id for row in traces.page(store.db, TraceQuery.parse("verify>=1 has:correction"))] == [trace]
    annotation_log.undo(store.db, annotator="ann")
    assert counts(store, trace) == {"reflect": 1, "compute": 1}
    assert traces.page(store.db, TraceQuery.parse("has:correction")) == []


def test_measuring_again_keeps_corrections(store: Store, trace: str) -> None:
    correct(store, trace, "verify")
    measure(store, trace)
    assert counts(store, trace) == {"reflect": 1, "verify": 1}


def test_the_latest_correction_counts_and_can_be_withdrawn(store: Store, trace: str) -> None:
    correct(store, trace, "verify")
    correct(store, trace, "plan", annotator="bo")
    correct(store, trace, "conclude")
    assert kinds(store, trace) == {(6, 18): "conclude"}
    correct(store, trace, "withdrawn")
    assert kinds(store, trace) == {(6, 18): "plan"}
    correct(store, trace, "withdrawn", annotator="bo")
    assert kinds(store, trace) == {}
    assert counts(store, trace) == {"reflect": 1, "compute": 1}
    assert traces.page(store.db, TraceQuery.parse("has:correction")) == []
    annotation_log.undo(store.db, annotator="bo")
    assert kinds(store, trace) == {(6, 18): "plan"}
    assert len(traces.page(store.db, TraceQuery.parse("has:correction"))) == 1


def test_a_correction_of_a_move_that_is_no_more_changes_no_number(store: Store, trace: str) -> None:
    correct(store, trace, "verify", span=(6, 12))
    assert counts(store, trace) == {"reflect": 1, "compute": 1}


def test_several_moves_are_corrected_and_undone_at_once(store: Store, trace: str) -> None:
    records = annotation_log.annotate_spans(store.db, trace, "move", "plan", [(0, 6), (6, 18)], annotator="ann")
    assert counts(store, trace) == {"plan": 2}
    assert len({record.batch for record in records}) == 1
    undo = annotation_log.undo(store.db, annotator="ann", trace_id=trace)
    assert undo is not None and undo.target == records[0].batch
    assert counts(store, trace) == {"reflect": 1, "compute": 1}
    assert [record.value for record in annotation_log.targets(store.db, undo.target)] == ["plan", "plan"]


def test_values_of_other_labs_are_checked() -> None:
    assert all(map(corrections.is_value, (*MOVE_KINDS, "withdrawn")))
    assert not any(map(corrections.is_value, ("", "V", "Verify", "none")))
