"""The evaluations of the demo: ordinary evaluations of the suites ``demo-*``, and the tables made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from o1lab.errors import LabError
from o1lab.evaluate.report.cells import Table
from o1lab.evaluate.report.published import published_changes
from o1lab.evaluate.report.selection import choose
from o1lab.evaluate.report.tables import change_table
from o1lab.evaluate.run import control
from o1lab.evaluate.run.directory import EvalStatus
from o1lab.evaluate.run.runner import drive
from o1lab.evaluate.stats.summary import Summary, summarise
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from store import evaluations, open_store
from store.evaluations import Turn
from store.sqlite import Database

SUMS = "demo-sums"
ELSEWHERE = ("demo-other-sums", "demo-facts", "demo-sycophancy", "demo-safety", "demo-sources")
"""Small suites of other kinds, which show what the training costs; their scorers need no judge model."""
CONCURRENCY = 60  # the server decodes concurrent requests together
SHOWN = (("demo-facts", "01"), ("demo-other-sums", "01"), ("demo-safety", "09"))
"""Items whose answers are shown with the figures, as (suite, item)."""


@dataclass(frozen=True)
class Score:
    """The result of one model on the held-out problems."""

    role: str
    summary: Summary

    @property
    def model(self) -> str:
        return self.summary.evaluation.model

    @property
    def correct(self) -> int:
        return self.summary.tally.outcomes["correct"]

    @property
    def n(self) -> int:
        return self.summary.tally.total

    def as_json(self) -> dict[str, Any]:
        """Return the keys of ``o1lab eval --json``, and the role of the model in the demo."""
        found = self.summary.as_json()
        return {**found, "role": self.role, "n": self.n}


async def measure(
    lab: Lab,
    suite: str,
    model: str,
    manager: ServerManager,
    *,
    limit: int | None = None,
    on_answer: Callable[[int, int], None] = lambda _done, _of: None,
) -> Summary:
    """Evaluate a model on a suite as ``o1lab eval SUITE --model MODEL`` does; earlier answers are reused.

    Args:
        lab: the lab.
        suite: the name of the suite.
        model: the id of the model.
        manager: runs the servers.
        limit: use only the first ``limit`` items of the suite.
        on_answer: called with (done, requested) during the run.

    Raises:
        LabError: the model cannot be opened, or did not answer every item.
    """
    settings = control.read_settings(lab, {"suite": suite, "model": model, "concurrency": CONCURRENCY, "limit": limit})
    folder = control.start(lab, settings)

    def watch(status: EvalStatus) -> None:
        on_answer(status.done, status.requested)

    status = await drive(lab, folder, watch=watch, manager=manager)
    if status.state != "finished" or status.failed:
        raise LabError(
            f"{model} failed on {suite}: {status.message or f'{status.failed} of its calls failed'}",
            status.hint or f"See `o1lab eval show {folder.id}`.",
            code="evaluation",
        )
    with _opened(lab) as db:
        return summarise(db, evaluations.get(db, folder.id))


def changes(lab: Lab, before: Sequence[Summary], after: Sequence[Summary]) -> Table:
    """Return the paper's second table (changes on other suites) for these evaluations, without published rows."""
    with _opened(lab) as db:
        chosen = choose(db, [one.evaluation.id for one in (*before, *after)])
        own = published_changes().model_copy(update={"sets": (), "overall": ()})
        return change_table(chosen, before=before[0].evaluation.model, after=[after[0].evaluation.model], published=own)


def sample_answers(
    lab: Lab, before: Sequence[Summary], after: Sequence[Summary], *, limit: int | None = None
) -> list[tuple[str, str, str]]:
    """Return answers to show with the figures, as (question, answer before, answer after).

    Args:
        lab: the lab.
        before: evaluations of the base.
        after: evaluations of the student.
        limit: number of items of each suite that were evaluated; None for all.
    """
    found = []
    with _opened(lab) as db:

        def answer(of: Sequence[Summary], suite: str, item: str) -> Turn:
            one = next(each.evaluation.id for each in of if each.evaluation.suite == suite)
            return evaluations.sample(db, evaluations.find_sample(db, one, item))[1].turns[-1]

        for suite, item in SHOWN:
            if limit is not None and int(item) > limit:
                continue
            turns = [answer(of, suite, item) for of in (before, after)]
            found.append((turns[0].user, *(turn.answer or turn.thought for turn in turns)))
    return [(question, one, other) for question, one, other in found]


@contextmanager
def _opened(lab: Lab) -> Iterator[Database]:
    store = open_store(lab.database)
    try:
        with store.explained():
            yield store.db
    finally:
        store.close()
