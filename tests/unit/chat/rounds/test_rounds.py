"""Rounds: a prompt set asked by a job that stops, goes on, retries what failed and pays for nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.activity import activity_of, find
from o1lab.chat.panes import Settings
from o1lab.chat.rounds.control import ROUNDS, panes_of, prompts_of, start
from o1lab.chat.rounds.directory import RoundFolder, RoundPane
from o1lab.chat.rounds.runner import RoundRunner
from o1lab.errors import NotFoundError, UsageError
from o1lab.inference.events import Sampling
from o1lab.labs import open_lab
from o1lab.paths import Lab
from o1lab.serve.registry import find_model
from store import branches, conversations, problems, rounds
from store.conversations import Message, Span
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
        RoundPane(model="left", label="left", temperature=0.0, seed=7),
        RoundPane(model="left", label="left", temperature=0.7, seed=7, system="Be brief."),
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
    status = await RoundRunner(lab, folder).work()
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


async def test_a_resumed_round_asks_nothing_twice(lab: Lab, server: FaultServer) -> None:
    folder = begun(lab, concurrency=1, budget_tokens=580)  # of 512 and a prompt, all of it reserved for each call
    stopped = await RoundRunner(lab, folder).work()
    assert (stopped.state, stopped.stopped_by) == ("stopped", "budget_tokens")
    answers = sum(len(one) - 1 for one in saved(lab, folder))
    assert 0 < answers < 6
    assert len(server.requests) == answers
    ROUNDS.prepare(lab, folder, {"budget_tokens": 100_000})
    with pytest.raises(UsageError, match="cannot change"):
        ROUNDS.prepare(lab, folder, {"prompt_set": "another"})
    with closing(open_lab(lab)) as store:  # killed after the journal, before the database
        rounds.forget(store.db, folder.id)
    status = await RoundRunner(lab, folder).work()
    assert (status.state, status.done) == ("finished", 6)
    assert len(server.requests) == 6
    assert [len(one) for one in saved(lab, folder)] == [3, 3, 3]
    assert status.output_tokens == sum(m.output_tokens or 0 for one in saved(lab, folder) for m in one)


async def test_what_failed_is_asked_again(lab: Lab, server: FaultServer) -> None:
    server.mode = "500"
    folder = begun(lab, attempts=1)
    first = await RoundRunner(lab, folder).work()
    assert first.failed > 0
    server.mode = "ok"
    second = await RoundRunner(lab, folder).work()
    assert (second.state, second.done, second.failed) == ("finished", 6, 0)
    assert {m.state for one in saved(lab, folder) for m in one} == {"complete"}


async def test_removing_a_round_keeps_what_was_voted_on(lab: Lab) -> None:
    folder = begun(lab)
    await RoundRunner(lab, folder).work()
    kept = folder.conversation_id(1)
    with closing(open_lab(lab)) as store:
        conversations.vote(store.db, conversations.Vote(kept, 1, "left", ("left", "left"), True, "ann"))
    assert activity_of(find(lab, folder.id)).done == 6
    ROUNDS.remove(lab, ROUNDS.find(lab, folder.id))
    with closing(open_lab(lab)) as store:
        assert [one.id for one in conversations.page(store.db)] == [kept]
        assert len(conversations.messages(store.db, kept)) == 3
    assert not folder.path.exists()


async def test_removing_a_round_keeps_what_a_person_went_on_with_and_deletes_the_tokens_of_the_rest(lab: Lab) -> None:
    folder = begun(lab)
    await RoundRunner(lab, folder).work()
    asked, again, untouched = (folder.conversation_id(number) for number in range(3))
    with closing(open_lab(lab)) as store:
        question = Message("later", asked, 2, None, "user", "complete", "And why?")
        branches.save(store.db, [question], head=None)
        for one in (again, untouched):
            (_, first, _) = conversations.messages(store.db, one)
            tokens = branches.Tokens("left", (1, 2), (1, 2))
            branches.save(store.db, [first], head=None, tokens=tokens)
            if one == again:
                version = replace(first, id="again", content="Another answer.")
                branches.save(store.db, [replace(first, shown=False), version], head=None, tokens=tokens)
    ROUNDS.remove(lab, ROUNDS.find(lab, folder.id))
    with closing(open_lab(lab)) as store:
        assert {one.id for one in conversations.page(store.db)} == {asked, again}
        assert conversations.messages(store.db, asked)[-1].content == "And why?"
        assert store.db.execute("SELECT count(*) FROM message_tokens").fetchone() == (2,)
    assert not folder.path.exists()


async def test_the_answers_of_a_round_are_the_versions_that_are_shown(lab: Lab, server: FaultServer) -> None:
    server.mode = "500"
    folder = begun(lab, attempts=1)
    await RoundRunner(lab, folder).work()
    one, two, _ = (folder.conversation_id(number) for number in range(3))
    with closing(open_lab(lab)) as store:
        for conversation in (one, two):  # a person asks one pane again: in one conversation that fails too
            first = next(m for m in conversations.messages(store.db, conversation) if m.pane == 0)
            state = "failed" if conversation == one else "complete"
            version = replace(first, id=f"{conversation}-again", state=state, content="A person's.")
            branches.save(store.db, [replace(first, shown=False), version], head=None)
    server.mode = "ok"
    status = await RoundRunner(lab, folder).work()
    assert (status.state, status.done, status.failed) == ("finished", 6, 0)
    shown = saved(lab, folder)
    assert [len(messages) for messages in shown] == [3, 3, 3]
    assert [messages[1].content for messages in shown] == ["".join(ANSWER), "A person's.", "".join(ANSWER)]
    with closing(open_lab(lab)) as store:
        assert rounds.complete(store.db, folder.id) == sorted(folder.conversation_id(number) for number in range(3))
        mixed = replace(shown[1][1], spans=(Span(0, 2, "person", "ann"), Span(2, 11, "model", "left")))
        conversations.save_message(store.db, mixed)
        assert two not in rounds.complete(store.db, folder.id), "an answer of several writers gets no votes"


def test_a_round_needs_two_contestants_that_differ(lab: Lab) -> None:
    one = RoundPane(model="left", label="left", temperature=0.0)
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
