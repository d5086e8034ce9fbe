"""``python -P -m o1lab.chat.rounds.worker DIR``: the worker process of a round."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from o1lab.chat.rounds.directory import RoundFolder
from o1lab.chat.rounds.runner import drive
from o1lab.jobs.directory import CountedStatus
from o1lab.jobs.worker import Signals, report_end, run_with_signals
from o1lab.paths import Lab


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="LAB/rounds/ID")
    folder = RoundFolder(parser.parse_args().folder.absolute())
    return report_end(lambda: run_here(folder.lab, folder))


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
