"""Evaluations as a person handles them: start, look, pause, stop, go on, score anew.

:mod:`o1lab.evaluate.run.runner` runs them.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from o1lab.config import load_config
from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.evaluate.items import Item, items_hash
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus, ScoredBy
from o1lab.evaluate.run.identity import Identity, identify
from o1lab.evaluate.run.judging import choose_scorer, keep_prompt
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.suites.loading import load_items
from o1lab.evaluate.suites.suite import Suite, find_suite, suite_folders
from o1lab.inference.models import check_priced
from o1lab.jobs import control
from o1lab.jobs.control import FaultCount, JobInfo
from o1lab.jobs.directory import write_json
from o1lab.paths import Lab
from o1lab.serve.registry import ModelRef, endpoint_key, find_model
from o1lab.settings import validate
from store import Store, evaluations, open_store
from store.errors import MissingError
from store.evaluations import Evaluation, ItemRow

CHANGEABLE = (
    "concurrency", "requests_per_minute", "tokens_per_minute", "attempts", "silence_timeout_s", "budget_usd",
    "budget_tokens",
)  # fmt: skip
"""Settings that may differ when an evaluation goes on: they decide how it is asked, not what comes out."""
_OF_THE_SUITE = ("temperature", "top_p", "max_tokens", "samples", "seed")
_SAMPLING = ("temperature", "top_p", "max_tokens", "seed", "reasoning_effort", "force_answer")

EvalInfo = JobInfo[EvalStatus, EvaluationSettings]


def read_settings(lab: Lab, values: Mapping[str, Any]) -> EvaluationSettings:
    """Settings from named values; None leaves a value to the suite, or to its default where the suite has none.

    Raises:
        NotFoundError: there is no such suite.
        UsageError: a name or value that means nothing, or the suite's file makes no sense.
    """
    given = {name: value for name, value in values.items() if value is not None}
    named = given.get("suite")
    usual = sampling_of(find_suite(lab, named)) if isinstance(named, str) else {}
    return validate(EvaluationSettings, usual | given, verb="eval run")


def sampling_of(suite: Suite) -> dict[str, Any]:
    """The sampling settings that a suite proposes."""
    return {name: getattr(suite.sampling, name) for name in _OF_THE_SUITE}


def start(lab: Lab, settings: EvaluationSettings) -> EvalFolder:
    """Make an evaluation: its folder with everything it needs, and its row in the lab. Nothing is asked yet.

    Raises:
        NotFoundError: no such suite, model or judge.
        UsageError: the suite's items or scorer make no sense, or the budget cannot be kept.
        LabError: the items are not there, a key's variable is empty, or the folder cannot be written.
    """
    suite = find_suite(lab, settings.suite)
    ref = find_model(lab, settings.model, load_config(lab))
    if ref.endpoint is not None:
        endpoint_key(ref.endpoint)
    scored_by, judge = choose_scorer(lab, suite.scorer, settings.judge)
    settings = _resolved(lab, settings, suite, ref, judge)
    check_priced(settings, [one for one in (ref, judge) if one is not None])
    store = open_store(lab.database)
    try:
        items = load_items(lab, store, suite, file=settings.items_file, limit=settings.limit)
        identity = identify(lab, ref)
        folder = EvalFolder(lab.evals / control.new_id(lab.evals))
        try:
            _write(folder, lab, settings, suite, items=items, identity=identity, scored_by=scored_by)
        except OSError as error:
            raise LabError(
                f"Cannot write the evaluation's folder {folder.path}: {error.strerror}.", "Check the lab's disk."
            ) from error
        register(lab, folder, store)
        return folder
    finally:
        store.close()


def _resolved(
    lab: Lab, settings: EvaluationSettings, suite: Suite, ref: ModelRef, judge: ModelRef | None
) -> EvaluationSettings:
    """The settings with names that mean the same later: a run's last checkpoint is another one tomorrow."""
    names: dict[str, Any] = {"model": ref.id}
    if judge is not None:
        names["judge"] = judge.id
    if suite.path is not None and suite.path.parent not in suite_folders(lab):
        names["suite"] = str(suite.path.absolute())
    return settings.model_copy(update=names)


