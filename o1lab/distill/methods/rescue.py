"""Rescue: a student answers; where it fails, the teacher continues the student's own thought until it is right.

The student's thought is cut at a boundary between two moves. The teacher continues the text up to there; if its answer
is wrong, it gets a shorter beginning. So the part of the student that is kept is the longest one, of those that are
tried, from which the teacher finds the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

from o1lab.chains.measures import read_text
from o1lab.chains.parse import parse
from o1lab.chains.segmentation.moves import Move, segment
from o1lab.chains.verify import Verdict
from o1lab.distill.method import Ask, Draft, Method, Need, Plan, Planned, SourceItem, as_trace, method
from o1lab.inference.calls import Message, Response, Role

SOLVED = "the student solves it"
"""Why a sample leaves no trace: the student needs no teacher."""


class Begun(NamedTuple):
    """The text of a student: the mark before its moves, the text that has them, and the moves."""

    opened: str
    read: str
    moves: Sequence[Move]

    @classmethod
    def of(cls, raw: str, read: str, moves: Sequence[Move]) -> Begun:
        """Return the text of a response. Whatever marks it has, a teacher is given those that answers are joined with.

        Args:
            raw: the whole response.
            read: the part of it that has the moves: its thought, or else its solution.
            moves: the moves.
        """
        return cls("<think>\n" if parse(raw).thought else "", read, moves)

    def until(self, kept: int) -> str:
        """Return the text with the first ``kept`` moves; empty without any.

        It has no space at its end, because the first token that a model writes has its own.
        """
        return (self.opened + self.read[: self.moves[kept - 1].end]).rstrip(" \t") if kept else ""


@method("rescue", order=35)
class Rescue(Method):
    """One call to the student; if it fails, up to four to the teacher, each from an earlier move of the student."""

    synthesis = "rescued"
    verified = True
    requires: ClassVar[tuple[str, ...]] = ("answer",)  # the verdicts decide whether the teacher continues
    roles: ClassVar[tuple[Role, ...]] = ("teacher", "student")
    continues = ("teacher",)
    counted = False
    needs: ClassVar[Mapping[str, Need]] = {
        "prompt": Need("long-thought", frozenset({"statement"})),
        "student": Need("as-it-is", frozenset({"statement"}), text="{{statement}}"),
    }

    def plan(self, item: SourceItem) -> Plan:
        tries = Planned(self._messages("prompt", item), most=len(_FRACTIONS), least=0)
        asked = Planned(self._messages("student", item), role="student")
        return Plan([asked, tries], {"teacher": len(_FRACTIONS) - 1})

    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        response = await ask(0, self._messages("student", item), role="student")
        if response.state != "done":
            return Draft("", complete=False)
        begun = as_trace(response).raw
        answer, verdict = await self._judged(item, begun)
        if verdict.status == "correct" and response.whole:
            return Draft("", complete=False, rejected=SOLVED)
        if verdict.status == "unverifiable" and answer is not None:
            return Draft("", complete=False, rejected=f"the student's answer cannot be verified: {verdict.reason}")
        return await self._rescue(item, begun, ask)

    async def _rescue(self, item: SourceItem, begun: str, ask: Ask) -> Draft:
        """Let the teacher continue the response that the student has begun."""
        start, moves = moves_in(begun)
        text = Begun.of(begun, begun[start:], moves)
        return await self._continue(item, text, boundaries(len(moves)), ask, first_turn=1)

    async def _continue(
        self, item: SourceItem, begun: Begun, tries: Sequence[int], ask: Ask, *, first_turn: int
    ) -> Draft:
        """Let the teacher continue a text from each of some boundaries, until it reaches the answer.

        Args:
            item: the problem.
            begun: the student's text.
            tries: the numbers of moves to keep.
            ask: makes the calls to the teacher.
            first_turn: the number of the first call.
        """
        tried = []
        for turn, kept in enumerate(tries, first_turn):
            prefix = begun.until(kept)
            more: list[Message] = [{"role": "assistant", "content": prefix}] if prefix else []
            response = await ask(turn, [*self._messages("prompt", item), *more])
            if response.state != "done":
                return Draft("", complete=False)
            tried.append(kept)
            written = _continuation(prefix, response)
            raw = prefix + written
            parsed = parse(raw)
            # A teacher that opens a thought after the student's answer leaves that answer outside the marks.
            if not response.whole or not parsed.complete or parsed.outside:
                continue
            _, verdict = await self._judged(item, raw)
            if verdict.status == "correct":
                meta: dict[str, Any] = {"student_moves": len(begun.moves), "kept_moves": kept, "tried": tried}
                return Draft(raw, complete=True, meta=meta, parts=(("student", prefix), ("teacher", written)))
        after = f"after {', '.join(map(str, tried))} of {len(begun.moves)} moves"
        return Draft("", complete=False, rejected=f"the teacher does not reach the answer: tried {after}")

    async def _judged(self, item: SourceItem, raw: str) -> tuple[str | None, Verdict]:
        """Return the final answer of a response, and the verdict on it."""
        found = parse(raw).answer_of(raw)
        answer = found.text if found else None
        return answer, await asyncio.wrap_future(self.verifier.ask(item.gold, answer))

    def _messages(self, role: str, item: SourceItem) -> list[Message]:
        return self.prompts[role].fill({"statement": item.statement})


@method("rescue-traces", order=36)
class RescueTraces(Rescue):
    """The same for wrong answers that the lab has as traces; the student is not asked.

    If an annotator or judge names the first wrong step, the teacher continues from the move before it.
    """

    source = "traces"
    passes_over = ("rescued",)
    requires = ()
    roles = ("teacher",)
    needs: ClassVar[Mapping[str, Need]] = {"prompt": Need("long-thought", frozenset({"statement"}))}

    def plan(self, item: SourceItem) -> Plan:
        tries = Planned(self._messages("prompt", item), most=1 + len(_FRACTIONS), least=0)
        return Plan([tries], {"teacher": len(_FRACTIONS)})

    async def respond(self, item: SourceItem, sample: int, ask: Ask) -> Draft:
        answer, verdict = await self._judged(item, item.raw)
        if verdict.status == "correct":
            return Draft("", complete=False, rejected=SOLVED)
        if verdict.status == "unverifiable" and (answer is not None or not item.gold):
            return Draft("", complete=False, rejected=f"the student's answer cannot be verified: {verdict.reason}")
        begun = Begun.of(item.raw, item.read, item.moves)
        draft = await self._continue(item, begun, tries_before(item), ask, first_turn=0)
        return replace(draft, parent_id=item.trace_id)


def tries_before(item: SourceItem) -> list[int]:
    """Return how many moves of a trace the teacher gets, in the order of the tries.

    If a move is called wrong, the first try gets the moves before it.
    """
    usual = boundaries(len(item.moves))
    if item.wrong_at is None:
        return usual
    right = sum(move.end <= item.wrong_at for move in item.moves)
    return [right, *(number for number in usual if number < right)]


_FRACTIONS = ((1, 1), (2, 3), (1, 3), (0, 1))
"""The beginnings that the teacher gets in turn, as shares of the moves before the student's last one."""


def boundaries(moves: int) -> list[int]:
    """Return how many moves of the student the teacher gets, in the order of the tries.

    The last move goes first, because it states the wrong answer or is cut off: the tries keep all moves before it, two
    thirds of them, one third, and none. Of short thoughts, equal numbers are tried once.
    """
    before = max(moves - 1, 0)
    return list(dict.fromkeys(before * share // of for share, of in _FRACTIONS))


def moves_in(raw: str) -> tuple[int, list[Move]]:
    """Return where the moves of a response begin in its text, and the moves: of its thought, or of its solution."""
    parsed = parse(raw)
    thought, solution = parsed.thought_of(raw), parsed.solution_of(raw)
    start, _ = parsed.thought or parsed.solution or (0, 0)
    return start, segment(read_text(thought, solution))


def _continuation(prefix: str, response: Response) -> str:
    """Return what the teacher wrote after ``prefix``; marks are put around a thought in a separate field."""
    if not prefix or not response.thought:
        return as_trace(response).raw
    return f"{response.thought}\n</think>\n\n{response.answer}"
