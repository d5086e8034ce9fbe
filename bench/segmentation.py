"""Moves against the sentence tags of thought_anchors_llama8b.jsonl: precision and recall by kind.

The tags were made by a model, have eight kinds and none for backtracking. The mapping is ``TAG_TO_MOVE``; a
predicted backtrack counts as reflect here, because the tag for uncertainty covers both. Rules were tuned on the even
rows only; the odd rows are held out. Run: ``python -m bench.segmentation``.
"""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o1lab.chains.segmentation.moves import MoveKind, segment
from o1lab.chains.segmentation.training import TAG_TO_MOVE

DATA = Path(os.environ.get("O1LAB_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pairs(rows: list[dict[str, Any]]) -> Iterator[tuple[MoveKind, MoveKind, str]]:
    """(tagged, predicted, sentence) for every sentence that is found in its thought."""
    for row in rows:
        moves = segment(row["thought"])
        starts = [move.start for move in moves]
        position = 0
        for sentence in row["sentences"]:
            at = row["thought"].find(sentence["text"], position)
            if at < 0:
                continue
            position = at + len(sentence["text"])
            predicted = moves[bisect_right(starts, at) - 1].kind
            predicted = MoveKind.REFLECT if predicted is MoveKind.BACKTRACK else predicted
            yield TAG_TO_MOVE[sentence["tags"][0]], predicted, sentence["text"]


def report(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Print and return the table of one half."""
    found = list(pairs(rows))
    tagged = Counter(tag for tag, _, _ in found)
    predicted = Counter(guess for _, guess, _ in found)
    right = Counter(tag for tag, guess, _ in found if tag is guess)
    majority, most = tagged.most_common(1)[0]
    total = len(found)
    print(f"\n{name}: {len(rows)} chains, {total} sentences")
    print(
        f"{'kind':<12}{'tagged':>8}{'predicted':>11}{'precision':>11}{'recall':>8}{'F1':>7}"
        "   majority: precision recall"
    )
    f1s = []
    for kind in TAG_TO_MOVE.values():
        if kind in tagged and kind not in {done for done, _ in f1s}:
            precision = right[kind] / predicted[kind] if predicted[kind] else 0.0
            recall = right[kind] / tagged[kind]
            f1 = 2 * precision * recall / (precision + recall) if right[kind] else 0.0
            f1s.append((kind, f1))
            base = (most / total, 1.0) if kind is majority else (0.0, 0.0)
            print(
                f"{kind:<12}{tagged[kind]:>8}{predicted[kind]:>11}{precision:>11.2f}{recall:>8.2f}{f1:>7.2f}"
                f"   {base[0]:>19.2f} {base[1]:>6.2f}"
            )
    accuracy = sum(right.values()) / total
    macro = sum(f1 for _, f1 in f1s) / len(f1s)
    share = most / total
    base_macro = (2 * share / (1 + share)) / len(f1s)
    print(
        f"accuracy {accuracy:.3f} (majority '{majority}' {share:.3f})"
        f"   macro F1 {macro:.3f} (majority {base_macro:.3f})"
    )
    return {"accuracy": accuracy, "majority": share, "macro_f1": macro, "majority_macro_f1": base_macro}


def speed(texts: list[str]) -> None:
    characters = sum(map(len, texts))
    started = time.perf_counter()
    for text in texts:
        segment(text)
    seconds = time.perf_counter() - started
    print(f"\nspeed: {characters / 1e6 / seconds:.1f} M characters/s on {len(texts)} chains")


def main() -> None:
    lines = (DATA / "long" / "thought_anchors_llama8b.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    report("tuned on (even rows)", rows[::2])
    report("held out (odd rows)", rows[1::2])
    lines = (DATA / "long" / "skyt1_minerva_amc.jsonl").read_text("utf-8").splitlines()
    speed([json.loads(line)["raw"] for line in lines])


if __name__ == "__main__":
    main()
