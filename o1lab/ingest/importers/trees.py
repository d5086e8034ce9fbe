"""The importer of search trees: a problem and the ``nodes`` of the search (:func:`~o1lab.chains.trees.tree.read_tree`).

The tree is kept whole, and the chain of a walk by the default rules is the response of the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from o1lab.chains.trees.tree import TreeError, read_tree
from o1lab.chains.trees.walk import SYNTHESIS, TreeRules, as_chain, plain_reflections, walk_tree
from o1lab.ingest.importers.base import Found, FoundTree, RowError, TraceText, importer
from o1lab.ingest.importers.roles import layout
from o1lab.ingest.importers.texts import string

NODES = "nodes"


@importer("tree", order=5)
def tree(row: Mapping[str, Any]) -> Found | None:
    """Recognise a row with the nodes of a search tree."""
    nodes = row.get(NODES)
    if not isinstance(nodes, list) or (nodes and not any(map(_is_node, nodes))):
        return None
    column = next((one for one in layout(tuple(row)).of("problem") if string(row[one])), None)
    if column is None:
        raise RowError("the tree has no problem: give it a column `problem`")
    try:
        found = read_tree(nodes)
    except TreeError as error:
        raise RowError(f"not a search tree: {error}") from error
    statement = string(row[column]) or ""
    walk = walk_tree(found, TreeRules())
    chain = as_chain(walk, plain_reflections(walk, statement))
    return Found(
        statement,
        [TraceText(chain.raw, synthesis=SYNTHESIS)],
        {column: "problem", NODES: "tree"},
        tree=FoundTree(walk, chain),
        notes=found.notes(),
    )


def _is_node(one: Any) -> bool:
    return isinstance(one, dict) and ("parent" in one or {"id", "text"} <= one.keys())
