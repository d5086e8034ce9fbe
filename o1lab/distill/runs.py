"""Check, start and resume teacher runs.

:mod:`o1lab.distill.runner` runs them, :mod:`o1lab.jobs.manage` manages them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from o1lab.config import load_config
from o1lab.distill.engines import ENGINES
from o1lab.distill.items import count_items
from o1lab.distill.method import single
from o1lab.distill.methods import METHODS, find_prompts, make_method, model_names
from o1lab.distill.provenance import save_models
from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import LabError, UsageError
from o1lab.files import write_json
from o1lab.inference import journal
from o1lab.inference.calls import Role
from o1lab.inference.models import check_priced
from o1lab.inference.prompts import Prompt, keep_prompts
from o1lab.jobs import manage, preparing, spawn
from o1lab.jobs.directory import JobInfo
from o1lab.jobs.manage import JobKind
from o1lab.jobs.progress import Usage
from o1lab.labs import opened_lab
from o1lab.paths import Lab
from o1lab.serve.endpoints import endpoint_address
from o1lab.serve.registry import ModelRef, find_model
from o1lab.settings import validate
from o1lab.small_files import UnreadableError
from store import Store, teacher_runs, wrong_steps

CHANGEABLE = (*preparing.CHANGEABLE, "stream", "max_tokens")
"""Settings that may change when a run is resumed; traces record ``max_tokens``."""


RunInfo = JobInfo[TeacherRunStatus, TeacherRunSettings]


@dataclass(frozen=True)
class Checked:
    """Settings that are valid in this lab, with the models and prompts that they name."""

    settings: TeacherRunSettings
    models: Mapping[Role, ModelRef]
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    items: int = 0


def read_settings(values: Mapping[str, Any]) -> TeacherRunSettings:
    """Make settings from named values; None keeps a setting's default.

    Raises:
        UsageError: a name or value is not valid.
    """
    given = {name: value for name, value in values.items() if value is not None}
    return validate(TeacherRunSettings, given, verb="distill")


def check(lab: Lab, settings: TeacherRunSettings, store: Store) -> Checked:
    """Check that everything the settings name exists.

    Raises:
        NotFoundError: there is no such model or prompt.
        UsageError: the filter, the prompt or the budget is not valid.
        LabError: the variable of a key is empty, no problem matches, or a model cannot continue a text (code
            ``no_continuing``) and the method needs that.
    """
    models = _models(lab, settings)
    teacher = models["teacher"]
    for model in models.values():
        if model.endpoint is not None:
            endpoint_address(model.endpoint)
    check_priced(settings, models.values(), settings.engine)
    hidden = bool(teacher.endpoint and teacher.endpoint.hidden_thoughts)
    prompts = find_prompts(lab, settings, hidden_thoughts=hidden)
    method = make_method(settings, prompts)
    if teacher.source == "solver" and method.language_model:
        raise UsageError(
            f"The method {settings.method} needs a language model, and the solver is a program that knows sums only.",
            "Name an endpoint of o1lab.toml; `o1lab trees walk` makes chains from trees without a model.",
        )
    for role in method.continues:
        if not (model := models[role]).continues:
            raise LabError(
                f"The {role} of the method {settings.method} continues a text that has begun, and {model.id} is an "
                "endpoint that only answers messages.",
                "Name the solver, a base, a checkpoint, or a server that you started with `o1lab serve`.",
                code="no_continuing",
            )
    if not ENGINES.get(settings.engine).conversations:
        single(settings.engine, method)
    with store.explained():
        items = count_items(store, settings)
    if not items:
        source = METHODS.get(settings.method).source
        what = settings.traces if source == "traces" else settings.problems
        hint = "Import problems (`o1lab import FILE`), or choose others with --problems."
        if source == "trees":
            hint = "These problems need a search tree: `o1lab import FILE` with trees, or `o1lab trees make`."
        raise LabError(f"Nothing in the lab matches '{what}'.", hint, code="no_items")
    return Checked(settings, models, prompts, items)


def _models(lab: Lab, settings: TeacherRunSettings) -> dict[Role, ModelRef]:
    """Return the models of a run by role, the teacher first."""
    config = load_config(lab)
    return {role: find_model(lab, name, config) for role, name in model_names(settings).items()}


def start(lab: Lab, settings: TeacherRunSettings) -> RunFolder:
    """Create a run: its directory with everything it needs, and its row in the database. No call is made yet.

    Raises:
        NotFoundError, UsageError, LabError: as :func:`check`; or the directory cannot be written.
    """
    with opened_lab(lab) as store:
        checked = check(lab, settings, store)
        folder = RunFolder(lab.distill / spawn.new_id(lab.distill))
        teacher = checked.models["teacher"]
        with preparing.created(folder, settings):
            keep_prompts(folder.prompts, checked.prompts)
            save_models(folder.asked, {ref.id: ref for ref in checked.models.values()}.values())
        model = teacher.endpoint.model if teacher.endpoint else teacher.id
        register(lab, folder, model, checked.prompts, store)
        return folder


def register(lab: Lab, folder: RunFolder, model: str, prompts: Mapping[str, Prompt], store: Store) -> None:
    """Add a run's row to the database unless it has one; the results of the run refer to it.

    Raises:
        StoreError: the database cannot be written.
    """
    settings = folder.settings()
    with store.explained():
        teacher_runs.add(
            store.db,
            teacher_runs.TeacherRun(
                folder.id,
                str(folder.path.relative_to(lab.root)),
                settings.method,
                settings.endpoint,
                model,
                ", ".join(prompt.label for prompt in prompts.values()),
                settings.model_dump(mode="json"),
            ),
        )


def _prepare(lab: Lab, folder: RunFolder, changes: Mapping[str, Any]) -> None:
    manage.ensure_not_running(folder)
    settings = preparing.changed_settings(folder, changes, CHANGEABLE, verb="distill")
    if settings is not None:
        check_priced(settings, _models(lab, settings).values(), settings.engine)
        write_json(folder.settings_file, settings.model_dump(mode="json"))
    folder.clear_control_files()


def usage_by_role(folder: RunFolder) -> dict[str, Usage]:
    """Return what each model of a run took, by its role; empty if its method is unknown or calls one model only."""
    try:
        kind = METHODS.find(folder.settings().method)
    except UnreadableError:  # which the run's line shows
        return {}
    return journal.usage_by_role(folder.journal) if kind is not None and len(kind.roles) > 1 else {}


def _forget(lab: Lab, folder: RunFolder) -> tuple[str, ...]:
    """Delete a run's rows, unless traces or annotations refer to it: cards and reports need its row, prompts and terms.

    Returns:
        The names of the files to keep.
    """
    with opened_lab(lab) as store:
        if teacher_runs.has_traces(store.db, folder.id) or wrong_steps.has_run(store.db, folder.id):
            return folder.prompts.name, folder.asked.name
        teacher_runs.remove(store.db, folder.id)
    return ()


TEACHER_RUNS = JobKind(RunFolder, lambda lab: lab.distill, _prepare, spawn.launcher("o1lab.distill.worker"), _forget)
"""Teacher runs, for :mod:`o1lab.jobs.manage`."""
