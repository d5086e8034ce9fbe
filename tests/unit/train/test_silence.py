"""A scheduler that does not answer is not asked again at once."""

from __future__ import annotations

import pytest

from o1lab.errors import LabError
from o1lab.train.launchers import silence
from o1lab.train.launchers.silence import Silence


class Scheduler:
    """Takes ``took`` seconds of a clock of its own for each request, and fails with ``error``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.took, self.requests = 1000.0, 20.0, 0
        self.error: LabError | None = LabError("No answer.", code="no_cluster")
        monkeypatch.setattr(silence.time, "monotonic", lambda: self.now)

    def __call__(self) -> str:
        self.requests += 1
        self.now += self.took
        if self.error is not None:
            raise self.error
        return "fine"


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    return Scheduler(monkeypatch)


def test_a_failure_is_remembered_for_some_seconds_and_as_long_as_it_took(scheduler: Scheduler) -> None:
    asks = Silence(lambda error: isinstance(error, LabError))
    for _ in range(3):
        with pytest.raises(LabError, match="No answer"):
            asks.ask("head", scheduler)
    assert scheduler.requests == 1
    scheduler.error = None
    assert asks.ask("another", scheduler) == "fine", "each scheduler is silent for itself"
    scheduler.now += silence.REST_S - 1
    with pytest.raises(LabError):
        asks.ask("head", scheduler)
    scheduler.now += 2
    assert asks.ask("head", scheduler) == "fine"


def test_an_answer_that_is_an_error_is_not_silence(scheduler: Scheduler) -> None:
    asks = Silence(lambda error: getattr(error, "code", "") == "no_cluster")
    scheduler.error = LabError("No such job.", code="no_job")
    for _ in range(2):
        with pytest.raises(LabError):
            asks.ask("head", scheduler)
    assert scheduler.requests == 2


def test_a_scheduler_that_has_answered_is_asked_again(scheduler: Scheduler) -> None:
    asks = Silence(lambda error: isinstance(error, LabError))
    with pytest.raises(LabError):
        asks.ask("head", scheduler)
    asks.forget("head")
    scheduler.error = None
    assert asks.ask("head", scheduler) == "fine"
