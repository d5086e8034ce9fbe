"""Distillation methods by the names that ``--method`` takes; :mod:`o1lab.distill.methods.base` says how to add one."""

from __future__ import annotations

import inspect
from pathlib import Path

from o1lab.distill.methods.base import METHODS, Method, Need, Prompts, SingleCall, method
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import NotFoundError, UsageError
from o1lab.inference.prompts import Prompt, find_prompt
from o1lab.paths import Lab

__all__ = [
    "METHODS",
    "Method",
    "Need",
    "Prompts",
    "SingleCall",
    "find_prompts",
    "make_method",
    "method",
    "prompt_names",
]


def prompt_names(settings: TeacherRunSettings, *, hidden_thoughts: bool = False) -> dict[str, str]:
    """The prompts a run asks with, for ``find_prompt``.

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
    """The prompts that :func:`prompt_names` names, by role.

    Raises:
        NotFoundError: there is no such prompt.
        UsageError: a prompt file is broken.
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
    """The method of a run, with its prompts by role as :func:`prompt_names` names them.

    Raises:
        UsageError: there is no such method, or a prompt has a slot that this method does not fill.
    """
    kind = METHODS.get(settings.method)
    for role, need in kind.needs.items():
        prompt = prompts[role]
        if unknown := prompt.slots - need.slots:
            raise UsageError(
                f"The prompt {prompt.label} wants {{{{{min(unknown)}}}}}, which {settings.method} does not fill in.",
                f"It fills in {', '.join(sorted(need.slots))}. The file is {prompt.path}.",
            )
    return kind(settings, prompts)
