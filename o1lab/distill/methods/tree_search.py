"""Journey learning: a walk through a search tree, with a reflection that the teacher writes at each turn back.

Everything else of the chain is the text of the tree, so the dead ends are ones that a search really entered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from o1lab.chains.trees.walk import METHOD, SYNTHESIS, TreeRules, Walk, as_chain, thought_before, walk_tree
from o1lab.distill.method import Draft, Need, Plan, Planned, SourceItem, method
from o1lab.distill.methods.conversation import Conversation, ConversationMethod, GivenUp, without_marks
from o1lab.errors import LabError
from o1lab.inference.calls import Message
from o1lab.ingest.trees import tree_of, walk_record


@method(METHOD, order=45)
class TreeSearch(ConversationMethod):
    """One call at each dead end of the walk; the answer of the tree's leaf must match the gold answer."""

    synthesis = SYNTHESIS
    source = "trees"
    verified = True
    language_model = True
    counted = False
    uses = tuple(TreeRules.model_fields)
    needs: ClassVar[Mapping[str, Need]] = {
        "reflection": Need("tree-reflection", frozenset({"statement", "thought", "dead_end", "branch", "next"}))
    }

    def plan(self, item: SourceItem) -> Plan:
        walk = self._walk(item)
        ends = range(len(walk.dead_ends))
        # Earlier reflections are part of the thought in later calls.
        blank = [""] * len(walk.dead_ends)
        calls = [Planned(self._messages(item, walk, number, blank)) for number in ends]
        return Plan(calls, {"teacher": sum(ends)})

    async def converse(self, item: SourceItem, talk: Conversation) -> Draft:
        walk = self._walk(item)
        if not walk.dead_ends:
            raise GivenUp("the walk has no dead end, so there is no reflection to write")
        reflections: list[str] = []
        for number in range(len(walk.dead_ends)):
            text = without_marks(await talk.say(self._messages(item, walk, number, reflections)))
            if not text:
                raise GivenUp(f"a reflection has no text apart from think marks: call {number}")
            reflections.append(text)
        chain = as_chain(walk, reflections)
        record = walk_record(str(item.tree_id), walk, chain, written_by="teacher")
        meta: dict[str, Any] = {"call_keys": talk.keys, "tree": item.tree_id, "turns_back": len(reflections)}
        return Draft(chain.raw, complete=True, meta=meta, walk=record)

    def _walk(self, item: SourceItem) -> Walk:
        try:
            return walk_tree(tree_of(item.tree), self.settings)
        except ValueError as error:
            raise LabError(f"the tree {item.tree_id} cannot be read: {error}") from error

    def _messages(self, item: SourceItem, walk: Walk, number: int, reflections: list[str]) -> list[Message]:
        tree, end = walk.tree, walk.dead_ends[number]
        return self.prompts["reflection"].fill(
            {
                "statement": item.statement,
                "thought": thought_before(walk, number, reflections),
                "dead_end": "\n\n".join(map(tree.text_of, end.nodes)),
                "branch": tree.text_of(end.branch),
                "next": tree.text_of(walk.next_step(number)),
            }
        )
