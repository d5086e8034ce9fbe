"""Debate: a policy proposes steps, a critic decides to continue or backtrack, and both form one long thought.

A step that the critic rejects stays in the chain as a dead end, followed by the critic's reason as a doubt in the
solver's voice. So the chain shows an exploration that took place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from o1lab.chains.language import language_of
from o1lab.chains.parse import join
from o1lab.chains.trees.walk import PLAIN_DOUBT
from o1lab.distill.method import Draft, Need, Plan, Planned, Prompts, SourceItem, method
from o1lab.distill.methods.conversation import Conversation, ConversationMethod, GivenUp, last_object, without_marks
from o1lab.distill.settings import TeacherRunSettings
from o1lab.inference.calls import Message

Decision = Literal["go on", "backtrack", "done"]

_DECISIONS: dict[str, Decision] = {
    "go on": "go on", "goon": "go on", "continue": "go on", "proceed": "go on", "ok": "go on", "accept": "go on",
    "backtrack": "backtrack", "back track": "backtrack", "go back": "backtrack", "reject": "backtrack",
    "revise": "backtrack", "done": "done", "finish": "done", "finished": "done", "stop": "done", "solved": "done",
}  # fmt: skip
_LOOSE = re.compile(
    r"""["'*]*decision["'*]*\s*[:：]\s*["'“*]*(?P<decision>[A-Za-z]+(?:[ _-][A-Za-z]+)?)""", re.IGNORECASE
)
_VERDICT_WITHIN = 8000
_DOUBTS = re.compile(
    r"(?:wait|hmm+|hold on|no\b|actually|but wait|oh|let me|i (?:made|think)|等|不对|嗯|且慢|我)", re.IGNORECASE
)
# Words that are lower-cased after "Wait,": names and formulas must not be.
_SMALL_WORDS_TEXT = """
    the this that these those it its in at on for from with there since because if when while we you not only both all
    each as by to then
"""
_SMALL_WORDS = frozenset(_SMALL_WORDS_TEXT.split())
_NOTHING_YET = "(nothing yet)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The critic's decision on a step; ``read`` is False if it could not be parsed (then the policy continues)."""

    decision: Decision
    reason: str = ""
    read: bool = True


@method("debate", order=40)
class Debate(ConversationMethod):
    """Policy and critic alternate for at most ``settings.rounds`` steps, then the policy writes the solution."""

    synthesis = "multi-agent"
    roles = ("teacher", "critic")
    uses = ("rounds",)
    needs: ClassVar[Mapping[str, Need]] = {
        "policy": Need("debate-policy", frozenset({"statement", "thought"})),
        "critic": Need("debate-critic", frozenset({"statement", "thought", "step"})),
        "solution": Need("debate-solution", frozenset({"statement", "thought"})),
    }

    def __init__(self, settings: TeacherRunSettings, prompts: Prompts) -> None:
        super().__init__(settings, prompts)
        self._rounds = settings.rounds

    def plan(self, item: SourceItem) -> Plan:
        rounds = self._rounds
        calls = [
            Planned(self._messages("policy", item, ""), rounds),
            Planned(self._messages("critic", item, ""), rounds, "critic"),
            Planned(self._messages("solution", item, "")),
        ]
        # In round i the policy sees 2i steps and doubts, the critic one step more; the solution sees all 2 * rounds.
        return Plan(calls, {"teacher": rounds * rounds + rounds, "critic": rounds * rounds})

    async def converse(self, item: SourceItem, talk: Conversation) -> Draft:
        chain, verdicts = await self._explore(item, talk)
        if verdicts[-1]["decision"] == "backtrack":
            reason = f"the critic did not believe the last of {self._rounds} steps"
            return Draft(f"<think>\n{chain}", complete=False, rejected=reason, meta=self._meta(talk, verdicts))
        solution = without_marks(await talk.say(self._messages("solution", item, chain)))
        return Draft(join(chain, solution), complete=True, meta=self._meta(talk, verdicts))

    async def _explore(self, item: SourceItem, talk: Conversation) -> tuple[str, list[dict[str, Any]]]:
        """Return the thought, and the verdict on each step."""
        language: Literal["zh", "en"] = "zh" if language_of(item.statement) == "zh" else "en"
        chain: list[str] = []
        verdicts: list[dict[str, Any]] = []
        for _ in range(self._rounds):
            step = without_marks(await talk.say(self._messages("policy", item, "\n\n".join(chain))))
            if not step:
                raise GivenUp("the policy proposed an empty step")
            messages = self._messages("critic", item, "\n\n".join(chain), step)
            verdict = read_verdict(await talk.say(messages, role="critic"))
            verdicts.append({"step_of": talk.keys[-2], "verdict_of": talk.keys[-1], **asdict(verdict)})
            chain.append(step)
            if verdict.decision == "backtrack":
                chain.append(doubt(verdict.reason, language))
            if verdict.decision == "done":
                break
        return "\n\n".join(chain), verdicts

    def _messages(self, role: str, item: SourceItem, thought: str, step: str = "") -> list[Message]:
        return self.prompts[role].fill({"statement": item.statement, "thought": thought or _NOTHING_YET, "step": step})

    @staticmethod
    def _meta(talk: Conversation, verdicts: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "call_keys": talk.keys,
            "debate": verdicts,
            "backtracks": sum(one["decision"] == "backtrack" for one in verdicts),
            "unread_verdicts": sum(not one["read"] for one in verdicts),
        }


def read_verdict(text: str) -> Verdict:
    """Parse the critic's verdict with any text around its JSON; if it cannot be parsed, the policy continues."""
    text = text[-_VERDICT_WITHIN:]
    found = last_object(text, lambda value: isinstance(value.get("decision"), str))
    if found is not None and (decision := _decision(found["decision"])) is not None:
        reason = found.get("reason")
        return Verdict(decision, reason.strip() if isinstance(reason, str) else "")
    if (loose := _LOOSE.search(text)) is not None:
        words = loose["decision"]
        decision = _decision(words) or _decision(re.split(r"[ _-]", words)[0])
        if decision is not None:
            return Verdict(decision)
    return Verdict("go on", read=False)


def doubt(reason: str, language: Literal["zh", "en"] = "en") -> str:
    """Return the critic's reason as a doubt in the solver's voice, for the chain."""
    reason = without_marks(reason)
    if not reason:
        return PLAIN_DOUBT[language]
    if _DOUBTS.match(reason):
        return reason
    if language_of(reason) == "zh" or language == "zh":
        return f"等等，{reason}"
    first = reason.split()[0].rstrip(",.:;").lower()
    if first in _SMALL_WORDS or first.endswith("ing"):
        return f"Wait, {reason[0].lower()}{reason[1:]}"
    return f"Wait, {reason}" if first in ("i", "i'm", "i've") or not reason[0].isalpha() else f"Wait. {reason}"


def _decision(words: str) -> Decision | None:
    return _DECISIONS.get(" ".join(re.split(r"[\s_-]+", words.strip().lower())))
