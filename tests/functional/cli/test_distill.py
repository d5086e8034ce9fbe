"""The verb distill as scripts use it, and the promise that nothing is paid twice: the real command, killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.distill.provenance import load_models
from o1lab.distill.run_directory import RunFolder
from o1lab.inference import journal
from o1lab.inference.calls import CallKey, RequestError, Response
from o1lab.paths import Lab
from store import problems, teacher_runs, traces
from store.connection import open_store
from store.filters import ProblemQuery, TraceQuery
from tests.support.distill_lab import add_sums, make_lab
from tests.support.distill_server import DistillServer, Question
from tests.support.programs import json_program, real, said, spawn

SEED = 42
PATIENCE_S = 300.0
KEYS = (
    "id", "state", "requested", "done", "correct", "incorrect", "unverifiable", "failed",
    "input_tokens", "output_tokens", "cost_usd", "stopped_by",
)  # fmt: skip


def only_run(lab: Lab) -> RunFolder:
    [path] = lab.distill.iterdir()
    return RunFolder(path)


def test_a_run_says_what_became_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6, input_usd=1.0, output_usd=10.0)
        words = ["--lab", str(lab.root), "distill", "-e", "teacher", "--max-tokens", "64", "--json"]
        assert o1lab([*words, "--estimate"]) == 0
        before = said(capsys)
        assert (before["samples"], before["output_tokens"], before["most_output_tokens"]) == (6, None, 6 * 64)
        assert before["most_cost_usd"] == pytest.approx((before["most_input_tokens"] + 10 * 6 * 64) / 1e6)
        assert server.asked.total() == 0
        assert o1lab(words) == 0
        item = said(capsys)
        assert [name for name in KEYS if name not in item] == []
        assert (item["state"], item["done"], item["correct"], item["incorrect"]) == ("finished", 6, 4, 2)
        assert item["notes"] == []
        assert item["cost_usd"] == pytest.approx(6 * (3 + 50) / 1e6)
        assert o1lab([*words, "--estimate"]) == 0  # now there is something to judge by
        after = said(capsys)
        assert (after["based_on"], after["output_tokens"]) == (6, 30)
        assert o1lab(["--lab", str(lab.root), "distill", "show", item["id"], "--json"]) == 0
        shown = said(capsys)
        assert (shown["settings"]["max_tokens"], shown["faults"]) == (64, [])
        assert o1lab(["--lab", str(lab.root), "distill", "ls", "--json"]) == 0
        assert [one["id"] for one in said(capsys)["items"]] == [item["id"]]


def test_failures_show_in_the_exit_status_and_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DistillServer(treat=lambda question, _: "moderated" if question[0] == 101 else "ok") as server:
        lab = make_lab(tmp_path / "lab", server.url, 4)
        assert o1lab(["--lab", str(lab.root), "distill", "-e", "teacher", "--json"]) == 1
        item = said(capsys)
        assert (item["done"], item["failed"], item["reasons"]) == (3, 1, {"content_filter": 1})
        assert [(one.name, one.source, one.url) for one in load_models(only_run(lab).asked) or ()] == [
            ("teacher", "endpoint", server.url)
        ]
        assert item["cost_usd"] is None  # no price is known
        assert o1lab(["--lab", str(lab.root), "distill", "show", item["id"]]) == 0
        assert "filtered by our content policy" in capsys.readouterr().out
        spread = Response(
            CallKey("p", 0), "failed", fault=RequestError("server", "It broke."), raw='{\n "error":\n  "oops"\n}'
        )
        with only_run(lab).journal.open("a") as lines:
            lines.write(spread.line() + "\n")
        assert o1lab(["--lab", str(lab.root), "distill", "show", item["id"]]) == 0
        assert '  p/0/0  { "error": "oops" }\n' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ([], 2, "usage"),
        (["-e", "nobody"], 4, "not_found"),
        (["-e", "teacher", "--budget-usd", "1"], 2, "usage"),
        (["-e", "teacher", "--problems", "colour:red"], 2, None),
        (["-e", "teacher", "--problems", "source:nowhere"], 3, "no_items"),
        (["-e", "teacher", "--prompt", "nothing"], 4, "not_found"),
        (["-e", "teacher", "--method", "wishing"], 2, "usage"),
        (["--resume", "abc"], 4, "not_found"),
        (["--resume", "abc", "--estimate"], 2, "usage"),
        (["show", "abc"], 4, "not_found"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_asked(
    words: list[str], status: int, code: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        assert o1lab(["--lab", str(lab.root), "distill", *words, "--json"]) == status
        error = said(capsys)["error"]
        assert code is None or error["code"] == code
        assert error["message"]
        assert server.asked.total() == 0
    assert not list(lab.distill.glob("*"))


def test_a_budget_ends_with_its_own_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 9)
        words = ["--lab", str(lab.root), "distill"]
        assert o1lab([*words, "-e", "teacher", "--max-tokens", "64", "--budget-tokens", "220", "--json"]) == 5
        item = said(capsys)
        assert (item["state"], item["stopped_by"]) == ("stopped", "budget_tokens")
        assert o1lab([*words, "--resume", item["id"], "--budget-tokens", "100000", "--json"]) == 0
        assert said(capsys)["done"] == 9
    assert set(server.asked.values()) == {1}


def test_the_embedded_teacher_answers_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 0)
    add_sums(lab, 3)
    assert o1lab(["--lab", str(lab.root), "distill", "-e", "solver", "--json"]) == 0
    item = said(capsys)
    assert (item["done"], item["correct"], item["cost_usd"]) == (3, 3, 0)
    store = open_store(lab.database)
    found = traces.page(store.db, TraceQuery())
    assert {(one.synthesis, one.model, one.verdict) for one in found} == {("solver", "solver", "correct")}
    assert all("<think>" in traces.text(store.db, one.id).raw for one in found)
    store.close()


def test_an_edited_prompt_is_a_new_version_and_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/^Please.*/Be brief./" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    with DistillServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        words = ["--lab", str(lab.root), "distill"]
        assert o1lab([*words, "prompts", "edit", "long-thought", "--json"]) == 0
        assert said(capsys)["version"] == 2
        assert o1lab([*words, "prompts", "--json"]) == 0
        labels = [(one["name"], one["version"]) for one in said(capsys)["items"]]
        assert ("long-thought", 1) in labels
        assert ("long-thought", 2) in labels
        assert o1lab([*words, "prompts", "show", "long-thought", "--json"]) == 0
        assert "Be brief." in said(capsys)["sections"][0]["text"]
        assert o1lab([*words, "-e", "teacher", "--json"]) == 0
        assert "Be brief." in server.requests[0]["messages"][-1]["content"]
        assert o1lab([*words, "-e", "teacher", "--prompt", "long-thought@1", "--json"]) == 0
        assert "Be brief." not in server.requests[1]["messages"][-1]["content"]


def test_a_prompt_that_was_left_as_it_was_is_no_new_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "true")  # an editor that is left without saving
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 1)
    words = ["--lab", str(lab.root), "distill", "prompts"]
    assert o1lab([*words, "edit", "long-thought", "--json"]) == 0
    assert said(capsys)["version"] is None
    assert o1lab([*words, "show", "long-thought", "--json"]) == 0
    assert said(capsys)["version"] == 1
    assert not list((lab.root / "prompts").iterdir())


def test_how_long_a_server_may_say_nothing_is_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = make_lab(tmp_path / "lab", "http://127.0.0.1:9/v1", 1)
    words = ["--lab", str(lab.root), "distill"]
    assert o1lab([*words, "-e", "solver", "--silence-timeout", "7", "--json"]) == 0
    assert only_run(lab).settings().silence_timeout_s == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_for_what_is_in_flight_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path) -> None:
    with DistillServer("blocks", latency_s=0.0) as server:
        lab = make_lab(tmp_path / "lab", server.url, 30)
        process = spawn(lab, "distill", "-e", "teacher", "--concurrency", "5", "--max-tokens", "64")
        server.wait_until_asked(5)
        process.send_signal(number)
        folder = only_run(lab)
        while (status := folder.status()) is None or status.state != "stopping":
            assert process.poll() is None
        server.release.set()
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 128 + number
        item = json.loads(out)
        assert (item["state"], item["stopped_by"], item["done"]) == ("stopped", "interrupt", 5)
        assert f" resume {item['id']}" in err
        server.mode = "ok"
        again = subprocess.run(
            json_program(lab, "distill", "--resume", item["id"]), capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["done"] == 30
    assert set(server.asked.values()) == {1}


def test_a_second_ctrl_c_gives_up_what_is_in_flight(tmp_path: Path) -> None:
    with DistillServer("blocks") as server:
        lab = make_lab(tmp_path / "lab", server.url, 30)
        process = spawn(lab, "distill", "-e", "teacher", "--concurrency", "3", "--max-tokens", "64")
        server.wait_until_asked(3)
        process.send_signal(signal.SIGINT)
        folder = only_run(lab)
        while (status := folder.status()) is None or status.state != "stopping":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        assert json.loads(printed)["stopped_by"] == "interrupt", "the final status is printed"
        status = folder.status()
        assert status is not None
        assert (status.state, status.stopped_by) == ("stopped", "interrupt")


@pytest.mark.usefixtures("real_python")
def test_a_detached_run_works_by_itself_and_can_be_stopped(tmp_path: Path) -> None:
    with DistillServer(treat=lambda *_: "ok" if server.asked.total() <= 20 else "blocks") as server:
        lab = make_lab(tmp_path / "lab", server.url, 30)
        words = json_program(lab, "distill", "-e", "teacher", "--detach", "--concurrency", "2", "--max-tokens", "64")
        begun = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S)
        item = json.loads(begun.stdout)
        server.wait_until_asked(22)  # two are in flight, and stay there
        stopped = subprocess.run(
            json_program(lab, "distill", "stop", item["id"]), capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert stopped.returncode == 0, stopped.stderr
        folder = only_run(lab)
        while (status := folder.status()) is None or status.state != "stopping":
            assert status is None or status.state == "running"
        server.release.set()
        while (status := folder.status()) is None or status.state != "stopped":
            assert status is None or status.state == "stopping"
        assert status.done == 22


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_killed_many_times_nothing_is_lost_and_nothing_is_asked_twice(tmp_path: Path, kills: int) -> None:
    """A response that is in the journal is never asked for again, and what is answered but not in it was in flight."""
    dice, at_once, samples, items = random.Random(20), 8, 2, 60 + 9 * kills
    with DistillServer(latency_s=0.05) as server:
        lab = make_lab(tmp_path / "lab", server.url, items)
        questions = questions_by_problem(lab)
        begin = ["-e", "teacher", "--n", str(samples), "--concurrency", str(at_once), "--max-tokens", "64"]
        words, journalled_at_a_kill = begin, {}
        for _ in range(kills):
            process = subprocess.Popen(
                real(json_program(lab, "distill", *words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            server.wait_until_asked(server.asked.total() + dice.randint(1, 22))
            process.kill()
            process.communicate(timeout=PATIENCE_S)
            folder = only_run(lab)
            kept = {asked(questions, response.key) for _, response in journal.read(folder.journal) if response.final}
            lost = sum(number for question, number in server.answered.items() if question not in kept)
            assert lost <= at_once * kills
            journalled_at_a_kill |= {one: server.asked[one] for one in kept if one not in journalled_at_a_kill}
            words = ["--resume", folder.id]
        end = subprocess.run(json_program(lab, "distill", *words), capture_output=True, text=True, timeout=PATIENCE_S)
        assert end.returncode == 0, end.stderr
        item = json.loads(end.stdout)
        total = items * samples
        assert (item["state"], item["requested"], item["done"], item["failed"]) == ("finished", total, total, 0)
        assert journalled_at_a_kill, "no response was journalled before a kill: the test has shown nothing"
        asked_again = {one for one, number in journalled_at_a_kill.items() if server.asked[one] != number}
        assert asked_again == set()
        assert server.asked.total() - total <= kills * at_once
    done = [response.key for _, response in journal.read(folder.journal) if response.state == "done"]
    assert len(done) == len(set(done)) == total
    store = open_store(lab.database)
    tally = teacher_runs.tally(store.db, folder.id)
    assert (tally.done, tally.correct, tally.incorrect) == (total, 2 * total // 3, total // 3)
    assert (tally.input_tokens, tally.output_tokens) == (3 * total, 5 * total)
    assert traces.count(store.db, TraceQuery()) == items
    store.close()


def questions_by_problem(lab: Lab) -> dict[str, tuple[int, int]]:
    store = open_store(lab.database)
    found = {}
    for problem in problems.select(store.db, ProblemQuery()):
        _what, _is, first, _plus, second = problem.statement.rstrip("?").split()
        found[problem.id] = (int(first), int(second))
    store.close()
    return found


def asked(questions: dict[str, tuple[int, int]], key: CallKey) -> Question:
    return (*questions[key.item], SEED + key.sample)
