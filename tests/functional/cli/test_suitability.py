"""`o1lab suitability` with a real server: what is scored, asked, stored and shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.paths import Lab
from tests.functional.cli.test_serving import serving

CHAINS = [
    {"problem": "What is 7 + 5?", "raw": "<think>\nI add. So it is 12.\n</think>\n\n12", "gold_answer": "12"},
    {"problem": "What is 8 + 5?", "raw": "<think>\nIt stops here", "gold_answer": "13"},
    {"problem": "Why is 9 odd?", "raw": "<think>\n" + "so " * 9000 + "\n</think>\n\n14"},
]


@pytest.fixture(scope="module")
def lab(models: Path) -> Iterator[Lab]:
    """A lab with three chains, whose base is served; the last chain is too long for it."""
    lab = Lab(models / "lab")
    chains = models / "chains.jsonl"
    chains.write_text("".join(json.dumps({"model": "sky", **chain}) + "\n" for chain in CHAINS))
    assert run(["--lab", str(lab.root), "import", str(chains)]) == 0
    with serving("--lab", str(lab.root), "serve", str(models / "tiny"), "--dtype", "float32"):
        yield lab


def test_the_figures_of_a_student_are_filled_in_once(lab: Lab, ask: Callable[..., dict[str, Any]]) -> None:
    assert {one["suitability"] for one in ask("traces", "ls")["items"]} == {None}
    found = ask("suitability", "chars<200", "--model", "7f3a/50", "--no-local")
    assert (found["student"], found["scored"], found["local"], found["known"]) == ("7f3a/50", 2, 0, 0)
    assert found["figures"]["nll"]["known"] == 2 and found["figures"]["local_nll"]["known"] == 0
    found = ask("suitability", "chars<200")
    assert (found["student"], found["scored"], found["local"]) == ("7f3a/50", 0, 2), "the chosen student stays"
    again = ask("suitability", "chars<200", "--model", "7f3a/50")
    assert (again["scored"], again["local"], again["known"]) == (0, 0, 2) and again["figures"] == found["figures"]
    cut, whole = ask("traces", "ls", "chars<200", "--sort", "chars")["items"]
    of_cut, of_whole = cut["suitability"], whole["suitability"]
    assert of_cut["local_nll"] == pytest.approx(of_cut["nll"], abs=1e-4), (
        "a chain of one sentence has nothing to forget"
    )
    assert of_whole["local_nll"] != pytest.approx(of_whole["nll"], abs=1e-3)
    lens = ask("lens", whole["id"], "--model", "7f3a/50", "--tokens")["traces"][0]["models"][0]
    parts = [one for one in lens["tokens"] if one["part"] != "mark"]
    assert of_whole["nll"] == pytest.approx(-sum(one["logprob"] for one in parts) / len(parts))
    ranks = sum(min(one["rank"], 100) for one in parts)
    assert of_whole["rsr"] == pytest.approx(ranks / -sum(one["logprob"] for one in parts))
    middle = (of_cut["rsr"] + of_whole["rsr"]) / 2
    assert ask("traces", "ls", f"rsr<{middle:.6f}")["total"] == 1
    assert [one["id"] for one in ask("traces", "ls", "nll>=0", "--sort", "-nll")["items"]] == sorted(
        (cut["id"], whole["id"]), key=lambda one: -(of_cut if one == cut["id"] else of_whole)["nll"]
    )
    assert ask("traces", "show", whole["id"])["suitability"] == of_whole


def test_the_pass_rate_is_asked_for_once(
    lab: Lab, ask: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["suitability", "--no-local", "--model", str(lab.root.parent / "tiny"), "--max-tokens", "4"]
    found = ask(*words, "--samples", "2", status=1)
    assert found["evaluation"] and found["figures"]["pass_rate"]["known"] == 2, "the third problem has no answer"
    assert len(found["failures"]) == 1 and "takes at most 20000 tokens" in found["failures"][0]["error"]
    assert ask(*words, "--samples", "2", status=1)["evaluation"] is None, "all were asked often enough"
    rates = [one["suitability"] for one in ask("traces", "ls", "pass-rate<0.5")["items"]]
    assert [(one["pass_rate"], one["samples"]) for one in rates] == [(0.0, 2), (0.0, 2)]
    capsys.readouterr()
    assert run(["--lab", str(lab.root), *words, "--samples", "2"]) == 1
    text = capsys.readouterr().out
    assert "which filters and lists show from now on" in text and "1 problems have no known answer" in text


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--model", "solver"], 5, "The solver is a program and gives no scores"),
        (["--model", "nobody"], 4, "No model is called 'nobody'"),
        (["nll<x"], 2, "'nll' takes a number, not 'x'"),
    ],
)
def test_what_cannot_be_done(words: list[str], status: int, message: str, ask: Callable[..., dict[str, Any]]) -> None:
    assert message in ask("suitability", *words, status=status)["error"]["message"]
