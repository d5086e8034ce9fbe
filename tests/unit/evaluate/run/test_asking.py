"""Who was asked, how a conversation ends, how its tokens are counted, and what makes two samples the same."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o1lab.config import Endpoint, init_lab
from o1lab.errors import LabError
from o1lab.evaluate.items import Item
from o1lab.evaluate.run.asking import SampleState, classify, run_sample, split
from o1lab.evaluate.run.directory import EvalFolder, ItemsById
from o1lab.evaluate.run.result_writer import FinishedSample, ResultWriter, WrittenSample
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.run.token_counts import sizes
from o1lab.evaluate.run.work_queue import CacheKeys
from o1lab.evaluate.scorers.base import Attempt, Score
from o1lab.inference.calls import CallKey, Message, RequestError, Response
from o1lab.jobs.control import RunStopped
from o1lab.serve.identity import THE_SERVERS, Identity, content_hash, identify
from o1lab.serve.registry import ModelRef
from store import evaluations, sample_list
from store.connection import open_store
from store.evaluations import Evaluation, ItemRow, NewSample, Turn

KEY = CallKey("i", 0)
IDENTITY = Identity("m", "other", "endpoint", "m", "http://x m", THE_SERVERS)
SETTINGS = EvaluationSettings(suite="s", model="m")


def held(*turns: str) -> SampleState:
    return SampleState(Item("i", turns[0], turns), 0, "key")


class Script:
    """Answers one response a call, and remembers the messages."""

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
        self.asked: list[tuple[list[Message], int | None]] = []

    async def __call__(self, call: int, messages: Sequence[Message], *, limit: int | None = None) -> Response:
        assert call == len(self.asked)
        self.asked.append((list(messages), limit))
        return self.responses.pop(0)


def said(answer: str, **values: object) -> Response:
    return replace(Response(KEY, "done", answer=answer, finish_reason="stop"), **values)  # type: ignore[arg-type]


async def test_a_turn_that_is_cut_off_ends_the_conversation() -> None:
    one, ask = held("a", "b"), Script(said("half of", finish_reason="length"))
    await run_sample(
        one, ask, last_word=9
    )  # another turn would have followed: its last word would answer another question
    assert (one.state, one.reason, len(ask.asked), one.forced) == ("incomplete", "length", 1, False)


async def test_a_failed_forced_answer_leaves_the_sample_unchanged() -> None:
    cut = said("half of", finish_reason="length")
    full = Response(KEY, "failed", fault=RequestError("context_length", "Too long."))
    one, ask = held("a"), Script(cut, full)
    await run_sample(one, ask, last_word=9)
    assert (one.state, one.reason) == ("incomplete", "length; the request for a final answer failed: context_length")
    assert len(one.turns) == 1 and not one.forced
    away = Response(KEY, "failed", fault=RequestError("server", "Away.", retryable=True))
    one, ask = held("a"), Script(cut, away)
    await run_sample(one, ask, last_word=9)
    assert one.state == "failed"  # so it is asked again when the evaluation goes on
    nothing = Response(KEY, "failed", fault=RequestError("length", "All of it was thought."))
    one, ask = held("a"), Script(nothing)
    await run_sample(one, ask, last_word=9)
    assert one.state == "incomplete" and len(ask.asked) == 1  # there is nothing to go on from


@pytest.mark.parametrize(
    ("response", "state"),
    [
        (said("x"), "complete"),
        (said("x", finish_reason=""), "complete"),
        (said("x", finish_reason="max_tokens"), "incomplete"),
        (Response(KEY, "partial", answer="x", fault=RequestError("cut_off", "", retryable=True)), "failed"),
        (Response(KEY, "failed", fault=RequestError("refusal", ""), refusal="No."), "complete"),
        (Response(KEY, "failed", fault=RequestError("refusal", "")), "failed"),
    ],
)
def test_a_response_is_whole_cut_off_or_none(response: Response, state: str) -> None:
    assert classify(response)[0] == state


@pytest.mark.parametrize(
    ("response", "thought", "answer"),
    [
        (said(" as it is \n"), "", " as it is \n"),
        (said("<think>hm</think>\n42"), "hm", "42"),
        (said("hm</think>42"), "hm", "42"),
        (said("<think>never closed"), "never closed", ""),
        (said("<think> is a mark", thought="hm"), "hm", "<think> is a mark"),
    ],
)
def test_thought_and_answer_are_separated(response: Response, thought: str, answer: str) -> None:
    assert split(response) == (thought, answer)


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("response", "count", "hidden", "expected"),
    [
        (said("<think>a b c</think>d", output_tokens=40, thought_tokens=36), words, False, (40, 36, False)),
        (said("<think>a b c</think>d", output_tokens=40), words, False, (40, 30, False)),  # as the tokenizer divides
        (said("<think>a b c</think>d", output_tokens=40, thought_tokens=0), words, False, (40, 30, False)),
        (said("<think>aaaaaaaa</think>bbbbbbbb", output_tokens=40), None, False, (40, 20, True)),
        (said("<think>a b c</think>d", output_tokens=4, thought_tokens=36), None, False, (4, 4, True)),
        (said("d", output_tokens=4), None, False, (4, 0, False)),
        (said("d", output_tokens=4), None, True, (4, None, False)),  # it thinks, and nobody says how much
        (said("d", output_tokens=4, thought_tokens=0), None, True, (4, 0, False)),
        (said("a b c", output_tokens=9, estimated=True), words, False, (3, 0, True)),
    ],
)
def test_tokens_are_the_server_s_or_marked_as_estimated(
    response: Response, count: object, hidden: bool, expected: tuple[int, int | None, bool]
) -> None:
    turn = Turn("q", *split(response))
    found = sizes([response], [turn], count, hidden=hidden)  # type: ignore[arg-type]
    assert (found.output, found.thought, found.estimated) == expected


@given(
    answer=st.text(max_size=60),
    thought=st.text(max_size=60),
    written=st.integers(0, 500),
    told=st.none() | st.integers(0, 600),
    hidden=st.booleans(),
    counted=st.booleans(),
)
def test_thought_and_answer_are_parts_of_the_output(
    *, answer: str, thought: str, written: int, told: int | None, hidden: bool, counted: bool
) -> None:
    response = said(answer, thought=thought, output_tokens=written, thought_tokens=told)
    found = sizes([response], [Turn("q", *split(response))], words if counted else None, hidden=hidden)
    assert found.output == written
    assert found.thought is None or 0 <= found.thought <= written


def test_a_key_is_everything_that_decides_a_response() -> None:
    item = Item("i", "q", ("q",))
    keys = {CacheKeys(IDENTITY, SETTINGS).key(item, 0)}
    assert CacheKeys(IDENTITY, SETTINGS).key(replace(item, id="j", gold=("1",)), 0) in keys  # it is asked alike
    for changes in (
        {"temperature": 0.1}, {"top_p": 0.9}, {"seed": 1}, {"max_tokens": 1}, {"force_answer": 1},
        {"reasoning_effort": "low"},
    ):  # fmt: skip
        keys.add(CacheKeys(IDENTITY, SETTINGS.model_copy(update=changes)).key(item, 0))
    keys.add(CacheKeys(replace(IDENTITY, revision="other"), SETTINGS).key(item, 0))
    keys.add(CacheKeys(replace(IDENTITY, template="other"), SETTINGS).key(item, 0))
    keys.add(CacheKeys(IDENTITY, SETTINGS).key(item, 1))
    keys.add(CacheKeys(IDENTITY, SETTINGS).key(replace(item, system="Be brief."), 0))
    keys.add(CacheKeys(IDENTITY, SETTINGS).key(replace(item, turns=("q", "more")), 0))
    assert len(keys) == 12
    how_it_is_asked = SETTINGS.model_copy(update={"concurrency": 1, "attempts": 1, "judge": "j", "samples": 9})
    assert CacheKeys(IDENTITY, how_it_is_asked).key(item, 0) in keys


@pytest.mark.parametrize(
    ("changes", "reusable"),
    [
        ({}, True), ({"reuse": False}, False), ({"seed": None}, True),
        ({"seed": None, "temperature": 0.5}, False), ({"seed": None, "temperature": None}, False),
    ],
)  # fmt: skip
def test_drawn_samples_without_a_seed_are_not_reused(changes: dict[str, object], reusable: bool) -> None:
    assert CacheKeys(IDENTITY, SETTINGS.model_copy(update=changes)).reusable is reusable


def test_a_model_is_what_is_in_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    lab = init_lab(tmp_path / "lab")
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder, files in (
        (base, ("config.json", "model.safetensors", "tokenizer.json")),
        (adapter, ("adapter_config.json", "adapter_model.safetensors")),
    ):
        folder.mkdir()
        for name in files:
            (folder / name).write_text(f"{name} one")
    (base / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))

    def now(*, trained: bool) -> Identity:
        path = adapter if trained else None
        return identify(lab, ModelRef("x", "other", "x", "checkpoint" if trained else "base", str(base), path))

    plain, student = now(trained=False), now(trained=True)
    assert (now(trained=False), now(trained=True)) == (plain, student)
    assert plain.revision != student.revision and plain.template == student.template != THE_SERVERS
    (adapter / "adapter_model.safetensors").write_text("other weights")
    assert now(trained=False) == plain and now(trained=True).revision != student.revision
    (base / "model.safetensors").write_text("other weights")
    assert now(trained=False).revision != plain.revision
    before = now(trained=True).template
    (base / "chat_template.jinja").write_text("another")
    assert now(trained=True).template != before


def test_weights_are_read_once_while_they_do_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = content_hash(file)
    seen = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert content_hash(file) == first  # the same size and time: it was not read
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1))
    assert content_hash(file) != first


def test_an_endpoint_is_its_url_and_model_without_secrets(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    endpoint = Endpoint(name="e", url="https://me:secret@host:1/v1", model="big", role="teacher")
    found = identify(lab, ModelRef("e", "teacher", "e", "endpoint", endpoint=endpoint))
    assert (found.revision, found.template) == ("https://host:1/v1 big", THE_SERVERS)


def test_items_are_found_by_their_ids(tmp_path: Path) -> None:
    folder = EvalFolder(tmp_path)
    items = [Item(f"i{n}", "q\u2028ü", ("t", "u"), ("g",), meta={"w": n}) for n in range(5)]
    folder.write_items(items)
    found = ItemsById(folder)
    assert [found["i3"], found["i0"]] == [items[3], items[0]] and list(folder.items()) == items
    for damage in ("{", "[1]\n", "{}\n"):
        folder.items_file.write_text(damage)
        with pytest.raises(LabError):
            ItemsById(folder)


class Picky:
    """A scorer that fails on one answer, and may be told that its judge is asked no more."""

    label = "picky@1"

    def __init__(self) -> None:
        self.over = False

    async def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        if self.over:
            raise RunStopped("budget_usd")
        if any(attempt.answer == "poison" for attempt in attempts):
            raise ValueError("poison")
        return [Score("correct") for _ in attempts]

    async def __aenter__(self) -> Picky:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


async def test_what_a_scorer_stumbles_over_is_unscored_and_the_rest_is_scored(tmp_path: Path) -> None:
    store = open_store(tmp_path / "lab.db")
    items = [Item(f"i{n}", "q", ("q",)) for n in range(4)]
    evaluation = Evaluation("e", "evals/e", "s", 1, "h", "mathematics", "m", "other", "r", {}, {}, 4, 1, "picky@1")
    evaluations.add(store.db, evaluation, [ItemRow(item.id, "q") for item in items])
    scorer, written = Picky(), list[WrittenSample]()

    def ended(item: Item, answer: str) -> FinishedSample:
        return FinishedSample(item, sample=NewSample(item.id, 0, "complete", (Turn("q", "", answer),), "k"))

    def writer() -> ResultWriter:
        return ResultWriter(
            store, "e", scorer, make=lambda _: pytest.fail(), on_stored=written.append, log=tmp_path / "log"
        )

    async with writer() as taking:
        for item, answer in zip(items, ("a", "poison", "b"), strict=False):
            await taking.put(ended(item, answer))
    assert sorted(one.outcome for one in written) == ["correct", "correct", "unscored"]
    assert sample_list.to_score(store.db, "e", "picky@1") == [2]  # the scorer broke at it: it is to look again
    assert (taking.broken, "ValueError: poison" in (tmp_path / "log").read_text()) == (1, True)
    scorer.over = True
    async with writer() as taking:
        await taking.put(ended(items[3], "c"))
    assert written[-1].outcome == "unscored"
    assert sample_list.to_score(store.db, "e", "picky@1") == [2, 4]  # it waits for the next session
    store.close()
