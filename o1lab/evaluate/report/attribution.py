"""From a sample of a student back to what taught it: its run, and the chains it was trained on that are most alike.

Alike is not caused by: it says where to look.
"""

from __future__ import annotations

import re

from o1lab.chat.nearest import ChainIndex, Near
from o1lab.errors import UsageError
from o1lab.paths import Lab
from store import evaluations
from store.evaluations import Evaluation
from store.sqlite import Database

_SERVED = re.compile(r"(?:.*/)?(?P<run>[^/]+)-step-\d+")


def run_of(lab: Lab, model: str) -> str | None:
    """The training run behind a model's name, or None: it is a base, an endpoint, the solver.

    A checkpoint is ``RUN/STEP`` or ``RUN``, and ``PID/RUN-step-N`` at a server.
    """
    served = _SERVED.fullmatch(model)
    for run in (model.split("/", maxsplit=1)[0], served["run"] if served else ""):
        if run and run not in (".", "..") and (lab.runs / run / "recipe.yaml").is_file():
            return run
    return None


def require_run(lab: Lab, evaluation: Evaluation) -> str:
    """The run of an evaluation's model.

    Raises:
        UsageError: its model is no student of this lab.
    """
    run = run_of(lab, evaluation.model)
    if run is None:
        raise UsageError(
            f"{evaluation.model} was not trained in this lab, so there are no chains that taught it.",
            "Choose a sample of a student.",
        )
    return run


class Attribution:
    """The rows of the last run that was asked about stay indexed. For one thread at a time."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._held: tuple[str, ChainIndex] | None = None

    def nearest(self, db: Database, seq: int, *, limit: int = 5) -> tuple[str, list[Near]]:
        """(the run, its chains most like a sample, the best first). All turns of the sample count.

        Raises:
            MissingError: there is no such sample.
            UsageError: its model is no student of this lab.
            NotFoundError: the run's rows are gone.
        """
        evaluation_id, one = evaluations.sample(db, seq)
        run = require_run(self.lab, evaluations.get(db, evaluation_id))
        question = evaluations.item(db, evaluation_id, one.item).question
        thought = "\n".join(turn.thought for turn in one.turns)
        answer = "\n".join(turn.answer for turn in one.turns)
        return run, self._index(run).nearest(question, thought, answer, limit=limit)

    def close(self) -> None:
        """Let go of the rows."""
        if self._held is not None:
            self._held[1].close()
            self._held = None

    def _index(self, run: str) -> ChainIndex:
        if self._held is None or self._held[0] != run:
            self.close()
            self._held = (run, ChainIndex(self.lab.runs / run))
        return self._held[1]
