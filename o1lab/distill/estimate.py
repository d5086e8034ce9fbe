"""Estimate the calls, tokens and cost of a run before it starts, and state how each figure was obtained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from o1lab.chains.measures import count_tokens
from o1lab.config import load_config
from o1lab.distill.items import count_unanswered, items
from o1lab.distill.methods import make_method
from o1lab.distill.runs import check
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import O1LabError
from o1lab.inference.limits import RULE, most_tokens, rough_tokens
from o1lab.inference.models import price_of
from o1lab.paths import Lab
from store import Store, teacher_runs

_COUNTED = 500
"""Number of items counted with the tokenizer; the rest is extrapolated from a rough count."""


@dataclass(frozen=True)
class Estimate:
    """Calls, tokens and dollars of a complete run. Dollars are None if the price is unknown.

    Attributes:
        unanswered: number of selected problems without a gold answer (regardless of the limit), whose samples are not
            verified.
        calls: minimum number of calls; debates and repaired translations need more.
        input_tokens: minimum number of input tokens.
        output_tokens: estimate from ``based_on`` earlier responses of the same endpoint to the same prompt; None
            without any.
        cost_usd: the cost of ``input_tokens`` and ``output_tokens``; also None if the critic has another price,
            because the share of each model is not recorded.
        most_calls: maximum number of calls. The maxima assume that every possible call is made, every answer has the
            maximum length and every byte of input is a token; retries and the faults sent to a translator are extra.
        rule: how tokens are counted.
    """

    items: int
    unanswered: int
    samples: int
    calls: int
    most_calls: int
    input_tokens: int
    most_input_tokens: int
    output_tokens: int | None
    most_output_tokens: int
    cost_usd: float | None
    most_cost_usd: float | None
    based_on: int
    rule: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(lab: Lab, store: Store, settings: TeacherRunSettings) -> Estimate:
    """Estimate a run that has not started. Reads every item once, with constant memory.

    Raises:
        NotFoundError, UsageError, LabError: as :func:`o1lab.distill.runs.check`.
    """
    checked = check(lab, settings, store)
    method = make_method(settings, checked.prompts)
    count, rule = _counter(lab)
    prices = {role: price_of(model, settings.engine) for role, model in checked.models.items()}
    exact = counted = rough = calls = 0
    most_calls, most_input = dict.fromkeys(prices, 0), dict.fromkeys(prices, 0)
    with store.explained():
        for number, item in enumerate(items(store, settings)):
            plan = method.plan(item)
            if not plan.calls:
                continue
            certain = [call for call in plan.calls for _ in range(call.least)]
            text = "\n".join(message["content"] for call in certain for message in call.messages)
            tokens = rough_tokens(text)
            if number < _COUNTED:
                exact += count(text)
                counted += tokens
            rough += tokens
            calls += len(certain)
            for call in plan.calls:
                most_calls[call.role] += settings.n * call.most
                most_input[call.role] += settings.n * call.most * most_tokens(call.messages)
            for role, carried in plan.most_carried.items():
                most_input[role] += settings.n * carried * settings.max_tokens
        unanswered = count_unanswered(store, settings)
        label = ", ".join(prompt.label for prompt in checked.prompts.values())
        based_on, mean = teacher_runs.usual_output(store.db, settings.endpoint, label)
    ratio = exact / counted if counted else 1.0
    samples = checked.items * settings.n
    input_tokens = round(rough * ratio) * settings.n
    most_output = sum(most_calls.values()) * settings.max_tokens
    output = min(round(mean * samples), most_output) if mean is not None else None
    known = all(price.known for price in prices.values())
    price = prices["teacher"] if known and len(set(prices.values())) == 1 else None
    most_cost = sum(
        price.of(most_input[role], most_calls[role] * settings.max_tokens) for role, price in prices.items()
    )
    return Estimate(
        checked.items,
        unanswered,
        samples,
        calls * settings.n,
        sum(most_calls.values()),
        input_tokens,
        sum(most_input.values()),
        output,
        most_output,
        price.of(input_tokens, output) if price is not None and output is not None else None,
        most_cost if known else None,
        based_on,
        rule,
    )


def _counter(lab: Lab) -> tuple[Callable[[str], int], str]:
    """Return a function that counts tokens, and its description: the tokenizer of the lab's base if available."""
    from o1lab.models import resolve_base, tokenizer_file

    base = load_config(lab).base
    try:
        path = tokenizer_file(resolve_base(base, fetch=False))
    except O1LabError:
        return rough_tokens, RULE
    return partial(count_tokens, tokenizer_path=path), f"the tokenizer of {base}"
