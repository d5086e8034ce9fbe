"""Asking a judge: concurrently, within the same budget, and every judgement in a journal before it counts."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from o1lab.config import load_config
from o1lab.errors import LabError, UsageError
from o1lab.evaluate.run.directory import EvalFolder, ScoredBy
from o1lab.evaluate.run.identity import Identity, identify
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.scorers import JudgeContext, judge_prompt, make_scorer, needs_judge, scorer_label
from o1lab.evaluate.scorers.protocol import Scorer
from o1lab.evaluate.suites.suite import ScorerSpec
from o1lab.inference.calls import CallKey, Message, Response, Role, digest
from o1lab.inference.client import CompletionClient
from o1lab.inference.journal import Journal, JournalIndex, index_journal
from o1lab.inference.models import check_priced, open_model_client
from o1lab.inference.prompts import keep_prompts, restore_prompts
from o1lab.inference.rate_limit import Budget, Clock, Control
from o1lab.jobs.progress import Counts
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import ModelRef, endpoint_key, find_model

JUDGE_TOKENS = 4096
"""A judge may think before it says its verdict."""
_ROLE: Role = "teacher"
_PROMPT = "judge"
_REMEMBERED = 8192
"""Answers of this session that are kept: as many as are asked for at once, twice each."""


def judge_settings(settings: EvaluationSettings) -> EvaluationSettings:
    """Settings of the calls to a judge: greedy, within the evaluation's rates and budget."""
    changed = {"temperature": 0.0, "top_p": None, "seed": 0, "max_tokens": JUDGE_TOKENS, "reasoning_effort": None}
    return settings.model_copy(update=changed)


class Judge:
    """The judge of an evaluation, as :class:`o1lab.evaluate.scorers.protocol.AskJudge`."""

    def __init__(self, teacher: CompletionClient, index: JournalIndex, seats: int) -> None:
        self._teacher = teacher
        self._index = index
        self._seats = asyncio.Semaphore(seats)
        self._said: dict[tuple[CallKey, str], Response] = {}

    async def __call__(self, key: CallKey, messages: Sequence[Message]) -> Response:
        asked = digest(_ROLE, messages)
        if (said := self._said.get((key, asked))) is not None:
            return said
        known = self._index.find(key)
        if known is not None and known.asked == asked:
            return known
        async with self._seats:
            said = await self._teacher.call(key, messages)
        if len(self._said) == _REMEMBERED:
            del self._said[next(iter(self._said))]
        self._said[key, asked] = replace(said, thought="")
        return said


@dataclass(frozen=True, slots=True)
class OpenScorer:
    """A scorer that is ready; ``priced`` is whether what its judge costs is known."""

    scorer: Scorer
    priced: bool = True


async def open_scorer(
    held: AsyncExitStack,
    lab: Lab,
    folder: EvalFolder,
    manager: ServerManager,
    *,
    settings: EvaluationSettings,
    control: Control,
    budget: Budget,
    progress: Counts,
    clock: Clock,
) -> OpenScorer:
    """The scorer of an evaluation, its judge opened where it has one; ``held`` closes all of it.

    Raises:
        NotFoundError, LabError: the judge or its prompt is not there, or cannot be opened; or the scores would have
            another label than the evaluation's.
    """
    who = folder.scored_by()
    if who.judge is None:
        return OpenScorer(await held.enter_async_context(_as_before(make_scorer(who.spec), who, folder)))
    ref = find_model(lab, who.judge, load_config(lab))
    asking = judge_settings(settings)
    check_priced(asking, [ref])
    identity = await asyncio.to_thread(identify, lab, ref)
    path = folder.judge_journal(_short(identity))
    index = await asyncio.to_thread(index_journal, path, lambda _items: set())
    journal = await held.enter_async_context(Journal(path))
    voice = await open_model_client(ref, asking, manager, control, clock)
    teacher = await held.enter_async_context(
        CompletionClient(
            asking, {_ROLE: voice}, journal=journal, control=control, budget=budget, progress=progress, clock=clock
        )
    )
    prompt = restore_prompts(folder.prompts_file)[_PROMPT]
    context = JudgeContext(Judge(teacher, index, asking.concurrency), judge_name(ref, identity), prompt)
    scorer = await held.enter_async_context(_as_before(make_scorer(who.spec, judge=context), who, folder))
    return OpenScorer(scorer, voice.price.known)


def _as_before(scorer: Scorer, who: ScoredBy, folder: EvalFolder) -> Scorer:
    """The scorer, if its scores go under the label that the evaluation shows.

    Raises:
        LabError: they would be lost to sight.
    """
    if scorer.label != who.label:
        raise LabError(
            f"The scorer is not the one any more that this evaluation began with: it was {who.label}.",
            f"It is {scorer.label} now. Score what is there with it, then go on: {folder.verb} --rescore {folder.id}",
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
