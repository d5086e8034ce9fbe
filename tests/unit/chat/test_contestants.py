"""Settings of single panes, and contestants: a model with other settings is another one, also in a vote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from o1lab.chat.contestants import Contestant, completed, contestants_of, names, words_of
from o1lab.chat.conversation import ConversationSession
from o1lab.chat.panes import Settings, settings_from
from o1lab.chat.votes import last_vote, preferences
from o1lab.inference.events import Sampling
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from store import Store, conversations, open_store
from store.conversations import Vote
from tests.support.fault_server import FaultServer
from tests.support.votes import conversation, turn, vote


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "lab.db")
    yield opened
    opened.close()


def test_a_pane_keeps_only_what_differs() -> None:
    everyone = Settings("Be brief.", Sampling(temperature=0.0, max_tokens=400))
    changed = everyone.with_pane(1, Settings("Be brief.", Sampling(temperature=0.7, max_tokens=400)))
    assert changed.panes == ({}, {"temperature": 0.7})
    assert changed.of(0).sampling.temperature == 0.0
    longer = Settings(changed.system, Sampling(temperature=0.0, max_tokens=800), panes=changed.panes)
    assert (longer.of(1).sampling.temperature, longer.of(1).sampling.max_tokens) == (0.7, 800)
    assert longer.with_pane(1, everyone).own(1) == {"max_tokens": 400}


def test_settings_of_panes_are_read_again() -> None:
    saved = {"system": None, "sampling": {"temperature": 0.5}, "panes": [{}, {"system": "", "gone": 1}, "damaged"]}
    read = settings_from(saved)
    assert read.panes == ({}, {"system": ""}, {})
    assert (read.of(0).system, read.of(1).system) == (None, "")


def test_settings_are_named_where_they_differ() -> None:
    cold, hot = Contestant("m", "", 0.0, None, 400), Contestant("m", "Be\nbrief.", 0.7, None, 400)
    other = Contestant("n", "", 0.0, None, 400)
    named = names([cold, hot, other])
    assert named[other] == "n"
    assert named[cold] == "m (temperature 0, no system prompt)"
    assert named[hot] == r"m (temperature 0.7, system 'Be\nbrief.')"
    assert words_of({"temperature": None}) == "temperature of the server"


async def test_a_model_is_compared_with_itself(store: Store) -> None:
    with FaultServer() as server:
        ref = ModelRef("m", "other", "m", "endpoint")

        async def opener(_ref: ModelRef) -> ModelAddress:
            return ModelAddress(server.url, "m", "key-of-the-test")

        settings = Settings("Be brief.", Sampling(temperature=0.0), panes=({}, {"temperature": 0.7, "system": ""}))
        session = await ConversationSession.begin(
            store, [ref, ref], settings, opener=opener, listener=lambda _event: None
        )
        await session.send("What is 2 + 2?")
        await session.wait()
        asked = {request["temperature"]: request["messages"] for request in server.requests}
        assert [message["role"] for message in asked[0.0]] == ["system", "user"]
        assert [message["role"] for message in asked[0.7]] == ["user"]
        await session.vote(1, "ann")
        await session.change(settings.with_pane(0, Settings("Be brief.", Sampling(temperature=1.0))))
        await session.close()
        again = await ConversationSession.resume(
            store, session.record.id, lambda _name: ref, opener=opener, listener=lambda _event: None
        )
        assert again.settings.of(0).sampling.temperature == 1.0
        await again.close()
    (ballot,) = conversations.votes(store.db)
    cold, hot = contestants_of(ballot)
    assert (cold.system, cold.temperature, hot.system, hot.temperature) == ("Be brief.", 0.0, "", 0.7)
    assert (ballot.winner, ballot.winner_pane) == ("m", 1)
    (one,) = preferences(store.db, open_votes=True).found
    assert (one.better.pane, one.worse.pane) == (1, 0)


def test_a_vote_of_an_earlier_version_takes_the_settings_of_the_answers(store: Store) -> None:
    record = conversation(store)
    turn(store, record, 1, "2 + 2?", ["4", "5"], system="S", sampling={"temperature": 0.5, "max_tokens": 9})
    vote(store, record, "right")
    (ballot,) = completed(store.db, conversations.votes(store.db))
    assert contestants_of(ballot) == [Contestant("left", "S", 0.5, None, 9), Contestant("right", "S", 0.5, None, 9)]
    assert ballot.winner_pane == 1


def test_withdrawing_a_vote_brings_the_one_before_back(store: Store) -> None:
    record = conversation(store)
    turn(store, record, 1, "2 + 2?", ["4", "5"])
    first = Vote(record.id, 1, "left", ("left", "right"), True, "ann", created_at="2026-01-02T00:00:00+00:00")
    later = Vote(record.id, 1, "right", ("left", "right"), True, "ann", created_at="2026-01-01T00:00:00+00:00")
    for ballot in (first, later):  # the clock was set back between them: the order of the records counts
        conversations.vote(store.db, ballot)
    assert [one.winner for one in conversations.votes(store.db)] == ["right"]
    conversations.withdraw(store.db, later.id)
    assert last_vote(store, record.id, 1, "ann") == first
    conversations.withdraw(store.db, first.id)
    assert last_vote(store, record.id, 1, "ann") is None
    assert conversations.votes(store.db) == []
