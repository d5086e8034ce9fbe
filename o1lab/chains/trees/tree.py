"""Search trees: nodes with a parent, a value, a text, and whether they are correct. Reading one checks all of it.

Nothing here is recursive: a tree may be as deep as its file is long.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from o1lab.chains.marks import pattern
from o1lab.format import first_of
from o1lab.text import one_line

FIELDS = ("id", "parent", "value", "text", "correct")
_SHOWN = 5


class TreeFault(NamedTuple):
    """What is wrong with a tree: where, such as ``nodes[3].parent``, and what."""

    where: str
    what: str


class TreeError(ValueError):
    """A tree cannot be used; ``faults`` are all reasons that were found."""

    def __init__(self, faults: Sequence[TreeFault]) -> None:
        self.faults = tuple(faults)
        super().__init__(first_of([f"{one.where}: {one.what}" for one in faults], _SHOWN, "; "))


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a search tree.

    Attributes:
        id: its id in the file.
        parent: the index of its parent; -1 for the root.
        text: what was written at this step.
        value: how promising the search found it; None if that is not known.
        correct: whether the step is right, or for a leaf the answer; None if that is not known.
    """

    id: str
    parent: int
    text: str
    value: float | None = None
    correct: bool | None = None


@dataclass(frozen=True)
class SearchTree:
    """A search tree with one root and at least one correct leaf. Nodes are named by their index in ``nodes``.

    Attributes:
        nodes: the nodes in the order of the file.
        order: all nodes, parents before their children.
        unknown: how many nodes have each field that is not one of ``FIELDS``; these fields are not kept.
    """

    nodes: tuple[Node, ...]
    order: tuple[int, ...]
    unknown: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def root(self) -> int:
        return self.order[0]

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The children of each node, in the order of the file."""
        return tuple(map(tuple, _children(self.nodes)))

    @cached_property
    def depth(self) -> tuple[int, ...]:
        """The distance of each node from the root."""
        found = [0] * len(self.nodes)
        for index in self.order[1:]:
            found[index] = found[self.nodes[index].parent] + 1
        return tuple(found)

    @cached_property
    def right(self) -> tuple[bool, ...]:
        """Whether each node leads to a correct leaf without a node that is marked wrong; a correct leaf does itself."""
        return tuple(_right(self.nodes, self.order))

    @property
    def leaves(self) -> Iterator[int]:
        """The nodes without children, in the order of the file."""
        return (index for index, below in enumerate(self.children) if not below)

    def text_of(self, index: int) -> str:
        """Return the text of a node without think marks, which would end the thought that it becomes a part of."""
        return pattern().sub("", self.nodes[index].text).strip()

    def notes(self) -> list[str]:
        """Return what of the tree is not kept or not used, one sentence each."""
        found = [
            f"nodes of a tree have a field {one_line(name, 40)} ({number:,} times), which was not kept"
            for name, number in self.unknown.items()
        ]
        if marked := sum(pattern().search(node.text) is not None for node in self.nodes):
            found.append(f"nodes of a tree have think marks ({marked:,} times), which its chains leave out")
        return found

    def as_json(self) -> list[dict[str, Any]]:
        """Return the nodes in the format that :func:`read_tree` reads."""
        return [
            {
                "id": node.id,
                "parent": None if node.parent < 0 else self.nodes[node.parent].id,
                "value": node.value,
                "text": node.text,
                "correct": node.correct,
            }
            for node in self.nodes
        ]


def read_tree(nodes: object) -> SearchTree:
    """Check the nodes of a tree and return it.

    Args:
        nodes: the JSON list of nodes: objects with ``id`` (a text or an integer), ``parent`` (the id of another node;
            null or absent for the root), ``text``, and, where they are known, ``value`` (a number) and ``correct``
            (true or false).

    Raises:
        TreeError: a node is not valid, or the nodes are not one tree with a correct leaf.
    """
    if not isinstance(nodes, list) or not nodes:
        raise TreeError([TreeFault("nodes", "a tree is a list of at least one node")])
    faults: list[TreeFault] = []
    known: dict[str, int] = {}
    for index, one in enumerate(nodes):
        faults += _faults_of_node(one, f"nodes[{index}]")
        if isinstance(one, dict) and (identity := _id(one.get("id"))) is not None:
            if identity in known:
                faults.append(TreeFault(f"nodes[{index}].id", f"nodes[{known[identity]}] has the same id"))
            known.setdefault(identity, index)
    if faults:
        raise TreeError(faults)
    made, faults = _linked(nodes, known)
    if faults:
        raise TreeError(faults)
    order = _order(made)
    unknown = Counter(str(name) for one in nodes for name in one if name not in FIELDS)
    tree = SearchTree(tuple(made), tuple(order), dict(unknown))
    if not tree.right[tree.root]:
        marked = any(made[leaf].correct for leaf in tree.leaves)
        what = "each correct leaf is below a node that is marked wrong" if marked else "no leaf is marked correct"
        raise TreeError([TreeFault("nodes", what)])
    empty = [leaf for leaf in tree.leaves if made[leaf].correct and not tree.text_of(leaf)]
    if empty:
        raise TreeError(
            [TreeFault(f"nodes[{leaf}].text", "a correct leaf is the solution and needs a text") for leaf in empty]
        )
    return tree


def _faults_of_node(one: Any, where: str) -> Iterator[TreeFault]:
    if not isinstance(one, dict):
        yield TreeFault(where, "it is not an object")
        return
    if _id(one.get("id")) is None:
        yield TreeFault(f"{where}.id", "it is not a text or an integer" if "id" in one else "it is missing")
    if one.get("parent") is not None and _id(one["parent"]) is None:
        yield TreeFault(f"{where}.parent", "it is not the id of a node")
    if not isinstance(one.get("text"), str):
        yield TreeFault(f"{where}.text", "it is not a text" if "text" in one else "it is missing")
    if one.get("value") is not None and _number(one["value"]) is None:
        yield TreeFault(f"{where}.value", "it is not a number")
    if not isinstance(one.get("correct"), bool | None):
        yield TreeFault(f"{where}.correct", "it is not true or false")


def _id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
        return str(value)
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    """Return a number that a float can hold; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _linked(nodes: Sequence[Mapping[str, Any]], known: Mapping[str, int]) -> tuple[list[Node], list[TreeFault]]:
    """Return the nodes with the indices of their parents, and what is wrong with these."""
    made, faults, roots = list[Node](), list[TreeFault](), list[int]()
    for index, one in enumerate(nodes):
        parent = -1
        if (named := _id(one.get("parent"))) is None:
            roots.append(index)
        elif named in known:
            parent = known[named]
        else:
            faults.append(TreeFault(f"nodes[{index}].parent", f"there is no node '{one_line(named, 40)}'"))
        made.append(Node(str(one["id"]), parent, one["text"], _number(one.get("value")), one.get("correct")))
    if len(roots) > 1:
        faults.append(TreeFault(f"nodes[{roots[1]}]", f"it is a second root; nodes[{roots[0]}] has no parent either"))
    if not faults:
        inside = set(_order(made)) if roots else set()
        if len(inside) < len(made):
            faults.append(_cycle(made, inside))
    return made, faults


