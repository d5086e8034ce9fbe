"""``python -P -m o1lab.chat.rounds.worker DIR``: the worker process of a round."""

from __future__ import annotations

from collections.abc import Callable

from o1lab.chat.rounds.directory import RoundFolder
from o1lab.chat.rounds.runner import drive
from o1lab.jobs.directory import CountedStatus
from o1lab.jobs.worker import Signals, run_with_signals, worker_main
from o1lab.paths import Lab


def main() -> int:
    return worker_main(__doc__, RoundFolder, run_here)


def run_here(
    lab: Lab,
    folder: RoundFolder,
    *,
    watch: Callable[[CountedStatus], None] | None = None,
    signals: Signals | None = None,
) -> CountedStatus:
    """Run a round in this process; signals act as :func:`~o1lab.jobs.worker.run_with_signals` describes.

    Raises:
        O1LabError: it cannot continue; as :func:`o1lab.chat.rounds.runner.drive`.
        Interrupted: a second signal was received.
    """
    return run_with_signals(folder, lambda control: drive(lab, folder, control=control, watch=watch), signals)


if __name__ == "__main__":
    raise SystemExit(main())
