"""Search trees, and the walks through them that traces were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from store.filters import ProblemQuery
from store.naming import called
from store.records import now
from store.rows import insert, read, values
from store.selecting import ORIGINS
from store.sqlite import Database

_COLUMNS = """k.id, k.problem_id, k.model, k.source, k.key, k.licence, k.nodes, k.leaves, k.correct_leaves, k.depth,
    k.created_at, (SELECT count(*) FROM tree_walks w WHERE w.tree_id = k.id)"""


@dataclass(frozen=True)
class NewTree:
    """A search tree to add.

    Attributes:
        problem_id: The problem that was searched.
        nodes: The nodes as JSON values, see ``o1lab.chains.trees.tree``.
        model: The model or program that made the search.
        source: Name of the source.
        key: Its id in the source.
        leaves: Number of leaves.
        correct_leaves: Number of leaves that are correct.
        depth: Depth of the deepest leaf.
    """

    problem_id: str
    nodes: Sequence[Mapping[str, Any]]
    model: str
    source: str
    key: str = ""
    licence: str | None = None
    leaves: int = 0
    correct_leaves: int = 0
    depth: int = 0

    @cached_property
    def packed(self) -> str:
        """The nodes as JSON text, in ASCII: lone surrogates are kept as escapes."""
        return json.dumps(self.nodes, separators=(",", ":"))

    @cached_property
    def id(self) -> str:
        return hashlib.sha256(f"tree\0{self.problem_id}\0{self.packed}".encode()).hexdigest()[:16]


class Tree(NamedTuple):
    """A kept tree without its nodes; ``size`` is their number, ``chains`` that of the traces made from the tree."""

    id: str
    problem_id: str
    model: str
    source: str
    key: str
    licence: str | None
    size: int
    leaves: int
    correct_leaves: int
    depth: int
    created_at: str
    chains: int


class NewWalk(NamedTuple):
    """The walk through a tree that a trace is made from.

    Attributes:
        tree_id: The tree.
        rules: The rules of the walk, by name.
        visited: The ids of the nodes, in the order of the walk.
        reflections: (start, end) of each reflection in the raw text, in code points.
        written_by: The model that wrote the reflections; None if they are a plain sentence.
    """

    tree_id: str
    rules: Mapping[str, Any]
    visited: Sequence[str]
    reflections: Sequence[tuple[int, int]]
    written_by: str | None = None


def add(db: Database, trees: Iterable[NewTree]) -> list[str]:
    """Add trees inside the caller's transaction and return the ids of the new ones. Their problems must exist."""
    created_at = now()
    added = []
    for tree in trees:
        row = values(tree) | {"id": tree.id, "nodes": len(tree.nodes), "tree": tree.packed, "created_at": created_at}
        if insert(db, "trees", [row], on_conflict="IGNORE"):
            added.append(tree.id)
    return added


def add_walks(db: Database, walks: Iterable[tuple[str, NewWalk]]) -> None:
    """Record the walks of traces by their ids, inside the caller's transaction; the first walk of a trace is kept."""
    insert(db, "tree_walks", ({"trace_id": one, **values(walk)} for one, walk in walks), on_conflict="IGNORE")


def get(db: Database, identity: str) -> Tree:
    """Return the tree with this id, or the only one whose id begins with it, or the only one of a problem.

    Raises:
        NotFoundError: No tree, or several trees, have such a name; those are named.
    """
    hint = "`o1lab trees ls` lists them."
    return called(db, "trees k", _COLUMNS, lambda row: Tree(*row), name=identity, noun="tree", hint=hint)


def text(db: Database, tree_id: str) -> str:
    """Return the nodes of a tree as JSON text; an empty list if there is no such tree."""
    return db.value("SELECT tree FROM trees WHERE id = ?", [tree_id]) or "[]"


def page(db: Database, query: ProblemQuery, *, limit: int = -1, offset: int = 0) -> list[Tree]:
    """Return the trees of the problems of a filter, in the order in which they were added."""
    condition, parameters = query.where()
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM trees k JOIN problems p ON p.id = k.problem_id WHERE {condition} "
        "ORDER BY k.rowid LIMIT ? OFFSET ?",
        [*parameters, limit, offset],
    )
    return [Tree(*row) for row in rows]


def count(db: Database, query: ProblemQuery) -> int:
    """Count the trees of the problems of a filter."""
    condition, parameters = query.where()
    sql = f"SELECT count(*) FROM trees k JOIN problems p ON p.id = k.problem_id WHERE {condition}"
    return int(db.value(sql, parameters))


class DatasetWalks(NamedTuple):
    """Rows of a dataset that were made from search trees in the same way.

    Attributes:
        searcher: The model or program that made the searches.
        rules: The rules of the walks, by name.
        written_by: The model that wrote the reflections; None if they are a plain sentence.
        trees: Number of trees.
        rows: Number of rows.
        example: The id of one of the trees.
    """

    searcher: str
    rules: Mapping[str, Any]
    written_by: str | None
    trees: int
    rows: int
    example: str


def of_dataset(db: Database, name: str) -> list[DatasetWalks]:
    """Return how the rows of a dataset were made from search trees, the most frequent way first."""
    rows = db.execute(
        """SELECT k.model, w.rules, w.written_by, count(DISTINCT w.tree_id), count(*), min(w.tree_id)
           FROM dataset_traces d JOIN tree_walks w ON w.trace_id = d.trace_id JOIN trees k ON k.id = w.tree_id
           WHERE d.name = ? GROUP BY 1, 2, 3 ORDER BY 5 DESC, 1, 2, 3""",
        [name],
    )
    return [read(DatasetWalks, row) for row in rows]


def without_tree(db: Database, name: str, synthesis: str) -> int:
    """Count the rows of a dataset with this synthesis for which no tree is recorded."""
    sql = """SELECT count(*) FROM dataset_traces d JOIN traces t ON t.id = d.trace_id
             WHERE d.name = ? AND t.synthesis = ? AND NOT EXISTS (SELECT 1 FROM tree_walks w WHERE w.trace_id = t.id)"""
    return int(db.value(sql, [name, synthesis]))


def written_shares(db: Database, name: str) -> dict[str, float]:
    """Return the share of the characters that a model wrote, as reflections, in rows of a dataset, by trace."""
    rows = db.execute(
        "SELECT w.trace_id, w.reflections, t.chars FROM dataset_traces d JOIN tree_walks w ON w.trace_id = d.trace_id "
        "JOIN traces t ON t.id = d.trace_id WHERE d.name = ? AND w.written_by IS NOT NULL",
        [name],
    )
    return {trace: sum(end - start for start, end in json.loads(spans)) / max(chars, 1) for trace, spans, chars in rows}


def walk_of(db: Database, trace_id: str) -> NewWalk | None:
    """Return the walk that a trace, or one of its ancestors, was made from; None if there is none."""
    row = db.execute(
        f"""SELECT w.tree_id, w.rules, w.visited, w.reflections, w.written_by FROM traces t JOIN tree_walks w
            ON w.trace_id IN ({ORIGINS} SELECT id FROM origins) WHERE t.id = ? ORDER BY w.trace_id = t.id DESC""",
        [trace_id],
    ).fetchone()
    if row is None:
        return None
    walk = read(NewWalk, row)
    return walk._replace(reflections=[(start, end) for start, end in walk.reflections])
