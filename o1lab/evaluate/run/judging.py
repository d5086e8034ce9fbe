"""Calls to a judge: concurrent, within the evaluation's budget, journalled before they count."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from o1lab.config import load_config
from o1lab.errors import LabError, UsageError
from o1lab.evaluate.run.directory import EvalFolder, ScoredBy
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
from o1lab.serve.endpoints import endpoint_address
from o1lab.serve.identity import Identity, identify
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef, find_model
from store import Store

JUDGE_TOKENS = 4096
"""The maximum response length of a judge, which may think before it gives its verdict."""
_ROLE: Role = "teacher"
_PROMPT = "judge"
_REMEMBERED = 8192
"""The number of judgements of this session kept in memory."""


def judge_settings(settings: EvaluationSettings) -> EvaluationSettings:
    """Return the settings of calls to a judge: greedy, with the evaluation's rates and budget."""
    changed = {"temperature": 0.0, "top_p": None, "seed": 0, "max_tokens": JUDGE_TOKENS, "reasoning_effort": None}
    return settings.model_copy(update=changed)


class Judge:
    """The judge of an evaluation, as :class:`o1lab.evaluate.scorers.base.AskJudge`.

    Args:
        client: makes the calls.
        index: the judgements in the journal.
        concurrency: the maximum number of concurrent calls.
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
        if (known := self._index.find(key, asked)) is not None:
            return known
        async with self._slots:
            answer = await self._client.call(key, messages)
        if len(self._answers) == _REMEMBERED:
            del self._answers[next(iter(self._answers))]
        self._answers[key, asked] = replace(answer, thought="")
        return answer


async def open_scorer(
    stack: AsyncExitStack,
    lab: Lab,
    folder: EvalFolder,
    manager: ServerManager,
    *,
    settings: EvaluationSettings,
    context: Callable[[Journal], CallContext],
    store: Store,
) -> tuple[Scorer, bool]:
    """Open the scorer of an evaluation, with its judge if it has one.

    Args:
        stack: closes the scorer and the judge.
        lab: the lab of the evaluation.
        folder: the directory of the evaluation.
        manager: the servers of local models.
        settings: the settings of the evaluation.
        context: makes the call context of the judge from the judge's journal.
        store: the lab's database.

    Returns:
        The scorer, and whether the price of its judge is known.

    Raises:
        NotFoundError, LabError: the judge or its prompt is missing or cannot be opened, or the scorer's label differs
            from the evaluation's.
    """
    scored_by = folder.scored_by()
    if scored_by.judge is None:
        scorer = _same_label(make_scorer(scored_by.spec, store=store), scored_by, folder)
        return await stack.enter_async_context(scorer), True
    ref = find_model(lab, scored_by.judge, load_config(lab))
    judging = judge_settings(settings)
    check_priced(judging, [ref])
    identity = await asyncio.to_thread(identify, lab, ref)
    path = folder.judge_journal(_judge_hash(identity))
    index = await asyncio.to_thread(index_journal, path, lambda _items: set())
    shared = context(await stack.enter_async_context(Journal(path)))
    model = await open_model_client(ref, judging, manager, shared.control, shared.clock)
    model.prompt = ref.prompt
    client = await stack.enter_async_context(CompletionClient(judging, {_ROLE: model}, shared))
    prompt = restore_prompts(folder.prompts_file)[_PROMPT]
    judge = JudgeContext(Judge(client, index, judging.concurrency), judge_name(ref, identity), prompt)
    scorer = _same_label(make_scorer(scored_by.spec, judge=judge), scored_by, folder)
    return await stack.enter_async_context(scorer), model.price.known


def _same_label(scorer: Scorer, scored_by: ScoredBy, folder: EvalFolder) -> Scorer:
    """Return the scorer if it has the label of the evaluation's scores.

    Raises:
        LabError: the label differs, so the evaluation would not show the new scores.
    """
    if scorer.label != scored_by.label:
        raise LabError(
            f"The scorer has changed since this evaluation began: it was {scored_by.label}.",
            f"It is {scorer.label} now. Score the existing samples with it first: {folder.verb} --rescore {folder.id}",
        )
    return scorer


def choose_scorer(lab: Lab, spec: ScorerSpec, judge: str | None) -> tuple[ScoredBy, ModelRef | None]:
    """Choose the scorer of a specification, with its judge if it needs one.

    Raises:
        UsageError: a judge is needed and not named, or named and not needed.
        NotFoundError: there is no such model or prompt.
        LabError: the judge's key is missing, or its files cannot be read.
    """
    if not needs_judge(spec):
        if judge is not None:
            raise UsageError(f"The scorer '{spec.name}' uses no judge.", "Leave --judge out.")
        return ScoredBy(spec, scorer_label(spec, lab, None)), None
    if judge is None:
        raise UsageError("This suite is scored by a judge, but no judge is given.", "Name a model with --judge.")
    ref = find_model(lab, judge, load_config(lab))
    if ref.endpoint is not None:
        endpoint_address(ref.endpoint)
    return ScoredBy(spec, scorer_label(spec, lab, judge_name(ref, identify(lab, ref))), ref.id), ref


def keep_prompt(folder: EvalFolder, lab: Lab, spec: ScorerSpec) -> None:
    """Copy the current prompt of the judge to the evaluation; later changes to its file have no effect.

    Raises:
        OSError: the directory cannot be written.
    """
    if needs_judge(spec):
        keep_prompts(folder.prompts_file, {_PROMPT: judge_prompt(spec, lab)})


def judge_name(ref: ModelRef, identity: Identity) -> str:
    """Return the name of a judge in its scores.

    One name on two servers can be two models, so it contains the hash that names the journal.
    """
    return f"{ref.endpoint.model if ref.endpoint is not None else ref.id} {_judge_hash(identity)}"


def _judge_hash(identity: Identity) -> str:
    """Return a short hash of a judge and of its token limit."""
    decisive = [identity.revision, identity.template, JUDGE_TOKENS]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:8]
