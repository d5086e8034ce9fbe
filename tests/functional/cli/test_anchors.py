"""`o1lab anchors` with a real server: what is drawn, stored and printed, and that a stopped command goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.paths import Lab
from store import continuations
from store.continuations import Rollout
from store.sqlite import Database
from tests.functional.cli.test_serving import serving

THOUGHT = "We carry one. So it is 12.\n\nThat is all."
CHAIN = {"problem": "What is 7 + 5?", "raw": f"<think>\n{THOUGHT}\n</think>\n\n\\boxed{{12}}", "gold_answer": "12"}


@pytest.fixture(scope="module")
def lab(models: Path) -> Iterator[Lab]:
    """A lab with a short chain, whose base is served."""
    lab = Lab(models / "lab")
    chains = models / "anchors.jsonl"
    chains.write_text(json.dumps({"model": "sky", **CHAIN}) + "\n")
    assert run(["--lab", str(lab.root), "import", str(chains)]) == 0
    with serving("--lab", str(lab.root), "serve", str(models / "tiny"), "--dtype", "float32"):
        yield lab


def test_rollouts_are_drawn_once_and_a_stopped_command_goes_on(
    lab: Lab, ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [trace] = ask("traces", "ls", "carry one")["items"]
    words = ["anchors", trace["id"], "--model", str(lab.root.parent / "tiny"), "-n", "3", "--max-tokens", "6"]
    kept: list[Rollout] = []
    add = continuations.add_rollouts

    def stop_after_two(db: Database, some: list[Rollout]) -> None:
        add(db, some)
        kept.extend(some)
        if len(kept) >= 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(continuations, "add_rollouts", stop_after_two)
    assert run(["--lab", str(lab.root), *words]) == 130
    monkeypatch.setattr(continuations, "add_rollouts", add)
    found = ask(*words)
    places = 4  # before each of three sentences, and after the last
    assert (found["known"], found["drawn"]) == (len(kept), 3 * places - len(kept))
    assert "".join(one["text"] for one in found["sentences"]) == THOUGHT
    for one in found["sentences"]:
        # A random model never writes the sentence again, and has no answer before its limit.
        assert (one["kept"], one["different"], one["same"], one["answer"]) == (3, 3, 0, None)
    again = ask(*words)
    assert (again["drawn"], again["known"]) == (0, 3 * places) and again["sentences"] == found["sentences"]
    more = ask(*[("4" if word == "3" else word) for word in words])
    assert (more["drawn"], more["known"]) == (places, 3 * places), "samples can be added"
    capsys.readouterr()
    assert run(["--lab", str(lab.root), *words]) == 0
    text = capsys.readouterr().out
    assert "We carry one." in text and "importance of each sentence in nats" in text and "12 had been drawn" in text
