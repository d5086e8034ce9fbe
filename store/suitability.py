"""How suitable traces are for training one student: figures from the student's own scores of their tokens.

============  ========================================================================================================
``nll``       mean negative log-probability of the tokens of thought and solution, in nats
``local``     the same of each sentence after the few sentences before it alone, averaged over sentences: Local
              Naturalness (arXiv 2510.03988, equation 2) with the sign of a loss, so that lower is more natural
``rsr``       rank-surprisal ratio (arXiv 2601.14249): lower is more suitable
``pass``      the share of the student's answers to the problem that are right, from the evaluations of the lab
============  ========================================================================================================

The first and the third come from the stored scores (:mod:`store.token_scores`). The lab has one chosen student, whose
figures lists and filters show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.rows import insert
from store.sqlite import Database

RANK_LIMIT = 100
"""Larger ranks count as this one, as in the code of arXiv 2601.14249."""
_PARTS = ("thought", "solution")
_CHOSEN = "(SELECT model FROM chosen_student)"
_OF_SCORES = f"(SELECT g.{{}} FROM token_scores g WHERE g.model = {_CHOSEN} AND g.seq = t.seq)"
COLUMNS = {
    "nll": _OF_SCORES.format("nll"),
    "local-nll": _OF_SCORES.format("local_nll"),
    "rsr": _OF_SCORES.format("rsr"),
    "pass-rate": "(SELECT 1.0 * g.correct / g.samples FROM pass_rates g "
    f"WHERE g.model = {_CHOSEN} AND g.problem_id = t.problem_id)",
}
"""The figures of trace ``t`` for the chosen student as SQL, by the names that filters have for them."""


@dataclass(frozen=True, slots=True)
class Student:
    """The student that was chosen.

    Attributes:
        model: What identifies it, as in :class:`store.token_scores.TokenScores`.
        name: Its name in the lab when it was chosen.
    """

    model: str
    name: str


@dataclass(frozen=True, slots=True)
class Suitability:
    """The figures of a trace for a student; None where they are not known.

    Attributes:
        nll: Mean loss of its tokens in nats.
        local_nll: Mean loss of its sentences in nats, each after the few before it alone.
        rsr: Its rank-surprisal ratio.
        correct: The number of right answers of the student to its problem.
        samples: The number of all of them; 0 if the student was not asked.
        tokens: The number of tokens of thought and of solution, by the student's tokenizer; None if it has not scored
            them.
    """

    nll: float | None = None
    local_nll: float | None = None
    rsr: float | None = None
    correct: int = 0
    samples: int = 0
    tokens: tuple[int, int] | None = None

    @property
    def pass_rate(self) -> float | None:
        return self.correct / self.samples if self.samples else None

    def as_json(self) -> dict[str, float | int | None]:
        known = {"nll": self.nll, "local_nll": self.local_nll, "rsr": self.rsr, "pass_rate": self.pass_rate}
        return known | {"samples": self.samples}

    def sentence(self, student: str) -> str:
        """Return the known figures in a line: ``for STUDENT: nll 1.20, local 1.44, rsr 2.31, solves 1 of 4``."""
        named = (("nll", self.nll), ("local", self.local_nll), ("rsr", self.rsr))
        parts = [f"{name} {value:.2f}" for name, value in named if value is not None]
        parts += [f"solves {self.correct:,} of {self.samples:,}"] if self.samples else []
        return f"for {student}: {', '.join(parts)}"


def mean_loss(losses: Mapping[str, Sequence[float]]) -> float | None:
    """Return the mean loss of the tokens of thought and solution, from (tokens, mean loss) by part; None for none."""
    found = [losses[part] for part in _PARTS if part in losses]
    number = sum(tokens for tokens, _ in found)
    return sum(tokens * loss for tokens, loss in found) / number if number else None


def rank_surprisal_ratio(tokens: Mapping[str, Sequence[Any]]) -> float | None:
    """Return the rank-surprisal ratio of a chain for the model that scored it.

    It is the sum of the ranks of the tokens of thought and solution, each at most ``RANK_LIMIT``, divided by the sum of
    their negative log-probabilities in nats: the mean rank over the mean surprisal (arXiv 2601.14249). A low ratio
    means tokens that the model finds improbable and ranks high, which teach it most.

    Args:
        tokens: A list for each figure, as in :class:`store.token_scores.TokenScores`.

    Returns:
        The ratio; None if no token is surprising at all, or a rank is not known.
    """
    ranks, surprisal = 0, 0.0
    for part, rank, logprob in zip(tokens["part"], tokens["rank"], tokens["logprob"], strict=True):
        if part in _PARTS:
            if rank is None:
                return None
            ranks += min(rank, RANK_LIMIT)
            surprisal -= logprob
    return ranks / surprisal if surprisal > 0 else None


def choose(db: Database, model: str, name: str) -> None:
    """Choose the student whose figures lists and filters show."""
    with db.atomic():
        insert(db, "chosen_student", [{"one": 1, "model": model, "name": name}], on_conflict="REPLACE")


def chosen(db: Database) -> Student | None:
    """Return the student that was chosen; None before one was."""
    row = db.execute("SELECT model, name FROM chosen_student").fetchone()
    return None if row is None else Student(*row)


def students(db: Database) -> list[Student]:
    """Return the models that have scored traces, each with its latest name, the most traces first."""
    rows = db.execute(
        "SELECT model, (SELECT name FROM token_scores n WHERE n.model = s.model ORDER BY n.id DESC LIMIT 1) "
        "FROM token_scores s GROUP BY model ORDER BY count(*) DESC, min(id)"
    )
    return [Student(*row) for row in rows]


def without_local(db: Database, trace_ids: Sequence[str], model: str) -> list[str]:
    """Return those of some traces that a model has scored, but not sentence by sentence, in the same order."""
    return db.column(
        "SELECT t.id FROM json_each(?) j JOIN traces t ON t.id = j.value JOIN token_scores s ON s.seq = t.seq "
        "WHERE s.model = ? AND s.local_nll IS NULL ORDER BY j.key",
        [json.dumps(list(trace_ids)), model],
    )


def set_local(db: Database, trace_id: str, model: str, value: float) -> None:
    """Store the mean loss of the sentences of a trace that the model has scored."""
    with db.atomic():
        db.conn.execute(
            "UPDATE token_scores SET local_nll = ? WHERE model = ? AND seq = (SELECT seq FROM traces WHERE id = ?)",
            (value, model, trace_id),
        )


def set_pass_rates(db: Database, model: str, rates: Mapping[str, tuple[int, int]]) -> None:
    """Replace the pass rates of a model: (right answers, all answers) by problem."""
    with db.atomic():
        db.conn.execute("DELETE FROM pass_rates WHERE model = ?", (model,))
        rows = (
            {"model": model, "problem_id": problem, "correct": correct, "samples": samples}
            for problem, (correct, samples) in rates.items()
        )
        insert(db, "pass_rates", rows)


def of_traces(db: Database, trace_ids: Sequence[str], model: str) -> dict[str, Suitability]:
    """Return the figures of traces for a student, by trace, of those that have any."""
    rows = db.execute(
        "SELECT t.id, s.nll, s.local_nll, s.rsr, coalesce(p.correct, 0), coalesce(p.samples, 0), s.losses "
        "FROM traces t LEFT JOIN token_scores s ON s.seq = t.seq AND s.model = ?1 "
        "LEFT JOIN pass_rates p ON p.problem_id = t.problem_id AND p.model = ?1 "
        "WHERE t.id IN (SELECT value FROM json_each(?2))",
        [model, json.dumps(list(trace_ids))],
    )
    return {
        trace: Suitability(nll, local_nll, rsr, correct, samples, _tokens(losses))
        for trace, nll, local_nll, rsr, correct, samples, losses in rows
        if losses is not None or samples
    }


def of_chosen(db: Database, trace_ids: Sequence[str]) -> dict[str, Suitability]:
    """Return the figures of traces for the chosen student, by trace; empty before one was chosen."""
    student = chosen(db)
    return {} if student is None else of_traces(db, trace_ids, student.model)


def _tokens(losses: str | None) -> tuple[int, int] | None:
    if losses is None:
        return None
    found = json.loads(losses)
    thought, solution = (int(found[part][0]) if part in found else 0 for part in _PARTS)
    return thought, solution
