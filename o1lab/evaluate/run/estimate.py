"""Estimates an evaluation before it starts: its calls, its maximum tokens and cost, and its reusable samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.run.work_queue import CacheKeys
from o1lab.evaluate.suites.loading import load
from o1lab.evaluate.suites.suite import find_suite
from o1lab.inference.models import price_of
from o1lab.paths import Lab
from o1lab.serve.identity import identify
from o1lab.serve.registry import find_model
from store import Store, sample_list


@dataclass(frozen=True, slots=True)
class Estimate:
    """The size of an evaluation, without retries.

    Attributes:
        suite: the suite and its version.
        origin: where the items come from.
        items: the number of items.
        samples: the number of samples.
        cached: the samples that earlier evaluations have answered; calls and tokens are those of the others.
        calls: the number of calls; an item of two turns takes two.
        most_output_tokens: the output tokens if every response has the maximum length.
        most_cost_usd: the cost of those tokens, without the input; None if the price is not known.
        judged: whether a judge scores every complete sample too.
    """

    suite: str
    origin: str
    items: int
    samples: int
    cached: int
    calls: int
    most_output_tokens: int
    most_cost_usd: float | None
    judged: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(lab: Lab, store: Store, settings: EvaluationSettings) -> Estimate:
    """Estimate an evaluation that has not started.

    Reads the items, and the weights of a local model to identify it. Makes no network request.

    Raises:
        NotFoundError: there is no such suite or model.
        UsageError: a file of the suite is not valid.
        LabError: the items are not on this machine.
    """
    suite = find_suite(lab, settings.suite)
    model = find_model(lab, settings.model)
    with store.explained():
        loaded = load(lab, store, suite, file=settings.items_file, limit=settings.limit, fetch=False)
        keys = CacheKeys(identify(lab, model), settings)
        wanted = [(item, keys.key(item, number)) for item in loaded.items for number in range(settings.samples)]
        known = sample_list.cached(store.db, [key for _, key in wanted]) if keys.reusable else {}
    asked = [item for item, key in wanted if key not in known]
    calls = sum(len(item.turns) for item in asked)
    calls *= 1 + settings.budget_forcing + (settings.max_thought_tokens is not None)
    most = calls * settings.max_tokens + len(asked) * (settings.force_answer or 0)
    price = price_of(model)
    return Estimate(
        suite.label,
        loaded.origin,
        len(loaded.items),
        len(wanted),
        len(wanted) - len(asked),
        calls,
        most,
        price.of(0, most) if price.known else None,
        settings.judge is not None,
    )
