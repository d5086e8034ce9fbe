"""The command ``dataset replay``: from general prompts to a dataset that `train --replay` takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.train.replay import replay_datasets
from store import datasets, open_store, traces
from store.filters import TraceQuery
from tests.support import eval_lab
from tests.support.distill_lab import make_lab
from tests.support.fault_server import FaultServer
from tests.support.programs import said

PROMPTS = "Hello, my friend\nTell me a joke\nSay something nice\n"


class Base(FaultServer):
    """Answers in its own words; of a joke it does not reach the end."""

    def mode_of(self, body: dict[str, Any]) -> str:
        return "length" if "joke" in json.dumps(body["messages"]) else self.mode

    def words_for(self, body: dict[str, Any]) -> list[str]:
        return ["You said: ", body["messages"][-1]["content"]]


def test_a_base_answers_and_its_answers_are_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "talk.txt").write_text(PROMPTS, "utf-8")
    with Base() as server:
        lab = make_lab(tmp_path / "lab", server.url, licence="MIT")
        wanted = ["--lab", str(lab.root), "dataset", "replay", "--base", "my/base", "--endpoint", "teacher"]
        wanted += ["--prompts", str(tmp_path / "talk.txt")]
        assert o1lab([*wanted, "--json"]) == 0
        made = said(capsys)
        assert (made["name"], made["rows"], made["dropped"]) == ("replay-base", 2, {"truncated": 1})
        assert made["selection"]["replay_of"] == "my/base"
        assert {"demo-facts", "demo-safety"} <= set(made["selection"]["compared_with"])
        assert "gsm8k" in made["selection"]["not_compared_with"]
        assert made["compared_items"] > 50
        asked = len(server.requests)
        # The answers of a run that exists are taken without asking again.
        assert o1lab([*wanted, "--run", made["teacher_run"], "--name", "again"]) == 0
        text = capsys.readouterr().out
        assert len(server.requests) == asked
    assert made["hash"] in text
    assert "--base my/base --replay 0.3" in text
    store = open_store(lab.database)
    assert [one.name for one in replay_datasets(store.db, "my/base")] == ["again", "replay-base"]
    assert traces.counts(store.db, TraceQuery(), "synthesis") == {"replay": 3}
    rows = list(datasets.rows(store.db, "replay-base"))
    assert rows[0].solution == f"You said: {rows[0].statement}"
    store.close()
    assert o1lab(["--lab", str(lab.root), "dataset", "card", "replay-base"]) == 0
    assert "an answer of the base itself" in capsys.readouterr().out


def test_a_prompt_of_a_suite_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talk.txt").write_text(PROMPTS + "What is  101 + 108 ?\n", "utf-8")
    with Base() as server:
        lab = eval_lab.make_lab(tmp_path / "lab", server.url)
        wanted = ["--lab", str(lab.root), "dataset", "replay", "--endpoint", "teacher", "--json"]
        assert o1lab([*wanted, "--prompts", str(tmp_path / "talk.txt")]) == 5
        refused = said(capsys)["error"]
        assert refused["code"] == "contaminated"
        assert '"What is 101 + 108 ?" is, white space and marks aside, sums sum-101' in refused["message"]
        assert server.requests == []
    store = open_store(lab.database)
    assert datasets.all_datasets(store.db) == []
    store.close()


def test_a_base_that_fails_leaves_a_run_to_go_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "talk.txt").write_text(PROMPTS, "utf-8")
    with Base("401") as server:
        lab = make_lab(tmp_path / "lab", server.url)
        wanted = ["--lab", str(lab.root), "dataset", "replay", "--endpoint", "teacher", "--json"]
        assert o1lab([*wanted, "--prompts", str(tmp_path / "talk.txt")]) == 3
        failed = said(capsys)["error"]
        assert (failed["code"], "o1lab distill resume" in failed["hint"]) == ("replay", True)
        run = failed["hint"].split("resume ")[1].split(",")[0]
        server.mode = "ok"
        assert o1lab(["--lab", str(lab.root), "distill", "resume", run, "--json"]) in (0, 1)
        capsys.readouterr()
        assert o1lab([*wanted, "--run", run]) == 0
    assert said(capsys)["rows"] == 2
