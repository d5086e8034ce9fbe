"""Start and resume rounds. :mod:`o1lab.chat.rounds.runner` runs them, :mod:`o1lab.jobs.manage` manages them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from o1lab.chat.panes import Settings
from o1lab.chat.rounds.directory import RoundFolder, RoundPane, RoundSettings
from o1lab.config import load_config
from o1lab.errors import NotFoundError, UsageError
from o1lab.files import write_json
from o1lab.inference.models import check_priced
from o1lab.jobs import manage, spawn
from o1lab.jobs.manage import JobKind
from o1lab.jobs.preparing import CHANGEABLE, changed_settings, created
from o1lab.labs import opened_lab
from o1lab.paths import Lab
from o1lab.serve.endpoints import endpoint_address
from o1lab.serve.registry import ModelRef, find_model
from o1lab.settings import validate
from store import Store, conversations, problems, rounds

LONGEST_SET = 1000
"""Maximum number of prompts of a set made of the lab's problems."""


def prompts_of(store: Store, name: str) -> list[str]:
    """Return the prompts of a saved set, or the statements of the problems of a source, each once.

    Raises:
        NotFoundError: there is no such set, and no such source.
    """
    with store.explained():
        saved = conversations.prompt_sets(store.db).get(name)
        if saved is None:
            saved = [one.statement for one in problems.page(store.db, source=name, limit=LONGEST_SET)]
    if not saved:
        raise NotFoundError(
            f"There is no prompt set '{name}', and no problem of such a source.",
            "In Compare, w saves a prompt to a set; `o1lab problems ls` names the sources.",
        )
    return list(dict.fromkeys(saved))


def panes_of(refs: Sequence[ModelRef], settings: Settings) -> tuple[RoundPane, ...]:
    """Return the contestants that the panes of a conversation are."""
    panes = []
    for pane, ref in enumerate(refs):
        own = settings.of(pane)
        given = {name: getattr(own.sampling, name) for name in ("temperature", "top_p", "seed")}
        limit = {} if own.sampling.max_tokens is None else {"max_tokens": own.sampling.max_tokens}
        panes.append(RoundPane(model=ref.id, label=ref.label, system=own.system, **given, **limit))
    return tuple(panes)


def start(lab: Lab, name: str, prompts: Sequence[str], panes: Sequence[RoundPane], **requests: Any) -> RoundFolder:
    """Create a round with everything it needs. No call is made yet.

    Args:
        lab: the lab.
        name: the name of the prompt set.
        prompts: its prompts.
        panes: the contestants.
        requests: settings of requests, such as ``concurrency`` and ``budget_usd``; None is the default.

    Raises:
        NotFoundError: there is no such model.
        UsageError: there are fewer than two contestants or no prompt, two contestants are alike, or the budget cannot
            be checked.
        LabError: the variable of a key is empty, or the directory cannot be written.
    """
    if not prompts:
        raise UsageError("The prompt set is empty.", "Save a prompt to it first.")
    if len(panes) < 2:
        raise UsageError("A round needs two panes to vote on.", "Add a model, or the same model with other settings.")
    if len({(one.model, *one.settings().sampling.__dict__.values(), one.system) for one in panes}) < len(panes):
        raise UsageError("Two panes have the same model and the same settings.", "Change the settings of one of them.")
    config = load_config(lab)
    refs = [find_model(lab, one.model, config) for one in panes]
    for ref in refs:
        if ref.endpoint is not None:
            endpoint_address(ref.endpoint)
    given = {key: value for key, value in requests.items() if value is not None}
    named = [one.model_copy(update={"model": ref.id, "label": ref.label}) for one, ref in zip(panes, refs, strict=True)]
    values = given | {"prompt_set": name, "panes": [one.model_dump() for one in named]}
    settings = validate(RoundSettings, values, verb="compare ask")
    check_priced(settings, refs)
    folder = RoundFolder(lab.rounds / spawn.new_id(lab.rounds))
    with created(folder, settings, requested=len(prompts) * len(panes)):
        folder.write_prompts(prompts)
    return folder


def _prepare(lab: Lab, folder: RoundFolder, changes: Mapping[str, Any]) -> None:
    manage.ensure_not_running(folder)
    settings = changed_settings(folder, changes, CHANGEABLE, verb="compare ask")
    if settings is not None:
        config = load_config(lab)
        check_priced(settings, [find_model(lab, one.model, config) for one in settings.panes])
        write_json(folder.settings_file, settings.model_dump(mode="json"))
    folder.clear_control_files()


def _forget(lab: Lab, folder: RoundFolder) -> tuple[str, ...]:
    """Delete the round's conversations; those with votes or further questions stay."""
    with opened_lab(lab) as store:
        rounds.forget(store.db, folder.id)
    return ()


ROUNDS = JobKind(RoundFolder, lambda lab: lab.rounds, _prepare, spawn.launcher("o1lab.chat.rounds.worker"), _forget)
"""Rounds, for :mod:`o1lab.jobs.manage`."""
