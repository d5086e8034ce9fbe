"""Measure a model on a suite as one step of a larger job: evaluations that are there are used or continued."""

from __future__ import annotations

from collections.abc import Callable

from o1lab.errors import LabError
from o1lab.evaluate.items import items_hash
from o1lab.evaluate.run import control
from o1lab.evaluate.run.control import EVALUATIONS
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.evaluate.stats.figures import Summary, summarise
from o1lab.evaluate.suites.loading import load
from o1lab.evaluate.suites.suite import find_suite
from o1lab.labs import opened_lab
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from store import evaluations
from store.evaluations import Evaluation

OnAnswer = Callable[[int, int], None]
CONCURRENCY = 60  # the server decodes concurrent requests together


async def measure(
    lab: Lab,
    suite: str,
    model: str,
    manager: ServerManager,
    *,
    limit: int | None = None,
    on_answer: OnAnswer | None = None,
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
    return await _run(lab, control.start(lab, settings), manager, on_answer)


async def continue_evaluation(lab: Lab, evaluation: str, manager: ServerManager) -> Summary:
    """Continue an evaluation that was interrupted; raises like :func:`measure`."""
    folder = EVALUATIONS.find(lab, evaluation)
    EVALUATIONS.prepare(lab, folder, {})
    return await _run(lab, folder, manager)


def evaluations_of(lab: Lab, suite: str, models: list[str], *, limit: int | None = None) -> dict[str, Evaluation]:
    """Return the newest evaluation of each model on the suite as it is now, a finished one first.

    Args:
        lab: the lab.
        suite: the name of the suite.
        models: ids of models; those that were not evaluated are left out.
        limit: the number of items that were asked, if not all.

    Raises:
        NotFoundError, UsageError, LabError: the suite or its items cannot be read.
    """
    found = find_suite(lab, suite)
    best: dict[str, Evaluation] = {}
    with opened_lab(lab) as store:
        asked = items_hash(load(lab, store, found, limit=limit).items)
        for one in reversed(evaluations.all_evaluations(store.db, suite=found.name)):  # the newest last
            if one.model not in models or one.suite_label != found.label or one.items_hash != asked:
                continue
            if one.model not in best or is_finished(lab, one) or not is_finished(lab, best[one.model]):
                best[one.model] = one
    return best


def is_finished(lab: Lab, evaluation: Evaluation) -> bool:
    """Whether an evaluation has ended with an answer to every item."""
    info = EvalFolder(EVALUATIONS.parent(lab) / evaluation.id).info()
    return info.state == "finished" and not info.status.failed


async def _run(lab: Lab, folder: EvalFolder, manager: ServerManager, on_answer: OnAnswer | None = None) -> Summary:
    def watch(status: EvalStatus) -> None:
        if on_answer is not None:
            on_answer(status.done, status.requested)

    status = await EvaluationRunner(lab, folder, watch=watch, manager=manager).work()
    if status.state != "finished" or status.failed:
        settings = folder.settings()
        raise LabError(
            f"{settings.model} failed on {settings.suite}: {status.message or f'{status.failed} of its calls failed'}",
            status.hint or f"See `o1lab eval show {folder.id}`.",
            code="evaluation",
        )
    with opened_lab(lab) as store:
        return summarise(store.db, evaluations.get(store.db, folder.id))
