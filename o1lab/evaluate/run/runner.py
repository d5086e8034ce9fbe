"""Runs an evaluation: samples side by side, stopped and paused by files, killed at any moment without loss.

A response is in the journal before it counts, and a sample is stored with its scores in one transaction. So an
evaluation resumes after a crash simply by starting again: samples that are stored are skipped, and the calls of others
that the journal knows are not made again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from o1lab.config import load_config
from o1lab.errors import LabError
from o1lab.evaluate.run import control as runs
from o1lab.evaluate.run import work_queue
from o1lab.evaluate.run.asking import SampleState, run_sample
from o1lab.evaluate.run.cache import CacheKeys
from o1lab.evaluate.run.directory import EvalFolder, EvalStatus
from o1lab.evaluate.run.identity import Identity, identify
from o1lab.evaluate.run.judging import open_scorer
from o1lab.evaluate.run.progress import EvalCounts
from o1lab.evaluate.run.result_writer import FinishedSample, ResultWriter, WrittenSample
from o1lab.evaluate.run.settings import EvaluationSettings
from o1lab.evaluate.run.token_counts import sizes, tokenizer_count
from o1lab.evaluate.run.work_queue import Ask, SoFar, Task
from o1lab.inference.backend import CallContext
from o1lab.inference.budget import Budget
from o1lab.inference.calls import CallKey, Message, Response, digest
from o1lab.inference.client import CompletionClient
from o1lab.inference.journal import Journal, JournalError
from o1lab.inference.models import ModelClient, check_priced, open_model_client
from o1lab.jobs.control import Clock, Control, RunStopped
from o1lab.jobs.pipeline import Feed, Reader, run_concurrently
from o1lab.jobs.runner import End, JobRunner, log_error
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import find_model
from store import evaluations
from store.connection import Store
from store.evaluations import NewSample

Converse = Callable[[SampleState], Awaitable[None]]


async def drive(
    lab: Lab,
    folder: EvalFolder,
    *,
    scores_only: bool = False,
    control: Control | None = None,
    watch: Callable[[EvalStatus], None] | None = None,
    clock: Clock | None = None,
    manager: ServerManager | None = None,
) -> EvalStatus:
    """Work on an evaluation to its end, in this process; its last status.

    Args:
        scores_only: score what is stored and has no score; the model is not asked for anything.
        control: stops or pauses it without a file.
        watch: called with each new status, from the event loop.
        manager: whose servers to use, left running; without it servers end with the evaluation.

    Raises:
        UsageError: another process works on it.
        LabError: a model cannot be opened or is not the same any more, the disk is full, the database refuses.
    """
    runner = _Evaluation(
        lab, folder, scores_only=scores_only, manager=manager, control=control, watch=watch, clock=clock
    )
    return await runner.work()


@dataclass
class _OpenModel:
    """The model that is evaluated, and how a conversation with it is held."""

    client: ModelClient
    converse: Converse


class _Evaluation(JobRunner[EvalStatus, EvaluationSettings]):
    folder: EvalFolder
    counts: EvalCounts

    def __init__(
        self, lab: Lab, folder: EvalFolder, *, scores_only: bool, manager: ServerManager | None, **more: Any
    ) -> None:
        super().__init__(lab, folder, EvalCounts(), **more)
        self._scores_only = scores_only
        self._manager = manager
        self._read = Reader()
        self._before: EvalStatus | None = None
        self._to_score = 0
        self._broken = 0
        self._served: list[str] = []

    async def execute(self, stack: AsyncExitStack, store: Store, before: EvalStatus | None) -> None:
        self._before = before
        stack.callback(self._read.close)
        scored_by, identity = self.folder.scored_by(), self.folder.identity()
        known = runs.register(self.lab, self.folder, store)
        if known.scorer != scored_by.label:  # a kill came between the writes of the folder and of the row
            with store.explained():
                evaluations.set_scorer(store.db, known.id, scored_by.label)
        again = scored_by.judge is not None or self._scores_only
        so_far = await self._read(work_queue.look, self.folder, store, scored_by.label, again=again)
        self._to_score = len(so_far.to_score)
        self.counts.requested = known.items * known.samples
        self.counts.start_from(so_far.tally, so_far.failed, before)
        self.counts.usage.add(so_far.usage)
        budget = Budget(self.control, self.counts.usage, self.settings.budget_usd, self.settings.budget_tokens)
        manager = self._manager
        if manager is None:
            manager = await stack.enter_async_context(ServerManager(self.lab))
        self.priced = not self._scores_only or before is None or before.priced
        if doubt := self.settings.doubt():
            self.counts.note(doubt)

        def context(journal: Journal) -> CallContext:
            return CallContext(journal, self.control, budget, self.counts, self.clock)

        model = None if self._scores_only else await self._open_model(stack, manager, context, identity, so_far)
        scorer = await open_scorer(stack, self.lab, self.folder, manager, settings=self.settings, context=context)
        self.priced = self.priced and scorer.priced
        count = await self._read(tokenizer_count, identity.folder)
        self.begin()
        keys = CacheKeys(identity, self.settings)
        batches = work_queue.to_do(self.folder, store, so_far, keys, None if self._scores_only else known.samples)

        async def finish(task: Task) -> FinishedSample | None:
            if not isinstance(task, Ask):
                return await self._read(task.fetch, store)
            assert model is not None  # noqa: S101 - such tasks are made only where a model is asked
            one = SampleState(task.item, task.sample, task.key, so_far.index.usage(task.item.id, task.sample))
            return FinishedSample(task.item, asked=one) if await self._converse(model.converse, one) else None

        async with ResultWriter(
            store, self.folder.id, scorer.scorer,
            make=lambda one: as_sample(one, count, model.client if model else None),
            on_written=self._count, log=self.folder.log,
        ) as writer:  # fmt: skip
            await run_concurrently(
                Feed(batches, self._read), finish, writer.put, self.control,
                workers=min(self.settings.concurrency, max(1, self.counts.requested)),
            )  # fmt: skip
        self._broken = writer.broken

    def _end(self) -> End:
        """An evaluation that has more to ask does not finish by scoring what is stored: its state stays."""
        end, before, seen = super()._end(), self._before, self.counts
        left = seen.requested - seen.done - seen.failed
        if end.state != "finished" or not self._scores_only or left <= 0:
            return end
        state, stopped_by = "stopped", "interrupt"  # of one that was killed
        if before is not None and before.state in ("stopped", "failed"):
            state, stopped_by = before.state, before.stopped_by or ""
        message = f"What is stored has been scored; {left} samples have not been asked for. {end.message}".strip()
        return End(state, stopped_by or None, message, self.folder.resume_hint)

    def left_over(self) -> str:
        if self._broken:
            return f"The scorer broke at {self._broken} samples, which stay unscored: see {self.folder.log}."
        if self.folder.scored_by().spec.name == "human":
            return f"People mark its samples: o1lab eval rate {self.folder.id}"
        if self._scores_only and not self._to_score:
            return f"There was nothing to do: every sample has been scored by {self.folder.scored_by().label}."
        return ""

    def _count(self, one: WrittenSample) -> None:
        served = one.sample.meta.get("served_model")
        if served and served not in self._served:
            self._served.append(served)
            if len(self._served) == 2:  # an alias that was moved to another model, say
                self.counts.note(f"The server answered as {self._served[0]}, and then as {served}.")
        if one.rescored:
            self.counts.scored(one.outcome)
        else:
            sample = one.sample
            self.counts.count_sample(sample.item, sample.sample, one.outcome, self.clock, cached=sample.cached)

    async def _open_model(
        self,
        stack: AsyncExitStack,
        manager: ServerManager,
        context: Callable[[Journal], CallContext],
        identity: Identity,
        so_far: SoFar,
    ) -> _OpenModel:
        """Open the model that is evaluated.

        Raises:
            LabError: it is not the one the evaluation began with, or cannot be opened.
        """
        settings, forced = self.settings, self.settings.force_answer
        ref = find_model(self.lab, settings.model, load_config(self.lab))
        now = await self._read(identify, self.lab, ref)
        if (now.revision, now.template) != (identity.revision, identity.template):
            raise LabError(
                f"{ref.id} is not the model any more that this evaluation began with: it was {identity.revision}.",
                f"It is {now.revision} now. Start a new evaluation.",
            )
        check_priced(settings, [ref])  # the lab's prices may have changed
        model = await open_model_client(ref, settings, manager, self.control, self.clock)
        self.priced = model.price.known
        shared = context(await stack.enter_async_context(Journal(self.folder.journal)))

        async def client(max_tokens: int) -> CompletionClient:
            limited = settings.model_copy(update={"max_tokens": max_tokens})
            return await stack.enter_async_context(CompletionClient(limited, {"teacher": model}, shared))

        plain = await client(settings.max_tokens)
        last_word = await client(forced) if forced else plain

        async def converse(one: SampleState) -> None:
            async def ask(turn: int, messages: Sequence[Message], *, forced: bool = False) -> Response:
                key = CallKey(one.item.id, one.sample, turn)
                known = so_far.index.find(key)
                if known is not None and known.asked == digest("teacher", messages):
                    return known
                return await (last_word if forced else plain).call(key, messages, on_attempt=one.usage.add)

            await run_sample(one, ask, force=forced is not None)

        return _OpenModel(model, converse)

    async def _converse(self, converse: Converse, one: SampleState) -> bool:
        """Hold one conversation; False when the evaluation ended before it did."""
        try:
            await converse(one)
        except RunStopped:
            return False
        except JournalError:
            raise  # nothing more can be kept
        except Exception as error:
            one.fail(f"internal: {type(error).__name__}: {error}"[:200])
            log_error(self.folder.log, error)
        return True


def as_sample(one: SampleState, count: Callable[[str], int] | None, model: ModelClient | None) -> NewSample:
    """A conversation as it is stored. Its cost is that of all attempts, its tokens those of its responses."""
    seen = sizes(one.responses, one.turns, count, hidden=model is not None and model.hidden_thoughts)
    last = one.responses[-1] if one.responses else None
    meta: dict[str, Any] = {"calls": len(one.responses)}
    if last is not None:
        meta |= {
            "finish_reason": last.finish_reason, "served_model": last.model, "asked_at": one.responses[0].asked_at,
            "options": last.options or {},
        }  # fmt: skip
    if one.forced:
        meta["forced"] = True
    return NewSample(
        one.item.id, one.sample, one.state, tuple(one.turns), one.key, one.reason,
        input_tokens=seen.input, output_tokens=seen.output, thought_tokens=seen.thought, estimated=seen.estimated,
        cost_usd=one.usage.cost_usd, seconds=round(sum(each.seconds for each in one.responses), 4), meta=meta,
    )  # fmt: skip
