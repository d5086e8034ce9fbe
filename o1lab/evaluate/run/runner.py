"""Runs an evaluation: concurrent samples, paused and stopped by control files, without loss when killed.

A response is written to the journal before it counts, and a sample is stored with its score in one transaction. An
evaluation therefore resumes after a crash by starting again: stored samples are skipped, and calls in the journal are
not made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

from o1lab.config import load_config
from o1lab.errors import LabError, internal_reason
from o1lab.evaluate.run.asking import SampleState, run_sample
from o1lab.evaluate.run.control import register
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.judging import open_scorer
from o1lab.evaluate.run.result_writer import FinishedSample, ResultWriter, WrittenSample
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.run.token_counts import sizes, tokenizer_count
from o1lab.evaluate.run.work_queue import Ask, CacheKeys, Progress, Task, read_progress, to_do
from o1lab.inference.calls import CallKey, Message, Response, digest
from o1lab.inference.client import CompletionClient
from o1lab.inference.continuing import require_continuing
from o1lab.inference.journal import Journal, JournalError
from o1lab.inference.limits import rough_tokens
from o1lab.inference.models import ModelClient, check_priced, open_model_client
from o1lab.inference.runner import AskingRunner
from o1lab.jobs.control import Clock, RunStopped
from o1lab.jobs.pipeline import Feed, StoreThread, run_concurrently
from o1lab.jobs.progress import Counts
from o1lab.jobs.runner import End, log_error
from o1lab.paths import Lab
from o1lab.serve.identity import Identity, identify
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import find_model
from store import evaluations
from store.connection import Store
from store.evaluations import OUTCOMES, NewSample, Tally

Converse = Callable[[SampleState], Awaitable[None]]
_COUNTED = tuple(outcome for outcome in OUTCOMES if outcome != "failed")


@dataclass
class EvalCounts(Counts):
    """The counts of an evaluation; ``done`` counts every sample that did not fail."""

    incomplete: int = 0
    unextracted: int = 0
    unscored: int = 0
    cached: int = 0
    OF_SAMPLES: ClassVar[tuple[str, ...]] = (*Counts.OF_SAMPLES, "incomplete", "unextracted", "unscored", "cached")

    def start_from(self, so_far: Tally, failed: set[tuple[str, int]], before: EvalStatus | None) -> None:
        """Continue the counts of an evaluation.

        Args:
            so_far: the outcomes of the stored samples.
            failed: the samples that are repeated.
            before: the status at the end of the last session.
        """
        self.continue_from(failed, before)
        for outcome in _COUNTED:
            setattr(self, outcome, so_far.outcomes[outcome])
        self.done = so_far.total - so_far.outcomes["failed"]
        self.cached = so_far.cached

    def count_sample(self, item: str, sample: int, outcome: str, clock: Clock, *, cached: bool) -> None:
        """Count a sample that has a result."""
        self.count_end(item, sample, clock, failed=outcome == "failed")
        self.cached += cached
        if outcome != "failed":
            setattr(self, outcome, getattr(self, outcome) + 1)

    def scored(self, outcome: str) -> None:
        """Count a stored sample that was scored."""
        self.unscored -= 1
        setattr(self, outcome, getattr(self, outcome) + 1)


@dataclass
class _OpenModel:
    """The model under evaluation and how to run a conversation with it."""

    client: ModelClient
    converse: Converse


class EvaluationRunner(AskingRunner[EvalStatus, EvaluationSettings]):
    """One session of an evaluation.

    Args:
        lab: the lab of the evaluation.
        folder: the directory of the evaluation.
        scores_only: score stored samples that have no score; make no calls to the model.
        more: arguments of :class:`~o1lab.inference.runner.AskingRunner`.
    """

    folder: EvalFolder
    counts_type = EvalCounts
    counts: EvalCounts

    def __init__(self, lab: Lab, folder: EvalFolder, *, scores_only: bool = False, **more: Any) -> None:
        super().__init__(lab, folder, **more)
        self._scores_only = scores_only
        self._read = StoreThread()
        self._before: EvalStatus | None = None
        self._to_score = 0
        self._broken = 0
        self._served: list[str] = []

    async def execute(self, stack: AsyncExitStack, store: Store, before: EvalStatus | None) -> None:
        self._before = before
        stack.callback(self._read.close)
        scored_by, identity = self.folder.scored_by(), self.folder.identity()
        known = register(self.lab, self.folder, store)
        if known.scorer != scored_by.label:  # killed between writing the directory and the row
            with store.explained():
                evaluations.update(store.db, known.id, scorer=scored_by.label)
        again = scored_by.judge is not None or self._scores_only
        so_far = await self._read(read_progress, self.folder, store, scored_by.label, retry_unscored=again)
        self._to_score = len(so_far.to_score)
        self.counts.requested = known.items * known.samples
        self.counts.start_from(so_far.tally, so_far.failed, before)
        self.counts.usage.add(so_far.usage)
        manager = await self.servers(stack)
        self.priced = not self._scores_only or before is None or before.priced
        if doubt := self.settings.doubt():
            self.counts.note(doubt)
        if self.settings.system is None and identity.system_prompt and self.folder.suite().system:
            self.counts.note("The suite's own system message is used, not that of the student's run.")

        model = None if self._scores_only else await self._open_model(stack, manager, identity, so_far)
        scorer, priced = await open_scorer(
            stack, self.lab, self.folder, manager, settings=self.settings, context=self.context, store=store
        )
        self.priced = self.priced and priced
        count = await self._read(tokenizer_count, identity.folder)
        self.begin()
        keys = CacheKeys(identity, self.settings)
        batches = to_do(self.folder, store, so_far, keys, None if self._scores_only else known.samples)

        async def finish(task: Task) -> FinishedSample | None:
            if not isinstance(task, Ask):
                return await self._read(task.fetch, store)
            assert model is not None  # noqa: S101 - such tasks exist only if a model is asked
            one = SampleState(
                task.item, task.sample, task.key, keys.system(task.item),
                so_far.index.usage(task.item.id, task.sample),
            )  # fmt: skip
            return FinishedSample(task.item, asked=one) if await self._converse(model.converse, one) else None

        async with ResultWriter(
            store, self.folder.id, scorer,
            make=lambda one: as_sample(one, count, model.client if model else None),
            on_stored=self._count, log=self.folder.log,
        ) as writer:  # fmt: skip
            await run_concurrently(Feed(batches, self._read), finish, writer.put, self.control, workers=self.workers)
        self._broken = writer.broken

    def _end(self) -> End:
        """Scoring the stored samples does not finish an evaluation that has more samples to ask: it keeps its state."""
        end, before, seen = super()._end(), self._before, self.counts
        left = seen.requested - seen.done - seen.failed
        if end.state != "finished" or not self._scores_only or left <= 0:
            return end
        state, stopped_by = "stopped", "interrupt"  # of a killed evaluation
        if before is not None and before.state in ("stopped", "failed"):
            state, stopped_by = before.state, before.stopped_by or ""
        message = f"The stored samples are scored; {left} samples have not been asked. {end.message}".strip()
        return End(state, stopped_by or None, message, self.folder.resume_hint)

    def left_over(self) -> str:
        if self._broken:
            return f"The scorer failed on {self._broken} samples, which stay unscored: see {self.folder.log}."
        if self.folder.scored_by().spec.name == "human":
            return f"Its samples are marked by people: o1lab eval rate {self.folder.id}"
        if self._scores_only and not self._to_score:
            return f"Nothing to do: every sample has been scored by {self.folder.scored_by().label}."
        return ""

    def _count(self, one: WrittenSample) -> None:
        served = one.sample.meta.get("served_model")
        if served and served not in self._served:
            self._served.append(served)
            if len(self._served) == 2:  # for example an alias that now points to another model
                self.counts.note(f"The server reported the model {self._served[0]} first, then {served}.")
        if one.rescored:
            self.counts.scored(one.outcome)
        else:
            sample = one.sample
            self.counts.count_sample(sample.item, sample.sample, one.outcome, self.clock, cached=sample.cached)

    async def _open_model(
        self, stack: AsyncExitStack, manager: ServerManager, identity: Identity, so_far: Progress
    ) -> _OpenModel:
        """Open the evaluated model.

        Raises:
            LabError: the model has changed since the evaluation began, or cannot be opened.
        """
        settings = self.settings
        ref = find_model(self.lab, settings.model, load_config(self.lab))
        now = await self._read(identify, self.lab, ref)
        if (now.revision, now.template) != (identity.revision, identity.template):
            raise LabError(
                f"The model {ref.id} has changed since this evaluation began: it was {identity.revision}.",
                f"It is {now.revision} now. Start a new evaluation.",
            )
        check_priced(settings, [ref])  # the lab's prices may have changed
        model = await open_model_client(ref, settings, manager, self.control, self.clock)
        self.priced = model.price.known
        shared = self.context(await stack.enter_async_context(Journal(self.folder.journal)))

        if settings.forcing is not None:
            require_continuing(model.target, ref.id)
        client = await stack.enter_async_context(CompletionClient(settings, {"teacher": model}, shared))
        size = await self._read(tokenizer_count, identity.folder) or rough_tokens

        async def converse(one: SampleState) -> None:
            async def ask(call: int, messages: Sequence[Message], *, limit: int | None = None) -> Response:
                key = CallKey(one.item.id, one.sample, call)
                if (known := so_far.index.find(key, digest("teacher", messages))) is not None:
                    return known
                return await client.call(key, messages, on_attempt=one.usage.add, max_tokens=limit)

            await run_sample(one, ask, last_word=settings.force_answer, forcing=settings.forcing, size=size)

        return _OpenModel(model, converse)

    async def _converse(self, converse: Converse, one: SampleState) -> bool:
        """Run one conversation; return False if the evaluation was stopped first."""
        try:
            await converse(one)
        except RunStopped:
            return False
        except JournalError:
            raise  # responses can no longer be stored
        except Exception as error:
            one.fail(internal_reason(error))
            log_error(self.folder.log, error)
        return True


def as_sample(one: SampleState, count: Callable[[str], int] | None, model: ModelClient | None) -> NewSample:
    """Make the row of a conversation. Its cost covers all attempts, its tokens only the responses."""
    tokens = sizes(one.responses, one.turns, count, hidden=model is not None and model.hidden_thoughts)
    last = one.responses[-1] if one.responses else None
    meta: dict[str, Any] = {"calls": len(one.responses)}
    if last is not None:
        meta |= {
            "finish_reason": last.finish_reason, "served_model": last.model, "asked_at": one.responses[0].asked_at,
            "options": last.options or {},
        }  # fmt: skip
    if one.system:
        meta["system"] = one.system
    if one.forced:
        meta["forced"] = True
    if one.waits:
        meta["waits"] = one.waits
    return NewSample(
        one.item.id, one.sample, one.state, tuple(one.turns), one.key, one.reason,
        input_tokens=tokens.input, output_tokens=tokens.output, thought_tokens=tokens.thought,
        dropped_tokens=one.dropped,
        estimated=tokens.estimated,
        cost_usd=one.usage.cost_usd, seconds=round(sum(each.seconds for each in one.responses), 4), meta=meta,
    )  # fmt: skip
