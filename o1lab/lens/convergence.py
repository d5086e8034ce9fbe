"""Where a chain reaches its answer: what a model answers when the thought is cut at the end of each move.

A thought is cut, closed, and the answer is opened; the model completes it. The first place with the right answer, and
the place from which the answer stays the same, show how much of the thought came after it had converged, as in Liu
and Wang (2025), "Answer Convergence as a Signal for Early Stopping in Reasoning" (arXiv:2506.02536).
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

from o1lab.chains.answers import extract_answer
from o1lab.chains.segmentation.moves import Move
from o1lab.chains.verify import canonical
from o1lab.text import json_of
from store.continuations import ForcedAnswer

CLOSING = "\n</think>\n\n"
OPENER = "The answer is \\boxed{"
MAX_TOKENS = 32
"""Tokens of a forced answer."""
STOPS = ("}\n", "}.", "}$", "\n\n")
_LEAD = re.compile(
    r"(?:(?:so|thus|therefore|hence),? )?(?:(?:the )?(?:final )?answer(?: is)?:? ?)?[$*\\\[(]*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Chain:
    """A question with a thought that is cut.

    Attributes:
        name: its name for people: the id of the trace, or the item of the sample.
        messages: what was asked.
        thought: the whole thought.
        solution: what followed it.
        moves: the moves of the thought.
        golds: the right answers; empty if none is known.
        cluster: the question: chains of one question are drawn together for intervals.
    """

    name: str
    messages: tuple[dict[str, str], ...]
    thought: str
    solution: str
    moves: tuple[Move, ...]
    golds: tuple[str, ...] = ()
    cluster: Hashable = None

    @property
    def key(self) -> str:
        """The hash of what was asked and of the thought."""
        return sha256(json.dumps([list(self.messages), self.thought]).encode()).hexdigest()[:32]

    @property
    def cuts(self) -> tuple[int, ...]:
        """Where the thought is cut: before it, and after each move that ends with text, in code points."""
        size = len(self.thought)
        ends = {move.end for move in self.moves if move.end <= size} | {size}
        return tuple(sorted({0, *ends}))

    @property
    def targets(self) -> tuple[str, ...]:
        """The right answers; without any, that of the chain itself."""
        if self.golds:
            return self.golds
        own = extract_answer(self.solution, self.thought)
        return () if own is None else (own.text,)


@dataclass(frozen=True, slots=True)
class AnswerPrompt:
    """What a model continues, so that it answers.

    Attributes:
        opener: the text after the cut thought: it closes the thought and begins the answer.
        max_tokens: the limit of the answer.
    """

    opener: str
    max_tokens: int = MAX_TOKENS

    @classmethod
    def of(cls, chain: Chain, opener: str | None = None, max_tokens: int = MAX_TOKENS) -> AnswerPrompt:
        """Return the prompt that fits a chain: a box, after the words with which its own solution introduces one.

        Args:
            chain: the chain.
            opener: begins the answer instead.
            max_tokens: the limit of the answer.
        """
        return cls(CLOSING + (opener_of(chain.solution) if opener is None else opener), max_tokens)

    @property
    def how(self) -> str:
        return json.dumps([self.opener, self.max_tokens])

    def prefix(self, chain: Chain, cut: int) -> str:
        """Return the beginning of the response up to the answer."""
        return f"<think>\n{chain.thought[:cut].rstrip()}{self.opener}"

    def answer(self, reply: str, *, whole: bool) -> str | None:
        """Return the answer in what a model wrote after the opener; None if it has none.

        Args:
            reply: what the model wrote.
            whole: whether the model ended it, or wrote one of ``STOPS``: then an open box ends with it.
        """
        text = self.opener.removeprefix(CLOSING) + reply
        missing = text.count("{") - text.count("}")
        if missing > 0:
            if not whole:
                return None
            text = text.rstrip() + "}" * missing
        found = extract_answer(text)
        return None if found is None else found.text


def opener_of(solution: str) -> str:
    """Return how a solution opens its box, if the line has no other words; else ``OPENER``."""
    at = solution.rfind("\\boxed{")
    lead = solution[solution.rfind("\n", 0, at) + 1 : at] if at >= 0 else "no box"
    return lead + "\\boxed{" if _LEAD.fullmatch(lead) else OPENER


@dataclass(frozen=True, slots=True)
class Point:
    """A place at which the thought was cut.

    Attributes:
        position: the place, in code points.
        tokens: of the thought up to it; None if the server does not count them.
        answer: the answer that was forced; None if the model gave none.
        right: whether it is right; False without an answer; None if no right answer is known, or it cannot be verified.
    """

    position: int
    tokens: int | None
    answer: str | None
    right: bool | None

    def as_json(self) -> dict[str, Any]:
        return json_of(self, "position", "tokens", "answer", "right")


@dataclass(frozen=True, slots=True)
class Convergence:
    """Where the answers of a model to a chain become right, and where they stay the same.

    Attributes:
        model: the name of the model.
        points: all places, the first before the thought, the last after it.
        against: what answers are compared with: ``gold``, ``own`` for the answer of the chain, or nothing (empty).
    """

    model: str
    points: tuple[Point, ...]
    against: str

    @property
    def first_right(self) -> int | None:
        """The index of the first point with a right answer."""
        return next((at for at, one in enumerate(self.points) if one.right), None)

    @property
    def stable(self) -> int | None:
        """The index of the point from which the answer stays that of the last point; None if that has no answer."""
        last = self.points[-1].answer
        if last is None:
            return None
        wanted, found = canonical(last), len(self.points) - 1
        while found and (before := self.points[found - 1].answer) is not None and canonical(before) == wanted:
            found -= 1
        return found

    @property
    def tokens(self) -> int | None:
        """Tokens of the thought."""
        return self.points[-1].tokens

    @property
    def tokens_after(self) -> int | None:
        """Tokens of the thought after the stable answer."""
        if self.stable is None or self.tokens is None or (before := self.points[self.stable].tokens) is None:
            return None
        return self.tokens - before

    @property
    def overwritten(self) -> int:
        """How often a wrong answer followed a right one, without the places whose answer is missing or unverifiable."""
        known = [one for one in self.points if one.answer is not None and one.right is not None]
        return sum(bool(one.right and not after.right) for one, after in pairwise(known))

    @property
    def lost(self) -> bool:
        """Whether an answer was right, and that of the last place is wrong."""
        last = self.points[-1]
        return self.first_right is not None and last.answer is not None and last.right is False

    def as_json(self) -> dict[str, Any]:
        places = ("points", "first_right", "stable")
        return json_of(self, "model", "against", *places, "tokens", "tokens_after", "overwritten", "lost")


def converged(chain: Chain, answers: Sequence[ForcedAnswer], right: Sequence[bool | None]) -> Convergence | None:
    """Return the convergence of a chain, None until all places have an answer.

    Args:
        chain: the chain.
        answers: the answers of one model with one prompt, in the order of the thought; those at other
            places than its cuts are ignored.
        right: for each answer whether it is right.
    """
    by_place = {one.position: (one, verdict) for one, verdict in zip(answers, right, strict=True)}
    if not by_place or any(cut not in by_place for cut in chain.cuts):
        return None
    before = by_place[0][0].tokens
    points = []
    for cut in chain.cuts:
        one, verdict = by_place[cut]
        tokens = None if one.tokens is None or before is None else one.tokens - before
        points.append(Point(cut, tokens, one.answer, verdict))
    against = "gold" if chain.golds else "own" if chain.targets else ""
    return Convergence(answers[0].name, tuple(points), against)


def sentences(found: Convergence) -> list[str]:
    """Describe a convergence, as lines for people."""
    lines = []
    if found.stable is None:
        lines.append("At the end of the thought the model gives no answer, so none is stable.")
    else:
        line = f"The answer is stable from place {found.stable} of {len(found.points) - 1}"
        if found.tokens_after is not None:
            line += f"; {found.tokens_after:,} of {found.tokens or 0:,} tokens come after it"
        lines.append(f"{line}.")
    if found.against != "gold":
        lines.append("The chain's own answer counts as right." if found.against else "The right answer is not known.")
    if found.overwritten:
        times = "once" if found.overwritten == 1 else f"{found.overwritten} times"
        lost = "; the last answer is wrong" if found.lost else ""
        lines.append(f"A right answer was overwritten {times}{lost}.")
    return lines
