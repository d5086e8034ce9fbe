"""Search trees made here: the solver's own searcher on problems of its family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from o1lab.chains.measures import count_tokens
from o1lab.chains.trees.tree import read_tree
from o1lab.errors import LabError
from o1lab.ingest.trees import tree_record
from o1lab.models import STUDENT, resolve_base, tokenizer_file
from o1lab.serve.records import SOLVER
from o1lab.serve.solver_tree import search_tree
from store import Store, problems, trees
from store.filters import ProblemQuery
from store.trees import NewTree, Tree

SOURCE = "solver search"
_BATCH = 200


def token_counter() -> Callable[[Tree, str], int | None]:
    """Return a function that counts the tokens of a chain made from a tree.

    The tokens of the solver are those of the student, as elsewhere; those of other searchers are not known.
    """
    try:
        tokenizer = tokenizer_file(resolve_base(STUDENT, fetch=False))
    except LabError:
        return lambda tree, raw: None
    return lambda tree, raw: count_tokens(raw, tokenizer) if tree.model == SOLVER else None


@dataclass
class Searched:
    """The result of a search over problems.

    Attributes:
        trees: the ids of the trees of all problems that were searched.
        added: how many of them are new.
        outside: problems that the solver does not know.
    """

    trees: list[str] = field(default_factory=list)
    added: int = 0
    outside: int = 0


def search_problems(store: Store, query: ProblemQuery, *, limit: int | None = None) -> Searched:
    """Search the problems of a filter with the solver, and keep the trees.

    Args:
        store: the lab's database.
        query: the filter.
        limit: maximum number of problems to search; those that the solver does not know do not count.

    Raises:
        StoreError: the database failed.
    """
    found, made = Searched(), list[NewTree]()

    def keep() -> None:
        with store.db.atomic():
            found.added += len(trees.add(store.db, made))
        made.clear()

    for problem in problems.select(store.db, query):
        if limit is not None and len(found.trees) >= limit:
            break
        nodes = search_tree(problem.statement)
        if nodes is None:
            found.outside += 1
            continue
        made.append(
            tree_record(
                read_tree(nodes), problem.id, model=SOLVER, source=SOURCE, key=problem.key, licence=problem.licence
            )
        )
        found.trees.append(made[-1].id)
        if len(made) == _BATCH:
            keep()
    keep()
    return found
