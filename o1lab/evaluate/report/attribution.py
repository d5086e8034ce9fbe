"""Traces a sample of a student back to its training run and to the most similar chains it was trained on.

Similarity is not causation; it shows where to look.
"""

from __future__ import annotations

import re

from o1lab.chat.nearest import ChainIndex, SimilarRow
from o1lab.errors import UsageError
from o1lab.paths import Lab
from store import evaluations
from store.evaluations import Evaluation
from store.sqlite import Database

_SERVED = re.compile(r"(?:.*/)?(?P<run>[^/]+)-step-\d+")


def run_of(lab: Lab, model: str) -> str | None:
    """Return the training run of a model; None for a base model, an endpoint or the solver.

    Args:
        lab: the lab with the runs.
        model: the model's name: ``RUN/STEP`` or ``RUN`` for a checkpoint, ``PID/RUN-step-N`` at a server.
    """
    served = _SERVED.fullmatch(model)
    for run in (model.split("/", maxsplit=1)[0], served["run"] if served else ""):
        if run and run not in (".", "..") and (lab.runs / run / "recipe.yaml").is_file():
            return run
    return None


def require_run(lab: Lab, evaluation: Evaluation) -> str:
    """Return the training run of an evaluation's model.

    Raises:
        UsageError: the model was not trained in this lab.
    """
    run = run_of(lab, evaluation.model)
    if run is None:
        raise UsageError(
            f"{evaluation.model} was not trained in this lab, so it has no training chains here.",
            "Choose a sample of a student.",
        )
    return run


class Attribution:
    """Finds similar training chains; keeps the index of the last run. For one thread at a time."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._indexed: tuple[str, ChainIndex] | None = None

    def nearest(self, db: Database, seq: int, *, limit: int = 5) -> tuple[str, list[SimilarRow]]:
        """Return the training run and its chains most similar to a sample, the best first.

        Args:
            db: the lab's database.
            seq: the number of the sample; all its turns are compared.
            limit: the maximum number of chains.

        Raises:
            NotFoundError: there is no such sample, or the rows of the run no longer exist.
            UsageError: the model was not trained in this lab.
        """
        evaluation_id, one = evaluations.sample(db, seq)
        run = require_run(self.lab, evaluations.get(db, evaluation_id))
        question = evaluations.item(db, evaluation_id, one.item).question
        thought = "\n".join(turn.thought for turn in one.turns)
        answer = "\n".join(turn.answer for turn in one.turns)
        return run, self._index(run).nearest(question, thought, answer, limit=limit)

    def close(self) -> None:
        """Release the index."""
        if self._indexed is not None:
            self._indexed[1].close()
            self._indexed = None

    def _index(self, run: str) -> ChainIndex:
        if self._indexed is None or self._indexed[0] != run:
            self.close()
            self._indexed = (run, ChainIndex(self.lab.runs / run))
        return self._indexed[1]
