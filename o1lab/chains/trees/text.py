"""A search tree as lines of text: one for each node, below its parent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from rich.cells import cell_len, set_cell_size

from o1lab.chains.trees.tree import SearchTree
from o1lab.chains.trees.walk import Walk
from o1lab.format import number
from o1lab.text import one_line

Place = Literal["path", "dead end", ""]
MARKS: dict[Place, str] = {"path": "▸", "dead end": "↩", "": " "}
"""The mark of a node that the walk visits."""
LEGEND = "▸ on the way to the answer  ↩ dead end  ✓ correct  ✗ wrong"
_INDENTED = 12
"""From this depth on a line shows its depth as a number."""
_SHORTEST = 20


def tree_lines(walk: Walk, width: int) -> Iterator[tuple[Place, str]]:
    """Yield the place in the walk and the line of each node: marks, value, and the beginning of its text.

    Args:
        walk: the walk whose nodes are marked.
        width: the width of a line in cells; deep nodes get lines that are a little longer.
    """
    tree = walk.tree
    places: dict[int, Place] = dict.fromkeys(walk.visited, "dead end")
    places |= dict.fromkeys(walk.path, "path")
    open_nodes = [tree.root]
    while open_nodes:
        index = open_nodes.pop()
        open_nodes += reversed(tree.children[index])
        place = places.get(index, "")
        yield place, _line(tree, index, place, width)


def _line(tree: SearchTree, index: int, place: Place, width: int) -> str:
    node, depth = tree.nodes[index], tree.depth[index]
    sign = " " if node.correct is None else "✓" if node.correct else "✗"
    value = "" if node.value is None else number(node.value)
    indent = "  " * depth if depth <= _INDENTED else "  " * _INDENTED + f"({depth:,}) "
    start = f"{MARKS[place]} {sign} {value:>6} {indent}"
    space = max(width - len(start), _SHORTEST)
    text = one_line(node.text, space)
    return start + (text if cell_len(text) <= space else set_cell_size(text, space - 1).rstrip() + "…")
