"""Which sentences of a thought change its answer: counterfactual importance by resampling.

Bogdan et al. (2025), "Thought Anchors: Which LLM Reasoning Steps Matter?" (arXiv:2506.19143), section 3: from the
beginning of each sentence the model writes the rest of the response several times. The importance of a sentence is the
Kullback-Leibler divergence of the answers without it from those with it. Without it are the rollouts from its beginning
that begin with another sentence; with it are the rollouts from its end. The paper compares sentences by embeddings and
takes those below the median similarity as different; here words are compared (see ``SAME``), which needs no second
model and takes a paraphrase for another sentence.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.chains.answers import extract_answer
from o1lab.chains.verify import canonical
from o1lab.lens.convergence import Chain
from o1lab.text import json_of
from store.continuations import Rollout

SAME = 0.8
"""The share of common words from which two sentences count as the same."""
_SMOOTHING = 1.0
"""Counts that each answer gets in addition: an answer that was never drawn is not impossible (Laplace)."""
_END = re.compile(r"(?<=[.!?。！？])[\"')\]]*\s+(?=\S)|\n+(?=\S)")
_WORD = re.compile(r"\w+")
_CLOSE = "</think>"
_PREFIX_VERSION = 2
"""Of :func:`prefix`: rollouts after other beginnings are not mixed. Version 1 kept the space at the end."""


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """The sampling of rollouts.

    Attributes:
        temperature: the sampling temperature.
        top_p: the probability mass of nucleus sampling.
        max_tokens: the limit of a rollout.
        seed: the seed of the first sample.
    """

    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 1024
    seed: int = 1

    @property
    def how(self) -> str:
        return json.dumps([_PREFIX_VERSION, self.temperature, self.top_p, self.max_tokens, self.seed])


def sentences(thought: str) -> list[tuple[int, int]]:
    """Return where the sentences of a thought begin and end; the end of one is the beginning of the next."""
    starts = [0, *(match.end() for match in _END.finditer(thought))]
    ends = [*starts[1:], len(thought)]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if thought[start:end].strip()]


def prefix(chain: Chain, position: int) -> str:
    """Return the beginning of a response up to a place of its thought; after the whole thought, it is closed.

    It does not end with a space: tokens of words begin with one, and after a lone space models continue badly.
    """
    before = chain.thought[:position].rstrip(" \t")
    begun = f"<think>\n{before}"
    return begun if position < len(chain.thought) else f"{begun.rstrip()}\n{_CLOSE}\n\n"


def answer_of(chain: Chain, position: int, reply: str) -> str | None:
    """Return the answer of a rollout; None if it was cut off in its thought, or has none."""
    whole = prefix(chain, position) + reply
    _, closed, solution = whole.partition(_CLOSE)
    found = extract_answer(solution) if closed else None
    return None if found is None else found.text


@dataclass(frozen=True, slots=True)
class Anchor:
    """A sentence of a thought and what it does to the answer.

    Attributes:
        start: where it begins, in code points of the thought.
        end: where it ends.
        importance: the counterfactual importance in nats; None if no rollout without it began with another sentence.
        kept: number of rollouts from its end.
        different: number of rollouts from its beginning that begin with another sentence.
        same: number of those that begin with the same sentence.
        answers: the most frequent answer after it, and the share of the rollouts that have it.
        before: the share of the rollouts without it that have that answer.
    """

    start: int
    end: int
    importance: float | None
    kept: int
    different: int
    same: int
    answer: str | None
    share: float | None
    before: float | None

    def as_json(self) -> dict[str, Any]:
        counts = ("kept", "different", "same")
        return json_of(self, "start", "end", "importance", *counts, "answer", "share", "share_without=before")


def anchors(chain: Chain, rollouts: Sequence[Rollout]) -> list[Anchor]:
    """Return the sentences of a chain with their importance.

    Args:
        chain: the chain.
        rollouts: those of one model with one sampling.
    """
    by_place: dict[int, list[Rollout]] = {}
    for one in rollouts:
        by_place.setdefault(one.position, []).append(one)
    found = []
    for start, end in sentences(chain.thought):
        own = chain.thought[start:end]
        without = by_place.get(start, [])
        other = [one for one in without if similarity(own, first_sentence(one.reply)) < SAME]
        kept = by_place.get(end, [])
        with_it, instead = _answers(kept), _answers(other)
        [(most, number)] = with_it.most_common(1) or [(None, 0)]
        shown = next((one.answer for one in kept if _key(one.answer) == most), None)
        found.append(
            Anchor(
                start,
                end,
                divergence(instead, with_it) if other and kept else None,
                len(kept),
                len(other),
                len(without) - len(other),
                shown,
                number / len(kept) if kept else None,
                instead[most] / len(other) if other else None,
            )
        )
    return found


def divergence(instead: Counter[Hashable], with_it: Counter[Hashable]) -> float:
    """Return the Kullback-Leibler divergence of the answers without a sentence from those with it, in nats.

    Each of the answers that either of them has gets one more count.

    Args:
        instead: the answers without the sentence, with their number.
        with_it: those with it.
    """
    names = instead.keys() | with_it.keys()
    first, second = (sum(one.values()) + _SMOOTHING * len(names) for one in (instead, with_it))
    total = 0.0
    for name in names:
        p, q = (instead[name] + _SMOOTHING) / first, (with_it[name] + _SMOOTHING) / second
        total += p * math.log(p / q)
    return max(total, 0.0)


def similarity(first: str, second: str) -> float:
    """Return the share of words that two sentences have in common (Jaccard); 1 if neither has a word."""
    one, other = (Counter(_WORD.findall(text.casefold())) for text in (first, second))
    together = sum((one | other).values())
    return sum((one & other).values()) / together if together else 1.0


def first_sentence(reply: str) -> str:
    """Return the sentence with which a rollout begins."""
    text = reply.partition(_CLOSE)[0].lstrip()
    found = _END.search(text)
    return text[: found.start()] if found else text


def _answers(rollouts: Sequence[Rollout]) -> Counter[Hashable]:
    return Counter(_key(one.answer) for one in rollouts)


def _key(answer: str | None) -> Hashable:
    return None if answer is None else canonical(answer)
