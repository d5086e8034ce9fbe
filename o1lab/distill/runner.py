"""Runs a teacher run: concurrent conversations, paused and stopped by control files, without loss when killed.

A response is written to the journal before it counts, and the row of a sample is written in one transaction. A run
therefore resumes after a crash by starting again: samples with a row are skipped, unfinished conversations are
repeated, and calls in the journal are not made again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from o1lab.distill.engines import ENGINES
from o1lab.distill.job import Job, freeze_items, read_index
from o1lab.distill.method import SourceItem
from o1lab.distill.methods import make_method, model_names
from o1lab.distill.result_writer import Conversation, ResultWriter, TraceOrigin
from o1lab.distill.run_directory import RunFolder, TeacherRunStatus
from o1lab.distill.runs import register
from o1lab.distill.settings import TeacherRunSettings
from o1lab.errors import O1LabError, internal_reason
from o1lab.inference.backend import CompletionBackend, ReplayClient
from o1lab.inference.calls import CallKey, Message, Response, Role, digest
from o1lab.inference.journal import Journal, JournalError
from o1lab.inference.models import check_priced, open_models
from o1lab.inference.prompts import restore_prompts
from o1lab.inference.runner import AskingRunner
from o1lab.jobs.control import Clock, RunStopped
from o1lab.jobs.pipeline import StoreThread, run_concurrently
from o1lab.jobs.progress import Counts
from o1lab.jobs.runner import log_error
from store import teacher_runs
from store.connection import Store
from store.teacher_runs import Outcome, Tally


@dataclass
class Progress(Counts):
    """The counts of a teacher run."""

    unverifiable: int = 0
    rejected: int = 0
    OF_SAMPLES: ClassVar[tuple[str, ...]] = (*Counts.OF_SAMPLES, "unverifiable", "rejected")

    def start_from(self, ended: Tally, failed: set[tuple[str, int]], before: TeacherRunStatus | None) -> None:
        """Continue the counts of a run.

        Args:
            ended: the samples that have a result.
            failed: those of them that are repeated.
            before: the status at the end of the last session.
        """
        self.continue_from(failed, before)
        self.done, self.rejected = ended.done, ended.rejected
        self.correct, self.incorrect, self.unverifiable = ended.correct, ended.incorrect, ended.unverifiable
        self.usage.add(ended)

    def count_sample(self, outcome: Outcome, verdict: str | None, clock: Clock) -> None:
        """Count a sample that has a result."""
        self.count_end(outcome.item, outcome.sample, clock, failed=outcome.state == "failed")
        if outcome.state == "failed":
            return
        self.rejected += outcome.state == "rejected"
        match verdict:
            case "correct":
                self.correct += 1
            case "incorrect":
                self.incorrect += 1
            case "unverifiable":
                self.unverifiable += 1


class TeacherRunner(AskingRunner[TeacherRunStatus, TeacherRunSettings]):
    """One session of a teacher run."""

    folder: RunFolder
    counts_type = Progress
    counts: Progress

    async def execute(self, stack: contextlib.AsyncExitStack, store: Store, before: TeacherRunStatus | None) -> None:
        engine = ENGINES.get(self.settings.engine)
        job = await self._job(stack, store, before)
        self.begin()
        with contextlib.suppress(RunStopped):  # an engine may be stopped while it makes its calls
            client = await stack.enter_async_context(engine.make(job))
            await self._converse(job, client)

    async def _job(self, stack: contextlib.AsyncExitStack, store: Store, before: TeacherRunStatus | None) -> Job:
        folder, settings, read = self.folder, self.settings, StoreThread()
        stack.callback(read.close)
        prompts = restore_prompts(folder.prompts)
        models = await open_models(
            self.lab,
            model_names(settings),
            settings,
            await self.servers(stack),
            control=self.control,
            clock=self.clock,
            engine=settings.engine,
        )
        self.priced = all(model.price.known for model in models.values())
        # The lab's prices may have changed since the run was created.
        check_priced(settings, [model.ref for model in models.values()], settings.engine)
        register(self.lab, folder, models["teacher"].model, prompts, store)
        items = await read(freeze_items, folder, store, settings)
        ended = await read(teacher_runs.tally, store.db, folder.id)
        failed = await read(teacher_runs.failed, store.db, folder.id)
        index = await read(read_index, folder, store)
        self.counts.requested = items * settings.n
        self.counts.start_from(ended, failed, before)
        self.counts.usage.add(index.total)
        context = self.context(await stack.enter_async_context(Journal(folder.journal)))
        method = make_method(settings, prompts)
        return Job(self.lab, folder, settings, store, prompts, method, models, context, index, read)

    async def _converse(self, job: Job, client: CompletionBackend) -> None:
        """Run the conversations, ``concurrency`` at a time."""
        teacher = job.models["teacher"]
        origin = TraceOrigin(
            job.folder.id, job.method, teacher,
            {role: {"prompt": prompt.label, "hash": prompt.hash} for role, prompt in job.prompts.items()},
            lambda sample: teacher.options(job.settings, sample),
            {role: model for role, model in job.models.items() if role != "teacher"},
        )  # fmt: skip

        async def converse(pair: tuple[SourceItem, int]) -> Conversation | None:
            return await _converse(job, client, Conversation(*pair, usage=job.index.usage(pair[0].id, pair[1])))

        async with ResultWriter(
            job.store, origin, lambda stored: self.counts.count_sample(*stored, self.clock)
        ) as writer:
            job.method.verifier = writer.verifier
            await run_concurrently(
                job.to_do(), converse, writer.put, self.control,
                workers=self.workers,
                # Responses that an engine received before the stop are stored: this makes no calls.
                until_stopped=not isinstance(client, ReplayClient),
            )  # fmt: skip

    def left_over(self) -> str:
        left = self.counts.requested - self.counts.done - self.counts.failed
        return f"{left} items are no longer in the lab." if left > 0 else ""


async def _converse(job: Job, client: CompletionBackend, one: Conversation) -> Conversation | None:
    """Run one conversation; return None if the run was stopped first."""

    async def ask(turn: int, messages: Sequence[Message], *, role: Role = "teacher") -> Response:
        key = CallKey(one.item.id, one.sample, turn)
        asked = None if isinstance(client, ReplayClient) else digest(role, messages)
        response = job.index.find(key, asked, undigested=True)
        if response is None:
            response = await client.call(key, messages, role, one.usage.add)
        one.responses.append(response)
        return response

    try:
        one.draft = await job.method.respond(one.item, one.sample, ask)
    except RunStopped:
        return None
    except O1LabError as error:
        one.failure = error.message
    except JournalError:
        raise  # responses can no longer be stored
    except Exception as error:
        one.failure = internal_reason(error)
        log_error(job.folder.log, error)
    return one
