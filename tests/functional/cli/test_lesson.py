"""`o1lab lesson curve`: students really trained on nested subsets of a tiny base, and really evaluated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.jobs.device_queue import Device, acquire_first
from o1lab.paths import Lab
from o1lab.train.recipes.recipe_file import load
from o1lab.train.runs.directory import RunDir, list_run_dirs
from store import evaluations, open_store
from tests.support import curve_lab, eval_lab, training_lab

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("O1LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = training_lab.make_lab(tmp_path / "lab")
    eval_lab.write_suite(made, items={"problems": "source:sums"}, sampling={"max_tokens": 4})
    return made


def curve(base: Path, *more: str) -> list[str]:
    words = ["lesson", "curve", "sums", "--suite", "sums", "--limit", "4", "--base", str(base), "--steps", "2"]
    for setting in ("batch_size=4", "max_length=128", "dtype=fp32", "device=cpu", "save_steps=0", "eval_steps=0"):
        words += ["--set", setting]
    return [*words, *more]


@pytest.mark.slow
def test_a_curve_is_trained_evaluated_continued_and_extended(
    lab: Lab, tiny_base: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    command = curve(tiny_base, "--sizes", "6,12", "--seeds", "1,2")
    looked = ask(*command, "--dry-run")
    assert (looked["to_train"], looked["to_evaluate"], looked["training_s"], looked["by_run"]) == (4, 5, None, None)
    assert [(one["rows"], one["seed"], one["todo"]) for one in looked["students"]] == [
        (6, 1, "train"), (6, 2, "train"), (12, 1, "train"), (12, 2, "train"),
    ]  # fmt: skip
    assert not list_run_dirs(lab) and len(ask("dataset", "ls")["items"]) == 1

    done = ask(*command)
    assert (done["group"], done["failed"]) == ("curve-sums", [])
    assert [(one["rows"], one["seeds"]) for one in done["curve"]] == [(6, [1, 2]), (12, [1, 2])]
    for one in done["curve"]:
        assert 0 <= one["ci95"][0] <= one["accuracy"] <= one["ci95"][1] <= 1
    assert [one["label"].split()[1] for one in done["curves"][0]["levels"]] == ["base"]
    runs = ask("runs", "show", "curve-sums")["runs"]
    assert {load(RunDir(lab.runs / run["id"]).recipe).dataset for run in runs} == {"sums-6", "sums-12"}

    again = ask(*command)  # everything is there: nothing is trained or asked again
    assert again["curve"] == done["curve"] and len(list_run_dirs(lab)) == 4
    with closing(open_store(lab.database)) as store:
        assert len(evaluations.all_evaluations(store.db)) == 5
    looked = ask(*command, "--sizes", "6,12,24", "--dry-run")
    assert (looked["to_train"], looked["to_evaluate"]) == (2, 2)
    assert looked["by_run"] in {run["id"] for run in runs} and looked["training_s"] > 0 and looked["evaluation_s"] > 0
    refused = ask(*command, "--set", "lora_r=4", status=2)["error"]
    assert "was trained with lora_r 16, not 4" in refused["message"]

    shown = ask("lesson", runs[0]["id"])
    assert shown["curve"] == done["curve"] and shown["runs"][0]["run"] == runs[0]["id"]
    assert o1lab(["--lab", str(lab.root), "lesson", runs[0]["id"]]) == 0
    assert "number of chains (log)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_student_that_was_stopped_is_resumed_by_asking_again(lab: Lab, tiny_base: Path, ask: Ask) -> None:
    pytest.importorskip("trl", reason="the train extra is not installed")
    with acquire_first([Device("cpu")]):
        group = ask(
            "train", "--base", str(tiny_base), "--set", "dataset=[sums-4, sums-8]", "--dataset", "sums", status=4
        )  # fmt: skip
        assert group["error"]["code"] == "not_found"
        made = ask("dataset", "subset", "sums", "--sizes", "4,8")["items"]
        assert [one["name"] for one in made] == ["sums-4", "sums-8"]
        words = curve(tiny_base)[8:]  # the base and the settings
        started = ask(
            "train", "--base", *words, "--set", "dataset=[sums-4, sums-8]", "--set", "seed=[1, 2]", "--group",
            "curve-sums", "--no-check",
        )  # fmt: skip
        assert ask("runs", "stop", "curve-sums", "--wait")["total"] == 4
    looked = ask(*curve(tiny_base, "--sizes", "4,8", "--seeds", "1,2", "--dry-run"))
    assert {one["todo"] for one in looked["students"]} == {"resume"}
    done = ask(*curve(tiny_base, "--sizes", "4,8", "--seeds", "1,2"))
    assert {run["run_id"] for run in started["runs"]} == {run.id for run in list_run_dirs(lab)}
    assert [one["seeds"] for one in done["curve"]] == [[1, 2], [1, 2]]


def test_the_curve_of_a_run_is_part_of_its_lesson(lab: Lab, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_store(lab.database)) as store:
        runs = curve_lab.add_curve(lab, store)
    shown = ask("lesson", "show", runs[0].id)
    assert [(one["rows"], round(one["accuracy"], 3)) for one in shown["curve"]] == [(6, 0.2), (12, 0.5), (24, 0.767)]
    assert o1lab(["--lab", str(lab.root), "lesson", runs[-1].id]) == 0
    assert "the teacher solver" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--sizes", "6,99"], "1 to 24 rows, not 99"),
        (["--seeds", "1,1"], "The seeds of a curve must differ."),
        (["--seeds", ""], "'' is not a whole number"),
        (["--set", "learning_rate=1e-4,5e-4"], "varies only the number of chains and the seed"),
        (["--seeds", ",".join(map(str, range(9)))], "These are 36 runs"),
    ],
)
def test_what_makes_no_curve_is_a_usage_error(lab: Lab, ask: Ask, more: list[str], words: str) -> None:
    assert words in ask("lesson", "curve", "sums", "--suite", "sums", *more, status=2)["error"]["message"]
    assert not list_run_dirs(lab)


def test_a_teacher_behind_an_endpoint_is_not_asked_by_itself(lab: Lab, ask: Ask) -> None:
    with lab.config.open("a") as file:
        file.write('\n[[endpoints]]\nname = "o1"\nurl = "https://127.0.0.1:1/v1"\nmodel = "o1"\nrole = "teacher"\n')
    looked = ask("lesson", "curve", "sums", "--suite", "sums", "--teacher", "o1", "--dry-run")
    assert looked["others"] == ["smollm2-135m"]
    assert looked["notes"] == [
        "o1 is asked over the network; it is drawn once it was evaluated: o1lab eval sums --model o1"
    ]
