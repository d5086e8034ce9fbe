"""``python -P -m o1lab.evaluate.run.worker DIR``: the evaluation of a folder, in a process of its own."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from o1lab.distill.worker import until_interrupted
from o1lab.errors import O1LabError
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.runner import drive
from o1lab.paths import Lab


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="LAB/evals/ID")
    parser.add_argument("--scores-only", action="store_true", help="score what is stored; ask the model nothing")
    options = parser.parse_args()
    folder = EvalFolder(options.folder.absolute())
    try:
        status = run_here(Lab(folder.path.parent.parent), folder, scores_only=options.scores_only)
    except O1LabError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_status
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {status.state} {status.message}".strip(), flush=True)
    return 0


def run_here(
    lab: Lab,
    folder: EvalFolder,
    *,
    scores_only: bool = False,
    watch: Callable[[EvalStatus], None] | None = None,
) -> EvalStatus:
    """Drive an evaluation in this process; signals as :func:`o1lab.distill.worker.run_here`.

    Raises:
        O1LabError: it cannot go on; as :func:`o1lab.evaluate.run.runner.drive`.
        KeyboardInterrupt: the second signal came.
    """
    return until_interrupted(
        folder, lambda control: drive(lab, folder, scores_only=scores_only, control=control, watch=watch)
    )


if __name__ == "__main__":
    raise SystemExit(main())
