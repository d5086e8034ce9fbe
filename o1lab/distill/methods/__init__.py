"""The distillation methods of ``--method``; :mod:`o1lab.distill.method` describes how to add one."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from o1lab.distill.method import METHODS, Method, Need, Prompts, SingleCall, method
from o1lab.errors import NotFoundError, UsageError
from o1lab.inference.calls import Role
from o1lab.inference.prompts import Prompt, find_prompt
from o1lab.paths import Lab

if TYPE_CHECKING:
    from o1lab.distill.settings import TeacherRunSettings

__all__ = [
    "METHODS",
    "Method",
    "Need",
    "Prompts",
    "SingleCall",
    "find_prompts",
    "make_method",
    "method",
    "model_names",
    "prompt_names",
]


def model_names(settings: TeacherRunSettings) -> dict[Role, str]:
    """Return the names of the models that the method of a run calls, by role; the teacher is the first.

    Raises:
        UsageError: the method needs a student, and none is named.
    """
    roles = METHODS.get(settings.method).roles
    names: dict[Role, str] = {"teacher": settings.endpoint}
    if "critic" in roles:
        names["critic"] = settings.critic or settings.endpoint
    if "student" in roles:
        if not settings.student:
            raise UsageError(
                f"The method {settings.method} needs a student.", "Add --student RUN, or RUN/STEP for one checkpoint."
            )
        names["student"] = settings.student
    return names


def prompt_names(settings: TeacherRunSettings, *, hidden_thoughts: bool = False) -> dict[str, str]:
    """Return the names of the prompts of a run, for ``find_prompt``.

    Args:
        settings: ``settings.prompt`` replaces the first prompt of the method.
        hidden_thoughts: whether the teacher hides its thoughts: some methods then ask it to write them down.

    Returns:
        Name (or ``name@version``) by role.
    """
    needs = METHODS.get(settings.method).needs
    names = {role: (hidden_thoughts and need.hidden_thoughts) or need.default for role, need in needs.items()}
    if settings.prompt:
        names[next(iter(needs))] = settings.prompt
    return names


def find_prompts(lab: Lab | None, settings: TeacherRunSettings, *, hidden_thoughts: bool = False) -> dict[str, Prompt]:
    """Load the prompts that :func:`prompt_names` names, by role.

    Raises:
        NotFoundError: a prompt does not exist.
        UsageError: a prompt file is invalid.
    """
    kind = METHODS.get(settings.method)
    found = {}
    for role, name in prompt_names(settings, hidden_thoughts=hidden_thoughts).items():
        need = kind.needs[role]
        try:
            found[role] = find_prompt(lab, name)
        except NotFoundError:
            if name != need.default or not need.text:
                raise
            found[role] = Prompt(name, 1, kind.name, "", (("user", need.text),), Path(inspect.getfile(kind)))
    return found


def make_method(settings: TeacherRunSettings, prompts: Prompts) -> Method:
    """Return the method of a run.

    Args:
        settings: the settings of the run.
        prompts: the prompts by role, as :func:`find_prompts` returns them.

    Raises:
        UsageError: there is no such method, or a prompt has a slot that the method does not fill.
    """
    kind = METHODS.get(settings.method)
    for role, need in kind.needs.items():
        prompt = prompts[role]
        if unknown := prompt.slots - need.slots:
            raise UsageError(
                f"The prompt {prompt.label} uses {{{{{min(unknown)}}}}}, which {settings.method} does not provide.",
                f"It provides {', '.join(sorted(need.slots))}. The file is {prompt.path}.",
            )
    return kind(settings, prompts)
