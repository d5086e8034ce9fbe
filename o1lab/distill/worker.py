"""``python -P -m o1lab.distill.worker DIR``: the worker process of a teacher run."""

from __future__ import annotations

from o1lab.distill.run_directory import RunFolder
from o1lab.distill.runner import TeacherRunner
from o1lab.jobs.worker import worker_main


def main() -> int:
    return worker_main(__doc__, RunFolder, TeacherRunner)


if __name__ == "__main__":
    raise SystemExit(main())
