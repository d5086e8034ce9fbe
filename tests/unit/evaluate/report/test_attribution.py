"""From a sample to the chains that are most like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.errors import NotFoundError, UsageError
from o1lab.evaluate.report.attribution import Attribution, run_of
from o1lab.paths import Lab
from store import evaluations, open_store
from tests.support.evaluate_lab import RUN, make_lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path / "lab")


def test_the_run_behind_a_model_s_name(lab: Lab) -> None:
    assert [run_of(lab, name) for name in (RUN, f"{RUN}/50", f"4711/{RUN}-step-50")] == [RUN] * 3
    assert [run_of(lab, name) for name in ("solver", "../runs/x", "..", ".", "", "HuggingFaceTB/SmolLM2")] == [None] * 6


def test_the_nearest_chain_of_a_student_s_sample_is_the_one_with_its_numbers(lab: Lab) -> None:
    store = open_store(lab.database)
    causes = Attribution(lab)
    for number in (2, 3):
        run, near = causes.nearest(store.db, evaluations.find_sample(store.db, "student-1", f"add:{number}"), limit=3)
        assert (run, near[0].trace_id) == (RUN, f"{number:016x}")
        assert near == sorted(near, key=lambda one: -one.score)
    with pytest.raises(UsageError, match="not trained in this lab"):
        causes.nearest(store.db, evaluations.find_sample(store.db, "base-1", "add:2"))
    causes.close()
    (lab.runs / RUN / "data.jsonl").unlink()
    with pytest.raises(NotFoundError, match="training rows of"):
        causes.nearest(store.db, evaluations.find_sample(store.db, "student-1", "add:2"))
