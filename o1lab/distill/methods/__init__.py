"""Distillation methods by the names that ``--method`` takes; :mod:`o1lab.distill.methods.base` says how to add one."""

from __future__ import annotations

from o1lab.distill.methods.base import METHODS, Method, Need, Prompts, SingleCall, method
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import UsageError

__all__ = ["METHODS", "Method", "Need", "Prompts", "SingleCall", "make_method", "method", "prompt_names"]


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
