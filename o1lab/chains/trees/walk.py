"""Journey learning: a walk through a search tree, with dead ends and the way back, as one long thought.

The walk is depth first. It goes from the root to the correct leaf of the highest value. At a node of this path it first
enters wrong branches, up to the number that the rules allow, follows each down to the depth of the rules, turns back to
the node where it branched off, and goes on. The thought is the texts of the nodes in the order of the walk, with a
reflection at each turn back; the text of the leaf is the solution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from o1lab.chains.language import language_of
from o1lab.chains.parse import join
from o1lab.chains.trees.tree import SearchTree
from o1lab.settings import Display

METHOD = "tree_search"
"""The distillation method that walks trees."""
SYNTHESIS = "tree search"
PLAIN_DOUBT: Mapping[str, str] = {
    "en": "Wait, something about that last step is not right. Let me go back and try another way.",
    "zh": "等等，刚才这一步好像不对。让我回到前面，换一种思路试试。",
}
"""The reflection at a point where the walk turns back, if no model wrote one; by language."""

_GAP = "\n\n"


def _walks(values: Mapping[str, object]) -> bool:
    """Return whether trees are walked: of the settings of a teacher run, one method does so."""
    return values.get("method", METHOD) == METHOD


class TreeRules(BaseModel):
    """The rules of a walk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dead_ends: Annotated[int, Display("Search trees", when=_walks)] = Field(
        default=2, ge=0, description="Maximum number of wrong branches of a search tree that a chain enters."
    )
    dead_end_depth: Annotated[int | None, Display(empty="to the end of the branch", when=_walks)] = Field(
        default=None, ge=1, description="Maximum number of steps in a wrong branch before the chain turns back."
    )
    dead_end_order: Annotated[Literal["highest", "lowest", "file"], Display(when=_walks)] = Field(
        default="highest",
        description="Which wrong branches come first: those of the highest value (the most tempting), those of the "
        "lowest, or those that are first in the file.",
    )


def rules_of(settings: TreeRules) -> dict[str, Any]:
    """Return the rules among settings by name, to record them."""
    return {name: getattr(settings, name) for name in TreeRules.model_fields}


def rules_text(rules: Mapping[str, Any]) -> str:
    """Return recorded rules in words."""
    return ", ".join(f"{name.replace('_', ' ')} {'any' if value is None else value}" for name, value in rules.items())


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """A wrong branch that a walk enters: the node where it branches off, and the nodes that it visits there."""

    branch: int
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Walk:
    """A walk through a tree.

    Attributes:
        tree: the tree.
        rules: the rules.
        path: the nodes from the root to the correct leaf.
        dead_ends: the wrong branches in the order of the walk.
    """

    tree: SearchTree
    rules: TreeRules
    path: tuple[int, ...]
    dead_ends: tuple[DeadEnd, ...]

    @property
    def leaf(self) -> int:
        """The correct leaf, whose text is the solution."""
        return self.path[-1]

    @cached_property
    def ends_at(self) -> Mapping[int, Sequence[int]]:
        """The indices of the dead ends at each node of the path that has any."""
        found: dict[int, list[int]] = defaultdict(list)
        for number, end in enumerate(self.dead_ends):
            found[end.branch].append(number)
        return found

    @property
    def visited(self) -> list[int]:
        """All nodes in the order of the walk, each once."""
        found: list[int] = []
        for index in self.path:
            found.append(index)
            for number in self.ends_at.get(index, ()):
                found += self.dead_ends[number].nodes
        return found

    def ids(self, indices: Iterable[int]) -> list[str]:
        """Return the ids of nodes in the file of the tree."""
        return [self.tree.nodes[index].id for index in indices]

    def next_step(self, number: int) -> int:
        """Return the node at which the walk goes on after a dead end: that of another wrong branch, or of the path."""
        end = self.dead_ends[number]
        if number + 1 < len(self.dead_ends) and self.dead_ends[number + 1].branch == end.branch:
            return self.dead_ends[number + 1].nodes[0]
        return self.path[self.tree.depth[end.branch] + 1]


