"""What can be done with an evaluation, as plain functions for a thread, and what has to be asked before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from o1lab.config import load_config
from o1lab.errors import NotFoundError
from o1lab.evaluate.run import control
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.evaluate.scorers import needs_judge, scorer_label
from o1lab.evaluate.suites.suite import find_suite
from o1lab.jobs import manage
from o1lab.paths import Lab
from o1lab.serve.registry import list_models
from screens.evaluate.poller import Line

BUDGETS = {"budget_usd": "dollars", "budget_tokens": "tokens"}


def pause(lab: Lab, identity: str) -> None:
    """Ask an evaluation to make no new call."""
    manage.pause(EvalFolder(lab.evals / identity))


def go_on(lab: Lab, identity: str) -> None:
    """Let an evaluation make calls again."""
    control.EVALUATIONS.resume(lab, EvalFolder(lab.evals / identity))


def stop(lab: Lab, identity: str) -> None:
    """Ask an evaluation to stop."""
    manage.stop(EvalFolder(lab.evals / identity))


def resume(lab: Lab, identity: str, changes: Mapping[str, Any]) -> None:
    """Resume an evaluation."""
    control.EVALUATIONS.resume(lab, EvalFolder(lab.evals / identity), changes)


def rescore(lab: Lab, identity: str, changes: Mapping[str, Any]) -> int:
    """Start a process that scores an evaluation's samples again; its pid."""
    return control.launch_detached(control.rescore(lab, identity, changes), scores_only=True)


@dataclass(frozen=True)
class Rescoring:
    """Who would score: the label (of a judge without its model), and where it is a judge, who may and who did."""

    label: str
    judged: bool
    judge: str
    models: tuple[str, ...]


def rescoring(lab: Lab, identity: str) -> Rescoring:
    """Who would score an evaluation's samples now."""
    folder = EvalFolder(lab.evals / identity)
    try:
        suite = find_suite(lab, folder.settings().suite)
    except NotFoundError:
        suite = folder.suite()  # its file is gone: what it said when the evaluation began
    judged = needs_judge(suite.scorer)
    models = tuple(ref.id for ref in list_models(lab, load_config(lab))) if judged else ()
    return Rescoring(scorer_label(suite.scorer, lab, None), judged, folder.scored_by().judge or "", models)


def spent_budget(line: Line) -> tuple[str, float] | None:
    """(which setting, how much) of the budget that stopped an evaluation: it must be raised before it can go on."""
    if line.info is None or line.info.settings is None or line.info.status.stopped_by not in BUDGETS:
        return None
    name = line.info.status.stopped_by
    budget = getattr(line.info.settings, name)
    return None if budget is None else (name, budget)
