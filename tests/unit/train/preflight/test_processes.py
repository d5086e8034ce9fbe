"""What preflight says of a run of several processes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from o1lab.train.preflight.processes import check, on_one_machine
from o1lab.train.preflight.report import Preflight
from o1lab.train.recipes.recipe_file import resolve

needs_torch = pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")


def found(rows: int, device: str = "cpu", **values: Any) -> Preflight:
    report = Preflight(train_rows=rows, device=device)
    check(report, resolve({"dataset": "d", "batch_size": 4, **values}))
    return report


def test_every_process_needs_a_row() -> None:
    assert found(1).problems == found(8, processes=2).warnings == found(8, processes=2).problems == []
    report = found(3, processes=2, nodes=2)
    assert [(one.code, one.message) for one in report.problems] == [
        ("too_few_rows", "3 training rows are fewer than the 4 processes of the run.")
    ]
    assert not report.warnings


def test_rows_that_count_twice_in_a_step_are_a_warning() -> None:
    (warning,) = found(7, processes=2).warnings
    assert warning.message == "2 processes take 8 rows at once, but there are 7: some count twice."
    assert warning.code == "rows_repeat"


def test_fsdp2_is_refused_on_cpus_and_asks_no_probes() -> None:
    sharded = {"strategy": "fsdp2", "processes": 2, "probes": ["Hi"]}
    assert [one.code for one in found(99, **sharded).problems] == ["fsdp2_cpu"]
    report = found(99, device="cuda:0", **sharded)
    assert [one.code for one in report.warnings] == ["fsdp2_probes"]
    assert not report.problems
    assert not found(99, strategy="fsdp2", probes=["Hi"]).problems  # one process shares nothing


@needs_torch
def test_memory_adds_up_on_a_cpu_and_is_shared_with_fsdp2() -> None:
    from o1lab.train.preflight.memory import Estimate

    one = Estimate(weights=1000, adapter=160, activations=500, overhead=50, trainable=10)

    def of(*, gpu: bool, **values: Any) -> Estimate:
        return on_one_machine(one, resolve({"dataset": "d", **values}), layers=10, gpu=gpu)

    assert of(gpu=False) == one
    assert of(gpu=False, processes=2, nodes=3) == Estimate(2000, 400, 1000, 100, 10)
    assert of(gpu=True, processes=2) == Estimate(1000, 200, 500, 50, 10)
    assert of(gpu=True, processes=2, nodes=2, strategy="fsdp2") == Estimate(450, 40, 500, 50, 10)
