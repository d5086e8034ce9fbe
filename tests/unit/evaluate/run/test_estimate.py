"""What an evaluation comes to before it is asked, and what can be done with one that rests."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.errors import LabError
from o1lab.evaluate.run import control
from o1lab.evaluate.run.estimate import estimate
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.paths import Lab
from screens.evaluate.runs import rescoring
from store import open_store
from tests.support.distill_lab import FakeClock
from tests.support.distill_server import DistillServer
from tests.support.evaluate_screen_lab import lab_with_suite, write_suite


def settings_of(lab: Lab, **values: object) -> EvaluationSettings:
    return control.read_settings(lab, {"suite": "sums", "model": "teacher"} | values)


def test_an_item_of_two_turns_takes_two_calls_and_a_forced_answer_comes_on_top(tmp_path: Path) -> None:
    lab = lab_with_suite(tmp_path / "lab", number=5, output_usd=10.0, input_usd=1.0)
    store = open_store(lab.database)
    found = estimate(lab, store, settings_of(lab, samples=3, limit=4, force_answer=10))
    assert (found.items, found.samples, found.calls, found.most_output_tokens) == (4, 12, 12, 12 * (64 + 10))
    assert found.most_cost_usd == pytest.approx(12 * 74 * 10 / 1e6) and not found.judged
    assert found.origin.endswith("sums.jsonl")
    spec = {"file": "sums.jsonl", "fields": {"gold": "answer"}, "build": "sycophancy"}
    write_suite(lab, "sums", spec, family="sycophancy")
    found = estimate(lab, store, settings_of(lab))
    assert (found.items, found.samples, found.calls) == (25, 25, 35)  # five variants, two of them with a second turn
    store.close()


async def test_what_is_answered_already_is_not_counted_again(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = lab_with_suite(tmp_path / "lab", server.url)
        await EvaluationRunner(lab, control.start(lab, settings_of(lab, limit=4)), clock=FakeClock()).work()
    store = open_store(lab.database)
    found = estimate(lab, store, settings_of(lab))
    assert (found.samples, found.cached, found.calls) == (6, 4, 2) and found.most_cost_usd is None
    assert estimate(lab, store, settings_of(lab, reuse=False)).cached == 0
    assert estimate(lab, store, settings_of(lab, max_tokens=65)).cached == 0  # asked in another way
    store.close()


def test_a_suite_without_its_items_says_which_file_it_needs(tmp_path: Path) -> None:
    lab = lab_with_suite(tmp_path / "lab")
    write_suite(lab, "far", {"file": "far.jsonl", "needs": "A JSONL file with question and answer."})
    store = open_store(lab.database)
    with pytest.raises(LabError, match="far") as caught:
        estimate(lab, store, settings_of(lab, suite="far"))
    assert caught.value.code == "no_items" and "A JSONL file" in caught.value.hint
    store.close()


def test_who_would_score_now_is_the_suite_s_scorer_of_now(tmp_path: Path) -> None:
    lab = lab_with_suite(tmp_path / "lab")
    folder = control.start(lab, settings_of(lab))
    found = rescoring(lab, folder.id)
    assert (found.label, found.judged) == ("exact@2(part=final)", False)
    write_suite(lab, "sums", {"file": "sums.jsonl", "fields": {"gold": "answer"}}, scorer={"name": "judge"})
    found = rescoring(lab, folder.id)
    assert found.judged and "teacher" in found.models and found.label.startswith("judge@")
    (lab.suites / "sums.yaml").unlink()
    assert rescoring(lab, folder.id).label == "exact@2(part=final)"
