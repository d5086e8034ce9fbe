"""``python -P -m o1lab.evaluate.run.worker DIR``: the worker process of an evaluation."""

from __future__ import annotations

from o1lab.evaluate.run.directory import EvalFolder
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.jobs.worker import worker_main


def main() -> int:
    return worker_main(
        __doc__, EvalFolder, EvaluationRunner, scores_only="score the stored samples; make no calls to the model"
    )


if __name__ == "__main__":
    raise SystemExit(main())
