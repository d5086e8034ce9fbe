"""Judging steps: a model names the first wrong move of a trace, which becomes an annotation of the trace.

It makes no trace, so it is not a synthesis method. As a teacher run it is journalled, resumed and limited by a budget
like every other one. The chain was written by another model and may contain instructions to the judge, so it is put
between markers with a digest of the text, which its author could not know.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from o1lab.distill.method import Draft, Finding, Need, Plan, Planned, SourceItem, method
from o1lab.distill.methods.conversation import Conversation, ConversationMethod, GivenUp, last_object
from o1lab.inference.calls import Message
from o1lab.text import one_line, visible
from store.wrong_steps import NONE

_KEY: Final = "first_wrong_step"
_READ = 8000  # characters at the end of a reply that are parsed
_AGAIN = (
    "That was not the JSON object that was asked for, or it names a step that does not exist. Answer again, with one "
    "JSON object and nothing else, as described at the end of the task."
)


@method("judge-steps", order=90)
class JudgeSteps(ConversationMethod):
    """One conversation per trace. A reply that cannot be parsed is asked for once more; no verdict is guessed."""

    synthesis = ""
    source = "traces"
    needs: ClassVar[Mapping[str, Need]] = {
        "judge": Need("judge-steps", frozenset({"statement", "gold", "steps", "count", "mark"}))
    }

    def plan(self, item: SourceItem) -> Plan:
        return Plan([Planned(self._messages(item), most=2)], {"teacher": 1}) if item.moves else Plan([])

    async def converse(self, item: SourceItem, talk: Conversation) -> Draft:
        if not item.moves:
            raise GivenUp("the trace is empty: it has no moves to judge")
        messages, reply = self._messages(item), ""
        for _ in range(2):
            reply = await talk.say(messages)
            if (step := read_step(reply, len(item.moves))) is not None:
                return Draft("", complete=True, finding=_finding(item, step))
            echo = visible(reply[-_READ:])
            messages = [*messages, {"role": "assistant", "content": echo}, {"role": "user", "content": _AGAIN}]
        raise GivenUp(f"the judge gave no readable verdict, twice: {one_line(reply, 80)}")

    def _messages(self, item: SourceItem) -> list[Message]:
        # Lines of a step are indented, so that no text of the chain looks like the number of a step.
        texts = (visible(item.read[move.start : move.end].strip()).replace("\n", "\n    ") for move in item.moves)
        steps = "\n".join(f"[{number}] {text}" for number, text in enumerate(texts, 1))
        digest = hashlib.sha256(f"{item.id}\x00{steps}".encode()).hexdigest()
        return self.prompts["judge"].fill(
            {
                "statement": visible(item.statement),
                "gold": visible(item.gold or "(not known)"),
                "steps": steps,
                "count": str(len(item.moves)),
                "mark": digest[:12],
            }
        )


def _finding(item: SourceItem, step: int) -> Finding:
    if step == 0:
        return Finding("wrong_step", NONE)
    move = item.moves[step - 1]
    return Finding("wrong_step", str(step), (move.start, move.end))


def read_step(text: str, most: int) -> int | None:
    """Parse a judge's reply.

    Args:
        text: the reply.
        most: the number of moves.

    Returns:
        The number of the first wrong move, 0 if no move is wrong, None if the reply does not say.
    """
    found = last_object(text[-_READ:], lambda value: _KEY in value)
    if found is None:
        return None
    step: Any = found[_KEY]
    if step is None or (isinstance(step, str) and step.strip().lower() in ("none", "null")):
        return 0
    if isinstance(step, str) and re.fullmatch(r"\s*\[?[0-9]{1,6}\]?\s*", step):
        step = int(step.strip(" []\n\t"))
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= most:
        return None
    return step
