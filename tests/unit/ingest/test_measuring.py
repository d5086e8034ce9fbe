"""Imported traces are measured and verified once, and again where something has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o1lab.chains.segmentation.moves import SEGMENTER_VERSION, segment
from o1lab.ingest.importer import import_files
from o1lab.ingest.measuring import MEASURED_BY, measure_pending, moves_of
from store import Store, traces
from store.filters import TraceQuery
from store.records import Measured
from tests.unit.ingest.test_import import R1, lines


def test_measuring_goes_on_where_it_stopped(store: Store, tmp_path: Path) -> None:
    thought = "The problem is short. Wait, is it? Let me check: 20 + 7 = 27."
    rows = [
        {"problem": f"p{n}", "raw": f"<think>\n{thought}\n</think>\n\n\\boxed{{{27 + n % 2}}}", "gold_answer": "27"}
        for n in range(250)
    ]
    import_files(store, [lines(tmp_path / "a.jsonl", *rows)])
    first = measure_pending(store, stop=lambda: True)
    assert first.stopped
    assert 0 < first.measured < 250
    told: list[tuple[int, int]] = []
    second = measure_pending(store, progress=lambda done, total: told.append((done, total)), processes=2)
    assert first.measured + second.measured == 250
    assert told[-1] == (second.measured, second.measured)
    assert first.verdicts + second.verdicts == {"correct": 125, "incorrect": 125}
    for row in traces.page(store.db, TraceQuery.parse("")):
        assert row.moves is not None
        assert (row.moves["understand"], row.moves["reflect"], row.moves["verify"]) == (1, 1, 1)
        assert (row.measured_by, row.looping) == (MEASURED_BY, False)
    assert measure_pending(store).measured == 0


def test_moves_are_segmented_once_and_read_from_the_lab(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_files(store, [lines(tmp_path / "a.jsonl", {"problem": "p", "raw": R1, "gold_answer": "27"})])
    (row,) = traces.page(store.db, TraceQuery.parse(""))
    before = traces.text(store.db, row.id)
    fresh = moves_of(before)
    assert before.segments is None
    assert fresh == segment(before.thought)
    measure_pending(store)
    monkeypatch.setattr("o1lab.ingest.measuring.segment", lambda _text: pytest.fail("segmented again"))
    assert moves_of(traces.text(store.db, row.id)) == fresh


def test_moves_of_an_older_segmenter_are_not_shown_and_are_measured_again(store: Store, tmp_path: Path) -> None:
    import_files(store, [lines(tmp_path / "a.jsonl", {"problem": "p", "raw": R1, "gold_answer": "27"})])
    measure_pending(store)
    (row,) = traces.page(store.db, TraceQuery.parse(""))
    with store.db.atomic():
        store.db.conn.execute("UPDATE trace_segments SET segmenter = 0, moves = 'U1'")
        store.db.conn.execute("UPDATE traces SET measured_by = 'moves 0, measures 1, verifier 1'")
    text = traces.text(store.db, row.id)
    assert moves_of(text) == segment(text.thought)
    assert measure_pending(store).measured == 1
    assert traces.text(store.db, row.id).segmenter == SEGMENTER_VERSION


def test_measures_given_by_hand_stay(store: Store, tmp_path: Path) -> None:
    import_files(store, [lines(tmp_path / "a.jsonl", {"problem": "p", "raw": R1})])
    (row,) = traces.page(store.db, TraceQuery.parse(""))
    traces.set_measures(store.db, [Measured(row.id, False, {}, "1", "correct", "by hand", "hand-1")])
    assert measure_pending(store).measured == 0


def test_a_gold_answer_that_comes_later_has_its_traces_verified(store: Store, tmp_path: Path) -> None:
    chains, golds = tmp_path / "chains.jsonl", tmp_path / "golds.jsonl"
    chains.write_text(json.dumps({"problem": "p", "raw": R1, "model": "m"}))
    golds.write_text(json.dumps({"problem": "p", "answer": "27"}))
    import_files(store, [chains])
    measure_pending(store)
    assert traces.page(store.db, TraceQuery.parse(""))[0].verdict == "unverifiable"
    import_files(store, [golds])
    assert measure_pending(store).measured == 1
    assert traces.page(store.db, TraceQuery.parse(""))[0].verdict == "correct"
    import_files(store, [golds])
    assert measure_pending(store).measured == 0
