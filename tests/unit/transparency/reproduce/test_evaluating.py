"""Evaluating again, as part of repeating a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from o1lab.serve.manager import ServerManager
from o1lab.transparency.report.manifest import EvaluationRecord
from o1lab.transparency.reproduce.evaluating import Evaluator
from store import open_store
from tests.support.distill_lab import make_lab
from tests.support.fault_server import FaultServer


@pytest.mark.parametrize(("model", "settings"), [("teacher", {}), ("solver", {"judge": "teacher"})])
async def test_no_remote_model_is_asked_without_a_budget(tmp_path: Path, model: str, settings: dict[str, Any]) -> None:
    record = EvaluationRecord(
        suite="sums", suite_version=1, items_hash="", items=1, scorer="exact@1", metric="accuracy", model=model,
        role="base", source="base", paid=False, settings=settings, value=50.0, interval=None,
    )  # fmt: skip
    with FaultServer() as server:
        lab = make_lab(tmp_path / "lab", server.url)
        store = open_store(lab.database)
        async with ServerManager(lab) as manager:
            evaluator = Evaluator(lab, store, tmp_path, {}, manager, None, lambda _: None)
            outcome = await evaluator.repeat(record)
        store.close()
        assert not server.requests
    assert outcome.state == "not_possible" and "--budget-usd X" in outcome.reason