def _write(
    folder: EvalFolder,
    lab: Lab,
    settings: EvaluationSettings,
    suite: Suite,
    *,
    items: Sequence[Item],
    identity: Identity,
    scored_by: ScoredBy,
) -> None:
    folder.stop_file.parent.mkdir(parents=True)
    folder.write_items(items)
    write_json(folder.suite_file, suite.model_dump(mode="json"))
    identity.write(folder.model_file)
    folder.set_scored_by(scored_by)
    keep_prompt(folder, lab, scored_by.spec)
    requested = len(items) * settings.samples
    now = EvalStatus("starting", host=socket.gethostname(), heartbeat=time.time(), requested=requested)
    folder.write_status(now)
    write_json(folder.settings_file, settings.model_dump(mode="json"))  # the last: with it the evaluation is there


def register(lab: Lab, folder: EvalFolder, store: Store) -> Evaluation:
    """Give an evaluation its row in the lab, with its items; one that is there stays as it is.

    Raises:
        LabError: its folder cannot be read.
        StoreError: the database refuses.
    """
    with store.explained():
        try:
            return evaluations.get(store.db, folder.id)
        except MissingError:
            pass
        items = list(folder.items())
        settings, suite, identity = folder.settings(), folder.suite(), folder.identity()
        values = settings.model_dump(mode="json")
        made = Evaluation(
            folder.id,
            str(folder.path.relative_to(lab.root)),
            suite.name,
            suite.version,
            items_hash(items),
            suite.family,
            settings.model,
            identity.role,
            identity.revision,
            {name: values[name] for name in _SAMPLING if values[name] is not None},
            values,
            len(items),
            settings.samples,
            folder.scored_by().label,
            metric=suite.metric,
        )
        rows = [ItemRow(one.id, one.question, one.gold, one.group, one.variant, one.meta) for one in items]
        evaluations.add(store.db, made, rows)
        return made


def resume(lab: Lab, identity: str, changes: Mapping[str, Any] | None = None) -> EvalFolder:
    """Make an evaluation ready to go on; ``changes`` are new values of ``CHANGEABLE`` settings. Nothing is asked yet.

    Raises:
        NotFoundError: no such evaluation.
        UsageError: it is running, another setting was to be changed, or the budget cannot be kept.
    """
    folder = find(lab, identity)
    control.ensure_not_running(info(folder), folder)
    _change(lab, folder, changes or {}, judge=folder.scored_by().judge)
    control.clear_control_files(folder)
    return folder


def rescore(lab: Lab, identity: str, changes: Mapping[str, Any] | None = None) -> EvalFolder:
    """Make an evaluation ready to be scored by its suite's scorer of now; the scores of old labels stay.

    ``changes`` may name a ``judge`` and ``CHANGEABLE`` settings. The new scorer's scores are shown from now on. Nothing
    is asked yet; drive it with ``scores_only``.

    Raises:
        NotFoundError: no such evaluation, judge or prompt.
        UsageError: it is running, or a judge is needed and none is named.
        LabError: the folder cannot be written.
    """
    folder = find(lab, identity)
    control.ensure_not_running(info(folder), folder)
    given = dict(changes or {})
    judge = given.pop("judge", None)
    before, settings = folder.scored_by(), folder.settings()
    try:
        suite = find_suite(lab, settings.suite)
    except NotFoundError:
        suite = folder.suite()  # its file is gone: what it said when the evaluation began
    if suite.scorer.name == before.spec.name:
        judge = judge or before.judge
    scored_by, ref = choose_scorer(lab, suite.scorer, judge)
    _change(lab, folder, given, judge=scored_by.judge)
    check_priced(folder.settings(), [ref] if ref is not None else [])
    store = open_store(lab.database)
    try:
        register(lab, folder, store)
        keep_prompt(folder, lab, scored_by.spec)
        folder.set_scored_by(scored_by)
        with store.explained():
            evaluations.set_scorer(store.db, folder.id, scored_by.label)
    except OSError as error:
        raise LabError(f"Cannot write {folder.path}: {error.strerror}.", "Check the lab's disk.") from error
    finally:
        store.close()
    control.clear_control_files(folder)
    return folder


