"""``python -P -m o1lab.chat.rounds.worker DIR``: the worker process of a round."""

from __future__ import annotations

from o1lab.chat.rounds.directory import RoundFolder
from o1lab.chat.rounds.runner import RoundRunner
from o1lab.jobs.worker import worker_main


def main() -> int:
    return worker_main(__doc__, RoundFolder, RoundRunner)


if __name__ == "__main__":
    raise SystemExit(main())
