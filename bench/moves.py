"""The classifier of moves against the rules, on problems left out, and the training of the shipped weights.

The data is thought_anchors_llama8b.jsonl: two chains for each of ten problems, whose sentences a model tagged (see
``bench/segmentation.py``). Each fold leaves out two problems with all their chains. A predicted backtrack counts as
reflect, since no tag says it. The regularisation was chosen on the same folds, so the figures are a little high.

    python -m bench.moves               figures on problems left out, and the time for a chain; needs scikit-learn
    python -m bench.moves --write       the same, and trains the shipped weights on all problems
"""

from __future__ import annotations

import json
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from bench.segmentation import DATA
from o1lab.chains.labelling import Labeller, labeller_at, shipped_path
from o1lab.chains.linear import write
from o1lab.chains.move_training import TAG_TO_MOVE, Example, example, figures, left_out, train
from o1lab.chains.moves import MoveKind, sentences

FOLDS = 5
FILE = "thought_anchors_llama8b.jsonl"
_TRAINED_ON = f"{FILE} (interp-reasoning/thought-anchors.com @68acc04)"
Pair = tuple[MoveKind, MoveKind]
"""The tagged and the predicted kind of a sentence."""


def load() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / "long" / FILE).read_text("utf-8").splitlines()]


def tagged(row: dict[str, Any]) -> list[tuple[int, int, MoveKind]]:
    """Return the tagged sentences of a chain that are found in its thought."""
    found, at = [], 0
    for sentence in row["sentences"]:
        start = row["thought"].find(sentence["text"], at)
        if start >= 0:
            at = start + len(sentence["text"])
            found.append((start, at, TAG_TO_MOVE[sentence["tags"][0]]))
    return found


def pairs(row: dict[str, Any], kinds: Sequence[MoveKind], one: Example) -> list[Pair]:
    starts = [sentence.start for sentence in one.sentences]
    guesses = [(kind, kinds[bisect_right(starts, start) - 1]) for start, _, kind in tagged(row)]
    return [(kind, MoveKind.REFLECT if guess is MoveKind.BACKTRACK else guess) for kind, guess in guesses]


def table(title: str, found: Sequence[Pair]) -> None:
    accuracy, macro = figures(found)
    print(f"\n{title}: accuracy {accuracy:.3f}, macro F1 {macro:.3f}, {len(found)} sentences")
    for kind in dict.fromkeys(TAG_TO_MOVE.values()):
        right = sum(tag is guess is kind for tag, guess in found)
        given, guessed = sum(tag is kind for tag, _ in found), sum(guess is kind for _, guess in found)
        print(f"  {kind:<12}{given:>6} tagged{right / max(1, guessed):>7.2f} precision{right / given:>7.2f} recall")


def without_its_problem(rows: list[dict[str, Any]], examples: list[Example]) -> list[Pair]:
    """Return the tags and predictions of all chains, each predicted by a classifier that never saw its problem."""
    kinds = left_out(examples, [row["problem_id"] for row in rows], FOLDS)
    return [pair for row, one, guess in zip(rows, examples, kinds, strict=True) for pair in pairs(row, guess, one)]


def speed(labeller: Labeller, examples: Sequence[Example]) -> None:
    """Print the median time of 300 sentences in one chain."""
    text = "\n".join(one.thought for one in examples)
    text = text[: sentences(text)[300].start]
    times = []
    for _ in range(20):
        started = time.process_time()
        labeller.label(text)
        times.append(time.process_time() - started)
    print(f"\na chain of 300 sentences ({len(text):,} characters): {1000 * sorted(times)[10]:.0f} ms of processor time")


def main() -> None:
    rows = load()
    examples = [example(row["thought"], tagged(row)) for row in rows]
    rules = [pairs(row, [s.kind for s in one.sentences], one) for row, one in zip(rows, examples, strict=True)]
    table("rules", [pair for found in rules for pair in found])
    table(f"classifier, {FOLDS} folds by problem", without_its_problem(rows, examples))
    if "--write" in sys.argv:
        about = {"name": "shipped-1", "trained_on": _TRAINED_ON, "licence": "MIT"}
        write(shipped_path(), train(examples, about))
        shipped_path().chmod(0o644)
        print(f"\n{shipped_path()}: {shipped_path().stat().st_size:,} bytes")
    speed(labeller_at(shipped_path()), examples)


if __name__ == "__main__":
    main()
