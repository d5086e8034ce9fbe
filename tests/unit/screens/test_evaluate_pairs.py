"""Two evaluations item by item: the sign of an item follows from the rule that chose its list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.config import init_lab
from screens.evaluate.pairs import KINDS, columns, read_pair, strip
from store import Store, evaluations, open_store
from store.evaluations import NewSample, NewScore
from tests.support.evaluate_lab import BASE, SCORER, STUDENT, evaluation, item, put, turn


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(init_lab(tmp_path / "lab", name="sums").database)


def put_several(store: Store, identity: str, model: str, outcomes: list[str]) -> None:
    """An evaluation with several samples of each item, a letter each: ``c`` correct, ``w`` wrong."""
    one = replace(evaluation(identity, model, items=len(outcomes)), samples=len(outcomes[0]))
    items = [item(number) for number in range(len(outcomes))]
    evaluations.add(store.db, one, items)
    samples = [
        NewSample(
            row.item, number, "complete", (turn(model, row, "correct" if letter == "c" else "incorrect"),),
            f"{identity}-{row.item}-{number}",
        )
        for row, letters in zip(items, outcomes, strict=True)
        for number, letter in enumerate(letters)
    ]  # fmt: skip
    with store.db.atomic():
        seqs = evaluations.add_samples(store.db, one.id, samples)
        evaluations.add_scores(
            store.db,
            [
                NewScore(seq, SCORER, "correct" if letter == "c" else "incorrect", float(letter == "c"), None, "")
                for seq, letter in zip(seqs, "".join(outcomes), strict=True)
            ],
        )


def test_with_several_samples_the_sign_is_what_most_of_them_are(store: Store) -> None:
    put_several(store, "a", BASE, ["cww", "ccw", "ccc", "www"])
    put_several(store, "b", STUDENT, ["ccw", "cww", "cww", "cww"])
    both = read_pair(store.db, "a", "b")
    assert both.comparison.paired.only_b == ("add:0",)
    assert both.comparison.paired.only_a == ("add:1", "add:2")
    assert [both.verdict(side, "add:0").plain for side in (0, 1)] == ["✗ 1/3", "✓ 2/3"]
    for kind, right in zip(KINDS, ("✓✗", "✗✓", "✓✓", "✗✗"), strict=True):
        for name in getattr(both.comparison.paired, kind):
            assert "".join(both.verdict(side, name).plain[0] for side in (0, 1)) == right
    assert columns(both.samples)[0].width == len("✓ 3/3")
    assert strip(both, "only_a").plain.endswith("right by most samples")


def test_an_only_sample_keeps_the_sign_of_its_outcome(store: Store) -> None:
    put(store, evaluation("a", BASE, items=3), ["incorrect", "incomplete", "correct"])
    put(store, evaluation("b", STUDENT, items=3), ["correct", "failed", "unextracted"])
    both = read_pair(store.db, "a", "b")
    signs = ["".join(both.verdict(side, f"add:{number}").plain for side in (0, 1)) for number in range(3)]
    assert signs == ["✗✓", "…!", "✓∅"]
    assert "most samples" not in strip(both, "both").plain
