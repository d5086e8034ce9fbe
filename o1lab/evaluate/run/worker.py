"""``python -P -m o1lab.evaluate.run.worker DIR``: the worker process of an evaluation."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.runner import drive
from o1lab.jobs.worker import Signals, report_end, run_with_signals
from o1lab.paths import Lab


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="LAB/evals/ID")
    parser.add_argument(
        "--scores-only", action="store_true", help="score the stored samples; make no calls to the model"
    )
    options = parser.parse_args()
    folder = EvalFolder(options.folder.absolute())
    return report_end(lambda: run_here(folder.lab, folder, scores_only=options.scores_only))


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
