"""One action on several jobs: an error of one job, and an error of the lab."""

from __future__ import annotations

from typing import Any

import pytest

from o1lab.errors import NotFoundError
from o1lab.jobs.together import Chosen, act
from store.errors import StoreError, UnwritableError

JOBS: Any = (("a", "info of a"), ("b", "info of b"))


def test_an_error_of_one_job_does_not_stop_the_others() -> None:
    def remove(job: str) -> str:
        if job == "a":
            raise NotFoundError("There is no job a.")
        return f"removed {job}"

    outcome = act(Chosen(JOBS, ()), remove)
    assert outcome.results == ("removed b",)
    assert [(info, error.message) for info, error in outcome.failed] == [("info of a", "There is no job a.")]


def test_an_unusable_lab_ends_the_action() -> None:
    asked = []

    def remove(job: str) -> str:
        asked.append(job)
        raise UnwritableError("The database cannot be written.")

    with pytest.raises(StoreError, match="cannot be written"):
        act(Chosen(JOBS, ()), remove)
    assert asked == ["a"]
