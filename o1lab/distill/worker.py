"""``python -P -m o1lab.distill.worker DIR``: the teacher run of a folder, in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from o1lab.distill.folder import RunFolder, Status
from o1lab.distill.limits import Control
from o1lab.distill.runner import drive
from o1lab.errors import O1LabError
from o1lab.locations import Lab


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="LAB/distill/ID")
    folder = RunFolder(parser.parse_args().folder.absolute())
    try:
        status = run_here(Lab(folder.path.parent.parent), folder)
    except O1LabError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_status
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {status.state} {status.message}".strip(), flush=True)
    return 0


def run_here(lab: Lab, folder: RunFolder, watch: Callable[[Status], None] | None = None) -> Status:
    """Drive a run in this process. The first SIGINT, SIGTERM or SIGHUP (a connection that broke) lets calls in flight
    end, the second gives them up.

    Raises:
        O1LabError: the run cannot go on; as :func:`o1lab.distill.runner.drive`.
        KeyboardInterrupt: the second signal came.
    """
    again = f"Go on with: o1lab distill --resume {folder.id}"

    async def driven() -> Status:
        control = Control()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are in one

        def interrupted() -> None:
            if control.reason == "interrupt":
                task.cancel()
            control.stop("interrupt", "The run was interrupted.", again)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupted)
        return await drive(lab, folder, control=control, watch=watch)

    try:
        return asyncio.run(driven())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


if __name__ == "__main__":
    raise SystemExit(main())
