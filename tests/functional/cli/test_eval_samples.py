"""The verbs of samples and of persons' marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.cli.main import run
from tests.functional.cli.test_curate import Program
from tests.support.evaluate_lab import RUN, make_lab

BOTH = ("base-1", "student-1")


@pytest.fixture
def o1lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    make_lab(tmp_path / "lab")
    return Program(tmp_path / "lab", capsys)


def test_samples_are_listed_filtered_and_read(o1lab: Program, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = o1lab("eval", "samples", "base", "--outcome", "failed", "--outcome", "incorrect", "--longest")
    assert (status, told["total"], told["scorer"]) == (0, 3, "math@1")
    assert [one["item"] for one in told["items"]] == ["add:5", "add:2", "add:0"]
    status, told = o1lab("eval", "samples", "base", "--where", "outcome:wrong -item:add:0 sort:longest")
    assert (status, [one["item"] for one in told["items"]]) == (0, ["add:5", "add:4", "add:2"])
    status, told = o1lab("eval", "samples", "base", "--where", "outcom:wrong")
    assert (status, told["error"]["hint"]) == (2, "Did you mean outcome?")
    assert o1lab("eval", "samples", "base-1", "--outcome", "wrong")[0] == 2
    assert o1lab("eval", "samples", "base-1", "--scorer", "math@9")[0] == 4
    status, one = o1lab("eval", "sample", "student-1", "add:3")
    assert (one["gold"], one["state"], one["trace_id"]) == (["681"], "complete", None)
    assert [(score["scorer"], score["outcome"]) for score in one["scores"]] == [("math@1", "incorrect")]
    assert one["turns"][0]["thought"].startswith("So I need 234 + 447")
    run(["--lab", str(o1lab.lab), "eval", "sample", "student-1", "add:3", "--raw"])
    raw = capsys.readouterr().out
    assert raw.startswith("<think>\nSo I need 234 + 447") and raw.endswith("The sum is \\boxed{911}.")
    assert o1lab("eval", "sample", "student-1", "add:99")[0] == 4


def test_from_a_failure_to_its_chains_and_a_case_study(o1lab: Program, tmp_path: Path) -> None:
    status, near = o1lab("eval", "nearest", "student-1", "add:3", "--limit", "2")
    assert (status, near["run_id"], near["items"][0]["trace_id"]) == (0, RUN, f"{3:016x}")
    assert o1lab("eval", "nearest", "base-1", "add:3")[0] == 2
    trace = o1lab("eval", "label", "student-1", "add:3")[1]["trace_id"]
    assert o1lab("annotate", trace, "--span", "0:9:begins")[0] == 0
    status, made = o1lab("eval", "case", "base-1", "student-1", "add:3", "--out", str(tmp_path / "case.html"))
    assert (status, made["labels"]) == (0, ["begins"])
    assert (made["before"]["outcome"], made["after"]["outcome"]) == ("correct", "incorrect")
    assert '<mark title="begins">So I need</mark>' in (tmp_path / "case.html").read_text("utf-8")
    plain = o1lab("eval", "label", "base-1", "add:3")[1]["trace_id"]
    assert o1lab("annotate", plain, "--span", "0:3:begins")[0] == 0  # of an answer without a thought


def test_marks_are_given_blindly_and_the_results_wait(o1lab: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1LAB_ANNOTATOR", "ann")
    status, told = o1lab("eval", "agreement", *BOTH)
    assert (status, told["error"]["code"]) == (5, "refused")
    assert told["error"]["message"] == "The ratings are not complete: no annotator has begun."
    at = 0
    status, sheet = o1lab("eval", "rate", *BOTH)
    assert (sheet["done"], sheet["total"]) == (0, 11)
    while sheet["next"] is not None:
        assert set(sheet["next"]) == {"sample", "question", "answer"}
        at += 1
        status, sheet = o1lab("eval", "rate", *BOTH, "--sample", sheet["next"]["sample"], "--value", str(at))
        assert (status, sheet["done"]) == (0, at)
    assert o1lab("eval", "rate", *BOTH, "--undo")[1]["done"] == 10
    assert o1lab("eval", "agreement", *BOTH)[0] == 5
    last = o1lab("eval", "rate", *BOTH)[1]["next"]["sample"]
    assert o1lab("eval", "rate", *BOTH, "--sample", last, "--value", "101")[0] == 2
    assert o1lab("eval", "rate", *BOTH, "--sample", last)[0] == 2
    assert o1lab("eval", "rate", *BOTH, "--sample", last, "--value", "11")[1]["next"] is None
    status, told = o1lab("eval", "agreement", *BOTH)
    assert (status, told["finished"], told["annotators"], told["scores_written"]) == (0, True, {"ann": 11}, 11)
    assert told["alpha"]["value"] is None
    assert sum(one["mean"] * one["rated"] for one in told["evaluations"]) == pytest.approx(66, abs=0.01)
    assert o1lab("eval", "samples", "base-1", "--scorer", "human@1")[1]["items"][0]["value"] is not None


def test_a_calibration_shows_the_next_sample_and_how_far_the_scorer_agrees(
    o1lab: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = o1lab("eval", "calibrate", "student-1")
    assert (status, told["done"], told["finished"], told["labels"]) == (0, 0, False, ["correct", "incorrect"])
    assert told["kappa"]["value"] is None and told["kappa"]["why_not"]
    assert not {"outcome", "scores"} & told["next"].keys()  # the scorer's result is not shown
    total = told["total"]
    for _ in range(total):
        asked = told["next"]
        label = "correct" if asked["gold"][0] in asked["answer"] else "incorrect"
        status, told = o1lab("eval", "calibrate", "student-1", "--sample", str(asked["sample"]), "--label", label)
        assert status == 0
    assert (told["done"], told["finished"], told["next"]) == (total, True, None)
    assert told["kappa"]["value"] == 1.0
    assert told["kappa"]["ci95"][0] < 1.0
    assert o1lab("eval", "calibrate", "student-1", "--undo")[1]["done"] == total - 1
    assert run(["--lab", str(o1lab.lab), "eval", "calibrate", "student-1"]) == 0
    text = capsys.readouterr().out
    assert f"{total - 1} of {total} labelled" in text
    assert "GOLD" in text and "--label correct|incorrect" in text


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--sample", "1"), 2),
        (("--sample", "1", "--label", "refused"), 2),
        (("--sample", "99", "--label", "correct"), 4),
        (("--undo",), 2),
        (("--scorer", "math@9"), 2),
    ],
)
def test_a_calibration_says_what_is_wrong(o1lab: Program, words: tuple[str, ...], status: int) -> None:
    assert o1lab("eval", "calibrate", "student-1", *words)[0] == status


@pytest.mark.parametrize(
    "words", [("samples",), ("samples", "base-1", "--longer"), ("samples", "base-1", "--limit", "x")]
)
def test_wrong_words_name_the_help_of_their_verb(o1lab: Program, words: tuple[str, ...]) -> None:
    status, told = o1lab("eval", *words)
    assert status == 2 and told["error"]["hint"].endswith("eval samples --help`.")
