"""The solver's tree searcher: every sum is found, checked, and worth walking."""

from __future__ import annotations

import random

import pytest

from o1lab.chains.trees.tree import read_tree
from o1lab.chains.trees.walk import TreeRules, as_chain, plain_reflections, walk_tree
from o1lab.serve.solver_tree import search_tree


def test_the_search_finds_each_sum_and_its_dead_ends() -> None:
    generator = random.Random(7)
    for _ in range(300):
        a, b = generator.randint(100, 999), generator.randint(100, 999)
        nodes = search_tree(f"What is {a} + {b}?")
        assert nodes is not None
        tree = read_tree(nodes)
        correct = [one["text"] for one in nodes if one["correct"] and one["id"].endswith("a")]
        assert correct == [rf"\boxed{{{a + b}}}"]
        assert sum(one["correct"] is False for one in nodes) == 3  # three of four guesses of two carries
        assert all(0 <= one["value"] <= 1 for one in nodes)
        assert len(walk_tree(tree, TreeRules(dead_ends=9)).dead_ends) == 2


def test_the_steps_are_right_and_the_checks_are_real() -> None:
    nodes = {one["id"]: one for one in search_tree("What is 964 + 494?") or []}
    assert nodes["r0"]["text"] == "Ones: 4 + 4 = 8, write 8, carry 0."
    assert nodes["r01"]["text"] == "Tens: 6 + 9 = 15, write 5, carry 1."
    assert nodes["r01c"]["text"] == ("Hundreds: 9 + 4 = 13, plus 1 = 14. So 1458. Check holds: 1458 - 494 = 964.")
    assert nodes["r11c"]["text"].endswith("So 1468. Check fails: 1468 - 494 = 974, not 964.")
    assert nodes["r11c"]["value"] > nodes["r01c"]["value"]  # the estimate prefers a wrong sum here
    assert nodes["r0"]["value"] == pytest.approx((nodes["r00c"]["value"] + 2 * nodes["r01c"]["value"]) / 3, abs=0.02)


def test_a_walk_enters_what_the_search_preferred() -> None:
    walk = walk_tree(read_tree(search_tree("What is 964 + 494?")), TreeRules(dead_ends=1))
    assert walk.ids(walk.visited) == ["r", "r0", "r00", "r00c", "r01", "r01c", "r01a"] or walk.ids(walk.visited) == [
        "r", "r1", "r11", "r11c", "r0", "r01", "r01c", "r01a",
    ]  # fmt: skip
    assert as_chain(walk, plain_reflections(walk, "")).raw.endswith("\\boxed{1458}")


@pytest.mark.parametrize("question", ["What is 12 + 13?", "What is 100 - 200?", "Why?", "", "x" * 2000])
def test_other_questions_have_no_tree(question: str) -> None:
    assert search_tree(question) is None
