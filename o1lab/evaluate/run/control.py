"""Start, resume and rescore evaluations.

:mod:`o1lab.evaluate.run.runner` runs them, :mod:`o1lab.jobs.manage` manages them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from o1lab.config import load_config
from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.evaluate.items import Item, items_hash
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.judging import choose_scorer, keep_prompt
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.suites.loading import load
from o1lab.evaluate.suites.suite import Suite, find_suite, suite_folders
from o1lab.files import write_json, writing
from o1lab.inference.continuing import require_continuing
from o1lab.inference.models import check_priced
from o1lab.jobs import manage, preparing, spawn
from o1lab.jobs.directory import JobInfo
from o1lab.jobs.manage import JobKind
from o1lab.labs import opened_lab
from o1lab.paths import Lab
from o1lab.serve.endpoints import endpoint_address
from o1lab.serve.identity import Identity, identify
from o1lab.serve.registry import ModelRef, find_model
from o1lab.settings import validate
from store import Store, evaluations, sample_list
from store.evaluations import Evaluation, ItemRow

CHANGEABLE = (*preparing.CHANGEABLE, "max_tokens")
"""Settings that may change when an evaluation is resumed; ``max_tokens`` if the stored samples would be the same."""
_FORCING = ("budget_forcing", "wait", "max_thought_tokens")
_OF_THE_SUITE = ("temperature", "top_p", "max_tokens", "samples", "seed", *_FORCING)
_SAMPLING = ("temperature", "top_p", "max_tokens", "seed", "reasoning_effort", "force_answer")

EvalInfo = JobInfo[EvalStatus, EvaluationSettings]


def read_settings(lab: Lab, values: Mapping[str, Any]) -> EvaluationSettings:
    """Make settings from named values; None takes the suite's value or the default.

    Raises:
        NotFoundError: there is no such suite.
        UsageError: a name or value, or the suite's file, is not valid.
    """
    given = {name: value for name, value in values.items() if value is not None}
    named = given.get("suite")
    proposed = sampling_of(find_suite(lab, named)) if isinstance(named, str) else {}
    return validate(EvaluationSettings, proposed | given, verb="eval run")


def sampling_of(suite: Suite) -> dict[str, Any]:
    """Return the sampling settings that a suite proposes."""
    return {name: getattr(suite.sampling, name) for name in _OF_THE_SUITE}


def start(lab: Lab, settings: EvaluationSettings) -> EvalFolder:
    """Create an evaluation: its directory with everything it needs, and its rows. No call is made yet.

    Raises:
        NotFoundError: there is no such suite, model or judge.
        UsageError: the suite's items or scorer are not valid, or the budget cannot be checked.
        RefusedError: budget forcing is set, and the model is an endpoint, which cannot continue a thought.
        LabError: the items are missing, the variable of a key is empty, or the directory cannot be written.
    """
    suite = find_suite(lab, settings.suite)
    ref = find_model(lab, settings.model, load_config(lab))
    if ref.endpoint is not None:
        address = endpoint_address(ref.endpoint)
        if settings.forcing is not None:
            require_continuing(address, ref.id)
    scored_by, judge = choose_scorer(lab, suite.scorer, settings.judge)
    settings = _resolved(lab, settings, suite, ref, judge)
    check_priced(settings, [one for one in (ref, judge) if one is not None])
    with opened_lab(lab) as store:
        items = load(lab, store, suite, file=settings.items_file, limit=settings.limit).items
        identity = identify(lab, ref)
        folder = EvalFolder(lab.evals / spawn.new_id(lab.evals))
        with preparing.created(folder, settings, requested=len(items) * settings.samples):
            folder.write_items(items)
            write_json(folder.suite_file, suite.model_dump(mode="json"))
            identity.write(folder.model_file)
            folder.set_scored_by(scored_by)
            keep_prompt(folder, lab, scored_by.spec)
        register(lab, folder, store)
        return folder


def _resolved(
    lab: Lab, settings: EvaluationSettings, suite: Suite, ref: ModelRef, judge: ModelRef | None
) -> EvaluationSettings:
    """Replace names whose meaning can change, such as the last checkpoint of a run, by the ids they refer to now."""
    names: dict[str, Any] = {"model": ref.id}
    if judge is not None:
        names["judge"] = judge.id
    if suite.path is not None and suite.path.parent not in suite_folders(lab):
        names["suite"] = str(suite.path.absolute())
    return settings.model_copy(update=names)


def register(lab: Lab, folder: EvalFolder, store: Store) -> Evaluation:
    """Return the evaluation's row in the database; add it with its items if there is none.

    Raises:
        LabError: its directory cannot be read.
        StoreError: the database cannot be written.
    """
    with store.explained():
        try:
            return evaluations.get(store.db, folder.id)
        except NotFoundError:
            pass
        items = list(folder.items())
        made = _describe(lab, folder, items)
        rows = [ItemRow(one.id, one.question, one.gold, one.group, one.variant, one.meta) for one in items]
        evaluations.add(store.db, made, rows)
        return made


def recorded(lab: Lab, folder: EvalFolder, store: Store) -> Evaluation:
    """Return the evaluation from the database, or from its directory if it has no row; writes nothing.

    Raises:
        LabError: its directory cannot be read.
    """
    try:
        return evaluations.get(store.db, folder.id)
    except NotFoundError:
        return _describe(lab, folder, list(folder.items()))


def _describe(lab: Lab, folder: EvalFolder, items: Sequence[Item]) -> Evaluation:
    try:
        settings = folder.settings()
    except (OSError, ValueError) as error:
        raise LabError(f"{folder.settings_file} cannot be read.", "Start a new evaluation.") from error
    suite, identity = folder.suite(), folder.identity()
    values = settings.model_dump(mode="json")
    return Evaluation(
        folder.id,
        str(folder.path.relative_to(lab.root)),
        suite.name,
        suite.version,
        items_hash(items),
        suite.family,
        settings.model,
        identity.role,
        identity.revision,
        _sampling(values, identity),
        values,
        len(items),
        settings.samples,
        folder.scored_by().label,
        metric=suite.metric,
    )


def _prepare(lab: Lab, folder: EvalFolder, changes: Mapping[str, Any]) -> None:
    manage.ensure_not_running(folder)
    _change(lab, folder, changes, judge=folder.scored_by().judge)
    folder.clear_control_files()


def rescore(lab: Lab, identity: str, changes: Mapping[str, Any] | None = None) -> EvalFolder:
    """Prepare an evaluation to be scored by its suite's current scorer; scores of other scorers stay.

    The scores of the new scorer are shown from now on. No call is made yet; run it with ``scores_only``.

    Args:
        lab: the lab of the evaluation.
        identity: its id or name, or the beginning of its id.
        changes: a ``judge``, and new values of ``CHANGEABLE`` settings.

    Raises:
        NotFoundError: there is no such evaluation, judge or prompt.
        UsageError: it is running, or a judge is needed and none is named.
        LabError: the directory cannot be written.
    """
    folder = EVALUATIONS.find(lab, identity)
    manage.ensure_not_running(folder)
    given = dict(changes or {})
    judge = given.pop("judge", None)
    before, settings = folder.scored_by(), folder.settings()
    try:
        suite = find_suite(lab, settings.suite)
    except NotFoundError:
        suite = folder.suite()  # its file is gone: use the copy made when the evaluation began
    if suite.scorer.name == before.spec.name:
        judge = judge or before.judge
    scored_by, ref = choose_scorer(lab, suite.scorer, judge)
    _change(lab, folder, given, judge=scored_by.judge)
    check_priced(folder.settings(), [ref] if ref is not None else [])
    with writing(folder.path), opened_lab(lab) as store:
        register(lab, folder, store)
        keep_prompt(folder, lab, scored_by.spec)
        folder.set_scored_by(scored_by)
        evaluations.update(store.db, folder.id, scorer=scored_by.label)
    folder.clear_control_files()
    return folder


def _change(lab: Lab, folder: EvalFolder, changes: Mapping[str, Any], *, judge: str | None) -> None:
    """Write new values of settings.

    Raises:
        UsageError: a setting that is not ``CHANGEABLE`` would change, or the budget cannot be checked.
    """
    settings = preparing.changed_settings(
        folder, changes, CHANGEABLE, verb="eval run", reuses="it reuses samples with the same settings"
    )
    if settings is not None:
        check_priced(settings, _models(lab, settings, judge))
        if changes.get("max_tokens") is not None:
            _set_limit(lab, folder, settings)
        write_json(folder.settings_file, settings.model_dump(mode="json"))


def _set_limit(lab: Lab, folder: EvalFolder, settings: EvaluationSettings) -> None:
    """Change the limit of responses in the evaluation's row.

    Raises:
        UsageError: a stored sample would differ with the new limit.
    """
    values = settings.model_dump(mode="json")
    with opened_lab(lab) as store:
        if differing := sample_list.count_cut_at(store.db, folder.id, settings.max_tokens):
            raise UsageError(
                f"max tokens cannot change to {settings.max_tokens}: {differing} stored samples were cut off or are "
                "longer.",
                "Start a new evaluation with that limit.",
            )
        sampling = _sampling(values, folder.identity())
        evaluations.update(store.db, folder.id, sampling=json.dumps(sampling), settings=json.dumps(values))


def _sampling(values: Mapping[str, Any], identity: Identity) -> dict[str, Any]:
    """Return what the samples were drawn with, without what is left to the server or the suite."""
    given = values["system"]
    asked = identity.system_prompt or None if given is None else given
    forcing = _FORCING if values["budget_forcing"] or values["max_thought_tokens"] is not None else ()
    found = {name: values[name] for name in (*_SAMPLING, *forcing)} | {"system": asked}
    return {name: value for name, value in found.items() if value is not None}


def _models(lab: Lab, settings: EvaluationSettings, judge: str | None) -> list[ModelRef]:
    config = load_config(lab)
    return [find_model(lab, name, config) for name in (settings.model, judge) if name is not None]


def _forget(lab: Lab, folder: EvalFolder) -> tuple[str, ...]:
    """Delete an evaluation's rows: its items, samples, scores and ratings. Traces made from samples stay."""
    with opened_lab(lab) as store:
        evaluations.remove(store.db, folder.id)
    return ()


EVALUATIONS = JobKind(EvalFolder, lambda lab: lab.evals, _prepare, spawn.launcher("o1lab.evaluate.run.worker"), _forget)
"""Evaluations, for :mod:`o1lab.jobs.manage`."""
