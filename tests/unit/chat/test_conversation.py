"""Conversations: panes that do not disturb each other, the disk before the telling, votes, and what is left behind."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.chat.conversation import ConversationSession
from o1lab.chat.export import add_to_traces, export_markdown
from o1lab.chat.panes import PaneEvent, Saved, Settings
from o1lab.chat.strengths import rank
from o1lab.errors import LabError, NotFoundError, UsageError
from o1lab.inference.events import Delta, Done, Failed, Sampling
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from store import Store, conversations, open_store, problems, traces
from store.records import NewProblem, NewTrace
from tests.support.fault_server import ANSWER, THOUGHT, FaultServer

QUESTION = "What is 964 + 494?"
SETTINGS = Settings(sampling=Sampling(seed=1))


class Panes:
    """Models by name, each answered by a fault server, and every event that was told."""

    def __init__(self, **servers: FaultServer) -> None:
        self.servers = servers
        self.refs = [ModelRef(name, "other", f"the {name}", "endpoint") for name in servers]
        self.events: list[PaneEvent] = []
        self.heard: dict[int, asyncio.Event] = {pane: asyncio.Event() for pane in range(len(servers))}
        self.on_disk: list[str] = []
        self.store: Store | None = None

    async def opener(self, ref: ModelRef) -> ModelAddress:
        if ref.id == "keyless":
            raise LabError("The key of keyless is missing: NO_KEY is not set.", "Set it.", code="no_key")
        return ModelAddress(self.servers[ref.id].url, "m", "key-of-the-test")

    def __call__(self, event: PaneEvent) -> None:
        self.events.append(event)
        if isinstance(event.event, Delta):
            self.heard[event.pane].set()
        if isinstance(event.event, Done | Failed) and self.store is not None:
            # A connection of its own sees only what is committed.
            other = open_store(self.store.path)
            rows = conversations.messages(other.db, other.db.execute("SELECT id FROM conversations").fetchone()[0])
            self.on_disk += [m.content for m in rows if m.pane == event.pane]
            other.close()

    async def begin(self, store: Store, settings: Settings = SETTINGS, **options: object) -> ConversationSession:
        self.store = store
        return await ConversationSession.begin(store, self.refs, settings, opener=self.opener, listener=self, **options)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "lab.db")
    yield opened
    opened.close()


async def test_a_failing_pane_disturbs_no_other_and_can_be_tried_again(store: Store) -> None:
    with FaultServer("think") as good, FaultServer("500") as bad, FaultServer() as keyless:
        panes = Panes(good=good, bad=bad, keyless=keyless)
        session = await panes.begin(store)
        assert await session.send(QUESTION) == 1
        await session.wait()
        answers = [session.answer(pane) for pane in range(3)]
        assert [a.state for a in answers] == ["complete", "failed", "failed"]
        assert (answers[0].thought, answers[0].content) == ("".join(THOUGHT), "".join(ANSWER))
        assert "NO_KEY" in answers[2].error
        bad.mode = "ok"
        session.regenerate(1)
        await session.wait()
        assert session.answer(1).state == "complete"
        await session.close()
    kept = conversations.messages(store.db, session.record.id)
    assert [(m.pane, m.state) for m in kept] == [(None, "complete"), (0, "complete"), (1, "complete"), (2, "failed")]
    assert panes.on_disk.count("".join(ANSWER)) == 2, "an answer is on disk before its end is told"
    ends = [e for e in panes.events if e.pane == 0 and isinstance(e.event, Done | Saved)]
    assert [type(e.event) for e in ends] == [Done, Saved]


async def test_a_slow_pane_holds_up_no_other_and_stopping_keeps_what_came(store: Store) -> None:
    with FaultServer("gated") as slow, FaultServer() as fast:
        panes = Panes(slow=slow, fast=fast)
        session = await panes.begin(store)
        await session.send(QUESTION)
        await asyncio.wait_for(panes.heard[0].wait(), 20)
        await asyncio.wait_for(session._tasks[1], 20)
        assert session.answering(0)
        with pytest.raises(UsageError):
            await session.send("too early")
        await session.stop(0)
        stopped = session.answer(0)
        assert (stopped.state, stopped.content) == ("stopped", ANSWER[0])
        await session.close()
    assert conversations.messages(store.db, session.record.id)[1].content == ANSWER[0]


async def test_turns_carry_answers_but_no_thoughts(store: Store) -> None:
    with FaultServer("think") as server:
        panes = Panes(one=server)
        session = await panes.begin(store, Settings("Be brief.", Sampling(temperature=0.7, seed=5)))
        await session.send("first")
        await session.wait()
        await session.send("second")
        await session.wait()
        assert server.requests[1]["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "".join(ANSWER)},
            {"role": "user", "content": "second"},
        ]
        session.regenerate(0)
        await session.wait()
        assert [request["seed"] for request in server.requests] == [5, 5, 6]
        await session.close()
        again = await ConversationSession.resume(
            store, session.record.id, lambda name: panes.refs[0], opener=panes.opener, listener=panes
        )
        assert again.settings == session.settings
        assert await again.send("third") == 3
        await again.wait()
        assert len(server.requests[-1]["messages"]) == 6
        await again.close()


async def test_a_failed_retry_does_not_lose_the_answer(store: Store) -> None:
    with FaultServer() as server:
        panes = Panes(one=server)
        session = await panes.begin(store)
        await session.send(QUESTION)
        await session.wait()
        server.mode = "500"
        session.regenerate(0)
        await session.wait()
        assert isinstance(panes.events[-1].event, Failed)
        assert session.answer(0).content == "".join(ANSWER)
        await session.close()


async def test_answers_of_a_removed_model_stay(store: Store) -> None:
    with FaultServer() as server:
        panes = Panes(one=server)
        session = await panes.begin(store)
        await session.send(QUESTION)
        await session.wait()
        await session.close()

        def find(name: str) -> ModelRef:
            raise NotFoundError(f"No model is called {name}.")

        again = await ConversationSession.resume(store, session.record.id, find, opener=panes.opener, listener=panes)
        assert again.refs[0].label.endswith("(gone)")
        assert again.answer(0).content == "".join(ANSWER)
        await again.close()


async def test_votes_are_shuffled_blind_and_tallied(store: Store) -> None:
    with FaultServer() as a, FaultServer() as b, FaultServer() as c:
        panes = Panes(a=a, b=b, c=c)
        session = await panes.begin(store, Settings(blind=True))
        with pytest.raises(UsageError):
            await session.vote(0, "ann")
        orders = []
        for winner in (0, 2, "tie", "none", 0):
            await session.send(QUESTION)
            await session.wait()
            orders.append(tuple(session.order()))
            await session.vote(winner, "ann")
        await session.vote(1, "ann")  # on second thoughts
        await session.close()
    assert len(set(orders)) > 1
    assert orders[0] == tuple(session.order(1))
    votes = conversations.votes(store.db, conversation_id=session.record.id)
    assert votes[0].candidates == tuple("abc"[pane] for pane in orders[0])
    assert all(vote.blind for vote in votes)
    found = rank(votes, resamples=0).standings
    standings = {s.contestant.model: (s.shown, s.wins, s.losses, s.ties, s.none) for s in found}
    assert standings == {"a": (5, 1, 2, 1, 1), "b": (5, 1, 2, 1, 1), "c": (5, 1, 2, 1, 1)}


async def test_a_known_problem_gets_a_verdict(store: Store) -> None:
    from o1lab.chat.panes import AnswerVerifier

    with store.db.atomic():
        problems.add(store.db, [NewProblem(QUESTION, "test", answer="1458")])
    verifier = AnswerVerifier(store)
    with FaultServer() as right, FaultServer(answer=["It is 77200."]) as wrong:
        session = await Panes(right=right, wrong=wrong).begin(store, verifier=verifier)
        await session.send(QUESTION)
        await session.wait()
        assert [session.answer(pane).verdict for pane in (0, 1)] == ["correct", "incorrect"]
        await session.send("Something nobody knows?")
        await session.wait()
        assert session.answer(0).verdict is None
        await session.close()
    verifier.close()


async def test_an_answer_becomes_a_trace_with_its_origin(store: Store) -> None:
    with FaultServer("think") as server:
        panes = Panes(one=server)
        session = await panes.begin(store)
        await session.send(QUESTION)
        await session.wait()
        await session.close()
    message = session.answer(0)
    trace_id, new = add_to_traces(store, session.record, message, panes.refs[0])
    assert new
    assert add_to_traces(store, session.record, message, panes.refs[0]) == (trace_id, False)
    row, text = traces.get(store.db, trace_id), traces.text(store.db, trace_id)
    assert (row.source, row.model, row.complete) == ("chat", "one", True)
    assert text.statement == QUESTION
    assert (text.thought, text.solution) == ("".join(THOUGHT), "".join(ANSWER))
    assert (text.meta["conversation"], text.meta["message"]) == (session.record.id, message.id)


async def test_an_answer_to_a_later_turn_keeps_what_was_asked(store: Store) -> None:
    with FaultServer("think") as server:
        panes = Panes(one=server)
        session = await panes.begin(store, replace(SETTINGS, system="Be brief."))
        for question in (QUESTION, "Sure?"):
            await session.send(question)
            await session.wait()
        await session.close()
    trace_id, _ = add_to_traces(store, session.record, session.answer(0), panes.refs[0])
    asked = [(turn["role"], turn["content"]) for turn in traces.text(store.db, trace_id).context]
    assert asked == [
        ("system", "Be brief."), ("user", QUESTION), ("assistant", "".join(ANSWER)), ("user", "Sure?"),
    ]  # fmt: skip


async def test_a_turn_without_an_answer_is_not_part_of_what_was_asked(store: Store) -> None:
    with FaultServer("500") as server:
        panes = Panes(one=server)
        session = await panes.begin(store)
        await session.send("Lost?")
        await session.wait()
        server.mode = "think"
        await session.send(QUESTION)
        await session.wait()
        asked = session.messages_for(0)
        await session.close()
    trace_id, _ = add_to_traces(store, session.record, session.answer(0), panes.refs[0])
    assert asked == [{"role": "user", "content": QUESTION}]
    assert not traces.text(store.db, trace_id).context


async def test_an_answer_is_saved_when_the_verifier_fails(store: Store) -> None:
    with store.db.atomic():
        problems.add(store.db, [NewProblem(QUESTION, "test", answer="1458")])

    def closed(gold: str, answer: str) -> str:
        raise RuntimeError("the verifier pool is closed")

    with FaultServer("think") as server:
        session = await Panes(one=server).begin(store, verifier=closed)
        await session.send(QUESTION)
        await session.wait()
        await session.close()
    [saved] = [m for m in conversations.messages(store.db, session.record.id) if m.pane == 0]
    assert (saved.content, saved.state, saved.verdict) == ("".join(ANSWER), "complete", None)


async def test_a_kept_answer_is_measured_and_verified_at_once(store: Store) -> None:
    other = NewProblem("What is 2 + 2?", "test", answer="4")
    waiting = NewTrace(other.id, "m", "4", (0, 0), (0, 1), True, "plain", "test")
    with store.db.atomic():
        problems.add(store.db, [NewProblem(QUESTION, "test", answer="1458"), other])
        traces.add(store.db, [(waiting, other.statement)])
    with FaultServer("think") as server:
        panes = Panes(one=server)
        session = await panes.begin(store)
        await session.send(QUESTION)
        await session.wait()
        await session.close()
    trace_id, _ = add_to_traces(store, session.record, session.answer(0), panes.refs[0])
    row = traces.get(store.db, trace_id)
    assert (row.answer, row.verdict, row.looping) == ("1458", "correct", False)
    assert sum(row.moves.values()) >= 1
    assert traces.get(store.db, waiting.id).verdict is None  # what an import left is not measured on the way


async def test_the_export_shows_hostile_text_as_text(store: Store) -> None:
    hostile = "```\n<script>\x1b[2J # title"
    with FaultServer(answer=[hostile]) as server:
        session = await Panes(one=server, two=server).begin(store)
        await session.send(QUESTION)
        await session.wait()
        ballot = await session.vote(1, "ann")
        await session.close()
    page = export_markdown(session.record, session.history, [ballot])
    assert "\x1b" not in page
    assert f"````text\n{hostile.replace(chr(27), '␛')}\n````" in page
    assert "the one" in page
    assert "Vote of ann: **two**" in page


async def test_an_answer_that_cannot_be_saved_is_reported_and_can_be_repeated(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = conversations.save_message

    def full(db: object, message: conversations.Message) -> None:
        if message.role == "assistant":
            raise sqlite3.OperationalError("database or disk is full")
        keep(db, message)

    monkeypatch.setattr(conversations, "save_message", full)
    with FaultServer() as server:
        panes = Panes(one=server)
        session = await panes.begin(store)
        await session.send(QUESTION)
        await session.wait()
        end = panes.events[-1].event
        assert isinstance(end, Failed)
        assert "could not be saved" in end.error.sentence
        assert end.error.hint
        monkeypatch.undo()
        session.regenerate(0)
        await session.wait()
        assert session.answer(0).state == "complete"
        await session.close()