def _order(nodes: Sequence[Node]) -> list[int]:
    """Return the root and all nodes below it, parents before their children."""
    children = _children(nodes)
    found = [index for index, node in enumerate(nodes) if node.parent < 0]
    for index in found:  # grows while it is read
        found += children[index]
    return found


def _children(nodes: Sequence[Node]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        if node.parent >= 0:
            found[node.parent].append(index)
    return found


def _cycle(nodes: Sequence[Node], inside: set[int]) -> TreeFault:
    """Return the cycle that keeps nodes outside the tree."""
    at = next(index for index in range(len(nodes)) if index not in inside)
    seen: dict[int, int] = {}
    while at not in seen:
        seen[at] = len(seen)
        at = nodes[at].parent
    cycle = [index for index, place in seen.items() if place >= seen[at]]
    names = " → ".join(one_line(nodes[index].id, 20) for index in [*cycle[:_SHOWN], cycle[0]])
    return TreeFault(f"nodes[{cycle[0]}].parent", f"its parents are a cycle ({len(cycle):,} long): {names}")


def _right(nodes: Sequence[Node], order: Sequence[int]) -> list[bool]:
    """Return which nodes lead to a correct leaf without a node that is marked wrong."""
    inner, found = [False] * len(nodes), [False] * len(nodes)
    for index in reversed(order):
        node = nodes[index]
        found[index] = node.correct is not False and (found[index] if inner[index] else node.correct is True)
        if node.parent >= 0:
            inner[node.parent] = True
            found[node.parent] = found[node.parent] or found[index]
    return found
