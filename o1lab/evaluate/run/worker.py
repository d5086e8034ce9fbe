"""``python -P -m o1lab.evaluate.run.worker DIR``: the worker process of an evaluation."""

from __future__ import annotations

from collections.abc import Callable

from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.runner import drive
from o1lab.jobs.worker import Signals, run_with_signals, worker_main
from o1lab.paths import Lab


def main() -> int:
    return worker_main(
        __doc__, EvalFolder, run_here, scores_only="score the stored samples; make no calls to the model"
    )


def run_here(
    lab: Lab,
    folder: EvalFolder,
    *,
    scores_only: bool = False,
    watch: Callable[[EvalStatus], None] | None = None,
    signals: Signals | None = None,
) -> EvalStatus:
    """Run an evaluation in this process; signals act as :func:`~o1lab.jobs.worker.run_with_signals` describes.

    Raises:
        O1LabError: it cannot continue; as :func:`o1lab.evaluate.run.runner.drive`.
        Interrupted: a second signal was received.
    """
    return run_with_signals(
        folder, lambda control: drive(lab, folder, scores_only=scores_only, control=control, watch=watch), signals
    )


if __name__ == "__main__":
    raise SystemExit(main())
