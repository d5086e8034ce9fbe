"""Yes-or-no questions that a model answers before it has thought, and then defends.

After Zhang et al., How Language Model Hallucinations Can Snowball (2023): asked for the answer first, a model commits
itself and then makes up reasons; asked to think first, it often does not. The second look is ours, in the same
conversation (the paper asked about single claims in a new one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from o1lab.evaluate.items import Item
from o1lab.evaluate.suites.builders.base import Options, Question, Templates, fill

Variant = Literal["direct", "step-by-step", "second-look"]

_DIRECT = "{{prompt}}\n\nBegin with a line `Answer: yes` or `Answer: no`. Then give your reasons."
_STEPS = "{{prompt}}\n\nThink step by step. End with a line `Answer: yes` or `Answer: no`."
_LOOK = (
    "Check every claim you have just made, one by one. Is any of them wrong? Then end with a line `Answer: yes` or "
    "`Answer: no` for my first question."
)


class SnowballingOptions(Options):
    """Which ways, in what words."""

    variants: tuple[Variant, ...] = Field(default=("direct", "step-by-step", "second-look"), min_length=1)
    direct: str = _DIRECT
    step_by_step: str = _STEPS
    second_look: str = _LOOK


def snowballing(
    questions: Sequence[Question], templates: Templates, options: SnowballingOptions, _left_out: Callable[[str], None]
) -> Iterator[Item]:
    """An item for each way of each question, ``ID:WAY``, all in the question's group; gold is yes or no."""
    for question in questions:
        values = question.values()
        asked = templates.asked(values)
        direct = fill(options.direct, {**values, "prompt": asked})
        ways = {
            "direct": [direct],
            "step-by-step": [fill(options.step_by_step, {**values, "prompt": asked})],
            "second-look": [direct, fill(options.second_look, {**values, "prompt": asked})],
        }
        for way in options.variants:
            yield templates.item(
                question,
                ways[way],
                values,
                id=f"{question.id}:{way}",
                group=question.id,
                variant=way,
                meta={**question.meta, "choices": ["yes", "no"]},
            )
