"""Branches of a conversation: versions, walks between them, and answers that a model continues from a beginning."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from o1lab.chat import conversation as conversation_module
from o1lab.chat.chains import Chain, open_chain
from o1lab.chat.conversation import ConversationSession
from o1lab.chat.export import add_to_traces, asked_for, export_markdown
from o1lab.chat.panes import PaneEvent, Settings
from o1lab.chat.prefixes import Prefix, changed, cut, written_by
from o1lab.chat.votes import preferences
from o1lab.errors import UsageError
from o1lab.inference.events import Delta, Sampling
from o1lab.models.prompts import PromptOptions
from o1lab.serve.endpoints import ModelAddress
from o1lab.serve.registry import ModelRef
from store import Store, branches, conversations, open_store, traces
from store.conversations import Span
from store.errors import BusyError
from store.schema.migrations import migrations
from store.sqlite import Database, Migrations
from store.writers import writers_of
from tests.support.continuing import Going
from tests.support.fault_server import ANSWER, FaultServer

PLAIN = Settings(sampling=Sampling(seed=1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "lab.db")
    yield opened
    opened.close()


@pytest.fixture
def server() -> Iterator[Going]:
    with Going() as going:
        yield going


@asynccontextmanager
async def talking(
    store: Store, server: FaultServer, *, panes: int = 1, settings: Settings = PLAIN
) -> AsyncIterator[ConversationSession]:
    async def opener(ref: ModelRef) -> ModelAddress:
        return ModelAddress(server.url, ref.id, "k", continues="messages")

    refs = [ModelRef(f"m{n}", "other", f"model {n}", "base") for n in range(panes)]
    session = await ConversationSession.begin(store, refs, settings, opener=opener, listener=lambda _event: None)
    yield session
    await session.close()


async def ask(session: ConversationSession, *texts: str, **options: Any) -> None:
    for text in texts:
        await session.send(text, **options)
        await session.wait()


async def go_on(session: ConversationSession, pane: int, at: int, **options: Any) -> conversations.Message:
    """Cut the shown answer of a pane and let its model continue."""
    before = session.answer(pane, options.get("turn"))
    assert before is not None
    prefix = cut(await session.beginning(before, "m0"), at)
    await session.continue_from(pane, prefix, **({"ref": session.refs[pane]} | options))
    await session.wait()
    after = session.answer(pane)
    assert after is not None
    return after


async def test_a_question_asked_again_is_a_branch_and_each_branch_keeps_its_messages(
    store: Store, server: Going
) -> None:
    async with talking(store, server) as session:
        await ask(session, "one", "two", "three")
        await ask(session, "two, but shorter", instead_of=2)
        assert session.path == [1, 4]
        assert str(session.version(None)) == "2/2"
        assert [one["content"] for one in server.requests[-1]["messages"]] == [
            "one",
            "".join(ANSWER),
            "two, but shorter",
        ]
        earlier = session.other_question(4, -1)
        assert earlier is not None and session.other_question(4, 1) is None
        await session.walk(earlier)
        assert session.path == [1, 2, 3], "a walk goes to the end of the branch"
        shown = conversations.messages(store.db, session.record.id)
        assert [one.turn for one in shown if one.pane is None] == [1, 2, 3]
        again = await resumed(session)
        assert again.path == [1, 2, 3] and len(again.history) == len(session.history)
        await ask(again, "four")
        assert again.path == [1, 2, 3, 5]


async def resumed(session: ConversationSession) -> ConversationSession:
    return await ConversationSession.resume(
        session.store,
        session.record.id,
        lambda _name: session.refs[0],
        opener=session._opener,
        listener=lambda _event: None,
    )


async def test_an_answer_continued_in_an_earlier_turn_leaves_the_later_turns_on_their_branch(
    store: Store, server: Going
) -> None:
    async with talking(store, server, panes=2) as session:
        await ask(session, "one", "two")
        first = session.answer(0, 1)
        assert first is not None
        continued = await go_on(session, 0, 4, turn=1)
        assert session.path == [1]
        assert (continued.raw, continued.state) == ("The and on.", "complete")
        assert str(session.version(0)) == "2/2" and str(session.version(1)) == "1/1"
        await ask(session, "another two")
        assert server.requests[-1]["messages"][1]["content"] in ("The and on.", "".join(ANSWER))
        assert session.path == [1, 3]
        await session.walk(first)
        assert session.path == [1, 2]
        assert session.answer(0, 1) == replace(first, shown=True)
        await session.walk(continued)
        assert session.path == [1, 3]
        kept = conversations.messages(store.db, session.record.id, branches=True)
        assert {one.id: one.shown for one in kept} == {one.id: one.shown for one in session.history}
        asked = asked_for(kept, next(one for one in kept if one.turn == 2 and one.pane == 0))
        assert [one["content"] for one in asked] == ["one", "".join(ANSWER), "two"]


async def test_a_continued_text_is_sent_exactly_and_says_who_wrote_what(store: Store, server: Going) -> None:
    async with talking(store, server) as session:
        await ask(session, "one")
        answer = session.answer(0)
        assert answer is not None and answer.spans == (Span(0, 27, "model", "m0"),)
        whole = await session.beginning(answer, "m0")
        other = ModelRef("other", "other", "another", "base")
        await session.continue_from(0, changed(whole, "The ansXer is", "anna"), ref=other)
        await session.wait()
        made = session.answer(0)
        assert made is not None and made.raw == "The ansXer isand on."
        assert made.spans == (
            Span(0, 7, "model", "m0"),
            Span(7, 8, "person", "anna"),
            Span(8, 13, "model", "m0"),
            Span(13, 20, "model", "other"),
        )
        sent = server.requests[-1]
        assert sent["messages"][-1] == {"role": "assistant", "content": "The ansXer is"}
        assert (sent["continue_final_message"], sent["model"]) == (True, "other")
        session.regenerate(0)
        await session.wait()
        assert server.requests[-1]["messages"] == sent["messages"], "again is again from the same beginning"
        assert server.requests[-1]["model"] == "other"
        assert str(session.version(0)) == "3/3"
        page = export_markdown(session.record, conversations.messages(store.db, session.record.id, branches=True))
        assert "(1/3)" in page and "(3/3, shown)" in page
        assert "Written by: m0 0–7, anna 7–8, m0 8–13, other 13–20 (characters)" in page
        trace, _ = add_to_traces(store, session.record, made, other)
        meta = traces.get(store.db, trace)
        assert traces.text(store.db, trace).raw == made.raw and meta.synthesis == "unknown"
        stored = store.db.execute("SELECT x.meta FROM trace_texts x JOIN traces t USING (seq)").fetchone()[0]
        assert [one.model for one in writers_of(json.loads(stored), len(made.raw))] == ["m0", "anna", "m0", "other"]


async def test_an_opened_chain_keeps_its_system_prompt_its_questions_and_its_writer(
    store: Store, server: Going
) -> None:
    raw = "<think>\nOnes.\n</think>\n\n8"
    roles = ("system", "user", "user", "assistant", "user")
    contents = ("Add.", "one", "two", "2", "three")
    asked = tuple({"role": role, "content": text} for role, text in zip(roles, contents, strict=True))
    own = replace(PLAIN, panes=({"system": "Mine."}, {}))
    async with talking(store, server, panes=2, settings=own) as session:
        await open_chain(session, Chain("t", asked, "sky", Prefix(raw, written_by(raw, "sky")), ()))
        sent = (await resumed(session)).messages_for(0)
        assert [one["content"] for one in sent] == ["Add.", "one\n\ntwo", "2", "three"]
        with pytest.raises(UsageError, match="did not write alone"):
            await session.vote(0, "anna")
        whole = session.answer(0)
        assert whole is not None
        trace, _ = add_to_traces(store, session.record, whole, session.refs[0])
        row = traces.get(store.db, trace)
        assert (row.model, row.synthesis, traces.text(store.db, trace).context) == ("sky", "unknown", tuple(sent))
        continued = await go_on(session, 0, len("<think>\n"))
        assert continued.output_tokens is not None
        trace, _ = add_to_traces(store, session.record, continued, session.refs[0])
        assert traces.get(store.db, trace).tokens is None, "those of the whole response are not known"
        page = export_markdown(session.record, session.history)
        assert "tokens of the continuation" in page and "Written by: sky 0–25" in page


async def test_an_answer_of_several_writers_is_not_voted_on(store: Store, server: Going) -> None:
    async with talking(store, server, panes=2) as session:
        await ask(session, "one")
        first = session.answer(0)
        await go_on(session, 0, 4, ref=session.refs[1])
        with pytest.raises(UsageError, match="did not write alone"):
            await session.vote(1, "anna")
        assert first is not None
        await session.walk(first)
        assert (await session.vote(1, "anna")).winner == "m1"
        await go_on(session, 0, 0, ref=session.refs[1])
        with pytest.raises(UsageError, match="did not write alone"):
            await session.vote(1, "anna")


async def test_a_vote_is_on_the_versions_that_were_shown(store: Store, server: Going) -> None:
    async with talking(store, server, panes=2) as session:
        await ask(session, "one")
        first, other = session.answer(0), session.answer(1)
        assert first is not None and other is not None
        session.regenerate(0)
        await session.wait()
        await session.walk(first)
        await session.vote(0, "anna", blind=True)
        session.regenerate(0)
        await session.wait()
    (one,) = preferences(store.db).found
    assert (one.better.id, one.worse.id) == (first.id, other.id)


async def test_the_beginning_is_on_disk_before_the_model_is_asked_and_survives_its_failure(
    store: Store, server: Going
) -> None:
    async with talking(store, server) as session:
        await ask(session, "one")
        server.mode = "context"
        failed = await go_on(session, 0, 10)
        assert (failed.state, failed.raw, failed.content) == ("failed", "The answer", "The answer")
        assert "context" in (failed.error or "")
        server.mode = "ok"
        session.regenerate(0)
        await session.wait()
        assert len(branches.answers(session.history, 0, 1)) == 2, "a retry fills the version that failed"
        last = session.answer(0)
        assert last is not None and (last.id, last.raw, last.state) == (failed.id, "The answerand on.", "complete")


async def test_what_arrives_is_on_disk_before_the_end(
    store: Store, server: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation_module, "KEEP_EVERY_S", 0.0)
    server.mode = "gated"
    async with talking(store, server) as session:
        await session.send("one")
        other = open_store(store.path)

        def on_disk() -> list[conversations.Message]:
            return [one for one in conversations.messages(other.db, session.record.id) if one.pane == 0]

        while not on_disk():  # noqa: ASYNC110 - written by a thread; the server has sent the first word and waits
            await asyncio.sleep(0.01)
        assert [(one.state, one.content, one.raw) for one in on_disk()] == [("stopped", ANSWER[0], ANSWER[0])]
        server.release.set()
        await session.wait()
        assert [(one.state, one.raw) for one in on_disk()] == [("complete", "".join(ANSWER))]
        other.close()


async def test_a_busy_database_does_not_end_an_answer(
    store: Store, server: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation_module, "KEEP_EVERY_S", 0.0)
    save, refused = branches.save, threading.Event()

    def busy(db: Database, messages: Sequence[conversations.Message], **options: Any) -> None:
        if messages[-1].state == "stopped" and not refused.is_set():
            refused.set()
            raise BusyError("The lab is busy.", "Wait.")
        save(db, messages, **options)

    monkeypatch.setattr(branches, "save", busy)
    server.mode = "gated"
    async with talking(store, server) as session:
        await session.send("one")
        assert await asyncio.to_thread(refused.wait, 20)
        while not any(  # noqa: ASYNC110 - nothing more arrives, and yet a thread saves it
            one.pane == 0 for one in conversations.messages(store.db, session.record.id)
        ):
            await asyncio.sleep(0.01)
        server.release.set()
        await session.wait()
        answer = session.answer(0)
        assert answer is not None and (answer.state, answer.raw) == ("complete", "".join(ANSWER))


async def test_an_answer_is_saved_with_the_system_prompt_that_it_was_asked_with(store: Store, server: Going) -> None:
    async with talking(store, server) as session:
        server.mode = "gated"
        await session.send("one")
        await asyncio.to_thread(server.asked.wait, 20)
        await session.change(replace(PLAIN, system="Later.", sampling=Sampling(seed=9)))
        server.release.set()
        await session.wait()
        answer = session.answer(0)
        assert answer is not None and (answer.settings["system"], answer.settings["sampling"]["seed"]) == ("", 1)
        await session.change(PLAIN)
        trained = ModelRef("guest", "student", "guest", "base", prompt=PromptOptions(system_prompt="Think."))
        continued = await go_on(session, 0, 4, ref=trained)
        assert server.requests[-1]["messages"][0] == {"role": "system", "content": "Think."}
        assert continued.settings["system"] == "Think."


async def test_a_stopped_answer_keeps_its_text_with_its_marks(store: Store) -> None:
    heard = asyncio.Event()

    def listen(event: PaneEvent) -> None:
        if isinstance(event.event, Delta):
            heard.set()

    with Going("gated", answer=["<think>\nAdd ", "the ones."]) as server:
        async with talking(store, server) as session:
            session._listener = listen
            await session.send("one")
            await asyncio.wait_for(heard.wait(), 20)
            await session.stop()
            stopped = session.answer(0)
            assert stopped is not None and (stopped.state, stopped.raw) == ("stopped", "<think>\nAdd ")
            server.release.set()
            made = await go_on(session, 0, len("<think>\nAdd "))
            assert (made.thought, made.raw) == ("\nAdd and on.", "<think>\nAdd and on.")


async def test_a_hosted_model_is_refused_before_anything_is_changed(store: Store, server: Going) -> None:
    from o1lab.config import Endpoint

    hosted = ModelRef("h", "teacher", "hosted", "endpoint", endpoint=Endpoint(name="h", url=server.url, model="m"))
    async with talking(store, server) as session:
        await ask(session, "one")
        with pytest.raises(UsageError, match="hosted only answers messages and cannot continue"):
            await go_on(session, 0, 4, ref=hosted)
        assert str(session.version(0)) == "1/1" and not session.busy


def test_conversations_of_earlier_versions_are_trees_with_one_branch(tmp_path: Path) -> None:
    before, whole = Migrations("o1lab"), migrations.steps
    before.steps = {name: step for name, step in whole.items() if not name.endswith("_branches")}
    old = Store(tmp_path / "lab.db")
    before.apply(old.db)
    rows = [
        ("q1", 1, None, "complete", "one", "{}"),
        ("a1", 1, 0, "replaced", "wrong", '{"finish_reason": "stopped"}'),
        ("a2", 1, 0, "complete", "right", '{"finish_reason": "stop"}'),
        ("q2", 2, None, "complete", "two", "{}"),
        ("a3", 2, 0, "failed", "", "{}"),
    ]
    with old.db.conn:
        old.db.conn.execute(
            "INSERT INTO conversations(id, title, settings, created_at, updated_at) VALUES ('c', 't', '{}', '', '')"
        )
        for identity, turn, pane, state, text, settings in rows:
            role = "user" if pane is None else "assistant"
            old.db.conn.execute(
                "INSERT INTO messages(id, conversation_id, turn, pane, role, state, content, settings, created_at) "
                "VALUES (?, 'c', ?, ?, ?, ?, ?, ?, '2025')",
                (identity, turn, pane, role, state, text, settings),
            )
    old.close()
    opened = open_store(tmp_path / "lab.db")
    history = conversations.messages(opened.db, "c", branches=True)
    assert [(m.id, m.state, m.shown, m.parent, m.follows) for m in history] == [
        ("q1", "complete", True, 0, ()), ("a1", "stopped", False, None, ()), ("a2", "complete", True, None, ()),
        ("q2", "complete", True, 1, ("a2",)), ("a3", "failed", True, None, ()),
    ]  # fmt: skip
    assert branches.path(history, 2) == [1, 2]
    assert [m.id for m in conversations.messages(opened.db, "c")] == ["q1", "a2", "q2", "a3"]
    opened.close()
