"""Evaluations with a judge, and scoring stored samples again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.chains.verify import VERIFIER_VERSION
from o1lab.errors import LabError, UsageError
from o1lab.evaluate.run import control
from o1lab.evaluate.run.judging import Judge
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.evaluate.scorers import ScorerSpec
from o1lab.evaluate.scorers.base import Attempt, Score
from o1lab.evaluate.scorers.math import MathScorer
from o1lab.inference.calls import CallKey, Response
from o1lab.inference.client import CompletionClient
from o1lab.inference.journal import JournalIndex
from store import evaluations
from store.connection import open_store
from tests.support.distill_lab import FakeClock
from tests.support.distill_server import Question
from tests.support.eval_lab import EvalServer, begin, make_lab, outcomes, run, write_suite
from tests.support.jobs import prepared
from tests.unit.evaluate.run.test_runs import JUDGED


async def test_a_judge_is_paid_once_and_prose_is_unscored(tmp_path: Path) -> None:
    def verdict(question: Question, _before: int) -> str:
        return "I think it is rather good." if question[0] == 101 else json.dumps({"verdict": "correct", "reason": "."})

    with EvalServer(verdict=verdict) as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        write_suite(lab, scorer=JUDGED)
        folder, status = await run(lab, judge="judge")
        assert (status.done, status.correct, status.unscored) == (3, 2, 1)
        paid = len(server.asked_of("judge"))
        label = folder.scored_by().label
        assert "judge@" in label and paid == 4  # the prose is asked for once more
        prepared(control.EVALUATIONS, lab, folder.id)
        assert (await EvaluationRunner(lab, folder, clock=FakeClock()).work()).unscored == 1
        assert (len(server.asked_of("judge")), len(server.asked_of("m"))) == (paid, 3)
        server.verdict = lambda _question, _before: json.dumps({"verdict": "incorrect", "reason": "No."})
        control.rescore(lab, folder.id, {"judge": "judge-2"})
        status = await EvaluationRunner(lab, folder, scores_only=True, clock=FakeClock()).work()
        assert (status.state, status.incorrect, status.unscored) == ("finished", 3, 0)
        assert (len(server.asked_of("judge-2")), len(server.asked_of("m"))) == (3, 3)
    assert outcomes(lab, folder, label) == {"correct": 2, "unscored": 1}  # the first judge's word stays
    assert outcomes(lab, folder) == {"incorrect": 3}


async def test_a_judge_is_paid_once_whatever_the_items_are_called(tmp_path: Path) -> None:
    with EvalServer(verdict=lambda _question, _before: "I think it is rather good.") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        write_suite(lab, scorer=JUDGED)
        names = ("问题-1", 'q"2', "q\\3", "4/q")
        rows = [{"id": name, "question": f"What is {at} + 1?", "gold": str(at + 1)} for at, name in enumerate(names)]
        (lab.suites / "data" / "sums.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        folder, status = await run(lab, judge="judge")
        paid = len(server.requests)
        assert (status.unscored, paid) == (4, 4 + 2 * 4)
        prepared(control.EVALUATIONS, lab, folder.id)
        assert (await EvaluationRunner(lab, folder, clock=FakeClock()).work()).unscored == 4
    assert len(server.requests) == paid


async def test_a_mark_beyond_all_numbers_is_asked_for_once_more_and_no_other_is(tmp_path: Path) -> None:
    def verdict(question: Question, _before: int) -> str:
        return f'{{"score": 1{"0" * 400}}}' if question[0] == 101 else '{"score": 90}'

    with EvalServer(verdict=verdict) as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        write_suite(lab, scorer=JUDGED)
        _, status = await run(lab, judge="judge")
    assert (status.correct, status.unscored, len(server.asked_of("judge"))) == (2, 1, 4)


async def test_a_judge_is_asked_the_same_only_once_in_a_session(tmp_path: Path) -> None:
    asked = []

    class OneTeacher(CompletionClient):
        def __init__(self) -> None: ...

        async def call(self, key: CallKey, *_: object, **__: object) -> Response:
            asked.append(key)
            return Response(key, "done", thought="Hm.", answer=f"{len(asked)}")

    judge = Judge(OneTeacher(), JournalIndex(tmp_path / "none.jsonl"), 1)
    messages = [{"role": "user", "content": "Is it?"}]
    answers = [(await judge(CallKey("q", 0, turn), messages)).answer for turn in (0, 0, 1, 0)]
    assert answers == ["1", "1", "2", "1"]
    assert (await judge(CallKey("q", 0), [{"role": "user", "content": "Is it not?"}])).answer == "3"


async def test_a_failed_scorer_scores_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(_self: MathScorer, _attempts: object) -> list[Score]:
        raise RuntimeError("out of memory")

    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        monkeypatch.setattr(MathScorer, "score_batch", no_memory)
        folder, status = await run(lab)
        assert (status.state, status.done, status.unscored) == ("finished", 3, 3)
        assert "failed on 3 samples" in status.message and "RuntimeError: out of memory" in folder.log.read_text()
        monkeypatch.undo()
        prepared(control.EVALUATIONS, lab, folder.id)
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    assert (status.correct, status.incorrect, status.unscored, status.message) == (2, 1, 0, "")


async def test_rescoring_repeats_unscored_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot_tell(_self: MathScorer, attempts: list[Attempt]) -> list[Score]:
        return [Score("unscored", reason="it took too long")] * len(attempts)

    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        monkeypatch.setattr(MathScorer, "score_batch", cannot_tell)
        folder, _ = await run(lab)
        monkeypatch.undo()
        prepared(control.EVALUATIONS, lab, folder.id)
        assert (
            await EvaluationRunner(lab, folder, clock=FakeClock()).work()
        ).unscored == 3  # that is its word, until it is asked for
        control.rescore(lab, folder.id)
        status = await EvaluationRunner(lab, folder, scores_only=True, clock=FakeClock()).work()
    assert (status.correct, status.unscored, server.asked.total()) == (2, 0, 3)


async def test_an_unavailable_judge_is_asked_again_for_missing_judgements(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        write_suite(lab, scorer=JUDGED)
        server.treat = lambda question, _: "500" if question[0] == 102 and question[2] == 0 else "ok"
        server.mode = "treated"  # so that the judge, whose seed is 0, is treated too
        folder, status = await run(lab, judge="judge", attempts=1)
        assert (status.done, status.correct, status.unscored) == (3, 2, 1)
        server.mode, server.treat = "ok", None
        prepared(control.EVALUATIONS, lab, folder.id)
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    assert (status.correct, status.unscored) == (3, 0)
    assert len(server.asked_of("m")) == 3 and len(server.asked_of("judge")) == 4


async def test_rescoring_asks_nothing_and_keeps_the_old_scores(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder, _ = await run(lab)
        asked = server.asked.total()
        write_suite(lab, version=2, scorer={"name": "exact", "options": {"part": "final"}})
        control.rescore(lab, folder.id)
        status = await EvaluationRunner(lab, folder, scores_only=True, clock=FakeClock()).work()
        assert (status.state, status.requested, status.done, status.correct) == ("finished", 6, 6, 4)
        assert server.asked.total() == asked
        assert not status.priced  # what the model was paid is as little known as before
        control.rescore(lab, folder.id)
        assert (
            "Nothing to do" in (await EvaluationRunner(lab, folder, scores_only=True, clock=FakeClock()).work()).message
        )
    store = open_store(lab.database)
    assert evaluations.scorers(store.db, folder.id) == {f"math@{VERIFIER_VERSION}": 6, "exact@2(part=final)": 6}
    assert evaluations.get(store.db, folder.id).scorer == "exact@2(part=final)"
    store.close()


async def test_rescoring_does_not_finish_a_stopped_evaluation(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder, status = await run(lab, budget_tokens=150, concurrency=1)
        assert (status.state, status.stopped_by) == ("stopped", "budget_tokens")
        left, asked = 6 - status.done, server.asked.total()
        write_suite(lab, version=2, scorer={"name": "exact", "options": {"part": "final"}})
        for _ in range(2):
            control.rescore(lab, folder.id)
            status = await EvaluationRunner(lab, folder, scores_only=True, clock=FakeClock()).work()
            assert (status.state, status.stopped_by, status.unscored) == ("stopped", "budget_tokens", 0)
            assert f"{left} samples have not been asked" in status.message and f"resume {folder.id}" in status.hint
        assert server.asked.total() == asked
        folder.write_status(replace(status, state="running", pid=None))  # its process was killed
        control.rescore(lab, folder.id)
        status = await EvaluationRunner(lab, folder, scores_only=True, clock=FakeClock()).work()
        assert (status.state, status.stopped_by) == ("stopped", "interrupt")
        prepared(control.EVALUATIONS, lab, folder.id, {"budget_tokens": 10**6})
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    assert (status.state, status.stopped_by, status.done, status.message) == ("finished", None, 6, "")


async def test_a_new_scorer_version_resumes_only_after_rescoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder, status = await run(lab, budget_tokens=150, concurrency=1)
        asked = server.asked.total()
        monkeypatch.setattr(MathScorer, "version", VERIFIER_VERSION + 1)
        prepared(control.EVALUATIONS, lab, folder.id, {"budget_tokens": 10**6})
        with pytest.raises(LabError, match=rf"began: it was math@{VERIFIER_VERSION}") as told:
            await EvaluationRunner(lab, folder, clock=FakeClock()).work()
        assert f"--rescore {folder.id}" in told.value.hint and server.asked.total() == asked
        control.rescore(lab, folder.id)
        await EvaluationRunner(lab, folder, scores_only=True, clock=FakeClock()).work()
        prepared(control.EVALUATIONS, lab, folder.id)
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    assert (status.correct, status.incorrect, outcomes(lab, folder)) == (4, 2, {"correct": 4, "incorrect": 2})
    assert folder.scored_by().label == f"math@{VERIFIER_VERSION + 1}"


async def test_judges_of_one_name_at_two_servers_are_two(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        elsewhere = server.url.replace("127.0.0.1", "localhost")
        text = lab.config.read_text().replace('model = "judge-2"', 'model = "judge"')
        at = text.rindex(server.url)
        lab.config.write_text(text[:at] + elsewhere + text[at + len(server.url) :])
        write_suite(lab, scorer=JUDGED)
        folder, _ = await run(lab, judge="judge")
        before = folder.scored_by().label
        server.verdict = lambda _question, _before: json.dumps({"verdict": "incorrect", "reason": "No."})
        control.rescore(lab, folder.id, {"judge": "judge-2"})
        await EvaluationRunner(lab, folder, scores_only=True, clock=FakeClock()).work()
        after = folder.scored_by().label
    assert (outcomes(lab, folder, before), outcomes(lab, folder, after)) == ({"correct": 3}, {"incorrect": 3})
    hashes = {path.stem.removeprefix("judge-") for path in folder.judge_journals}
    assert {label.rpartition(" ")[2].rstrip(")") for label in (before, after)} == hashes and len(hashes) == 2


async def test_a_silent_judge_does_not_delay_an_interrupted_run(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        write_suite(lab, scorer=JUDGED)
        server.mode, server.treat = "treated", lambda question, _: "ok" if question[2] else "blocks"
        folder = begin(lab, judge="judge")
        given_up = asyncio.create_task(EvaluationRunner(lab, folder, clock=FakeClock()).work())
        await asyncio.to_thread(server.wait_until_asked, 4)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        status = folder.status()
        assert status is not None and (status.state, status.stopped_by) == ("stopped", "interrupt")
        server.mode, server.treat = "ok", None
        server.release.set()
        prepared(control.EVALUATIONS, lab, folder.id)
        assert (await EvaluationRunner(lab, folder, clock=FakeClock()).work()).correct == 2
        assert len(server.asked_of("m")) == 2


async def test_what_the_budget_left_unjudged_is_judged_later(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        write_suite(lab, scorer=JUDGED)
        folder = begin(lab, judge="judge", budget_tokens=3000)  # a judge may say more than this
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
        assert (status.stopped_by, status.unscored, len(server.asked_of("judge"))) == ("budget_tokens", 3, 0)
        prepared(control.EVALUATIONS, lab, folder.id, {"budget_tokens": 10**6})
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
        assert (status.state, status.correct, len(server.asked_of("m"))) == ("finished", 3, 3)


def test_a_judge_where_none_is_asked_and_none_where_one_is(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 1)
    with pytest.raises(UsageError, match="uses no judge"):
        begin(lab, judge="judge")
    write_suite(lab, scorer=JUDGED)
    with pytest.raises(UsageError, match="--judge"):
        begin(lab)
    assert not list(lab.evals.glob("*"))
    assert begin(lab, judge="judge").scored_by().spec == ScorerSpec(name="judge")
