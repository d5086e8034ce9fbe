"""Let models answer after each part of a chain, and judge the answers: see :mod:`o1lab.lens.convergence`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from o1lab.chains.verify import Verdict, VerifierPool
from o1lab.errors import RefusedError
from o1lab.inference.calls import LIMITS
from o1lab.inference.events import Sampling
from o1lab.ingest.measuring import moves_of
from o1lab.ingest.verifying import verify_pairs
from o1lab.lens.continuations import first_then_others, open_continuer
from o1lab.lens.convergence import MAX_TOKENS, STOPS, AnswerPrompt, Chain, Convergence, converged
from o1lab.lens.scoring import Failure, model_key
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef
from store import continuations, traces
from store.connection import Store
from store.continuations import ForcedAnswer
from store.sqlite import Database


@dataclass(frozen=True, slots=True)
class ForcedPass:
    """The result of a pass over some chains.

    Attributes:
        model: the key of the model, see :func:`o1lab.lens.scoring.model_key`.
        asked: the number of answers that were requested.
        known: the number of answers that were stored already, or requested for an identical chain of this pass.
        failures: the chains that lack answers, and why.
    """

    model: str
    asked: int
    known: int
    failures: tuple[Failure, ...]


def chain_of(db: Database, trace_id: str) -> Chain:
    """Return a trace as a chain to be cut.

    Raises:
        NotFoundError: there is no such trace.
        RefusedError: it has no thought.
    """
    text = traces.text(db, trace_id)
    if not text.thought.strip():
        raise RefusedError(
            f"Trace {text.trace_id[:12]} has no thought that could be cut.",
            "Choose one with a thought.",
            code="no_thought",
        )
    asked = text.context or ({"role": "user", "content": text.statement},)
    golds = (text.gold,) if text.gold and text.gold.strip() else ()
    messages = tuple({"role": str(one["role"]), "content": str(one["content"])} for one in asked)
    moves = tuple(moves_of(text))
    return Chain(text.trace_id, messages, text.thought, text.solution, moves, golds, ("problem", text.statement))


async def force_answers(
    lab: Lab,
    store: Store,
    chains: Sequence[Chain],
    ref: ModelRef,
    manager: ServerManager,
    *,
    opener: str | None = None,
    max_tokens: int = MAX_TOKENS,
    again: bool = False,
    on_answer: Callable[[int, int], None] = lambda _done, _total: None,
) -> ForcedPass:
    """Let a model answer at each cut of some chains, from the last cut of a chain on.

    Each answer is stored when it arrives, and stored ones are not requested again: another call continues a pass that
    was stopped.

    Args:
        lab: the lab.
        store: its database.
        chains: the chains.
        ref: the model.
        manager: runs its server.
        opener: begins the answer; by default what fits each chain, see :meth:`AnswerPrompt.of`.
        max_tokens: the limit of an answer.
        again: whether stored answers are requested again.
        on_answer: called with the number of answers that have arrived and of all.

    Raises:
        RefusedError: the model cannot continue a text (code ``no_continuing``).
        LabError: it cannot be opened, or every request to it would fail.
    """
    key = await asyncio.to_thread(model_key, lab, ref)
    kept = await store.in_thread(continuations.answers_of, [one.key for one in chains])
    todo: list[tuple[Chain, AnswerPrompt, list[int]]] = []
    for chain in chains:
        prompt = AnswerPrompt.of(chain, opener, max_tokens)
        stored = {one.position for one in kept[chain.key] if (one.model, one.how) == (key, prompt.how)}
        todo.append((chain, prompt, [cut for cut in chain.cuts if again or cut not in stored]))
    total = sum(len(cuts) for _, _, cuts in todo)
    known = sum(len(chain.cuts) for chain in chains) - total
    if not total:
        return ForcedPass(key, 0, known, ())
    failures: list[Failure] = []
    done = 0
    answered: dict[tuple[str, str], set[int]] = {}  # samples of one question may have the same thought
    async with open_continuer(ref, manager) as asked:

        async def answer(chain: Chain, prompt: AnswerPrompt, cut: int) -> ForcedAnswer:
            sampling = Sampling(max_tokens=prompt.max_tokens, stop=STOPS)
            reply = await asked.continue_response(chain, prompt.prefix(chain, cut), sampling)
            text = prompt.answer(reply.raw, whole=reply.finish_reason.lower() not in LIMITS)
            return ForcedAnswer(chain.key, key, prompt.how, cut, ref.id, reply.prompt_tokens, reply.raw, text)

        for chain, prompt, cuts in todo:
            same = answered.setdefault((chain.key, prompt.how), set())
            waiting = sorted(set(cuts) - same, reverse=True)
            total -= len(cuts) - len(waiting)
            known += len(cuts) - len(waiting)
            try:
                async with aclosing(first_then_others(partial(answer, chain, prompt), waiting)) as answers:
                    async for some in answers:
                        await store.in_thread(continuations.add_answers, some)
                        same.update(one.position for one in some)
                        done += len(some)
                        on_answer(done, total)
            except RefusedError as error:
                failures.append(Failure(chain.name, ref.id, error.message))
    return ForcedPass(key, done, known, tuple(failures))


def judged(
    db: Database, chains: Sequence[Chain], *, model: str | None = None, hows: Sequence[str] | None = None
) -> list[list[Convergence]]:
    """Return the convergence of chains for each model that has answered at all places, the latest first.

    Answers are compared with the gold answers, or with that of the chain. It blocks while it verifies: call it in a
    thread.

    Args:
        db: the lab's database.
        chains: the chains.
        model: the key of the only model to return; None for all.
        hows: for each chain, the ``how`` of the only prompt to return; None for all.
    """
    kept = continuations.answers_of(db, [one.key for one in chains])
    groups: list[tuple[int, Chain, list[ForcedAnswer]]] = []
    for at, chain in enumerate(chains):
        cuts = set(chain.cuts)
        for (its_model, its_how), answers in groupby(kept[chain.key], key=lambda one: (one.model, one.how)):
            if model in (None, its_model) and (hows is None or its_how == hows[at]):
                groups.append((at, chain, [one for one in answers if one.position in cuts]))
    pairs = list(
        dict.fromkeys(
            (gold, one.answer)
            for _, chain, some in groups
            for one in some
            if one.answer is not None
            for gold in chain.targets
        )
    )
    with VerifierPool() as pool:
        verdicts = dict(zip(pairs, verify_pairs(db, pool, pairs), strict=True))
    found: list[list[tuple[str, Convergence]]] = [[] for _ in chains]
    for at, chain, some in groups:
        right = [_is_right(one.answer, chain.targets, verdicts) for one in some]
        if (one_found := converged(chain, some, right)) is not None:
            found[at].append((max(one.created_at for one in some), one_found))
    return [[one for _, one in sorted(some, key=lambda pair: pair[0], reverse=True)] for some in found]


def _is_right(answer: str | None, targets: Sequence[str], verdicts: Mapping[tuple[str, str], Verdict]) -> bool | None:
    """Return whether an answer is one of the right ones; None if there are none, or it cannot be verified."""
    if not targets:
        return None
    if answer is None:
        return False
    found = {verdicts[gold, answer].status for gold in targets}
    return True if "correct" in found else None if "unverifiable" in found else False
