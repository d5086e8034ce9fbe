"""Replay datasets: general prompts, their comparison with the suites, and the base's own answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rapidfuzz import fuzz, process

from o1lab.demo.seed import seed_demo
from o1lab.distill.datasets import replay
from o1lab.distill.datasets.replay import add_prompts, ask_base, general_prompts, make_replay, overlaps, refuse_overlaps
from o1lab.distill.runner import TeacherRunner
from o1lab.errors import RefusedError, UsageError
from o1lab.evaluate.suites.loading import tested_questions as suites_ask
from o1lab.paths import Lab
from store import Store, datasets, exclusions, open_store, problems
from store.records import NewProblem, Problem
from tests.support.distill_lab import FakeClock, make_lab, run
from tests.support.fault_server import FaultServer

NEARLY = 75.0
"""Percent of the characters: above, two short questions ask nearly the same."""


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def quiz(*texts: str) -> list[tuple[Problem, str]]:
    return [
        (Problem(NewProblem(text, "").id, text, None, None, None, "quiz", None, f"{number}"), "quiz")
        for number, text in enumerate(texts, 1)
    ]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[Lab, Store]]:
    lab = seed_demo(tmp_path / "demo").lab
    store = open_store(lab.database)
    yield lab, store
    store.close()


def test_the_prompts_of_o1lab_are_short_various_and_no_sums() -> None:
    found = general_prompts()
    texts = [text for _, text in found.texts]
    assert 170 <= len(texts) <= 200
    assert len({words(text) for text in texts}) == len(texts)
    assert len({key for key, _ in found.texts}) == len(texts)
    assert max(map(len, texts)) < 200
    assert len({key.partition("-")[0] for key, _ in found.texts}) >= 8
    assert not [text for text in texts if re.search(r"\d\d|\d\s*\+", text)]
    assert found.licence == "Apache-2.0"


def nearest(lab: Lab, store: Store) -> tuple[float, str, int]:
    """How near the nearest prompt comes to an item of a suite, the two, and the number of items."""
    items = suites_ask(lab, store).questions
    assert overlaps(general_prompts().texts, items) == []
    asked = {words(problem.statement): f"{name} {problem.key}" for problem, name in items}
    scored = [
        (score, f"{text} / {asked[item]}")
        for _, text in general_prompts().texts
        for item, score, _ in [process.extractOne(words(text), list(asked), scorer=fuzz.ratio) or ("", 0.0, 0)]
    ]
    return (*max(scored), len(items))


def test_no_prompt_is_nearly_an_item_of_a_suite(demo: tuple[Lab, Store]) -> None:
    score, pair, items = nearest(*demo)
    assert items >= 120, "the suites of the demo"
    assert score < NEARLY, pair
    assert {"demo-sums", "demo-facts", "demo-safety"} <= {name for _, name in suites_ask(*demo).questions}


@pytest.mark.data
def test_no_prompt_is_nearly_an_item_of_the_real_suites(
    demo: tuple[Lab, Store], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O1LAB_SUITE_DATA", str(shared_data))
    score, pair, items = nearest(*demo)
    assert items > 1000
    assert score < NEARLY, pair


def test_prompts_that_are_items_of_a_suite_are_named() -> None:
    found = overlaps([("a", "Which planet has rings?"), ("b", "Hello")], quiz("which planet  has RINGS?", "Bye"))
    assert [one.prompt for one in found] == ["Which planet has rings?"]
    with pytest.raises(RefusedError, match=r"Which planet has rings.*quiz 1") as refused:
        refuse_overlaps(found)
    assert refused.value.code == "contaminated"
    refuse_overlaps([])
    with pytest.raises(RefusedError) as long:
        refuse_overlaps([replay.Overlap("Why?\n" * 2000, "as quiz 1")])
    assert len(long.value.message) < 250 and "\n" not in long.value.message


def test_prompts_come_from_yaml_and_from_plain_lines(tmp_path: Path) -> None:
    (tmp_path / "my own.txt").write_text("One?\n\n  Two?\n", "utf-8")
    found = general_prompts(tmp_path / "my own.txt")
    assert (found.name, found.texts) == ("my-own", [("01", "One?"), ("02", "Two?")])
    (tmp_path / "p.yaml").write_text("name: mine\nprompts: {talk: [Hello, Bye]}\n", "utf-8")
    assert general_prompts(tmp_path / "p.yaml").texts == [("talk-01", "Hello"), ("talk-02", "Bye")]
    (tmp_path / "empty.txt").write_text("\n", "utf-8")
    (tmp_path / "wrong.yaml").write_text("name: mine\nprompts: 7\n", "utf-8")
    for name in ("empty.txt", "wrong.yaml", "absent.txt"):
        with pytest.raises(UsageError, match=name):
            general_prompts(tmp_path / name)


def prompts_in(path: Path, *lines: str) -> replay.GeneralPrompts:
    path.write_text("\n".join(lines), "utf-8")
    return general_prompts(path)


class Base(FaultServer):
    """A base that thinks before some answers, and talks too long about cheese."""

    def mode_of(self, body: dict[str, Any]) -> str:
        return "length" if "cheese" in json.dumps(body["messages"]) else "ok"

    def words_for(self, body: dict[str, Any]) -> list[str]:
        riddle = "Riddle" in json.dumps(body["messages"])
        return ["<think>Four legs.</think>", "A cat."] if riddle else ["Hello ", "to you."]


async def test_the_answers_are_kept_as_they_are_and_cut_ones_are_dropped(tmp_path: Path) -> None:
    with Base() as server:
        lab = make_lab(tmp_path / "lab", server.url)
        store = open_store(lab.database)
        chosen = prompts_in(tmp_path / "mine.txt", "Hello, my friend", "Riddle: it purrs", "All about cheese")
        folder = ask_base(lab, store, chosen, "teacher", max_tokens=32, concurrency=1)
        exclude(store, "Hello, my friend", "length")  # a rule about problems with an answer
        await TeacherRunner(lab, folder, clock=FakeClock()).work()
        assert server.requests[0]["messages"] == [{"role": "user", "content": "Hello, my friend"}]
        assert {body["temperature"] for body in server.requests} == {0.0}
    with pytest.raises(RefusedError, match="Riddle"):
        make_replay(store, folder.id, "base", tested=quiz("riddle: it purrs"))
    assert datasets.all_datasets(store.db) == []  # the refused dataset is taken back
    made = make_replay(store, folder.id, "models/base", tested=quiz("Something else"), unchecked=["gsm8k"])
    assert (made.name, made.rows) == ("replay-base", 2)
    rows = {row.statement: row for row in datasets.rows(store.db, made.name)}
    assert (rows["Riddle: it purrs"].thought.strip(), rows["Riddle: it purrs"].solution) == ("Four legs.", "A cat.")
    assert (rows["Hello, my friend"].thought, rows["Hello, my friend"].solution) == ("", "Hello to you.")
    assert {row.synthesis for row in rows.values()} == {"replay"}
    assert datasets.drop_counts(store.db, made.name) == {"truncated": 1}
    told = made.selection
    assert (told["replay_of"], told["run"]) == ("models/base", folder.id)
    assert (told["compared_with"], told["not_compared_with"]) == (["quiz"], ["gsm8k"])
    # The default name is free again for the next one; other runs are not replay.
    assert make_replay(store, folder.id, "base", tested=[]).name == "replay-base-2"
    store.close()


def exclude(store: Store, statement: str, rule: str) -> None:
    problem = problems.find(store.db, statement)
    assert problem is not None
    with store.db.atomic():
        exclusions.record(store.db, [problem.id], [rule], [exclusions.Exclusion(problem.id, rule, 1, "why", None)])


async def test_contaminated_prompts_are_not_asked(tmp_path: Path) -> None:
    with Base() as server:
        lab = make_lab(tmp_path / "lab", server.url)
        store = open_store(lab.database)
        chosen = prompts_in(tmp_path / "mine.txt", "Hello, my friend", "Riddle: it purrs")
        add_prompts(store, chosen)
        exclude(store, "Riddle: it purrs", "contaminated")
        await TeacherRunner(lab, ask_base(lab, store, chosen, "teacher"), clock=FakeClock()).work()
        store.close()
        assert [body["messages"][0]["content"] for body in server.requests] == ["Hello, my friend"]


async def test_only_the_prompts_of_the_file_are_asked(tmp_path: Path) -> None:
    with Base() as server:
        lab = make_lab(tmp_path / "lab", server.url)  # its problems have sources that contain "s"
        store = open_store(lab.database)
        others = [problem.source for problem in problems.page(store.db)]
        add_prompts(store, prompts_in(tmp_path / "s.txt", "Hello, my friend", "Taken out since"))
        folder = ask_base(lab, store, prompts_in(tmp_path / "s.txt", "Hello, my friend"), "teacher")
        await TeacherRunner(lab, folder, clock=FakeClock()).work()
        store.close()
        assert others and all("s" in source for source in others)
        assert [body["messages"][0]["content"] for body in server.requests] == ["Hello, my friend"]


async def test_only_answers_of_the_method_become_replay(tmp_path: Path) -> None:
    with Base() as server:
        lab = make_lab(tmp_path / "lab", server.url, number=1)
        folder, _ = await run(lab)
    store = open_store(lab.database)
    with pytest.raises(UsageError, match="method sample"):
        make_replay(store, folder.id, "base", tested=[])
    twice = prompts_in(tmp_path / "p.txt", "Hi?", "Hi?")
    assert add_prompts(store, twice) == 1
    assert problems.count(store.db, source=twice.source) == 1
    store.close()
