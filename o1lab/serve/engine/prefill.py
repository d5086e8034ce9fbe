"""Requests that join the batch of the engine: their prompts are read together, padded on the left.

The keys and values of the last long prompt are kept, and requests that begin with the same tokens start from a copy of
them. So a chain that is cut at many places, or a prompt that is sampled many times, is read once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from o1lab.serve.engine.kv import fork_rows, new_cache, take_rows
from o1lab.serve.engine.sampling import Figures, TokenScore, figures

BASE = "__base__"
"""PEFT's adapter name for a row without adapter."""


LEAST = 64
"""Tokens from which a common beginning is worth a copy."""


@dataclass(frozen=True, slots=True)
class KeptPrefix:
    """A prompt that a model has read, and its keys and values, a cache of one row without padding."""

    ids: list[int]
    adapter: str
    cache: Any

    @classmethod
    def of(cls, cache: Any, row: int, ids: list[int], adapter: str) -> KeptPrefix:
        """Keep a copy of a row of ``cache``, which ends with the keys and values of ``ids``."""
        return cls(ids, adapter, take_rows(cache, [row], cache.get_seq_length() - len(ids)))

    def shared(self, ids: Sequence[int], adapter: str) -> int:
        """Return how many tokens at the beginning of a prompt are known; 0 if they are not worth a copy.

        The last token of a prompt is never among them: the model predicts the first token of the answer from it.
        """
        if adapter != self.adapter:
            return 0
        found = min(common(self.ids, ids), len(ids) - 1)
        return found if worthwhile(found, ids) else 0

    def fork(self, lengths: Sequence[int]) -> Any:
        """Return a cache whose rows are the first tokens of the prompt, as many as ``lengths`` says, padded on the
        left."""
        return fork_rows(self.cache, lengths)


@dataclass
class Job:
    """A request for one answer. Callbacks run in the engine's thread and must not block.

    Attributes:
        prompt: the token ids, at least one.
        max_tokens: the maximum number of tokens of the answer; 0 only reads the prompt.
        on_token: called with each token id except the end-of-turn token, and its score.
        on_end: called with ``stop``, ``length``, ``cancelled`` or ``error``, and the message of an error.
        on_prompt: called with the scores of the prompt's tokens from ``score_from`` on, before the first token.
        top: the number of alternatives in a score; None for no scores.
        score_from: the first token of the prompt that is scored, from 1; None scores none.
        end_tokens: end its turn in addition to the engine's.
    """

    prompt: list[int]
    max_tokens: int
    on_token: Callable[[int, TokenScore | None], None]
    on_end: Callable[[str, str], None]
    on_prompt: Callable[[list[TokenScore]], None] = lambda _scores: None
    top: int | None = None
    score_from: int | None = None
    adapter: str = BASE
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    end_tokens: frozenset[int] = frozenset()
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass
class Row:
    job: Job
    length: int
    last: int = 0
    made: int = 0
    generator: torch.Generator = field(default_factory=torch.Generator)

    def __post_init__(self) -> None:
        if self.job.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(self.job.seed)


@dataclass
class Prefill:
    """New rows in prefill: ``ids`` and ``mask`` are [rows, columns], padded on the left; ``figures`` are by row.

    ``done`` columns are in the cache; at first those that the rows share with a prompt that was read before.
    """

    rows: list[Row]
    ids: torch.Tensor
    mask: torch.Tensor
    cache: Any
    figures: list[list[Figures]]
    done: int = 0

    @classmethod
    def of(cls, rows: list[Row], kept: KeptPrefix | None) -> Prefill:
        """Pad the prompts of some jobs to one length.

        Args:
            rows: the jobs.
            kept: the prompt with which all of them begin, see :func:`next_jobs`.
        """
        width = max(row.length for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, width - row.length :] = torch.tensor(row.job.prompt)
            mask[i, width - row.length :] = 1
        found: list[list[Figures]] = [[] for _ in rows]
        if kept is None:
            return cls(rows, ids, mask, new_cache(), found)
        new = max(row.length - kept.shared(row.job.prompt, row.job.adapter) for row in rows)
        known = [max(row.length - new, 0) for row in rows]
        return cls(rows, ids, mask, kept.fork(known), found, done=width - new)

    def add_scores(self, logits: torch.Tensor, start: int) -> None:
        """Score the tokens that ``logits`` [rows, columns, vocabulary], whose first column is ``start``, predict."""
        end = min(start + logits.shape[1], self.ids.shape[1] - 1)
        for i, row in enumerate(self.rows):
            if row.job.score_from is None:
                continue
            first = max(start, self.ids.shape[1] - row.length + row.job.score_from - 1)
            if first < end:
                predicted = logits[i, first - start : end - start]
                self.figures[i] += figures(predicted, self.ids[i, first + 1 : end + 1], row.job.top or 0)

    def to_keep(self, kept: KeptPrefix | None) -> KeptPrefix | None:
        """Return the longest prompt of the rows, to be kept instead of ``kept``; None if that is long enough."""
        unscored = [i for i, row in enumerate(self.rows) if row.job.score_from is None]
        best = max(unscored, key=lambda i: self.rows[i].length, default=None)
        if best is None or self.rows[best].length < LEAST:
            return None
        job = self.rows[best].job
        if kept is not None and kept.adapter == job.adapter and common(kept.ids, job.prompt) >= len(job.prompt) - 1:
            return None
        known = 0 if kept is None else kept.shared(job.prompt, job.adapter)
        if known and len(job.prompt) - known < LEAST:
            return None  # it adds little, and others may need what it lacks
        return KeptPrefix.of(self.cache, best, job.prompt, job.adapter)


def next_jobs(waiting: deque[Job], room: int, most: int, kept: KeptPrefix | None) -> tuple[list[Job], bool]:
    """Take the jobs of the next prefill, first come, first served.

    Args:
        waiting: the jobs that wait; those that are taken leave it.
        room: how many may be taken.
        most: the number of prompt tokens, with padding, that several jobs may have together.
        kept: the prompt that was read last.

    Returns:
        The jobs, and whether all of them begin with ``kept``.
    """
    taken: list[Job] = []
    forks, widest = False, 0
    while waiting and len(taken) < room:
        job = waiting[0]
        known = kept.shared(job.prompt, job.adapter) if kept is not None and job.score_from is None else 0
        if not taken:
            forks = known > 0
            most *= 4 if forks else 1  # copies are cheap
        elif forks != (known > 0) or (not forks and _awaits(job, taken[0])):
            break
        widest = max(widest, len(job.prompt))
        # Rows of very different lengths waste padding: a job that would add too much waits for the next prefill.
        if taken and widest * (len(taken) + 1) > max(most, widest):
            break
        taken.append(waiting.popleft())
    return taken, forks


def _awaits(job: Job, first: Job) -> bool:
    """Whether a job should wait until the prompt of another, which begins alike, has been read."""
    if job.adapter != first.adapter or job.score_from is not None or first.score_from is not None:
        return False
    return worthwhile(min(common(first.prompt, job.prompt), len(job.prompt) - 1), job.prompt)


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two prompts have in common at their beginning."""
    size = min(len(first), len(second))
    if first[:size] == second[:size]:
        return size
    return next(at for at in range(size) if first[at] != second[at])


def worthwhile(shared: int, ids: Sequence[int]) -> bool:
    return shared >= LEAST and 2 * shared >= len(ids)
