"""``python -P -m o1lab.distill.worker DIR``: the worker process of a teacher run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.distill.runner import drive
from o1lab.jobs.worker import Signals, report_end, run_with_signals
from o1lab.paths import Lab


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="LAB/distill/ID")
    folder = RunFolder(parser.parse_args().folder.absolute())
    return report_end(lambda: run_here(folder.lab, folder))


def run_here(
    lab: Lab,
    folder: RunFolder,
    watch: Callable[[TeacherRunStatus], None] | None = None,
    signals: Signals | None = None,
) -> TeacherRunStatus:
    """Run a teacher run in this process; signals act as :func:`~o1lab.jobs.worker.run_with_signals` describes.

    Raises:
        O1LabError: the run cannot continue; as :func:`o1lab.distill.runner.drive`.
        Interrupted: a second signal was received.
    """
    return run_with_signals(folder, lambda control: drive(lab, folder, control=control, watch=watch), signals)


if __name__ == "__main__":
    raise SystemExit(main())
