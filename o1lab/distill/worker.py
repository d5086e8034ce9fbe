"""``python -P -m o1lab.distill.worker DIR``: the worker process of a teacher run."""

from __future__ import annotations

from collections.abc import Callable

from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.distill.runner import drive
from o1lab.jobs.worker import Signals, run_with_signals, worker_main
from o1lab.paths import Lab


def main() -> int:
    return worker_main(__doc__, RunFolder, run_here)


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
