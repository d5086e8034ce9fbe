"""The verb eval as scripts use it, and the promise that nothing is paid twice: the real command, killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path

import pytest

from o1lab.chains.verify import VERIFIER_VERSION
from o1lab.cli.main import run as o1lab
from o1lab.evaluate.run.directory import EvalFolder
from o1lab.inference import journal
from o1lab.paths import Lab
from tests.support.distill_server import Question
from tests.support.eval_lab import EvalServer, make_lab, outcomes, stored, write_suite
from tests.support.programs import json_program, real, said, spawn

KEYS = (
    "id", "suite", "suite_version", "scorer_version", "model", "revision", "sampling", "items", "samples", "correct",
    "incorrect", "incomplete", "unextracted", "unscored", "failed", "accuracy", "ci95", "avg_output_tokens",
    "avg_thought_tokens", "avg_answer_tokens", "maj_at", "cached",
)  # fmt: skip
PATIENCE_S = 300.0


def only_one(lab: Lab) -> EvalFolder:
    [path] = lab.evals.iterdir()
    return EvalFolder(path)


def test_an_evaluation_tells_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 6, input_usd=1.0, output_usd=10.0)
        words = ["--lab", str(lab.root), "eval"]
        assert o1lab([*words, "sums", "--model", "teacher", "--samples", "2", "--json"]) == 0
        item = said(capsys)
        assert [name for name in KEYS if name not in item] == []
        assert (item["suite"], item["suite_version"], item["scorer_version"]) == ("sums", 1, f"math@{VERIFIER_VERSION}")
        assert (item["items"], item["samples"], item["correct"], item["incorrect"]) == (6, 2, 8, 4)
        assert item["accuracy"] == pytest.approx(8 / 12, abs=1e-6)
        assert item["ci95"] == pytest.approx([1 / 3, 1], abs=1e-6)  # resampling 6 items, 4 of them right
        assert (item["avg_output_tokens"], item["avg_thought_tokens"], item["avg_answer_tokens"]) == (5, 3, 2)
        assert [point["k"] for point in item["maj_at"]] == [1, 2]
        assert item["sampling"] == {"temperature": 0.0, "max_tokens": 64, "seed": 42}
        assert item["cost_usd"] == pytest.approx(12 * 53 / 1e6)
        assert o1lab([*words, "-m", "teacher", "sums", "--limit", "3", "--json"]) == 0  # options may come first
        again = said(capsys)
        assert (again["items"], again["cached"], again["cost_usd"], server.asked.total()) == (3, 3, 0, 12)
        assert again["ci95"] == pytest.approx([0.20766, 0.938508], abs=1e-6)  # Wilson, 2 of 3
        assert o1lab([*words, "samples", again["id"], "--json"]) == 0
        samples = said(capsys)
        assert samples["scorer"] == f"math@{VERIFIER_VERSION}"
        for evaluation, origin in ((again, item["id"]), (item, None)):
            assert o1lab([*words, "sample", evaluation["id"], samples["items"][0]["item"], "--json"]) == 0
            sample = said(capsys)
            assert (sample["cached"], sample["meta"].get("reused_from")) == (origin is not None, origin)
            assert [score["scorer"] for score in sample["scores"]] == [samples["scorer"]]
        assert o1lab([*words, "ls", "--json"]) == 0
        listed = said(capsys)
        assert [one["id"] for one in listed["items"]] == [again["id"], item["id"]] and listed["total"] == 2
        assert o1lab([*words, "show", item["id"], "--json"]) == 0
        shown = said(capsys)
        assert (shown["settings"]["samples"], shown["faults"], shown["accuracy"]) == (2, [], item["accuracy"])
        assert o1lab([*words, "show", item["id"]]) == 0
        assert "66.7%" in capsys.readouterr().out


def test_failures_show_in_the_exit_status_and_by_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EvalServer(treat=lambda question, _: "moderated" if question[0] == 101 else "ok") as server:
        lab = make_lab(tmp_path / "lab", server.url, 4)
        assert o1lab(["--lab", str(lab.root), "eval", "sums", "-m", "teacher", "--json"]) == 1
        item = said(capsys)
        assert (item["done"], item["failed"], item["accuracy"], item["cost_usd"]) == (3, 1, 0.25, None)
        assert o1lab(["--lab", str(lab.root), "eval", "show", item["id"]]) == 0
        assert "filtered by our content policy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ([], 2, "usage"),
        (["sums"], 2, "usage"),
        (["nothing", "-m", "teacher"], 4, "not_found"),
        (["sums", "-m", "nobody"], 4, "not_found"),
        (["sums", "-m", "teacher", "--judge", "judge"], 2, "usage"),
        (["sums", "-m", "teacher", "--budget-usd", "1"], 2, "usage"),
        (["sums", "-m", "teacher", "--top-p", "0"], 2, "usage"),
        (["sums", "-m", "teacher", "--items", "nowhere.jsonl"], 2, "usage"),
        (["--resume", "abc"], 4, "not_found"),
        (["--rescore", "abc"], 4, "not_found"),
        (["--resume", "abc", "--rescore", "abc"], 2, "usage"),
        (["show", "abc"], 4, "not_found"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_asked(
    words: list[str], status: int, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 1)
        assert o1lab(["--lab", str(lab.root), "eval", *words, "--json"]) == status
        error = said(capsys)["error"]
        assert error["code"] == code and error["message"]
        assert server.asked.total() == 0
    assert not list(lab.evals.glob("*"))


def test_a_budget_ends_with_its_own_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 9)
        words = ["--lab", str(lab.root), "eval"]
        assert o1lab([*words, "sums", "-m", "teacher", "--budget-tokens", "150", "--json"]) == 5
        item = said(capsys)
        assert (item["state"], item["stopped_by"]) == ("stopped", "budget_tokens")
        assert item["missing"] == 9 - item["done"] > 0
        assert o1lab([*words, "--resume", item["id"], "--samples", "2", "--json"]) == 2  # that is another evaluation
        assert "cannot change" in said(capsys)["error"]["message"]
        assert o1lab([*words, "--resume", item["id"], "--budget-tokens", "100000", "--json"]) == 0
        assert said(capsys)["done"] == 9
    assert set(server.asked.values()) == {1}


def test_scores_of_another_scorer_stand_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EvalServer() as server:
        lab = make_lab(tmp_path / "lab", server.url, 3)
        words = ["--lab", str(lab.root), "eval"]
        assert o1lab([*words, "sums", "-m", "teacher", "--json"]) == 0
        item = said(capsys)
        write_suite(lab, version=2, scorer={"name": "judge"})
        assert o1lab([*words, "--rescore", item["id"], "--json"]) == 2
        assert "--judge" in said(capsys)["error"]["hint"]
        assert o1lab([*words, "--rescore", item["id"], "--judge", "judge", "--json"]) == 0
        again = said(capsys)
        assert again["id"] == item["id"] and again["scorer_version"].startswith("judge@")
        assert (again["suite_version"], again["correct"], item["correct"]) == (1, 3, 2)
        assert len(server.asked_of("m")) == 3
    assert outcomes(lab, only_one(lab), f"math@{VERIFIER_VERSION}") == {"correct": 2, "incorrect": 1}


def test_the_mean_mark_is_the_headline_where_the_suite_wants_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def verdict(question: Question, _before: int) -> str:
        mark = 90 if question[0] % 2 else 40
        return json.dumps({"verdict": "correct" if mark > 50 else "incorrect", "score": mark, "reason": "so"})

    with EvalServer(verdict=verdict) as server:
        lab = make_lab(tmp_path / "lab", server.url, 4)
        write_suite(lab, scorer={"name": "judge", "options": {"prompt": "judge-quality"}}, metric="mean_value")
        words = ["--lab", str(lab.root), "eval"]
        assert o1lab([*words, "sums", "-m", "teacher", "--judge", "judge"]) == 0
        assert "mean mark 65.0% (40.0% to 90.0%), 4 graded" in capsys.readouterr().out
        assert o1lab([*words, "ls", "--json"]) == 0
        [item] = said(capsys)["items"]
        assert (item["metric"], item["mean_value"], item["accuracy"]) == ("mean_value", 0.65, 0.5)
        assert o1lab([*words, "ls"]) == 0
        assert "⌀65.0%" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_for_what_is_in_flight_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path) -> None:
    with EvalServer("blocks") as server:
        lab = make_lab(tmp_path / "lab", server.url, 30)
        process = spawn(lab, "eval", "sums", "-m", "teacher", "--concurrency", "5")
        server.wait_until_asked(5)
        process.send_signal(number)
        folder = only_one(lab)
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
            json_program(lab, "eval", "--resume", item["id"]), capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout)["done"] == 30
    assert set(server.asked.values()) == {1}


def test_a_second_ctrl_c_gives_up_what_is_in_flight_and_still_says_how_it_stands(tmp_path: Path) -> None:
    with EvalServer("blocks") as server:
        lab = make_lab(tmp_path / "lab", server.url, 8)
        process = spawn(lab, "eval", "sums", "-m", "teacher", "--concurrency", "2")
        server.wait_until_asked(2)
        process.send_signal(signal.SIGINT)
        folder = only_one(lab)
        while (status := folder.status()) is None or status.state != "stopping":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
        item = json.loads(out)
        assert (process.returncode, item["done"], item["missing"]) == (130, 0, 8)
        assert f" resume {item['id']}" in item["hint"]


@pytest.mark.usefixtures("real_python")
def test_a_detached_evaluation_works_by_itself_pauses_and_stops(tmp_path: Path) -> None:
    with EvalServer(treat=lambda *_: "ok" if server.asked.total() <= 10 else "blocks") as server:
        lab = make_lab(tmp_path / "lab", server.url, 30)
        words = json_program(lab, "eval", "sums", "-m", "teacher", "--detach", "--concurrency", "2")
        begun = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S)
        item = json.loads(begun.stdout)
        assert item["pid"] and item["requested"] == 30
        server.wait_until_asked(12)  # two are in flight, and stay there
        assert o1lab(["--lab", str(lab.root), "eval", "pause", item["id"]]) == 0
        folder = only_one(lab)
        while (status := folder.status()) is None or status.state != "paused":
            assert status is None or status.state == "running"
        server.release.set()
        while (status := folder.status()) is None or status.in_flight:
            assert status is None or status.state == "paused"
        assert server.asked.total() == 12
        server.release.clear()
        assert o1lab(["--lab", str(lab.root), "eval", "go-on", item["id"]]) == 0
        server.wait_until_asked(14)
        assert o1lab(["--lab", str(lab.root), "eval", "stop", item["id"]]) == 0
        while (status := folder.status()) is None or status.state != "stopping":
            assert status is None or status.state in ("running", "paused")
        server.release.set()
        while (status := folder.status()) is None or status.state != "stopped":
            assert status is None or status.state == "stopping"
        assert status.done == len(stored(lab, folder)) == 14


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.exhaustive)])
def test_killed_many_times_nothing_is_lost_and_nothing_is_asked_twice(tmp_path: Path, kills: int) -> None:
    """A response that is in the journal is never asked for again, and what is answered but not in it was in flight."""
    dice, at_once, samples, items = random.Random(5), 8, 2, 30 + 3 * kills
    with EvalServer(latency_s=0.05) as server:
        lab = make_lab(tmp_path / "lab", server.url, items)
        words = ["sums", "-m", "teacher", "--samples", str(samples), "--concurrency", str(at_once)]
        kept_at_a_kill: dict[tuple[int, int], int] = {}
        for _ in range(kills):
            process = subprocess.Popen(
                real(json_program(lab, "eval", *words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            server.wait_until_asked(server.asked.total() + dice.randint(1, 22))
            process.kill()
            process.communicate(timeout=PATIENCE_S)
            folder = only_one(lab)
            kept = {one.key for _, one in journal.read(folder.journal) if one.final}
            for key in kept:
                kept_at_a_kill.setdefault(question := (int(key.item[4:]), key.sample), times_asked(server, question))
            words = ["--resume", folder.id]
        end = subprocess.run(json_program(lab, "eval", *words), capture_output=True, text=True, timeout=PATIENCE_S)
        assert end.returncode == 0, end.stderr
        item, total = json.loads(end.stdout), items * samples
        assert (item["state"], item["done"], item["failed"], item["missing"]) == ("finished", total, 0, 0)
        assert kept_at_a_kill, "no response was journalled before a kill: the test has shown nothing"
        assert {one for one, number in kept_at_a_kill.items() if times_asked(server, one) != number} == set()
        assert server.asked.total() - total <= kills * at_once
    done = [response.key for _, response in journal.read(folder.journal) if response.state == "done"]
    assert len(done) == len(set(done)) == total
    assert outcomes(lab, folder) == {"correct": 2 * total // 3, "incorrect": total // 3}
    assert (item["input_tokens"], item["output_tokens"]) == (3 * total, 5 * total)


def times_asked(server: EvalServer, question: tuple[int, int]) -> int:
    first, sample = question
    return server.asked[first, first + 7, 42 + sample]