def walk_tree(tree: SearchTree, rules: TreeRules) -> Walk:
    """Walk through a tree by rules; the same tree and rules give the same walk."""

    def place(index: int) -> tuple[bool, float, int]:
        """Return the place of a node among others by the rules; those without a value come last."""
        value = tree.nodes[index].value
        if rules.dead_end_order == "file" or value is None:
            return value is None and rules.dead_end_order != "file", 0.0, index
        return False, -value if rules.dead_end_order == "highest" else value, index

    path = _path(tree)
    wrong = [(index, one) for index in path for one in tree.children[index] if not tree.right[one]]
    chosen = sorted(wrong, key=lambda pair: place(pair[1]))[: rules.dead_ends]
    ends = []
    for branch, first in sorted(chosen, key=lambda pair: (tree.depth[pair[0]], place(pair[1]))):
        down = [first]
        while rules.dead_end_depth is None or len(down) < rules.dead_end_depth:
            # A branch that is marked wrong may still come to the answer, which would not be a dead end.
            below = [
                one for one in tree.children[down[-1]] if tree.nodes[one].correct is not True or tree.children[one]
            ]
            if not below:
                break
            down.append(min(below, key=place))
        ends.append(DeadEnd(branch, tuple(down)))
    return Walk(tree, rules, path, tuple(ends))


def recorded_walk(tree: SearchTree, rules: TreeRules, visited: Sequence[str]) -> Walk:
    """Return the walk that visited nodes in this order, however the rules are applied today.

    Raises:
        ValueError: the nodes are not those of a walk through the tree.
    """
    index_of = {node.id: index for index, node in enumerate(tree.nodes)}
    try:
        order = [index_of[one] for one in visited]
        path = _up(tree, order[-1])
    except (KeyError, IndexError) as error:
        raise ValueError(f"no walk through this tree: {error}") from error
    on_path, ends = set(path), list[DeadEnd]()
    before = -1
    for index in order:
        if index not in on_path:
            parent = tree.nodes[index].parent
            if before == parent and before not in on_path:
                ends[-1] = DeadEnd(ends[-1].branch, (*ends[-1].nodes, index))
            else:
                ends.append(DeadEnd(parent, (index,)))
        before = index
    if any(end.branch not in on_path for end in ends):
        raise ValueError("no walk through this tree: a dead end does not begin on the way to the answer")
    return Walk(tree, rules, path, tuple(ends))


def _path(tree: SearchTree) -> tuple[int, ...]:
    """Return the way to the correct leaf of the highest value, the first in the file among equals."""
    clear = [False] * len(tree.nodes)
    for index in tree.order:
        node = tree.nodes[index]
        clear[index] = node.correct is not False and (node.parent < 0 or clear[node.parent])

    def place(leaf: int) -> tuple[bool, float]:
        value = tree.nodes[leaf].value
        return value is None, -(value or 0.0)

    return _up(tree, min((leaf for leaf in tree.leaves if clear[leaf] and tree.nodes[leaf].correct), key=place))


def _up(tree: SearchTree, leaf: int) -> tuple[int, ...]:
    """Return the way from the root to a node."""
    found = [leaf]
    while (parent := tree.nodes[found[-1]].parent) >= 0:
        found.append(parent)
    return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class TreeChain:
    """The chain that a walk makes.

    Attributes:
        raw: its text, with think marks.
        reflections: (start, end) in ``raw`` of the reflection at each dead end.
    """

    raw: str
    reflections: tuple[tuple[int, int], ...]


def thought_before(walk: Walk, number: int, reflections: Sequence[str]) -> str:
    """Return the thought up to the end of a dead end, with the reflections at the earlier ones."""
    return _GAP.join(text for text, _ in _parts(walk, reflections, number) if text)


def as_chain(walk: Walk, reflections: Sequence[str]) -> TreeChain:
    """Return the chain of a walk with a reflection at each of its dead ends."""
    parts = _parts(walk, reflections, None)
    thought, spans = "", list[tuple[int, int]]()
    pieces: list[str] = []
    at = 0
    for text, is_reflection in parts:
        if not text:
            continue
        at += len(_GAP) if pieces else 0
        if is_reflection:
            spans.append((at, at + len(text)))
        pieces.append(text)
        at += len(text)
    thought = _GAP.join(pieces)
    raw = join(thought, walk.tree.text_of(walk.leaf))
    start = raw.index(thought) if thought else 0
    return TreeChain(raw, tuple((start + a, start + b) for a, b in spans))


def _parts(walk: Walk, reflections: Sequence[str], until: int | None) -> list[tuple[str, bool]]:
    """Return the texts of the thought in order, and whether each is a reflection; ``until`` is the last dead end."""
    tree, found = walk.tree, list[tuple[str, bool]]()
    for index in walk.path[:-1]:
        found.append((tree.text_of(index), False))
        for number in walk.ends_at.get(index, ()):
            found += ((tree.text_of(one), False) for one in walk.dead_ends[number].nodes)
            if number == until:
                return found
            found.append((reflections[number], True))
    return found


def plain_reflections(walk: Walk, statement: str) -> list[str]:
    """Return a plain sentence for each dead end, in the language of the problem."""
    language = "zh" if language_of(statement) == "zh" else "en"
    return [PLAIN_DOUBT[language]] * len(walk.dead_ends)
