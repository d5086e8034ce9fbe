"""Driving a teacher run: conversations side by side, stopped and paused by files, killed at any moment without loss.

A response is journalled before it counts, and a sample's row in the lab is written in one transaction. So going on
after a crash is nothing but starting again: samples with a row are passed over, conversations that had begun are held
again, and the calls of theirs that the journal knows are not made again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from o1lab.distill import work_queue
from o1lab.distill.engines.offline import ReplayClient
from o1lab.distill.method import Method, SourceItem
from o1lab.distill.methods import make_method
from o1lab.distill.result_writer import Conversation, ResultWriter, TraceOrigin
from o1lab.distill.runs import register
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import O1LabError, UsageError
from o1lab.inference.calls import CallKey, Message, Response, Role, RunStopped, digest
from o1lab.inference.client import CompletionBackend, CompletionClient
from o1lab.inference.journal import Journal, JournalError, JournalIndex, index_journal
from o1lab.inference.models import ModelClient, check_priced, open_models
from o1lab.inference.prompts import Prompt, restore_prompts
from o1lab.inference.rate_limit import Budget, Clock, Control
from o1lab.inference.settings import Engine
from o1lab.jobs.directory import RunFolder, TeacherRunStatus
from o1lab.jobs.progress import Progress
from o1lab.jobs.runner import JobRunner, log_error
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager
from store import teacher_runs
from store.connection import Store

OnStatus = Callable[[TeacherRunStatus], None]


@dataclass
class Job:
    """All that an engine may need of a run."""

    lab: Lab
    folder: RunFolder
    settings: TeacherRunSettings
    store: Store
    prompts: Mapping[str, Prompt]
    method: Method
    voices: Mapping[Role, ModelClient]
    journal: Journal
    control: Control
    budget: Budget
    progress: Progress
    clock: Clock
    index: JournalIndex
    reader: ThreadPoolExecutor
    """A thread for reading the store: its connection is its own."""

    async def to_do(self) -> AsyncIterator[tuple[SourceItem, int]]:
        """(item, sample) pairs that have not come to an end, in the run's order."""
        batches: Iterator[list[tuple[SourceItem, int]]] = work_queue.pending(self.folder, self.store, self.settings)
        loop = asyncio.get_running_loop()
        while (batch := await loop.run_in_executor(self.reader, next, batches, None)) is not None:
            for pair in batch:
                yield pair

    async def reindex(self) -> None:
        """Read the journal again, after an engine wrote responses into it by another way than ``call``."""
        loop = asyncio.get_running_loop()
        self.index = await loop.run_in_executor(self.reader, _index, self.folder, self.store)


def _index(folder: RunFolder, store: Store) -> JournalIndex:
    return index_journal(folder.journal, lambda items: teacher_runs.ended(store.db, folder.id, items))


EngineMaker = Callable[[Job], AbstractAsyncContextManager[CompletionBackend]]


def _local(job: Job) -> AbstractAsyncContextManager[CompletionBackend]:
    return CompletionClient(
        job.settings, job.voices,
        journal=job.journal, control=job.control, budget=job.budget, progress=job.progress, clock=job.clock,
        stream=job.settings.stream,
    )  # fmt: skip


def _batch(job: Job) -> AbstractAsyncContextManager[CompletionBackend]:
    from o1lab.distill.engines.batch_api import BatchEngine

    return BatchEngine(job)


def _ray(job: Job) -> AbstractAsyncContextManager[CompletionBackend]:
    from o1lab.distill.engines.ray import RayEngine

    return RayEngine(job)


ENGINES: dict[Engine, EngineMaker] = {"local": _local, "batch": _batch, "ray": _ray}
"""The engines by name. :class:`~o1lab.distill.engines.offline.OfflineEngine` fills the journal on entry."""


async def drive(
    lab: Lab,
    folder: RunFolder,
    *,
    control: Control | None = None,
    watch: OnStatus | None = None,
    clock: Clock | None = None,
) -> TeacherRunStatus:
    """Do a run from where it stands to its end, in this process; its last status.

    Args:
        control: for whoever wants to stop or pause it without a file.
        watch: called with each new status, from the event loop.

    Raises:
        UsageError: another process works on it, or its engine is not there.
        LabError: its model cannot be opened, the disk is full, the database refuses. The status says so as well.
    """
    return await _Run(lab, folder, Progress(), control=control, watch=watch, clock=clock).work()


