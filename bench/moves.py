"""The classifier of moves against the rules, on problems left out, and the training of the shipped weights.

The data is thought_anchors_llama8b.jsonl: two chains for each of ten problems, whose sentences a model tagged (see
``bench/segmentation.py``). Each of five folds leaves out two problems with all their chains; the problems are divided
in several ways. A predicted backtrack counts as reflect, since no tag says it. The settings were chosen on such folds,
so the figures are a little high; ``--nested`` chooses them again for each fold, on the other problems alone.

The tags bound what can be learned: the script prints how often a sentence that occurs in other problems, too, was
tagged as there, and how much the problems differ. The following was tried on the same folds. It gained nothing, or less
than it costs, and was left out:

- words and first words of the neighbours; shares of digits, operators and letters; numbers and words that occurred
  before, words of the opening, repeated sentences; formulas replaced by a mark; rare n-grams left out; no n-grams of
  characters (worse);
- transitions between kinds, counted and decoded (worse), or learned with the weights in a conditional random field;
- logistic regression; the eight tags instead of six kinds; the sum of a random field and the machine (up to 0.01
  better, for a second trainer and a second set of weights);
- singular vectors of chains without tags, beside the n-grams or in place of them; training on their predicted kinds.

    python -m bench.moves               figures on problems left out, and the time for a chain; needs scikit-learn
    python -m bench.moves --nested      and the figures where the settings are chosen within each fold: minutes
    python -m bench.moves --write       and trains the shipped weights on all problems
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import product
from statistics import mean, stdev
from typing import Any

from bench.segmentation import DATA
from o1lab.chains.segmentation.labelling import Labeller, labeller_at, shipped_path
from o1lab.chains.segmentation.linear import write
from o1lab.chains.segmentation.moves import MoveKind, sentences
from o1lab.chains.segmentation.training import CHOSEN, TAG_TO_MOVE, Example, Settings, example, figures, labeller, train

FOLDS, INNER_FOLDS = 5, 4
SEEDS = range(5)
"""Ways to divide the problems."""
CHOICES = [Settings(*one) for one in product((0.05, 0.1), (0.5, 0.75, 1.0))]
"""The settings that ``--nested`` chooses from."""
FILE = "thought_anchors_llama8b.jsonl"
_TRAINED_ON = f"{FILE} (interp-reasoning/thought-anchors.com @68acc04)"
Row = dict[str, Any]
Pair = tuple[MoveKind, MoveKind]
"""The tagged and the predicted kind of a sentence."""


def load() -> list[Row]:
    return [json.loads(line) for line in (DATA / "long" / FILE).read_text("utf-8").splitlines()]


def tagged(row: Row) -> list[tuple[int, int, MoveKind]]:
    """Return the tagged sentences of a chain that are found in its thought."""
    found, at = [], 0
    for sentence in row["sentences"]:
        start = row["thought"].find(sentence["text"], at)
        if start >= 0:
            at = start + len(sentence["text"])
            found.append((start, at, TAG_TO_MOVE[sentence["tags"][0]]))
    return found


def pairs(row: Row, kinds: Sequence[MoveKind], one: Example) -> list[Pair]:
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


Chain = tuple[Row, Example]


def divided(chains: Sequence[Chain], folds: int, seed: int) -> list[tuple[list[Chain], list[Chain]]]:
    """Return (seen, left out) for each fold of a division by problem."""
    problems = sorted({row["problem_id"] for row, _ in chains})
    random.Random(seed).shuffle(problems)
    found = []
    for fold in range(folds):
        out = set(problems[fold::folds])
        seen = [one for one in chains if one[0]["problem_id"] not in out]
        found.append((seen, [one for one in chains if one[0]["problem_id"] in out]))
    return found


def left_out(chains: Sequence[Chain], seed: int = 0, *, choose: bool = False) -> list[Pair]:
    """Return the tags and predictions of all chains, each predicted by a classifier that never saw its problem.

    Args:
        chains: the chains.
        seed: how the problems are divided.
        choose: whether the settings for each fold are chosen on folds of the problems that it sees.
    """
    found = []
    for seen, out in divided(chains, FOLDS, seed):
        settings = chosen(seen, seed) if choose else CHOSEN
        found += predicted(seen, settings, out)
    return found


def chosen(chains: Sequence[Chain], seed: int) -> Settings:
    """Return the settings with the greatest sum of accuracy and macro F1 on problems left out of these."""
    found: dict[Settings, list[Pair]] = {settings: [] for settings in CHOICES}
    for seen, out in divided(chains, INNER_FOLDS, seed):
        for settings in CHOICES:
            found[settings] += predicted(seen, settings, out)
    best = max(found, key=lambda settings: sum(figures(found[settings])))
    print(f"  chosen within: {best}", flush=True)
    return best


def predicted(seen: Sequence[Chain], settings: Settings, chains: Sequence[Chain]) -> list[Pair]:
    by = labeller(train((one for _, one in seen), {}, settings))
    return [pair for row, one in chains for pair in pairs(row, by.kinds_of(one.thought, one.sentences), one)]


def repeated(chains: Sequence[Chain]) -> None:
    """Print how often the tagged kind of a sentence is the most frequent one of the same words in other problems."""
    kinds: dict[str, list[tuple[str, MoveKind]]] = {}
    for row, _ in chains:
        for start, end, kind in tagged(row):
            words = re.sub(r"\W+", " ", row["thought"][start:end].lower()).strip()
            kinds.setdefault(words, []).append((row["problem_id"], kind))
    same = []
    for found in kinds.values():
        for problem, kind in found:
            others = Counter(other for elsewhere, other in found if elsewhere != problem)
            if others:
                same.append(others.most_common(1)[0][0] is kind)
    print(f"\nsentences that also occur in another problem: {len(same)}, tagged as there: {mean(same):.0%}")


def by_problem(chains: Sequence[Chain]) -> None:
    """Print how the accuracy on problems left out differs between problems."""
    found = {}
    for seen, out in divided(chains, FOLDS, 0):
        for problem in {row["problem_id"] for row, _ in out}:
            found[problem] = predicted(seen, CHOSEN, [one for one in out if one[0]["problem_id"] == problem])
    values = sorted(figures(several)[0] for several in found.values())
    print(f"\naccuracy of each problem: {', '.join(f'{value:.2f}' for value in values)}")


def spread(title: str, found: Sequence[Sequence[Pair]]) -> None:
    values = zip(("accuracy", "macro F1"), zip(*map(figures, found), strict=True), strict=True)
    parts = (f"{name} {mean(several):.3f} ± {stdev(several):.3f}" for name, several in values)
    print(f"\n{title}, mean and standard deviation of {len(found)} divisions: {', '.join(parts)}")


def speed(by: Labeller, examples: Sequence[Example]) -> None:
    """Print the median time of 300 sentences in one chain."""
    text = "\n".join(one.thought for one in examples)
    text = text[: sentences(text)[300].start]
    times = []
    for _ in range(20):
        started = time.process_time()
        by.label(text)
        times.append(time.process_time() - started)
    print(f"\na chain of 300 sentences ({len(text):,} characters): {1000 * sorted(times)[10]:.0f} ms of processor time")


def main() -> None:
    rows = load()
    examples = [example(row["thought"], tagged(row)) for row in rows]
    chains = list(zip(rows, examples, strict=True))
    table("rules", [pair for row, one in chains for pair in pairs(row, [s.kind for s in one.sentences], one)])
    by_seed = [left_out(chains, seed) for seed in SEEDS]
    table(f"classifier, {FOLDS} folds by problem", by_seed[0])
    spread("classifier", by_seed)
    repeated(chains)
    by_problem(chains)
    if "--nested" in sys.argv:
        table("classifier, settings chosen within each fold", left_out(chains, choose=True))
    if "--write" in sys.argv:
        about = {"name": "shipped-2", "trained_on": _TRAINED_ON, "licence": "MIT"}
        write(shipped_path(), train(examples, about))
        shipped_path().chmod(0o644)
        print(f"\n{shipped_path()}: {shipped_path().stat().st_size:,} bytes")
    speed(labeller_at(shipped_path()), examples)


if __name__ == "__main__":
    main()
