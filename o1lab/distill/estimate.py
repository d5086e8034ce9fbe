"""What a run will come to before anything is asked: calls, tokens, money. Every figure says how it was come by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from o1lab.config import load_config
from o1lab.distill.items import count_unanswered, items
from o1lab.distill.methods import make_method
from o1lab.distill.runs import check
from o1lab.distill.settings import TeacherRunSettings
from o1lab.distill.tokens import RULE, rough_tokens
from o1lab.distill.voices import price_of
from o1lab.errors import O1LabError
from o1lab.locations import Lab
from store import Store, teacher_runs

_COUNTED = 500
"""So many items are counted by the tokenizer; the others by what it makes of a rough token."""


@dataclass(frozen=True)
class Estimate:
    """Calls, tokens and dollars of a whole run.

    ``unanswered`` problems that the filter chooses have no answer, whatever the limit: their samples are not verified.
    ``calls`` and ``input_tokens`` are what it takes at least; a debate and a repaired translation take more.
    ``output_tokens`` and ``cost_usd`` are what earlier responses of the same endpoint to the same prompt suggest
    (``based_on`` of them), None where there are none; ``most_...`` is what cannot be exceeded without a retry.
    Dollars are None where the price is not known.
    """

    items: int
    unanswered: int
    samples: int
    calls: int
    most_calls: int
    input_tokens: int
    output_tokens: int | None
    most_output_tokens: int
    cost_usd: float | None
    most_cost_usd: float | None
    based_on: int
    rule: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(lab: Lab, store: Store, settings: TeacherRunSettings) -> Estimate:
    """Estimate a run that has not begun. Reads every item once; memory stays flat.

    Raises:
        NotFoundError, UsageError, LabError: as :func:`o1lab.distill.runs.check`.
    """
    checked = check(lab, settings, store)
    method = make_method(settings, checked.prompts)
    count, rule = _counter(lab)
    exact = counted = calls = most_calls = 0
    rough = most_rough = 0.0
    carried = 0
    with store.explained():
        for number, item in enumerate(items(store, settings)):
            plan = method.plan(item)
            if not plan.asked:
                continue
            text = "\n".join(message["content"] for messages in plan.asked for message in messages)
            tokens = rough_tokens(text)
            if number < _COUNTED:
                exact += count(text)
                counted += tokens
            rough += tokens
            most_rough += tokens * plan.most_calls / len(plan.asked)
            calls += len(plan.asked)
            most_calls += plan.most_calls
            carried += plan.most_carried
        label = ", ".join(prompt.label for prompt in checked.prompts.values())
        unanswered = count_unanswered(store, settings)
        based_on, mean = teacher_runs.usual_output(store.db, settings.endpoint, label)
    ratio = exact / counted if counted else 1.0
    samples = checked.items * settings.n
    calls, most_calls = calls * settings.n, most_calls * settings.n
    input_tokens = round(rough * ratio) * settings.n
    most_input = round(most_rough * ratio + carried * settings.max_tokens) * settings.n
    most_output = most_calls * settings.max_tokens
    output = min(round(mean * samples), most_output) if mean is not None else None
    price = price_of(checked.teacher, settings.engine)
    return Estimate(
        checked.items,
        unanswered,
        samples,
        calls,
        most_calls,
        input_tokens,
        output,
        most_output,
        price.of(input_tokens, output) if price.known and output is not None else None,
        price.of(most_input, most_output) if price.known else None,
        based_on,
        rule,
    )


def _counter(lab: Lab) -> tuple[Callable[[str], int], str]:
    """How tokens are counted, and in words: the tokenizer of the lab's base where it is on this machine."""
    from o1lab.models import resolve_base, tokenizer_file

    base = load_config(lab).base
    try:
        path = tokenizer_file(resolve_base(base, fetch=False))
    except O1LabError:
        return rough_tokens, RULE
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text).ids), f"the tokenizer of {base}"
