"""The ways to long thoughts, by the names that ``--method`` takes, and the prompts each of them needs."""

from __future__ import annotations

from o1lab.distill.method import Method
from o1lab.distill.methods.base import Prompts
from o1lab.distill.methods.debate import Debate
from o1lab.distill.methods.reformat import Reformat
from o1lab.distill.methods.sample import Sample
from o1lab.distill.methods.translate import Translate
from o1lab.distill.settings import MethodName, TeacherRunSettings
from o1lab.errors import UsageError

_METHODS: dict[MethodName, type[Sample] | type[Reformat] | type[Translate] | type[Debate]] = {
    "sample": Sample,
    "reformat": Reformat,
    "translate": Translate,
    "debate": Debate,
}
_WHOLE_EXPLORATION = "whole-exploration"


def prompt_names(settings: TeacherRunSettings, *, hidden_thoughts: bool = False) -> dict[str, str]:
    """The prompts a run asks with: role to name (or ``name@version``), to be found with ``find_prompt``.

    ``settings.prompt`` takes the place of the first one. A teacher that hides its thoughts is asked to write down its
    whole exploration unless a prompt is named.
    """
    needs = _METHODS[settings.method].needs
    names = {role: need.default for role, need in needs.items()}
    if settings.method == "sample" and hidden_thoughts:
        names["prompt"] = _WHOLE_EXPLORATION
    if settings.prompt:
        names[next(iter(needs))] = settings.prompt
    return names


def make_method(settings: TeacherRunSettings, prompts: Prompts) -> Method:
    """The method of a run, with its prompts by role as :func:`prompt_names` gives them.

    Raises:
        UsageError: a prompt has a slot that this method does not fill.
    """
    made = _METHODS[settings.method]
    for role, need in made.needs.items():
        prompt = prompts[role]
        if strange := prompt.slots - need.slots:
            raise UsageError(
                f"The prompt {prompt.label} wants {{{{{min(strange)}}}}}, which {settings.method} does not fill in.",
                f"It fills in {', '.join(sorted(need.slots))}. The file is {prompt.path}.",
            )
    return made(settings, prompts)
