"""The draw of the 150 problems labelled by hand for "needs an image".

Run: ``python -m bench.labels.draw`` prints the drawn statements, to be read; with ``--check`` it says instead
whether needs_image.jsonl labels exactly these rows. No text of the problems is kept in the repository: a label names
its problem by file, row (from 0) and the identity the store gives it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from store.records import problem_id

DATA = Path(os.environ.get("O1LAB_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
LABELS = Path(__file__).with_name("needs_image.jsonl")
FILES = ("math_train_sample.jsonl", "math500.jsonl")
SEED = 20241125
COUNT = 150


def drawn(folder: Path) -> Iterator[tuple[str, int, str]]:
    """File, row and statement of each drawn problem, in file order."""
    union: list[tuple[str, int, str]] = []
    for name in FILES:
        with (folder / name).open(encoding="utf-8") as lines:
            union.extend((name, row, json.loads(line)["problem"]) for row, line in enumerate(lines))
    for index in sorted(random.Random(SEED).sample(range(len(union)), COUNT)):
        yield union[index]


def main() -> int:
    rows = list(drawn(DATA / "maths"))
    if "--check" not in sys.argv[1:]:
        for name, row, statement in rows:
            print(f"=== {name} {row} {problem_id(statement)}\n{statement}\n")
        return 0
    labels = [json.loads(line) for line in LABELS.read_text(encoding="utf-8").splitlines()]
    asked = [(name, row, problem_id(statement)) for name, row, statement in rows]
    if asked != [(label["file"], label["row"], label["problem_id"]) for label in labels]:
        print("the labels are not those of this draw", file=sys.stderr)
        return 1
    yes = sum(label["needs_image"] for label in labels)
    print(f"{len(labels)} labels match the draw: {yes} need an image, {len(labels) - yes} do not")
    return 0


if __name__ == "__main__":
    sys.exit(main())
