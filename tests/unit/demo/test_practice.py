"""The chains to practise on: each has the mistake that it is planned to have, and none is decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.demo.practice import SLIPS, TEACHER, Slip, careless
from o1lab.demo.seed import PRACTICE_SOURCE, draw, draw_practice, seed_demo
from store import traces
from store.connection import open_store
from store.filters import TraceQuery
from store.records import TraceRow

VERDICTS: dict[Slip, str] = {
    "none": "correct", "checked": "correct", "step": "correct", "carry": "incorrect", "misread": "incorrect",
    "cut": "unverifiable", "loop": "unverifiable", "unanswered": "unverifiable",
}  # fmt: skip


def test_the_list_begins_with_chains_to_decide_on_of_every_kind(tmp_path: Path) -> None:
    store = open_store(seed_demo(tmp_path / "lab").lab.database)
    rows = traces.page(store.db, TraceQuery(), limit=len(SLIPS))
    assert {(row.source, row.model, row.decision) for row in rows} == {(PRACTICE_SOURCE, TEACHER, None)}
    assert [row.verdict for row in rows] == [VERDICTS[slip] for slip in SLIPS]
    assert [row.key for row in rows] == [f"{one.a}+{one.b}" for one, _ in draw_practice()]
    found: dict[Slip, TraceRow] = dict(zip(SLIPS, rows, strict=True))
    assert [slip for slip in VERDICTS if not found[slip].complete] == ["cut", "loop"]
    assert [slip for slip in VERDICTS if found[slip].looping] == ["loop"]
    assert traces.count(store.db, TraceQuery.parse("source:demo")) == 400, "the demo's own filter finds none of them"
    store.close()


def test_the_sums_are_not_among_the_trained_and_held_out_ones() -> None:
    training, held_out = draw()
    assert not {one.pair for one, _ in draw_practice()} & {one.pair for one in training + held_out}


@pytest.mark.parametrize(
    ("slip", "line"),
    [
        ("carry", "Tens: 5 + 8 = 13, write 3, carry 1."),
        ("step", "Tens: 5 + 8 = 14, plus 1 = 14, write 4, carry 1."),
        ("misread", "So 705. Check holds: 705 - 448 = 257."),
        ("checked", "Wait, let me check that from the other side: 741 - 257 = 484."),
    ],
)
def test_a_chain_has_its_mistake(slip: Slip, line: str) -> None:
    assert line in careless("What is 257 + 484?", 257, 484, slip).splitlines()
