"""What a run records of what it asked: the answer belongs to the question that was really sent."""

from __future__ import annotations

from pathlib import Path

from o1lab.distill.runner import TeacherRunner
from o1lab.inference import journal
from o1lab.inference.calls import CallKey, Response, digest
from o1lab.inference.journal import Journal
from store import traces
from store.connection import open_store
from store.filters import TraceQuery
from tests.support.distill_lab import make_lab, resume, run, start
from tests.support.distill_server import DistillServer


async def test_an_answer_to_another_question_is_asked_again(tmp_path: Path) -> None:
    with DistillServer("401") as server:
        lab = make_lab(tmp_path / "lab", server.url, 2)
        folder, _ = await run(lab, concurrency=1)
        first, second = folder.items_file.read_text().split()
        answer = {"state": "done", "answer": "\\boxed{1}"}
        async with Journal(folder.journal) as kept:
            await kept.append(Response(CallKey(first, 0), **answer, asked="another"))  # type: ignore[arg-type]  # texts
            await kept.append(Response(CallKey(second, 0), **answer))  # type: ignore[arg-type]  # texts
        server.mode, before = "ok", len(server.requests)
        status = await resume(lab, folder)
        assert (status.state, status.done) == ("finished", 2)
        assert len(server.requests) == before + 1
        whole = [response for _, response in journal.read(folder.journal) if response.key.item == first]
    assert whole[-1].asked == digest("teacher", server.requests[-1]["messages"])


async def test_what_was_really_sent_is_recorded_also_after_a_resume(tmp_path: Path) -> None:
    with DistillServer("no-temperature") as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        folder, _ = await run(lab)
        again = make_lab(tmp_path / "again", server.url, 1)
        killed = start(again)  # as if killed between journal and lab
        killed.journal.write_bytes(folder.journal.read_bytes())
        status = await TeacherRunner(again, killed).work()
        assert (status.done, len(server.requests)) == (1, 2)
    store = open_store(again.database)
    [trace] = traces.page(store.db, TraceQuery())
    assert traces.text(store.db, trace.id).meta["sampling"] == {"top_p": 0.95, "max_tokens": 64, "seed": 42}
    store.close()


async def test_a_debate_says_who_criticised_and_how_it_was_asked(tmp_path: Path) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        _, status = await run(lab, method="debate", rounds=1, temperature=0.5)
    assert status.done == 1
    store = open_store(lab.database)
    [trace] = traces.page(store.db, TraceQuery())
    meta = traces.text(store.db, trace.id).meta
    store.close()
    asked = {"temperature": 0.5, "top_p": 0.95, "max_tokens": 64, "seed": 42}
    assert meta["sampling"] == asked
    critic = {"endpoint": "teacher", "asked_model": "m", "served_model": "m", "sampling": asked}
    assert meta["critic"] == critic | {"usage": {"input_tokens": 3, "output_tokens": 5}}
