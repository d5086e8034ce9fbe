"""Search trees of the lab: the records of trees and walks, and the chains that walks by other rules make."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from o1lab.chains.parse import parse
from o1lab.chains.trees.tree import SearchTree, read_tree
from o1lab.chains.trees.walk import (
    SYNTHESIS,
    TreeChain,
    TreeRules,
    Walk,
    as_chain,
    plain_reflections,
    recorded_walk,
    rules_of,
    walk_tree,
)
from o1lab.errors import LabError, NotFoundError
from store import Store, problems, traces, trees
from store.batches import batched
from store.records import NewTrace
from store.trees import NewTree, NewWalk, Tree

_BATCH = 200


def tree_record(
    tree: SearchTree, problem_id: str, *, model: str, source: str, key: str, licence: str | None
) -> NewTree:
    """Return a tree as the record to store."""
    leaves = list(tree.leaves)
    correct = sum(tree.nodes[leaf].correct is True for leaf in leaves)
    return NewTree(problem_id, tree.as_json(), model, source, key, licence, len(leaves), correct, max(tree.depth))


def walk_record(tree_id: str, walk: Walk, chain: TreeChain, written_by: str | None = None) -> NewWalk:
    """Return a walk as the record to store with its trace.

    Args:
        tree_id: the id of the tree.
        walk: the walk.
        chain: its chain.
        written_by: the model that wrote the reflections; None if they are a plain sentence.
    """
    return NewWalk(tree_id, rules_of(walk.rules), walk.ids(walk.visited), chain.reflections, written_by)


def tree_of(text: str) -> SearchTree:
    """Return the tree whose nodes are stored as this text.

    Raises:
        ValueError: it is not JSON, or not a tree.
    """
    return read_tree(json.loads(text))


def load_tree(store: Store, tree_id: str) -> SearchTree:
    """Return a tree of the lab.

    Raises:
        LabError: it is damaged.
    """
    try:
        return tree_of(trees.text(store.db, tree_id))
    except ValueError as error:
        raise LabError(f"The tree {tree_id} cannot be read: {error}.", "Import it again.") from error


def walk_of_trace(store: Store, trace_id: str) -> tuple[Tree, Walk]:
    """Return the tree and the walk that a trace, or one of its ancestors, was made from.

    Raises:
        NotFoundError: it was not made from a tree.
        LabError: the tree is damaged.
    """
    recorded = trees.walk_of(store.db, trace_id)
    if recorded is None:
        raise NotFoundError(f"The trace {trace_id} was not made from a search tree.", "`o1lab trees ls` lists trees.")
    tree = load_tree(store, recorded.tree_id)
    try:
        walk = recorded_walk(tree, TreeRules.model_validate(recorded.rules), recorded.visited)
    except ValueError as error:
        raise LabError(f"The walk of trace {trace_id} cannot be read: {error}.", "Walk the tree again.") from error
    return trees.get(store.db, recorded.tree_id), walk


@dataclass(frozen=True)
class WalkedTree:
    """A chain made from a tree, and whether it is new."""

    tree: Tree
    trace_id: str
    added: bool


def walk_trees(
    store: Store, chosen: Sequence[Tree], rules: TreeRules, *, count: Callable[[Tree, str], int | None]
) -> list[WalkedTree]:
    """Make the chain of a walk through each tree, with a plain sentence at each turn back; measuring is another pass.

    Args:
        store: the lab's database.
        chosen: the trees.
        rules: the rules of the walks.
        count: returns the tokens of a chain of a tree, None if its tokenizer is not known.

    Raises:
        LabError: a tree is damaged.
        StoreError: the database failed.
    """
    found = []
    for some in batched(chosen, _BATCH):
        made = [(one, *_walked(store, one, rules, count)) for one in some]
        with store.db.atomic():
            new = set(traces.add(store.db, ((trace, statement) for _, trace, statement, _ in made)))
            trees.add_walks(store.db, ((trace.id, walk) for _, trace, _, walk in made))
        for one, trace, *_ in made:
            found.append(WalkedTree(one, trace.id, trace.id in new))
            new.discard(trace.id)
    return found


def _walked(
    store: Store, one: Tree, rules: TreeRules, count: Callable[[Tree, str], int | None]
) -> tuple[NewTrace, str, NewWalk]:
    """Return the trace of a walk through a tree, the statement of its problem, and the record of the walk."""
    problem = problems.resolve(store.db, one.problem_id)
    walk = walk_tree(load_tree(store, one.id), rules)
    chain = as_chain(walk, plain_reflections(walk, problem.statement))
    trace = NewTrace(
        problem.id, one.model, source=one.source, key=one.key, licence=one.licence, synthesis=SYNTHESIS,
        tokens=count(one, chain.raw), **parse(chain.raw).fields(chain.raw),
    )  # fmt: skip
    return trace, problem.statement, walk_record(one.id, walk, chain)
