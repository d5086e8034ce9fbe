"""Evaluations driven in this process against a server that misbehaves: nothing is lost, and nothing is made up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from o1lab.errors import LabError, UsageError
from o1lab.evaluate.run import control
from o1lab.evaluate.run.asking import FORCE
from o1lab.evaluate.run.runner import EvaluationRunner
from o1lab.inference import journal
from store import evaluations
from store.connection import open_store
from tests.support.distill_lab import FakeClock
from tests.support.distill_server import Question
from tests.support.eval_lab import EvalServer, begin, make_lab, outcomes, run, stored, write_items, write_suite
from tests.support.jobs import prepared
from tests.support.tempers import DONE, delta

JUDGED = {"name": "judge"}


async def test_a_sample_records_how_it_was_made(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6, input_usd=1.0, output_usd=10.0)
        folder, status = await run(lab, samples=2)
    assert (status.state, status.done, status.correct, status.incorrect) == ("finished", 12, 8, 4)
    assert status.cost_usd == pytest.approx(12 * (3 + 50) / 1e6)
    one = stored(lab, folder)["sum-100", 1]
    assert (one.state, one.turns[0].thought, one.turns[0].answer) == (
        "complete",
        "100 and 107: add them.",
        "\\boxed{217}",
    )
    assert (one.input_tokens, one.output_tokens, one.meta["served_model"]) == (3, 5, "m")
    assert one.thought_tokens == 3 and one.estimated  # split by characters: 22 of them are the thought's
    assert one.meta["options"]["seed"] == 43


@pytest.mark.parametrize(
    ("mode", "state", "reason", "said"),
    [
        ("length", "incomplete", "length", "\\boxed{207}"),
        ("hidden-length", "incomplete", "length", ""),
        ("refusal", "complete", "", "I cannot help with that."),
        ("content-filter", "incomplete", "content_filter", ""),
        ("moderated", "failed", "content_filter", ""),
        ("context", "failed", "context_length", ""),
        ("html-200", "failed", "not_api", ""),
        ("no-answer", "failed", "empty", ""),
        ("not-json", "failed", "malformed", ""),
        ("empty-choices", "failed", "empty", ""),
        ("endless-body", "failed", "endless", ""),
    ],
)
async def test_every_end_has_its_outcome(mode: str, state: str, reason: str, said: str, tmp_path: Path) -> None:
    def treat(question: Question, _before: int) -> str:
        return mode if question[0] == 100 else "ok"

    with EvalServer(treat=treat, words=lambda question: [f"\\boxed{{{question[0] + question[1]}}}"]) as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder, status = await run(lab)
    assert status.state == "finished"
    one = stored(lab, folder)["sum-100", 0]
    assert (one.state, one.reason) == (state, reason)
    assert not said or one.turns[-1].answer == said
    expected = {"complete": "unextracted"}.get(state, state)
    assert outcomes(lab, folder) == {"correct": 2, expected: 1}
    assert getattr(status, expected) == 1 and status.done == (2 if state == "failed" else 3)


async def test_a_model_that_never_stops_is_cut_off(tmp_path: Path) -> None:
    def treat(question: Question, _before: int) -> str:
        return "endless" if question[0] == 101 else "ok"

    with EvalServer(treat=treat) as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        write_suite(lab, sampling={"max_tokens": 5000})  # as much as is streamed
        folder, status = await run(lab)
    assert (status.state, status.done, outcomes(lab, folder)) == ("finished", 2, {"incorrect": 1, "incomplete": 1})
    assert stored(lab, folder)["sum-101", 0].turns[0].answer.endswith("and on and on")


async def test_a_sample_of_two_megabytes_is_a_sample(tmp_path: Path) -> None:
    with EvalServer(words=lambda question: ["x " * 1_000_000, f"\\boxed{{{question[0] + question[1]}}}"]) as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        folder, _ = await run(lab)
        assert outcomes(lab, folder) == {"correct": 2}
        again, status = await run(lab)
    assert status.cached == 2 and len(stored(lab, again)["sum-100", 0].turns[0].answer) > 2_000_000


async def test_what_was_asked_in_just_the_same_way_is_not_asked_again(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 4, input_usd=1.0, output_usd=10.0)
        await run(lab, samples=2, temperature=0.7)
        assert server.asked.total() == 8
        folder, status = await run(lab, samples=3, temperature=0.7)  # one more of each
        assert (server.asked.total(), status.cached, status.done, status.correct) == (12, 8, 12, 6)
        assert status.cost_usd == pytest.approx(4 * 53 / 1e6)
        sample = stored(lab, folder)["sum-101", 0]
        assert sample.cached and sample.cost_usd == 0 and sample.output_tokens == 5
        for other in ({"temperature": 0.6}, {"seed": 7}, {"max_tokens": 65}, {"top_p": 0.5}, {"force_answer": 9}):
            _, status = await run(lab, **({"temperature": 0.7} | other))
            assert status.cached == 0
        _, status = await run(lab, temperature=0.7, reuse=False)
        assert status.cached == 0 and server.asked.total() == 12 + 6 * 4
        await run(lab, temperature=0.7, model="judge-2")
        assert len(server.asked_of("judge-2")) == 4  # another model


async def test_the_second_turn_has_the_first_answer_and_no_thought_in_its_history(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder = begin(lab)
        item = next(folder.items())
        two = json.loads(item.line()) | {"turns": [*item.turns, "Are you sure?"], "system": "Be brief."}
        folder.items_file.write_text(json.dumps(two) + "\n")
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    assert (status.done, status.incorrect) == (1, 1)
    assert [message["role"] for message in server.requests[1]["messages"]] == ["system", "user", "assistant", "user"]
    assert server.requests[1]["messages"][2]["content"] == "\\boxed{217}"
    sample = stored(lab, folder)["sum-100", 0]
    assert [turn.user for turn in sample.turns] == ["What is 100 + 107?", "Are you sure?"]
    assert sample.output_tokens == 10


async def test_a_forced_answer_is_requested_with_the_text_so_far(tmp_path: Path) -> None:
    def treat(_question: Question, before: int) -> str:
        return "ok" if before else "length"

    with EvalServer(treat=treat) as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        folder, status = await run(lab, force_answer=32)
        last = server.requests[-1]
    assert (status.done, status.incorrect, status.correct, status.incomplete) == (2, 1, 1, 0)
    assert last["max_tokens"] == 32
    assert [message["role"] for message in last["messages"]] == ["user", "assistant", "user"]
    assert "<think>" not in last["messages"][1]["content"] and "add them." in last["messages"][1]["content"]
    assert last["messages"][2]["content"] == FORCE
    sample = stored(lab, folder)["sum-100", 0]
    assert sample.meta["forced"] and len(sample.turns) == 2 and sample.output_tokens == 10


async def test_a_sample_stays_incomplete_if_its_forced_answer_is_cut_off(tmp_path: Path) -> None:
    with EvalServer("length") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, _ = await run(lab, force_answer=32)
    assert outcomes(lab, folder) == {"incomplete": 1}


async def test_a_run_stopped_by_its_endpoint_can_be_resumed(tmp_path: Path) -> None:
    with EvalServer(treat=lambda question, _: "500" if question[0] >= 104 else "ok") as server:
        lab = make_lab(tmp_path / "lab", server.url, 60)
        folder, status = await run(lab, attempts=1)
        assert (status.state, status.stopped_by) == ("stopped", "failures")
        assert "failed" in status.message and "eval resume" in status.hint
        before = status
        server.treat = None
        prepared(control.EVALUATIONS, lab, folder.id)
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    assert (status.state, status.done, status.failed, status.correct) == ("finished", 60, 0, 40)
    assert before.failed >= 20 and status.faults["server"] == before.faults["server"]
    asked_whole = [question for question, number in server.answered.items() if number > 1]
    assert asked_whole == []


async def test_a_wrong_key_ends_the_run(tmp_path: Path) -> None:
    with EvalServer("401") as server:
        lab = make_lab(tmp_path / "lab", server.url, 9)
        _, status = await run(lab)
    assert (status.state, status.stopped_by, status.done) == ("stopped", "key", 0)


async def test_a_resumed_evaluation_has_what_is_left_of_its_budget(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 30)
        folder, first = await run(lab, budget_tokens=250, concurrency=1)
        asked = server.asked.total()
        assert first.stopped_by == "budget_tokens" and asked > 1
        prepared(control.EVALUATIONS, lab, folder.id)
        again = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
        assert (again.state, again.stopped_by, server.asked.total()) == ("stopped", "budget_tokens", asked)
        assert (again.input_tokens, again.output_tokens) == (first.input_tokens, first.output_tokens)


async def test_a_suite_that_changed_meanwhile_changes_nothing(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder = begin(lab, budget_tokens=150)
        assert (await EvaluationRunner(lab, folder, clock=FakeClock()).work()).stopped_by == "budget_tokens"
        write_suite(lab, version=2, prompt="Please: {{question}}", scorer={"name": "exact"})
        write_items(lab, [(300, 301)])
        prepared(control.EVALUATIONS, lab, folder.id, {"budget_tokens": 10**6})
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
        assert (status.state, status.done, status.correct) == ("finished", 6, 4)
        assert set(server.asked.values()) == {1}
        (lab.suites / "sums.yaml").unlink()
        assert prepared(control.EVALUATIONS, lab, folder.id) == folder


async def test_samples_that_cannot_differ_are_spoken_of(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        _, status = await run(lab, samples=2)
        assert [note for note in status.notes if "temperature 0" in note]
        for fine in ({"samples": 2, "temperature": 0.6}, {"samples": 1}):
            assert not (await run(lab, **fine))[1].notes


async def test_a_kill_between_the_folder_s_scorer_and_the_row_s_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **_values: object) -> None:
        raise KeyboardInterrupt

    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder, _ = await run(lab)
        write_suite(lab, version=2, scorer={"name": "exact", "options": {"part": "final"}})
        with monkeypatch.context() as patched:
            patched.setattr("o1lab.evaluate.run.control.evaluations.update", killed)
            with pytest.raises(KeyboardInterrupt):
                control.rescore(lab, folder.id)
        prepared(control.EVALUATIONS, lab, folder.id)
        await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    store = open_store(lab.database)
    assert evaluations.get(store.db, folder.id).scorer == folder.scored_by().label == "exact@2(part=final)"
    store.close()
    assert outcomes(lab, folder) == {"correct": 2, "incorrect": 1}


async def test_a_model_that_was_replaced_is_not_asked_for_the_rest(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6)
        folder = begin(lab)
        lab.config.write_text(lab.config.read_text().replace('model = "m"', 'model = "n"'))
        with pytest.raises(LabError, match="has changed since"):
            await EvaluationRunner(lab, folder, clock=FakeClock()).work()
        status = folder.status()
    assert status is not None and status.state == "failed" and server.asked.total() == 0


async def test_an_alias_that_was_moved_is_noted(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        await run(lab, limit=1)
        store = open_store(lab.database)
        with store.db.atomic():
            store.db.execute(
                'UPDATE sample_texts SET meta = replace(meta, \'"served_model": "m"\', \'"served_model": "o"\')'
            )
        store.close()
        _, status = await run(lab)
    assert sorted(status.notes[0].split("reported the model ")[1].rstrip(".").split(" first, then ")) == ["m", "o"]


async def test_one_process_works_on_an_evaluation_at_a_time(tmp_path: Path) -> None:
    with EvalServer("blocks") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder = begin(lab)
        first = asyncio.create_task(EvaluationRunner(lab, folder, clock=FakeClock()).work())
        await asyncio.to_thread(server.wait_until_asked, 1)
        with pytest.raises(UsageError, match=r"Process \d+ on .* is (using|running)"):
            await EvaluationRunner(lab, folder).work()
        server.release.set()
        assert (await first).done == 1


async def test_a_fault_of_ours_is_kept_with_its_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder = begin(lab)

        def broken(_one: object) -> tuple[str, str]:
            raise ValueError("oops")

        monkeypatch.setattr("o1lab.evaluate.run.asking.split", broken)
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
        assert (status.state, status.failed) == ("finished", 3)
        assert stored(lab, folder)["sum-100", 0].reason == "internal: ValueError: oops"
        assert "Traceback" in folder.log.read_text()
        monkeypatch.undo()
        prepared(control.EVALUATIONS, lab, folder.id)
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    assert (status.done, status.failed, server.asked.total()) == (3, 0, 3)  # the answers were in the journal
    assert len(list(journal.read(folder.journal))) == 3


async def test_a_scorer_of_persons_leaves_its_samples_to_them(tmp_path: Path) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        write_suite(lab, scorer={"name": "human"})
        folder, status = await run(lab)
    assert outcomes(lab, folder) == {"unscored": 2}
    assert "eval rate" in status.message


async def test_an_evaluation_takes_fewer_tokens_only_while_its_samples_would_be_the_same(tmp_path: Path) -> None:
    with EvalServer("too-many-tokens") as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        folder, status = await run(lab, concurrency=1)
        assert (status.state, status.stopped_by) == ("stopped", "max_tokens")
        assert "--max-tokens 50" in status.hint and "eval resume" in status.hint
        prepared(control.EVALUATIONS, lab, folder.id, {"max_tokens": 50})
        status = await EvaluationRunner(lab, folder, clock=FakeClock()).work()
    assert (status.state, status.done) == ("finished", 3)
    store = open_store(lab.database)
    evaluation = evaluations.get(store.db, folder.id)
    store.close()
    assert (evaluation.sampling["max_tokens"], evaluation.settings["max_tokens"]) == (50, 50)
    with pytest.raises(UsageError, match="3 stored samples"):
        prepared(control.EVALUATIONS, lab, folder.id, {"max_tokens": 4})


async def test_an_answer_that_was_aborted_is_not_scored_and_its_text_is_kept(tmp_path: Path) -> None:
    class Aborting(EvalServer):
        async def _stream(self, mode: str, words: list[str]) -> AsyncIterator[str]:
            yield delta(content="It is \\boxed{207}") + delta("abort") + DONE

    with Aborting() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, _ = await run(lab, attempts=1, max_tokens=5000)  # long enough to be streamed
    assert outcomes(lab, folder) == {"failed": 1}
    [one] = stored(lab, folder).values()
    assert (one.state, one.reason, one.turns[0].answer) == ("failed", "cut_off", "It is \\boxed{207}")
    [fault] = folder.faults()
    assert "finish reason 'abort'" in fault.sentence
