"""`o1lab converge` with real servers: where chains have their answer, what is stored, what goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.paths import Lab
from o1lab.serve.solver import respond
from store import continuations, open_store
from store.sqlite import Database
from tests.functional.cli.test_serving import serving

SUMS = [(964, 494), (123, 456), (505, 605)]
HARD = {"problem": "What is 7 + 5?", "raw": "<think>\n" + "So. " * 6000 + "\n</think>\n\n12", "gold_answer": "12"}


@pytest.fixture(scope="module")
def served(models: Path) -> Iterator[Lab]:
    """A lab with chains of the solver, whose base is served."""
    lab = Lab(models / "lab")
    rows = [
        {"problem": f"What is {a} + {b}?", "raw": respond(f"What is {a} + {b}?").text, "gold_answer": str(a + b)}
        for a, b in SUMS
    ]
    chains = models / "sums.jsonl"
    more = [HARD, {"problem": "What is 8 + 5?", "raw": "Thirteen.", "gold_answer": "13"}]
    chains.write_text("".join(json.dumps({"model": "sky", **row}) + "\n" for row in [*rows, *more]))
    assert run(["--lab", str(lab.root), "import", str(chains)]) == 0
    with serving("--lab", str(lab.root), "serve", str(models / "tiny"), "--dtype", "float32"):
        yield lab


@pytest.fixture
def lab(served: Lab) -> Lab:
    return served


def known_place(thought: str) -> int:
    """Return where the solver has written the last column that its answer needs."""
    at = max(thought.find("Hundreds: "), thought.rfind("Hundreds: "))
    return thought.index("\n", at)


def test_a_chain_of_the_solver_converges_where_its_last_column_is_right(
    lab: Lab, ask: Callable[..., dict[str, Any]]
) -> None:
    found = ask("converge", "--where", "chars<600 what", "--model", "solver")
    assert len(found["chains"]) == len(SUMS) and found["failures"] == [] and found["known"] == 0
    by_place = {}
    for chain in found["chains"]:
        points = chain["points"]
        assert len(chain["kinds"]) == len(points) and points[0]["position"] == 0 and not points[0]["right"]
        assert chain["against"] == "gold" and points[-1]["right"] and chain["first_right"] == chain["stable"] > 0
        by_place[points[-1]["position"]] = points, chain
    for a, b in SUMS:
        thought = respond(f"What is {a} + {b}?").thought
        points, chain = by_place[len(thought)]
        right = [point["position"] for point in points if point["right"]]
        wrong = [point["position"] for point in points if not point["right"]]
        assert max(wrong) <= known_place(thought) <= right[0], "the answer is known once all columns are right"
        assert chain["tokens_after"] == chain["tokens"] - points[chain["stable"]]["tokens"]
    assert found["summary"]["overwritten"]["correct"] == 0 and found["summary"]["right"]["correct"] == len(SUMS)
    again = ask("converge", "--where", "chars<600 what", "--model", "solver")
    assert again["asked"] == 0 and again["known"] == found["asked"] and again["chains"] == found["chains"]


def test_a_pass_that_was_stopped_goes_on_where_it_was(
    lab: Lab, ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["converge", "--where", "chars<600 what", "--model", str(lab.root.parent / "tiny"), "--max-tokens", "4"]
    kept: list[int] = []
    add = continuations.add_answers

    def stop_after_three(db: Database, answers: list[continuations.ForcedAnswer]) -> None:
        add(db, answers)
        kept.extend(one.position for one in answers)
        if len(kept) >= 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(continuations, "add_answers", stop_after_three)
    assert run(["--lab", str(lab.root), *words]) == 130
    monkeypatch.setattr(continuations, "add_answers", add)
    found = ask(*words)
    assert found["known"] == len(kept) and found["asked"] > 0
    assert len(found["chains"]) == len(SUMS)
    for chain in found["chains"]:
        size = chain["points"][-1]["position"]
        # In this model, each byte is a token; the thought is closed after its text.
        assert chain["tokens"] == pytest.approx(size, abs=2)
    with_store = open_store(lab.database)
    try:
        rows = with_store.db.execute("SELECT count(*), count(DISTINCT model) FROM forced_answers").fetchone()
    finally:
        with_store.close()
    assert rows[1] >= 1 and rows[0] >= found["known"] + found["asked"]


def test_a_chain_that_does_not_fit_is_named(lab: Lab, ask: Callable[..., dict[str, Any]]) -> None:
    found = ask("converge", "--where", "chars>2000", "--model", str(lab.root.parent / "tiny"), status=1)
    assert found["chains"] == [] and "takes at most" in found["failures"][0]["error"]


def test_people_read_places_and_sentences(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--lab", str(lab.root), "converge", "--where", "chars<600 964", "--model", "solver"]) == 0
    text = capsys.readouterr().out
    assert "no thought" in text and "1458" in text and "first right, stable" in text
    assert "The answer is stable from place" in text and "tokens come after it" in text


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["converge"], 2, "usage"),
        (["converge", "t", "--where", "x"], 2, "usage"),
        (["converge", "nothing"], 4, "not_found"),
    ],
)
def test_what_cannot_be_cut(words: list[str], status: int, code: str, ask: Callable[..., dict[str, Any]]) -> None:
    assert ask(*words, status=status)["error"]["code"] == code


def test_a_trace_without_a_thought_is_refused(lab: Lab, ask: Callable[..., dict[str, Any]]) -> None:
    [row] = ask("traces", "ls", "chars<20")["items"]
    assert ask("converge", row["id"], status=5)["error"]["code"] == "no_thought"
