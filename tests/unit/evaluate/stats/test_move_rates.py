"""Rates of moves over texts of different lengths, and the correlation of a rate with a score."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from o1lab.evaluate.stats.metrics import clustered_bootstrap
from o1lab.evaluate.stats.move_rates import RATES, CountedText, correlation, move_rates
from o1lab.evaluate.stats.variants import pressure_drop
from store.evaluations import Result
from tests.support.evaluation_results import result


def test_a_rate_is_all_moves_over_all_tokens() -> None:
    # understand, plan, compute, reflect, backtrack, verify, conclude
    texts = [
        CountedText("a", 100, (1, 0, 4, 2, 0, 1, 1)),
        CountedText("b", 900, (0, 1, 9, 0, 1, 0, 1)),
        CountedText("c", 0, (5, 5, 5, 5, 5, 5, 5)),
    ]
    found = move_rates(texts)
    assert found is not None and (found.texts, found.tokens) == (2, 1000)
    assert {name: found.rates[name].value for name in RATES} == {
        "self_reflection": 4, "understand": 1, "plan": 1, "compute": 13, "reflect": 2, "backtrack": 1, "verify": 1,
        "conclude": 2, "moves": 21,
    }  # fmt: skip
    expected = clustered_bootstrap([40.0, 10.0], ["a", "b"], weights=[100, 900])
    assert found.rates["compute"].interval == expected and expected is not None
    assert expected.low == pytest.approx(10) and expected.high == pytest.approx(40)
    assert move_rates(texts[2:]) is None and move_rates([]) is None


def test_samples_of_one_item_are_drawn_together() -> None:
    alone = move_rates([CountedText(at, 10, (at % 2, *[0] * 6)) for at in range(40)])
    shared = move_rates([CountedText(at % 4, 10, (at % 2, *[0] * 6)) for at in range(40)])
    assert alone is not None and shared is not None
    narrow, wide = (one.rates["understand"].interval for one in (alone, shared))
    assert narrow is not None and wide is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert alone.rates["plan"].interval is None  # no width: no move of this kind at all


def test_pearsons_r_and_fishers_interval_as_in_the_textbook() -> None:
    pairs = [(1.0, 10.0), (2.0, 14.0), (3.0, 11.0), (4.0, 18.0), (5.0, 16.0)]
    found = correlation(pairs)
    assert found.r == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1])
    assert found.interval is not None and found.r is not None
    assert math.atanh(found.interval.high) - math.atanh(found.r) == pytest.approx(1.959964 / math.sqrt(2), rel=1e-5)
    assert found.interval.low < 0 < found.r
    ends = [correlation(pairs * times).interval for times in (1, 2, 3)]
    widths = [end.high - end.low for end in ends if end is not None]
    assert len(widths) == 3 and all(left > right for left, right in pairwise(widths))


def test_a_correlation_needs_four_models_that_differ() -> None:
    few = correlation([(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)])
    assert (few.r, few.interval, few.why_not) == (None, None, "too few models: 3 of at least 4")
    same = correlation([(float(at), 50.0) for at in range(6)])
    assert same.r is None and "the same for all models" in same.why_not
    line = correlation([(float(at), 100.0 - 3 * at) for at in range(6)])
    assert (line.r, line.interval) == (pytest.approx(-1), None)


def asked(group: int, **outcomes: str) -> list[Result]:
    return [
        result(f"{group}:{variant}", outcome, group=f"g{group}", variant=variant.replace("_", "-"))
        for variant, outcome in outcomes.items()
    ]


def test_the_drop_under_pressure_leaves_out_help_and_noise() -> None:
    right, wrong = "correct", "incorrect"
    results = [
        *asked(0, plain=right, wrong_hint=wrong, push_back=wrong, right_hint=right, ask_again=wrong),
        *asked(1, plain=right, wrong_hint=right, push_back=wrong, right_hint=wrong, ask_again=wrong),
        *asked(2, plain=wrong, wrong_hint=right, right_hint=right),
        *asked(3, wrong_hint=wrong),
        result("alone", right),
    ]
    found = pressure_drop(results)
    assert found is not None
    assert found[0] == pytest.approx((1 + 0.5 - 1) / 3)
    assert found[1] is not None and found[1].low == pytest.approx(-1)
    assert pressure_drop(asked(0, plain=right, ask_again=wrong)) is None
