"""Local naturalness of recorded chains, and the pass over a list of traces that fills in all figures of a student.

Local Naturalness (arXiv 2510.03988, equation 2) cuts a response into steps, its sentences. The score of a step is the
mean log-probability of its tokens when the student sees the question and at most ``CONTEXT`` steps before it; the score
of the response is the mean over its steps, each with the same weight. o1lab stores it with the sign of a loss.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o1lab.errors import RefusedError
from o1lab.lens.scorers import Scorer, open_scorer, request_of
from o1lab.lens.scoring import Failure, model_key, score_traces
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef
from store import suitability, token_scores, traces
from store.connection import Store

CONTEXT = 4
"""The number of steps that precede a step, as in the paper."""
AT_ONCE = 8
"""Requests at the same time: the embedded server scores them together."""
_END = re.compile(r"[.!?][\"'”’)\]]*\s+|[。！？][”’」』）]*\s*|\s*\n\s*")
_SHORTEST = 4
"""A piece with fewer characters, such as ``1.``, belongs to the next sentence."""


@dataclass(frozen=True, slots=True)
class Step:
    """A sentence of a thought or a solution: [start, end) in code points of the part."""

    part: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Filled:
    """The result of a pass.

    Attributes:
        model: what identifies the student.
        scored: the number of chains whose tokens were scored.
        local: the number of chains that were scored sentence by sentence.
        known: the number of chains of which nothing was missing.
        failures: the chains that could not be scored.
    """

    model: str
    scored: int
    local: int
    known: int
    failures: tuple[Failure, ...]


async def fill(
    lab: Lab,
    store: Store,
    trace_ids: Sequence[str],
    ref: ModelRef,
    manager: ServerManager,
    *,
    local: bool = True,
    on_done: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> Filled:
    """Score what a student has not scored of some traces. Figures are stored at once: another call continues the pass.

    Args:
        lab: the lab.
        store: its database.
        trace_ids: the traces.
        ref: the student.
        manager: runs its server.
        local: whether to score the sentences as well, which takes about ``CONTEXT`` more passes.
        on_done: called with the name of the step, and the numbers of finished chains and of all.

    Raises:
        RefusedError: the student has no token scores.
        LabError: it cannot be opened.
    """
    key = await asyncio.to_thread(model_key, lab, ref)
    missing = await store.in_thread(token_scores.missing, trace_ids, key)
    done = await score_traces(lab, store, missing, [ref], manager, on_scored=lambda at, of: on_done("Scored", at, of))
    todo = await store.in_thread(suitability.without_local, trace_ids, key) if local else []
    failures = list(done.failures)
    if todo:
        async with open_scorer(ref, manager) as scorer:
            for at, trace_id in enumerate(todo, 1):
                text = await store.in_thread(traces.text, trace_id)
                try:
                    found = await local_loss(scorer, request_of(text))
                except RefusedError as error:
                    failures.append(Failure(trace_id, ref.id, error.message))
                else:
                    if found is not None:
                        await store.in_thread(suitability.set_local, trace_id, key, found)
                on_done("Scored sentence by sentence", at, len(todo))
    failed = len(failures) - len(done.failures)
    known = len(trace_ids) - len({*missing, *todo})
    return Filled(key, done.scored, len(todo) - failed, known, tuple(failures))


async def local_loss(scorer: Scorer, request: Mapping[str, Any]) -> float | None:
    """Return the mean over the steps of a response of their mean losses in nats; None for an empty response.

    Raises:
        RefusedError: the model does not score a step.
        LabError: its server does not answer.
    """
    steps = steps_of(str(request["thought"]), str(request["solution"]))
    limit = asyncio.Semaphore(AT_ONCE)

    async def loss(at: int) -> float | None:
        async with limit:
            asked, part, start = window(request, steps, at)
            tokens = await scorer.scores(asked, 0)
        columns = (tokens[name] for name in ("part", "start", "end", "logprob"))
        # A token belongs to the step that has its last character: it may begin with the space before the step.
        values = [
            -logprob
            for where, begin, end, logprob in zip(*columns, strict=True)
            if where == part and max(end - 1, begin) >= start
        ]
        return sum(values) / len(values) if values else None

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loss(at)) for at in range(len(steps))]
    except ExceptionGroup as errors:  # the first one has stopped the others
        raise errors.exceptions[0] from errors
    means = [mean for task in tasks if (mean := task.result()) is not None]
    return sum(means) / len(means) if means else None


def steps_of(thought: str, solution: str) -> list[Step]:
    """Return the sentences of a response in order; they cover its thought and its solution."""
    return [*_sentences("thought", thought), *_sentences("solution", solution)]


def _sentences(part: str, text: str) -> Iterator[Step]:
    start = 0
    for found in _END.finditer(text):
        if len("".join(text[start : found.end()].split())) >= _SHORTEST:
            yield Step(part, start, found.end())
            start = found.end()
    if text[start:].strip():
        yield Step(part, start, len(text))


def window(request: Mapping[str, Any], steps: Sequence[Step], at: int) -> tuple[dict[str, Any], str, int]:
    """Return the request for a step with the steps before it that the student sees.

    Returns:
        The request, which ends with the text of the step, without the white space behind it; its part; and where the
        step begins in the text of this part.
    """
    step = steps[at]
    before = [one for one in steps[max(at - CONTEXT, 0) : at] if one.part == step.part]
    start = before[0].start if before else step.start
    asked = {**request, "thought": "", "solution": "", "cut_off": step.part}
    asked[step.part] = str(request[step.part])[start : step.end].rstrip()
    if step.part == "solution":
        thought = [one for one in steps[max(at - CONTEXT, 0) : at] if one.part == "thought"]
        asked["thought"] = str(request["thought"])[thought[0].start : thought[-1].end] if thought else ""
    return asked, step.part, step.start - start