class _Run(JobRunner[TeacherRunStatus, TeacherRunSettings]):
    folder: RunFolder
    counts: Progress

    async def do(self, held: contextlib.AsyncExitStack, store: Store, before: TeacherRunStatus | None) -> None:
        if self.settings.engine not in ENGINES:
            raise UsageError(f"There is no engine {self.settings.engine} here.", f"There are: {', '.join(ENGINES)}.")
        job = await self._job(held, store, before)
        self.begin()
        with contextlib.suppress(RunStopped):  # an engine may be stopped before it has all it asks for
            caller = await held.enter_async_context(ENGINES[self.settings.engine](job))
            await self._converse(job, caller)

    async def _job(self, held: contextlib.AsyncExitStack, store: Store, before: TeacherRunStatus | None) -> Job:
        loop = asyncio.get_running_loop()
        reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
        held.callback(reader.shutdown)
        prompts = restore_prompts(self.folder.prompts)
        names: dict[Role, str] = {"teacher": self.settings.endpoint}
        if self.settings.method == "debate":
            names["critic"] = self.settings.critic or self.settings.endpoint
        voices = await open_models(
            self.lab, names, self.settings, await held.enter_async_context(ServerManager(self.lab)),
            control=self.control, clock=self.clock, engine=self.settings.engine,
        )  # fmt: skip
        self.priced = all(voice.price.known for voice in voices.values())
        # The lab's prices may have changed.
        check_priced(self.settings, [voice.ref for voice in voices.values()], self.settings.engine)
        register(self.lab, self.folder, voices["teacher"].model, prompts, store)
        method = make_method(self.settings, prompts)

        def look() -> tuple[int, teacher_runs.Tally, set[tuple[str, int]], JournalIndex]:
            items = work_queue.freeze_items(self.folder, store, self.settings)
            ended, failed = teacher_runs.tally(store.db, self.folder.id), teacher_runs.failed(store.db, self.folder.id)
            return items, ended, failed, _index(self.folder, store)

        items, ended, failed, index = await loop.run_in_executor(reader, look)
        self.counts.requested = items * self.settings.n
        self.counts.start_from(ended, failed, before)
        earlier = index.total
        self.counts.paid(earlier.input_tokens, earlier.output_tokens, earlier.cost_usd)
        budget = Budget(self.control, self.settings.budget_usd, self.settings.budget_tokens)
        budget.spend(self.counts.input_tokens + self.counts.output_tokens, self.counts.cost_usd)
        journal = await held.enter_async_context(Journal(self.folder.journal))
        return Job(
            self.lab, self.folder, self.settings, store, prompts, method, voices, journal,
            self.control, budget, self.counts, self.clock, index, reader,
        )  # fmt: skip

    async def _converse(self, job: Job, caller: CompletionBackend) -> None:
        """Hold the conversations, ``concurrency`` at a time."""
        teacher = job.voices["teacher"]
        provenance = TraceOrigin(
            job.folder.id, job.method, teacher,
            {role: {"prompt": prompt.label, "hash": prompt.hash} for role, prompt in job.prompts.items()},
            lambda sample: teacher.options(job.settings, sample),
            job.voices.get("critic"),
        )  # fmt: skip
        pairs = job.to_do()
        taking = asyncio.Lock()

        async def one_after_another(landing: ResultWriter) -> None:
            # What an engine has brought before the run was stopped is taken in; it asks nothing any more.
            while isinstance(caller, ReplayClient) or not self.control.stopping.is_set():
                async with taking:  # an async generator may be asked by one at a time
                    pair = await anext(pairs, None)
                if pair is None:
                    return
                held = await _hold(job, caller, Conversation(*pair, spent=job.index.spent(pair[0].id, pair[1])))
                if held is None:
                    continue
                try:
                    await landing.put(held)
                except Exception:  # said on leaving the landing; until then calls in flight get into the journal
                    self.control.stop("lab")
                    return

        async with ResultWriter(
            job.store, provenance, lambda outcome, verdict: self.counts.landed(outcome, verdict, self.clock)
        ) as landing:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(min(self.settings.concurrency, max(1, self.counts.requested))):
                        tasks.create_task(one_after_another(landing))
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from None  # they fail for the same reason: a disk, a database

    def left_over(self) -> str:
        left = self.counts.requested - self.counts.done - self.counts.failed
        return f"{left} items are no longer in the lab." if left > 0 else ""


async def _hold(job: Job, caller: CompletionBackend, held: Conversation) -> Conversation | None:
    """Hold one conversation; None when the run ended before it did."""

    async def ask(turn: int, messages: Sequence[Message], *, role: Role = "teacher") -> Response:
        key = CallKey(held.item.id, held.sample, turn)
        response = job.index.find(key)
        if (
            response is not None
            and response.asked not in ("", digest(role, messages))
            and not isinstance(caller, ReplayClient)
        ):
            response = None  # it answers another question: what is asked now follows from something that has changed
        if response is None:
            response = await caller.call(key, messages, role, held.spent.add)
        held.responses.append(response)
        return response

    try:
        held.draft = await job.method.respond(held.item, held.sample, ask)
    except RunStopped:
        return None
    except O1LabError as error:
        held.broke = error.message
    except JournalError:
        raise  # nothing more can be kept
    except Exception as error:
        held.broke = f"internal: {type(error).__name__}: {error}"[:200]
        log_error(job.folder.log, error)
    return held
