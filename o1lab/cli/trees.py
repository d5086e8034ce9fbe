"""The commands ``trees``: search trees of the lab, and the chains of walks through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1lab.cli.base import options
from o1lab.cli.base.command import Verbs
from o1lab.cli.base.listing import Column, emit_list
from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import emit, opened, say
from o1lab.cli.filters import read_filter
from o1lab.errors import LabError, UsageError
from o1lab.text import one_line

if TYPE_CHECKING:
    from o1lab.chains.trees.walk import TreeRules, Walk
    from o1lab.ingest.trees import WalkedTree
    from store import Store
    from store.trees import Tree

verbs = Verbs("trees", help="List search trees, and make long thoughts by walking through them.")
ProblemsOption = Annotated[
    str, typer.Option("--problems", help="Only trees of these problems, in the filter language of the problem pool.")
]


_RULES = "o1lab.chains.trees.walk:TreeRules"


def _given_rules() -> TreeRules:
    from o1lab.chains.trees.walk import TreeRules
    from o1lab.settings import validate

    return validate(TreeRules, options.given(), verb="trees walk")


@verbs.command("ls", lists=True)
def trees_ls(
    where: ProblemsOption = "",
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of trees to list.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Number of trees to skip.")] = 0,
) -> None:
    """List the search trees of the lab: what searched, their size, and how many chains were made from each.

    Import a file with trees like any other: each row has a problem and a list of nodes with id, parent, text and,
    where they are known, value and correct.

    Example: o1lab trees ls --problems "source:demo" --limit 20
    """
    from store import trees
    from store.filters import ProblemQuery

    query = read_filter(ProblemQuery, where)
    with opened() as store:
        found = trees.page(store.db, query, limit=limit, offset=offset)
        total = trees.count(store.db, query)
    columns = (
        Column("id", "id"), Column("problem", "problem_id"), Column("source", lambda one: one_line(one["source"], 16)),
        Column("key", lambda one: one_line(one["key"], 16)), Column("model", lambda one: one_line(one["model"], 20)),
        Column("nodes", "size", right=True), Column("depth", "depth", right=True),
        Column("leaves", lambda one: f"{one['correct_leaves']:,}/{one['leaves']:,}", right=True),
        Column("chains", "chains", right=True),
    )  # fmt: skip
    empty = "No search tree yet. Import some: o1lab import FILE; or let the solver search: o1lab trees make"
    items = [one._asdict() for one in found]
    emit_list(items, columns, total=total, empty=empty)


@verbs.command("show", settings=_RULES)
def trees_show(
    identity: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of a tree or of a trace made from one.", autocompletion=completing("tree", "trace")
        ),
    ],
) -> None:
    """Print a tree with values and marks: the way to the answer, the dead ends, correct and wrong nodes.

    For a tree, the walk by the given rules is marked; for a trace, the walk that it was made from.

    Example: o1lab trees show 3f9c --dead-ends 3 --dead-end-depth 2
    """
    from o1lab.chains.trees.text import LEGEND, tree_lines
    from o1lab.chains.trees.walk import rules_of, rules_text
    from o1lab.cli.base.sheets import terminal_width
    from store import problems

    with opened() as store:
        tree, walk = _find(store, identity)
        problem = problems.resolve(store.db, tree.problem_id)
    data = tree._asdict() | {
        "statement": problem.statement,
        "gold": problem.answer,
        "rules": rules_of(walk.rules),
        "nodes": walk.tree.as_json(),
        "path": walk.ids(walk.path),
        "visited": walk.ids(walk.visited),
        "dead_ends": [{"branch": walk.ids([one.branch])[0], "nodes": walk.ids(one.nodes)} for one in walk.dead_ends],
    }
    rules = rules_text(data["rules"])
    head = [
        f"{tree.id}  {tree.model}  {tree.source}  {tree.size:,} nodes, depth {tree.depth:,}, "
        f"{tree.correct_leaves:,} of {tree.leaves:,} leaves correct, {tree.chains:,} chains",
        f"walk  {rules}", f"\n{problem.statement}\n",
    ]  # fmt: skip
    emit(data, lambda: "\n".join([*head, *(line for _, line in tree_lines(walk, terminal_width())), "", LEGEND]))


def _find(store: Store, identity: str) -> tuple[Tree, Walk]:
    """Return the tree of an id and the walk to mark: that of the trace, or the one by the given rules."""
    from o1lab.chains.trees.walk import walk_tree
    from o1lab.ingest.trees import load_tree, walk_of_trace
    from store import traces, trees
    from store.errors import NotFoundError

    try:
        tree = trees.get(store.db, identity)
    except NotFoundError as missing:
        try:
            trace = traces.get(store.db, identity)
        except NotFoundError:
            raise missing from None
        if options.given():
            raise UsageError("A trace keeps the rules of its walk.", "Omit the options, or name the tree.") from None
        return walk_of_trace(store, trace.id)
    return tree, walk_tree(load_tree(store, tree.id), _given_rules())


@verbs.command("walk", settings=_RULES)
def trees_walk(
    identities: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Trees [default: all].", autocompletion=completing("tree")),
    ] = None,
    where: ProblemsOption = "",
) -> None:
    """Make chains from search trees: walk depth first, enter wrong branches, turn back, finish on a correct leaf.

    A plain sentence marks each turn back. `o1lab distill --method tree_search` lets a model write it instead.

    Example: o1lab trees walk --dead-ends 3 --dead-end-order lowest
    """
    from o1lab.distill.search import token_counter
    from o1lab.ingest.trees import walk_trees
    from store import trees
    from store.filters import ProblemQuery

    if identities and where:
        raise UsageError("Trees are named by their ids or by --problems, not by both.", "Leave one out.")
    rules, query = _given_rules(), read_filter(ProblemQuery, where)
    with opened() as store:
        chosen = [trees.get(store.db, one) for one in identities or ()] or trees.page(store.db, query)
        if not chosen:
            raise LabError(
                "The lab has no such search tree.", "`o1lab trees make` or an import adds some.", code="no_items"
            )
        made = walk_trees(store, chosen, rules, count=token_counter())
        _emit_walked(store, made, {}, "")


@verbs.command("make", settings=_RULES)
def trees_make(
    where: ProblemsOption = "excluded:no",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of problems to search.")] = None,
) -> None:
    """Let the solver search trees for sums of two 3-digit numbers, keep them, and make a chain from each.

    The solver guesses the carries and checks each sum by subtraction. It is a program, not a language model. Other
    problems are counted and left out.

    Example: o1lab trees make --problems "source:demo" --limit 20
    """
    from o1lab.distill.search import search_problems, token_counter
    from o1lab.ingest.trees import walk_trees
    from store import trees
    from store.filters import ProblemQuery

    rules, query = _given_rules(), read_filter(ProblemQuery, where)
    with opened() as store:
        found = search_problems(store, query, limit=limit)
        made = walk_trees(store, [trees.get(store.db, one) for one in found.trees], rules, count=token_counter())
        data = {"searched": len(found.trees), "new_trees": found.added, "outside": found.outside}
        text = f"Searched {len(found.trees):,} problems: {found.added:,} new trees."
        if found.outside:
            text += f" {found.outside:,} problems are not sums of two 3-digit numbers, which is all the solver knows."
        _emit_walked(store, made, data, text)


def _emit_walked(store: Store, made: list[WalkedTree], more: dict[str, Any], text: str) -> None:
    """Measure the chains that were made, and print them."""
    from o1lab.ingest.measuring import measure_pending
    from store import traces

    if any(one.added for one in made):
        say("Measuring and verifying the chains.")
        measure_pending(store)
    rows = {one.trace_id: traces.get(store.db, one.trace_id) for one in made}
    items = [
        {
            "tree_id": one.tree.id, "trace_id": one.trace_id, "added": one.added,
            "verdict": rows[one.trace_id].verdict, "tokens": rows[one.trace_id].tokens,
        }
        for one in made
    ]  # fmt: skip
    added = sum(one.added for one in made)
    lines = [text] if text else []
    lines.append(f"{len(made):,} trees walked: {added:,} new chains, {len(made) - added:,} known ones.")
    emit({"items": items, "total": len(items), "added": added} | more, lines)
