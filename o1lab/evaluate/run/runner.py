"""Driving an evaluation: samples side by side, stopped and paused by files, killed at any moment without loss.

A response is journalled before it counts, and a sample is stored with its scores in one transaction. So going on after
a crash is nothing but starting again: samples that are stored are passed over, and the calls of others that the
journal knows are not made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

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
from o1lab.inference.calls import CallKey, Message, Response, RunStopped, digest
from o1lab.inference.client import CompletionClient
from o1lab.inference.journal import Journal, JournalError
from o1lab.inference.models import ModelClient, check_priced, open_model_client
from o1lab.inference.rate_limit import Budget, Clock, Control
from o1lab.jobs.runner import End, JobRunner, log_error
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from o1lab.serve.registry import find_model
from store import evaluations
from store.connection import Store
from store.evaluations import NewSample

P = ParamSpec("P")
T = TypeVar("T")
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
    """Do an evaluation from where it stands to its end, in this process; its last status.

    Args:
        scores_only: score what is stored and was not scored; the model is not asked for anything.
        control: for whoever wants to stop or pause it without a file.
        watch: called with each new status, from the event loop.
        manager: whose servers to use, left running; without it servers end with the evaluation.

    Raises:
        UsageError: another process works on it.
        LabError: a model cannot be opened or is not the same any more, the disk is full, the database refuses.
    """
    driver = _Evaluation(lab, folder, EvalCounts(), control=control, watch=watch, clock=clock)
    driver.scores_only, driver.manager = scores_only, manager
    return await driver.work()


@dataclass
class _Asked:
    """The model that is asked: how a conversation is held, and what its samples say of it."""

    converse: Converse
    voice: ModelClient


class _Evaluation(JobRunner[EvalStatus, EvaluationSettings]):
    folder: EvalFolder
    counts: EvalCounts
    scores_only = False
    manager: ServerManager | None = None

    async def do(self, held: AsyncExitStack, store: Store, before: EvalStatus | None) -> None:
        self._served: list[str] = []
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
        held.callback(self._reader.shutdown)
        scored_by, identity = self.folder.scored_by(), self.folder.identity()
        known = runs.register(self.lab, self.folder, store)
        if known.scorer != scored_by.label:  # a kill came between the folder's word and the row's
            with store.explained():
                evaluations.set_scorer(store.db, known.id, scored_by.label)
        again = scored_by.judge is not None or self.scores_only
        so_far = await self._read(work_queue.look, self.folder, store, scored_by.label, again=again)
        self._to_score = len(so_far.to_score)
        self.counts.requested = known.items * known.samples
        self.counts.start_from(so_far.tally, so_far.failed, before)
        self.counts.paid(so_far.spent.input_tokens, so_far.spent.output_tokens, so_far.spent.cost_usd)
        budget = Budget(self.control, self.settings.budget_usd, self.settings.budget_tokens)
        budget.spend(self.counts.input_tokens + self.counts.output_tokens, self.counts.cost_usd)
        manager = self.manager
        if manager is None:
            manager = await held.enter_async_context(ServerManager(self.lab))
        self.priced = not self.scores_only or before is None or before.priced
        if doubt := self.settings.doubt():
            self.counts.note(doubt)
        asked = None if self.scores_only else await self._open_model(held, manager, budget, identity, so_far)
        scorer = await open_scorer(
            held, self.lab, self.folder, manager,
            settings=self.settings, control=self.control, budget=budget, progress=self.counts, clock=self.clock,
        )  # fmt: skip
        self.priced = self.priced and scorer.priced
        count = await self._read(tokenizer_count, identity.folder)
        self.begin()
        landing = ResultWriter(
            store, self.folder.id, scorer.scorer,
            make=lambda one: as_sample(one, count, asked.voice if asked else None),
            landed=self._landed, log=self.folder.log,
        )  # fmt: skip
        keys = CacheKeys(identity, self.settings)
        batches = work_queue.to_do(self.folder, store, so_far, keys, None if self.scores_only else known.samples)
        async with landing:
            await self._work_off(landing, _Feed(batches, self._read), store, asked, so_far)
        self._broken = landing.broken
        self._before = before

    def _end(self) -> End:
        """Scoring what is stored finishes no evaluation that has more to ask: it stays as it was."""
        end, before, seen = super()._end(), self._before, self.counts
        left = seen.requested - seen.done - seen.failed
        if end.state != "finished" or not self.scores_only or left <= 0:
            return end
        state, stopped_by = "stopped", "interrupt"  # of one that was killed
        if before is not None and before.state in ("stopped", "failed"):
            state, stopped_by = before.state, before.stopped_by or ""
        message = f"What is stored has been scored; {left} samples have not been asked for. {end.message}".strip()
        return End(state, stopped_by or None, message, self.folder.again)

    def left_over(self) -> str:
        if self._broken:
            return f"The scorer broke at {self._broken} samples, which stay unscored: see {self.folder.log}."
        if self.folder.scored_by().spec.name == "human":
            return f"People mark its samples: o1lab eval rate {self.folder.id}"
        if self.scores_only and not self._to_score:
            return f"There was nothing to do: every sample has been scored by {self.folder.scored_by().label}."
        return ""

    async def _read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it in the thread that reads: its connection to the store is its own."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, lambda: function(*args, **kwargs))

    def _landed(self, one: WrittenSample) -> None:
        served = one.sample.meta.get("served_model")
        if served and served not in self._served:
            self._served.append(served)
            if len(self._served) == 2:  # an alias that was moved to another model, say
                self.counts.note(f"The server answered as {self._served[0]}, and then as {served}.")
        if one.anew:
            self.counts.scored(one.outcome)
        else:
            sample = one.sample
            self.counts.landed(sample.item, sample.sample, one.outcome, self.clock, cached=sample.cached)

    async def _open_model(
        self, held: AsyncExitStack, manager: ServerManager, budget: Budget, identity: Identity, so_far: SoFar
    ) -> _Asked:
        """Open the model that is asked.

        Raises:
            LabError: it is not the one the evaluation began with, or cannot be opened.
        """
        ref = find_model(self.lab, self.settings.model, load_config(self.lab))
        now = await self._read(identify, self.lab, ref)
        if (now.revision, now.template) != (identity.revision, identity.template):
            raise LabError(
                f"{ref.id} is not the model any more that this evaluation began with: it was {identity.revision}.",
                f"It is {now.revision} now. Start a new evaluation.",
            )
        forced = self.settings.force_answer
        check_priced(self.settings, [ref])  # the lab's prices may have changed
        voice = await open_model_client(ref, self.settings, manager, self.control, self.clock)
        self.priced = voice.price.known
        writer = await held.enter_async_context(Journal(self.folder.journal))

        async def teacher(max_tokens: int) -> CompletionClient:
            made = CompletionClient(
                self.settings.model_copy(update={"max_tokens": max_tokens}), {"teacher": voice},
                journal=writer, control=self.control, budget=budget, progress=self.counts, clock=self.clock,
            )  # fmt: skip
            return await held.enter_async_context(made)

        plain = await teacher(self.settings.max_tokens)
        last_word = await teacher(forced) if forced else plain

        async def converse(one: SampleState) -> None:
            async def ask(turn: int, messages: Sequence[Message], *, forced: bool = False) -> Response:
                key = CallKey(one.item.id, one.sample, turn)
                known = so_far.index.find(key)
                if known is not None and known.asked == digest("teacher", messages):
                    return known
                return await (last_word if forced else plain).call(key, messages, on_attempt=one.spent.add)

            await run_sample(one, ask, force=forced is not None)

        return _Asked(converse, voice)

    async def _work_off(
        self, landing: ResultWriter, feed: _Feed, store: Store, asked: _Asked | None, so_far: SoFar
    ) -> None:
        """Do all tasks, ``concurrency`` at a time."""

        async def one_after_another() -> None:
            while not self.control.stopping.is_set() and (task := await feed.take()) is not None:
                if isinstance(task, Ask):
                    assert asked is not None  # noqa: S101 - such tasks are made only where a model is asked
                    one = SampleState(task.item, task.sample, task.key, so_far.index.spent(task.item.id, task.sample))
                    if not await self._hold(asked.converse, one):
                        continue
                    ended = FinishedSample(task.item, held=one)
                else:
                    ended = await self._read(task.fetch, store)
                try:
                    await landing.put(ended)
                except Exception:  # said on leaving the landing; until then calls in flight get into the journal
                    self.control.stop("lab")
                    return

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(self.settings.concurrency, max(1, self.counts.requested))):
                    tasks.create_task(one_after_another())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None  # they fail for the same reason: a disk, a database

    async def _hold(self, converse: Converse, one: SampleState) -> bool:
        """Hold one conversation; False when the run ended before it did."""
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


class _Feed:
    """Hands tasks out one by one; batches of them are read in the reading thread."""

    def __init__(self, batches: Iterator[list[Task]], read: Callable[..., Awaitable[Any]]) -> None:
        self._batches = batches
        self._read = read
        self._tasks: list[Task] = []
        self._turn = asyncio.Lock()

    async def take(self) -> Task | None:
        """The next task, None when there is none left."""
        async with self._turn:
            while not self._tasks:
                batch: list[Task] | None = await self._read(next, self._batches, None)
                if batch is None:
                    return None
                self._tasks = batch[::-1]
            return self._tasks.pop()


def as_sample(one: SampleState, count: Callable[[str], int] | None, voice: ModelClient | None) -> NewSample:
    """A conversation as it is stored. Its money is that of all its tries, its tokens those of what it came to."""
    seen = sizes(one.responses, one.turns, count, hidden=voice is not None and voice.hidden_thoughts)
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
        cost_usd=one.spent.cost_usd, seconds=round(sum(each.seconds for each in one.responses), 4), meta=meta,
    )  # fmt: skip
