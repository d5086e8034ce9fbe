"""What an evaluation will come to before anything is asked: calls and tokens at most, and what is answered already."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from o1lab.evaluate.run.cache import CacheKeys
from o1lab.evaluate.run.identity import identify
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.suites.loading import load
from o1lab.evaluate.suites.suite import find_suite
from o1lab.inference.models import price_of
from o1lab.paths import Lab
from o1lab.serve.registry import find_model
from store import Store, sample_list


@dataclass(frozen=True, slots=True)
class Estimate:
    """``samples`` answers in ``calls`` calls (an item of two turns takes two), tried once each.

    ``origin`` says where the items come from. ``cached`` samples are answered already and are not asked again: the
    calls and tokens are those of the others. ``most_output_tokens`` is what it comes to when every answer is as long as
    it may be, ``most_cost_usd`` what these cost (None where the price is not known): the input comes on top.
    ``judged``: a judge is asked about every complete sample as well.
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
    """Estimate an evaluation that has not begun. Reads its items, and a local model's weights once to know it again;
    takes nothing from the network.

    Raises:
        NotFoundError, UsageError: no such suite or model, or a file of it that is wrong.
        LabError: the items are not here.
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
