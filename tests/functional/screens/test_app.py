"""The app apart from its screens: what it does in the background."""

from __future__ import annotations

from pathlib import Path

from o1lab.app import LabApp
from o1lab.ingest.measuring import MEASURED_BY
from store import traces
from store.filters import TraceQuery
from tests.support.compare_lab import until
from tests.support.lab_seed import seeded_context


async def test_traces_of_an_older_segmenter_are_measured_in_the_background(tmp_path: Path) -> None:
    context = seeded_context(tmp_path / "lab", 4)
    with context.store.db.atomic():
        context.store.db.conn.execute("UPDATE traces SET measured_by = 'moves 0, measures 1, verifier 1'")

    def measured() -> bool:
        return all(row.measured_by == MEASURED_BY for row in traces.page(context.store.db, TraceQuery.parse("")))

    assert not measured()
    app = LabApp(context)
    async with app.run_test() as pilot:
        await until(pilot, measured, "the traces were never measured")
        await until(pilot, lambda: any("Measured 4" in one.message for one in app._notifications), "no word of it")
