"""Rates and budgets, on a clock that moves only when somebody waits."""

from __future__ import annotations

import asyncio

import pytest

from o1lab.inference.errors import retry_after_s
from o1lab.inference.limits import Budget, Limits, Price
from o1lab.jobs.control import Control, MonotonicClock, RunStopped
from o1lab.jobs.progress import Usage
from tests.support.distill_lab import FakeClock


async def left_at(clock: FakeClock, limits: Limits, tokens: list[int]) -> list[float]:
    """When each of these calls may leave, in seconds from now."""
    began, times = clock.now(), []
    for amount in tokens:
        await limits.admit(amount)
        times.append(clock.now() - began)
    return times


@pytest.mark.parametrize("per_minute", [1, 7, 60, 500])
async def test_no_more_requests_a_minute_than_allowed(per_minute: int) -> None:
    clock = FakeClock()
    times = await left_at(clock, Limits(Control(), clock, requests=per_minute), [1] * (3 * per_minute))
    assert times[0] == 0
    for moment in times:
        assert sum(moment <= other < moment + 60 - 1e-6 for other in times) <= per_minute
    assert times[-1] <= 60 * 3  # nor much slower


async def test_no_more_tokens_a_minute_than_allowed_but_for_one_call() -> None:
    clock = FakeClock()
    amounts = [50, 900, 10, 300, 300, 1200, 5] * 6
    times = await left_at(clock, Limits(Control(), clock, tokens=1000), amounts)
    for moment in times:
        window = [amount for amount, at in zip(amounts, times, strict=True) if moment <= at < moment + 60 - 1e-6]
        assert sum(window[:-1]) <= 1000
    assert times[-1] == pytest.approx(sum(amounts[:-1]) / 1000 * 60)


async def test_a_guess_is_corrected() -> None:
    clock = FakeClock()
    limits = Limits(Control(), clock, tokens=600)
    await limits.admit(600)
    limits.settle(600, 60)  # a tenth of it: the next may leave after six seconds, not sixty
    assert await left_at(clock, limits, [1]) == [pytest.approx(6)]


async def test_a_pause_the_server_asks_for_holds_for_everybody() -> None:
    clock = FakeClock()
    limits = Limits(Control(), clock)
    limits.pause(30)
    limits.pause(10)
    times: list[float] = []

    async def one() -> None:
        await limits.admit(1)
        times.append(clock.now() - 1000)

    await asyncio.gather(*(one() for _ in range(5)))
    assert times == [30] * 5


async def test_callers_leave_in_their_order() -> None:
    clock = FakeClock()
    limits = Limits(Control(), clock, requests=60)
    order: list[int] = []

    async def one(number: int) -> None:
        await limits.admit(1)
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))
    assert order == list(range(10))


async def test_waiting_ends_when_the_run_is_stopped() -> None:
    control = Control()
    limits = Limits(control, MonotonicClock(), requests=1)
    await limits.admit(1)
    waiting = [asyncio.create_task(limits.admit(1)) for _ in range(3)]
    await asyncio.sleep(0)
    control.stop("stop")
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in ended] == [RunStopped] * 3


async def test_a_paused_caller_continues_or_stops() -> None:
    control = Control()
    control.pause()
    first = asyncio.create_task(control.gate())
    await asyncio.sleep(0)
    assert not first.done()
    control.resume()
    await first
    control.pause()
    second = asyncio.create_task(control.gate())
    control.stop("stop")
    with pytest.raises(RunStopped):
        await second


async def test_a_budget_waits_for_what_is_in_flight_before_it_stops() -> None:
    control = Control()
    usage = Usage()
    budget = Budget(control, usage, tokens=100)
    await budget.reserve(60, 0)
    second = asyncio.create_task(budget.reserve(60, 0))
    await asyncio.sleep(0)
    assert not second.done()
    usage.output_tokens += 10
    budget.settle(60, 0)  # it took less than its worst: there is room
    await second
    usage.output_tokens += 60
    budget.settle(60, 0)
    with pytest.raises(RunStopped):
        await budget.reserve(60, 0)
    assert (control.reason, control.stopping.is_set()) == ("budget_tokens", True)


async def test_a_budget_counts_what_was_spent_before() -> None:
    budget = Budget(Control(), Usage(10, 0, 0.95), usd=1.0)
    with pytest.raises(RunStopped, match="budget_usd"):
        await budget.reserve(10, 0.1)


def test_a_price_that_is_not_known_is_none() -> None:
    assert Price(2.0, 8.0).of(1_000_000, 500_000) == 6.0
    assert not Price(2.0).known
    assert Price().of(10, 10) == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Mon, 23 Nov 2026 10:01:00 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 60),
        ({"retry-after": "Mon, 23 Nov 2026 09:00:00 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_a_server_wants_to_be_left_alone(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


async def test_a_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MonotonicClock()
    limits = Limits(Control(), clock, requests=60, tokens=6000)
    await limits.admit(100)
    before = limits.wait_s()
    for jump in (lambda: 0.0, lambda: 4e9):
        monkeypatch.setattr("time.time", jump)
        assert 0 < limits.wait_s() <= before
        headers = {"retry-after": "Mon, 23 Nov 2026 10:01:00 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}
        assert retry_after_s(headers) == 60
