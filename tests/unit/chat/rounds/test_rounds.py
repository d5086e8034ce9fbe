"""Rounds: a prompt set asked by a job that stops, goes on, retries what failed and pays for nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from o1lab.activity import find, look_at
from o1lab.chat.panes import Settings
from o1lab.chat.rounds.control import ROUNDS, panes_of, prompts_of, start
from o1lab.chat.rounds.directory import AskedPane, RoundFolder
from o1lab.chat.rounds.runner import drive
from o1lab.errors import NotFoundError, UsageError
from o1lab.inference.events import Sampling
from o1lab.labs import open_lab
from o1lab.paths import Lab
from o1lab.serve.registry import find_model
from store import conversations, problems, rounds
from store.conversations import Message
from store.records import NewProblem
from tests.support.compare_lab import lab_with
from tests.support.fault_server import ANSWER, FaultServer

PROMPTS = ("What is 1 + 1?", "What is 2 + 2?", "What is 3 + 3?")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, server: FaultServer) -> Lab:
    return lab_with(tmp_path / "lab", {"left": server})


def begun(lab: Lab, **requests: object) -> RoundFolder:
    """A round in which a model meets itself at another temperature, with another system prompt."""
    panes = (
        AskedPane(model="left", label="left", temperature=0.0, seed=7),
        AskedPane(model="left", label="left", temperature=0.7, seed=7, system="Be brief."),
    )
    return start(lab, "three", PROMPTS, panes, **requests)


def saved(lab: Lab, folder: RoundFolder) -> list[list[Message]]:
    """The messages of the conversation of each prompt."""
    with closing(open_lab(lab)) as store:
        ids = [folder.conversation_id(number) for number in range(len(PROMPTS))]
        return [conversations.messages(store.db, one) for one in ids if conversations.exists(store.db, one)]


async def test_every_prompt_is_asked_of_every_contestant(lab: Lab, server: FaultServer) -> None:
    with closing(open_lab(lab)) as store, store.db.atomic():
        problems.add(store.db, [NewProblem(PROMPTS[0], "sums", answer="2")])
    folder = begun(lab)
    status = await drive(lab, folder)
    assert (status.state, status.requested, status.done, status.failed) == ("finished", 6, 6, 0)
    asked = sorted((one["messages"][-1]["content"], one["temperature"], one["seed"]) for one in server.requests)
    assert asked == sorted((prompt, hot, 7) for prompt in PROMPTS for hot in (0.0, 0.7))
    for prompt, messages in zip(PROMPTS, saved(lab, folder), strict=True):
        question, cold, hot = messages
        assert question.content == prompt
        assert cold.content == hot.content == "".join(ANSWER)
        assert (cold.settings["sampling"]["temperature"], cold.settings["system"]) == (0.0, "")
        assert (hot.settings["sampling"]["temperature"], hot.settings["system"]) == (0.7, "Be brief.")
        assert cold.verdict == ("incorrect" if prompt == PROMPTS[0] else None)
    assert status.incorrect == 2
    with closing(open_lab(lab)) as store:
        (record, *_) = conversations.page(store.db, text="1 + 1")
        assert record.round == folder.id
        assert record.settings["blind"] is True
        assert len(rounds.complete(store.db, folder.id)) == 3


async def test_a_round_goes_on_and_asks_nothing_twice(lab: Lab, server: FaultServer) -> None:
    folder = begun(lab, concurrency=1, budget_tokens=580)  # of 512 and a prompt, all of it reserved for each call
    stopped = await drive(lab, folder)
    assert (stopped.state, stopped.stopped_by) == ("stopped", "budget_tokens")
    answers = sum(len(one) - 1 for one in saved(lab, folder))
    assert 0 < answers < 6
    assert len(server.requests) == answers
    ROUNDS.prepare(lab, folder, {"budget_tokens": 100_000})
    with pytest.raises(UsageError, match="cannot change"):
        ROUNDS.prepare(lab, folder, {"prompt_set": "another"})
    with closing(open_lab(lab)) as store:  # killed after the journal, before the database
        rounds.forget(store.db, folder.id)
    status = await drive(lab, folder)
    assert (status.state, status.done) == ("finished", 6)
    assert len(server.requests) == 6
    assert [len(one) for one in saved(lab, folder)] == [3, 3, 3]
    assert status.output_tokens == sum(m.output_tokens or 0 for one in saved(lab, folder) for m in one)


async def test_what_failed_is_asked_again(lab: Lab, server: FaultServer) -> None:
    server.mode = "500"
    folder = begun(lab, attempts=1)
    first = await drive(lab, folder)
    assert first.failed > 0
    server.mode = "ok"
    second = await drive(lab, folder)
    assert (second.state, second.done, second.failed) == ("finished", 6, 0)
    assert {m.state for one in saved(lab, folder) for m in one} == {"complete"}


async def test_removing_a_round_keeps_what_was_voted_on(lab: Lab) -> None:
    folder = begun(lab)
    await drive(lab, folder)
    kept = folder.conversation_id(1)
    with closing(open_lab(lab)) as store:
        conversations.vote(store.db, conversations.Vote(kept, 1, "left", ("left", "left"), True, "ann"))
    assert look_at(find(lab, folder.id)).done == 6
    ROUNDS.remove(lab, ROUNDS.find(lab, folder.id))
    with closing(open_lab(lab)) as store:
        assert [one.id for one in conversations.page(store.db)] == [kept]
        assert len(conversations.messages(store.db, kept)) == 3
    assert not folder.path.exists()


def test_a_round_needs_two_contestants_that_differ(lab: Lab) -> None:
    one = AskedPane(model="left", label="left", temperature=0.0)
    with pytest.raises(UsageError, match="two panes"):
        start(lab, "x", PROMPTS, [one])
    with pytest.raises(UsageError, match="same settings"):
        start(lab, "x", PROMPTS, [one, one])
    with pytest.raises(UsageError, match="empty"):
        start(lab, "x", [], [one, one.model_copy(update={"temperature": 1.0})])
    with pytest.raises(NotFoundError):
        start(lab, "x", PROMPTS, [one, one.model_copy(update={"model": "gone"})])
    assert list(lab.rounds.iterdir() if lab.rounds.exists() else []) == []


def test_the_panes_of_compare_become_contestants(lab: Lab) -> None:
    ref = find_model(lab, "left")
    settings = Settings("S", Sampling(0.0, None, None, 3), panes=({}, {"temperature": 0.7, "system": ""}))
    cold, hot = panes_of([ref, ref], settings)
    assert (cold.system, cold.temperature, cold.max_tokens, cold.seed) == ("S", 0.0, 512, 3)
    assert (hot.system, hot.temperature) == ("", 0.7)


def test_prompts_are_those_of_a_set_or_of_a_source(lab: Lab) -> None:
    with closing(open_lab(lab)) as store:
        conversations.save_prompt_set(store.db, "mine", ["A?", "B?", "A?"])
        problems.add(store.db, [NewProblem("C?", "sums")])
        assert prompts_of(store, "mine") == ["A?", "B?"]
        assert prompts_of(store, "sums") == ["C?"]
        with pytest.raises(NotFoundError, match="nothing"):
            prompts_of(store, "nothing")
