"""`o1lab lens` with a real server: what is scored, stored and printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.paths import Lab
from o1lab.serve.records import live_records
from store import open_store, token_scores
from tests.functional.cli.test_serving import serving
from tests.support.serving_models import make_adapter, make_model

THOUGHT = "So I have 7 and 5.\n\nWait, let me check: 7 + 5 = 12, ünïcode ✓.\n\nSo the answer is 12."
CHAINS = [
    {"problem": "What is 7 + 5?", "raw": f"<think>\n{THOUGHT}\n</think>\n\nIt is \\boxed{{12}}.", "gold_answer": "12"},
    {"problem": "What is 8 + 5?", "raw": "<think>\nIt stops here", "gold_answer": "13"},
    {"problem": "What is 9 + 5?", "raw": "<think>\n" + "so " * 9000 + "\n</think>\n\n14", "gold_answer": "14"},
]


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Lab]:
    """A lab with chains, whose base is served."""
    lab = Lab(models / "lab")
    chains = models / "chains.jsonl"
    chains.write_text("".join(json.dumps({"model": "sky", **chain}) + "\n" for chain in CHAINS))
    assert run(["--lab", str(lab.root), "import", str(chains)]) == 0
    with serving("--lab", str(lab.root), "serve", str(models / "tiny"), "--dtype", "float32"):
        yield lab


@pytest.fixture
def lab(served: Lab) -> Lab:
    return served


def test_each_model_scores_a_chain_once(lab: Lab, ask: Callable[..., dict[str, Any]]) -> None:
    words = [
        "lens",
        "--where",
        "chars<200",
        "--model",
        str(lab.root.parent / "tiny"),
        "--model",
        "7f3a/100",
        "--tokens",
    ]
    found = ask(*words)
    assert (found["scored"], found["known"], found["failures"]) == (4, 0, [])
    assert len(live_records(lab)) == 1, "the running server is used"
    whole, cut = found["traces"]
    base, student = whole["models"]
    assert base["key"] != student["key"] and base["thought"]["loss"] != student["thought"]["loss"]
    # In this model, each byte is a token.
    assert base["thought"]["tokens"] == len(THOUGHT.encode()) and cut["models"][0]["solution"]["tokens"] == 0
    assert sum(move["tokens"] for move in base["moves"]) == base["thought"]["tokens"]
    mean = sum(move["tokens"] * move["loss"] for move in base["moves"]) / base["thought"]["tokens"]
    assert mean == pytest.approx(base["thought"]["loss"])
    tokens = [one for one in student["tokens"] if one["part"] == "thought"]
    assert {THOUGHT[one["start"] : one["end"]] for one in tokens} == set(THOUGHT)
    again = ask(*words)
    assert (again["scored"], again["known"]) == (0, 4) and again["traces"] == found["traces"]
    repeated = ask(*words, "--again")
    assert (repeated["scored"], repeated["known"]) == (4, 0)
    assert repeated["traces"][0]["models"][0]["thought"]["loss"] == pytest.approx(base["thought"]["loss"], abs=1e-4)


def test_a_chain_that_does_not_fit_is_named_and_the_others_are_kept(
    lab: Lab, ask: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = ask("lens", "--where", "sort:chars", "--model", "7f3a/50", status=1)
    assert found["scored"] == 2 and len(found["failures"]) == 1
    assert "This model takes at most 20000 tokens" in found["failures"][0]["error"]
    with_store = open_store(lab.database)
    try:
        kept = [one for row in found["traces"] for one in token_scores.of_trace(with_store.db, row["id"])]
        assert sum(one.name == "7f3a/50" for one in kept) == 2
    finally:
        with_store.close()
    capsys.readouterr()
    assert run(["--lab", str(lab.root), "lens", found["traces"][0]["id"], "--model", "7f3a/50"]) == 0
    text = capsys.readouterr().out
    assert (
        "mean loss in nats" in text and "7f3a/50 is surprised" in text and "0 scored; 1 had been scored before" in text
    )


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["lens"], 2, "Give traces, or a filter with --where."),
        (["lens", "t", "--where", "x"], 2, "Give traces, or a filter with --where."),
        (["lens", "nothing"], 4, "No trace begins with 'nothing'."),
        (["lens", "--where", "chars<200", "--model", "solver"], 5, "The solver is a program and gives no scores"),
        (["lens", "--where", "chars<200", "--model", "nobody"], 4, "No model is called 'nobody'"),
    ],
)
def test_what_cannot_be_scored(words: list[str], status: int, message: str, ask: Callable[..., dict[str, Any]]) -> None:
    assert message in ask(*words, status=status)["error"]["message"]


def test_an_adapter_of_another_base_is_named(lab: Lab, ask: Callable[..., dict[str, Any]]) -> None:
    other = make_model(lab.root.parent / "other", hidden=64)
    make_adapter(other, lab.runs / "9b9b" / "checkpoints" / "step-10", seed=1)
    (lab.runs / "9b9b" / "recipe.yaml").write_text(f"base: {lab.root.parent / 'tiny'}\n")
    error = ask("lens", "--where", "chars<200", "--model", "9b9b/10", status=3)["error"]
    assert error["code"] == "adapter" and "It was trained on another base: choose that one." in error["message"]


def test_the_solver_has_no_token_scores(ask: Callable[..., dict[str, Any]]) -> None:
    assert ask("lens", "--where", "chars<200", "--model", "solver", status=5)["error"]["code"] == "no_logprobs"


def test_a_chat_says_which_running_server_answers(
    lab: Lab, ask: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["chat", "What is 7 + 5?", "--model", str(lab.root.parent / "tiny"), "--max-tokens", "3"]
    assert run(["--lab", str(lab.root), *words]) in (0, 1)
    server = live_records(lab)[0].pid
    assert f"is answered by the server that runs already (embedded, process {server})." in capsys.readouterr().err
