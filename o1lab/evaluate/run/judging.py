"""Calls to a judge: concurrent, within the same budget, and every judgement in a journal before it counts."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from o1lab.config import load_config
from o1lab.errors import LabError, UsageError
from o1lab.evaluate.run.directory import EvalFolder, ScoredBy
from o1lab.evaluate.run.identity import Identity, identify
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.scorers import JudgeContext, ScorerSpec, judge_prompt, make_scorer, needs_judge, scorer_label
from o1lab.evaluate.scorers.base import Scorer
from o1lab.inference.backend import CallContext, CompletionBackend
from o1lab.inference.calls import CallKey, Message, Response, Role, digest
from o1lab.inference.client import CompletionClient
from o1lab.inference.journal import Journal, JournalIndex, index_journal
from o1lab.inference.models import check_priced, open_model_client
from o1lab.inference.prompts import keep_prompts, restore_prompts
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef, endpoint_key, find_model

JUDGE_TOKENS = 4096
"""A judge may think before it says its verdict."""
_ROLE: Role = "teacher"
_PROMPT = "judge"
_REMEMBERED = 8192
"""How many judgements of this session are kept: as many as are asked for at once, twice each."""


def judge_settings(settings: EvaluationSettings) -> EvaluationSettings:
    """Settings of the calls to a judge: greedy, within the evaluation's rates and budget."""
    changed = {"temperature": 0.0, "top_p": None, "seed": 0, "max_tokens": JUDGE_TOKENS, "reasoning_effort": None}
    return settings.model_copy(update=changed)


class Judge:
    """The judge of an evaluation, as :class:`o1lab.evaluate.scorers.base.AskJudge`.

    Args:
        client: sends the calls.
        index: judgements that the journal holds already.
        concurrency: how many calls may be made at once.
    """

    def __init__(self, client: CompletionBackend, index: JournalIndex, concurrency: int) -> None:
        self._client = client
        self._index = index
        self._slots = asyncio.Semaphore(concurrency)
        self._answers: dict[tuple[CallKey, str], Response] = {}

    async def __call__(self, key: CallKey, messages: Sequence[Message]) -> Response:
        asked = digest(_ROLE, messages)
        if (answer := self._answers.get((key, asked))) is not None:
            return answer
        known = self._index.find(key)
        if known is not None and known.asked == asked:
            return known
        async with self._slots:
            answer = await self._client.call(key, messages)
        if len(self._answers) == _REMEMBERED:
            del self._answers[next(iter(self._answers))]
        self._answers[key, asked] = replace(answer, thought="")
        return answer


@dataclass(frozen=True, slots=True)
class OpenScorer:
    """A scorer that is ready; ``priced`` is whether the price of its judge is known."""

    scorer: Scorer
    priced: bool = True


async def open_scorer(
    stack: AsyncExitStack,
    lab: Lab,
    folder: EvalFolder,
    manager: ServerManager,
    *,
    settings: EvaluationSettings,
    context: Callable[[Journal], CallContext],
) -> OpenScorer:
    """The scorer of an evaluation, with its judge opened where it has one; ``stack`` closes all of it.

    Args:
        context: makes what the judge's calls share with the others of the evaluation; its journal is its own.

    Raises:
        NotFoundError, LabError: the judge or its prompt is not there, or cannot be opened; or the scores would have
            another label than the evaluation's.
    """
    who = folder.scored_by()
    if who.judge is None:
        return OpenScorer(await stack.enter_async_context(_as_before(make_scorer(who.spec), who, folder)))
    ref = find_model(lab, who.judge, load_config(lab))
    judging = judge_settings(settings)
    check_priced(judging, [ref])
    identity = await asyncio.to_thread(identify, lab, ref)
    path = folder.judge_journal(_short(identity))
    index = await asyncio.to_thread(index_journal, path, lambda _items: set())
    shared = context(await stack.enter_async_context(Journal(path)))
    model = await open_model_client(ref, judging, manager, shared.control, shared.clock)
    client = await stack.enter_async_context(CompletionClient(judging, {_ROLE: model}, shared))
    prompt = restore_prompts(folder.prompts_file)[_PROMPT]
    judge = JudgeContext(Judge(client, index, judging.concurrency), judge_name(ref, identity), prompt)
    scorer = await stack.enter_async_context(_as_before(make_scorer(who.spec, judge=judge), who, folder))
    return OpenScorer(scorer, model.price.known)


def _as_before(scorer: Scorer, who: ScoredBy, folder: EvalFolder) -> Scorer:
    """The scorer, if its scores go under the label that the evaluation shows.

    Raises:
        LabError: they would be lost to sight.
    """
    if scorer.label != who.label:
        raise LabError(
            f"The scorer is not the one any more that this evaluation began with: it was {who.label}.",
            f"It is {scorer.label} now. Score the existing samples with it first: {folder.verb} --rescore {folder.id}",
        )
    return scorer


def choose_scorer(lab: Lab, spec: ScorerSpec, judge: str | None) -> tuple[ScoredBy, ModelRef | None]:
    """Who will score by this specification, with the model that judges where one does.

    Raises:
        UsageError: a judge is needed and none is named, or one is named and not needed.
        NotFoundError: there is no such model or prompt.
        LabError: the judge's key is missing, or its files cannot be read.
    """
    if not needs_judge(spec):
        if judge is not None:
            raise UsageError(f"The scorer '{spec.name}' asks no judge.", "Leave --judge out.")
        return ScoredBy(spec, scorer_label(spec, lab, None)), None
    if judge is None:
        raise UsageError("This suite is scored by a judge, and none is named.", "Name a model with --judge.")
    ref = find_model(lab, judge, load_config(lab))
    if ref.endpoint is not None:
        endpoint_key(ref.endpoint)
    return ScoredBy(spec, scorer_label(spec, lab, judge_name(ref, identify(lab, ref))), ref.id), ref


def keep_prompt(folder: EvalFolder, lab: Lab, spec: ScorerSpec) -> None:
    """Write down the judge's prompt as it is now; what its file says later changes nothing.

    Raises:
        OSError: the folder cannot be written.
    """
    if needs_judge(spec):
        keep_prompts(folder.prompts_file, {_PROMPT: judge_prompt(spec, lab)})


def judge_name(ref: ModelRef, identity: Identity) -> str:
    """The name that its scores carry. One name at two servers may be two models, so it says which journal is its."""
    return f"{ref.endpoint.model if ref.endpoint is not None else ref.id} {_short(identity)}"


def _short(identity: Identity) -> str:
    """Short, the same for the same model asked in the same way."""
    decisive = [identity.revision, identity.template, JUDGE_TOKENS]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:8]
