r"""A search tree drawn by hand, for tests of walks.

                 a
        /        |        \
     b .9      c .5       d .3 (wrong)
       |       /    \         |
     e .2   f .8    g .4     i .6
    wrong   wrong   right    (leaf, not judged)

The searcher liked `b` most, and the answer is at `g`.
"""

from __future__ import annotations

from typing import Any

STATEMENT = "What is 40 + 2?"


def node(
    name: str, parent: str | None, value: float | None = None, correct: bool | None = None, text: str = ""
) -> dict[str, Any]:
    return {"id": name, "parent": parent, "value": value, "text": text or f"step {name}.", "correct": correct}


def nodes() -> list[dict[str, Any]]:
    return [
        node("a", None),
        node("b", "a", 0.9),
        node("e", "b", 0.2, False),
        node("c", "a", 0.5),
        node("f", "c", 0.8, False),
        node("g", "c", 0.4, True, r"\boxed{42}"),
        node("d", "a", 0.3, False),
        node("i", "d", 0.6),
    ]


def row(**more: Any) -> dict[str, Any]:
    """A row of a file of trees."""
    return {"problem": STATEMENT, "answer": "42", "nodes": nodes(), "model": "mcts", "licence": "MIT", **more}