def _change(lab: Lab, folder: EvalFolder, changes: Mapping[str, Any], *, judge: str | None) -> None:
    """Write new values of settings that may change.

    Raises:
        UsageError: another setting was to be changed, or the budget cannot be kept.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if fixed := given.keys() - set(CHANGEABLE):
        raise UsageError(
            f"{min(fixed).replace('_', ' ')} cannot change within an evaluation.",
            "Start a new one (what was asked in just the same way is taken from this), or leave that option out.",
        )
    if given:
        values = folder.settings().model_dump(mode="json") | given
        settings = validate(EvaluationSettings, values, verb="eval run")
        check_priced(settings, _models(lab, settings, judge))
        write_json(folder.settings_file, settings.model_dump(mode="json"))


def _models(lab: Lab, settings: EvaluationSettings, judge: str | None) -> list[ModelRef]:
    config = load_config(lab)
    return [find_model(lab, name, config) for name in (settings.model, judge) if name is not None]


def launch_detached(folder: EvalFolder, *, scores_only: bool = False) -> int:
    """Drive an evaluation in a process of its own that outlives this one; its pid.

    Raises:
        LabError: the process or its log cannot be started.
    """
    return control.launch(folder, "o1lab.evaluate.run.worker", *(["--scores-only"] if scores_only else []))


def list_runs(lab: Lab) -> list[EvalInfo]:
    """Every evaluation of the lab, the newest first."""
    control.reap()
    folders = [EvalFolder(path) for path in lab.evals.glob("*") if (path / "settings.json").is_file()]
    folders.sort(key=_made_at, reverse=True)
    return [info(folder) for folder in folders]


def _made_at(folder: EvalFolder) -> float:
    """When it was made: its suite never changes."""
    try:
        return folder.suite_file.stat().st_mtime
    except OSError:
        return time.time()


def find(lab: Lab, identity: str) -> EvalFolder:
    """The evaluation of this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    return control.find(lab.evals, identity, EvalFolder)


def info(folder: EvalFolder, *, now: float | None = None) -> EvalInfo:
    """How an evaluation stands, ``dead`` included: its process is gone."""
    return control.snapshot(folder, now=now)


def stop(folder: EvalFolder) -> EvalInfo:
    """Ask an evaluation to stop; calls in flight are waited for.

    Raises:
        UsageError: it has ended already.
        LabError: the folder cannot be written.
    """
    return control.ask(folder, folder.stop_file)


def pause(folder: EvalFolder) -> EvalInfo:
    """Ask an evaluation to make no new call until it may go on; raises as :func:`stop`."""
    return control.ask(folder, folder.pause_file)


def go_on(folder: EvalFolder) -> EvalInfo:
    """Let a paused evaluation go on.

    Raises:
        UsageError: nobody works on it.
        LabError: the folder cannot be written.
    """
    return control.go_on(folder)


def faults(folder: EvalFolder) -> list[FaultCount]:
    """What went wrong, by code: every try of the model counts, and every try of its judges."""
    found: dict[str, FaultCount] = {}
    for path in (folder.journal, *folder.judge_journals):
        for fault in control.faults(path):
            known = found.setdefault(fault.code, fault)
            if known is not fault:
                known.number += fault.number
    return sorted(found.values(), key=lambda one: -one.number)
