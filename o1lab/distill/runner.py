"""Driving a teacher run: conversations side by side, stopped and paused by files, killed at any moment without loss.

A response is journalled before it counts, and a sample's row in the lab is written in one transaction. So going on
after a crash is nothing but starting again: samples with a row are passed over, conversations that had begun are held
again, and the calls of theirs that the journal knows are not made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from o1lab.distill import agenda
from o1lab.distill.agenda import JournalIndex
from o1lab.distill.calls import CallKey, Message, Response, RunOver, digest
from o1lab.distill.filling import OnlyJournal
from o1lab.distill.folder import RunFolder, Status
from o1lab.distill.journal import Journal, JournalError
from o1lab.distill.landing import Conversation, Landing, Provenance
from o1lab.distill.limits import Budget, Clock, Control, MonotonicClock
from o1lab.distill.method import Item, Method, Role
from o1lab.distill.methods import make_method
from o1lab.distill.progress import Progress
from o1lab.distill.prompts import Prompt, restore_prompts
from o1lab.distill.runs import register
from o1lab.distill.settings import Engine, TeacherRunSettings
from o1lab.distill.teacher import Caller, Teacher
from o1lab.distill.voices import Voice, check_priced, open_voices
from o1lab.errors import LabError, O1LabError, UsageError, from_store
from o1lab.locations import Lab
from o1lab.train.rundir import HEARTBEAT_S, process_started
from store import teacher_runs
from store.connection import Store, open_store
from store.errors import StoreError

STATUS_S = 0.5
"""status.json is written at most so often, and control files are looked for as often."""

Watch = Callable[[Status], None]


@dataclass
class Job:
    """All that an engine may need of a run."""

    lab: Lab
    folder: RunFolder
    settings: TeacherRunSettings
    store: Store
    prompts: Mapping[str, Prompt]
    method: Method
    voices: Mapping[Role, Voice]
    journal: Journal
    control: Control
    budget: Budget
    progress: Progress
    clock: Clock
    index: JournalIndex
    reader: ThreadPoolExecutor
    """A thread for reading the store: its connection is its own."""

    async def to_do(self) -> AsyncIterator[tuple[Item, int]]:
        """(item, sample) pairs that have not come to an end, in the run's order."""
        batches: Iterator[list[tuple[Item, int]]] = agenda.to_do(self.folder, self.store, self.settings)
        loop = asyncio.get_running_loop()
        while (batch := await loop.run_in_executor(self.reader, next, batches, None)) is not None:
            for pair in batch:
                yield pair

    async def reindex(self) -> None:
        """Read the journal again, after an engine wrote responses into it by another way than ``call``."""
        loop = asyncio.get_running_loop()
        self.index = await loop.run_in_executor(self.reader, agenda.index_journal, self.folder, self.store)


EngineMaker = Callable[[Job], AbstractAsyncContextManager[Caller]]


def _local(job: Job) -> AbstractAsyncContextManager[Caller]:
    return Teacher(
        job.settings, job.voices,
        journal=job.journal, control=job.control, budget=job.budget, progress=job.progress, clock=job.clock,
    )  # fmt: skip


def _batch(job: Job) -> AbstractAsyncContextManager[Caller]:
    from o1lab.distill.batch import BatchEngine

    return BatchEngine(job)


def _ray(job: Job) -> AbstractAsyncContextManager[Caller]:
    from o1lab.distill.ray_engine import RayEngine

    return RayEngine(job)


ENGINES: dict[Engine, EngineMaker] = {"local": _local, "batch": _batch, "ray": _ray}
"""Who makes the calls. Those that fill the journal while they are entered are :class:`o1lab.distill.filling.Filler`."""


async def drive(
    lab: Lab,
    folder: RunFolder,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    clock: Clock | None = None,
) -> Status:
    """Do a run from where it stands to its end, in this process; its last status.

    Args:
        control: for whoever wants to stop or pause it without a file.
        watch: called with each new status, from the event loop.

    Raises:
        UsageError: another process works on it, or its engine is not there.
        LabError: its model cannot be opened, the disk is full, the database refuses. The status says so as well.
    """
    with alone(folder) as ours:
        if not ours:
            raise UsageError(f"Another process works on the run {folder.id}.", f"See `o1lab distill show {folder.id}`.")
        settings = folder.settings()
        if settings.engine not in ENGINES:
            raise UsageError(f"There is no engine {settings.engine} here.", f"There are: {', '.join(ENGINES)}.")
        run = _Run(lab, folder, settings, control or Control(), watch, clock or MonotonicClock())
        return await run.work()


@contextlib.contextmanager
def alone(folder: RunFolder) -> Iterator[bool]:
    """Whether nobody else works on the run, and nobody will within the block. The lock ends with its holder."""
    folder.lock.parent.mkdir(parents=True, exist_ok=True)
    with folder.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # a file system that knows no locks: it cannot be told
            pass
        yield True


class _End(NamedTuple):
    state: str
    stopped_by: str | None
    message: str
    hint: str


@dataclass
class _Run:
    lab: Lab
    folder: RunFolder
    settings: TeacherRunSettings
    control: Control
    watch: Watch | None
    clock: Clock
    progress: Progress = field(default_factory=Progress)
    priced: bool = False
    pid_started: float | None = field(default_factory=lambda: process_started(os.getpid()))
    started_at: float = field(default_factory=time.time)

    async def work(self) -> Status:
        before = self.folder.status()
        if before is not None:  # until everything is counted anew
            for name in ("requested", "done", "correct", "incorrect", "unverifiable", "rejected", "failed"):
                setattr(self.progress, name, getattr(before, name))
        heart: asyncio.Task[None] | None = None
        try:
            self._say("starting", message="Opening the model.")
            store = open_store(self.lab.database)
            try:
                async with contextlib.AsyncExitStack() as held:
                    job = await self._job(held, store, before)
                    self._obey()  # who asked while the model was opened is heard before the first call
                    self._say("running")
                    heart = asyncio.create_task(self._beat())
                    with contextlib.suppress(RunOver):  # an engine may be stopped before it has all it asks for
                        caller = await held.enter_async_context(ENGINES[self.settings.engine](job))
                        await self._converse(job, caller)
            finally:
                if heart is not None:
                    heart.cancel()
                    await asyncio.gather(heart, return_exceptions=True)
                store.close()
            return self._say(*self._end())
        except BaseException as error:
            told = _told(error, self.folder)
            with contextlib.suppress(OSError):  # a full disk takes no status either: what went wrong is raised
                self._say(*told)
            if isinstance(error, StoreError):
                raise from_store(error) from error
            if isinstance(error, OSError):
                raise LabError(told.message, told.hint) from error
            raise

    async def _job(self, held: contextlib.AsyncExitStack, store: Store, before: Status | None) -> Job:
        loop = asyncio.get_running_loop()
        reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
        held.callback(reader.shutdown)
        prompts = restore_prompts(self.folder.prompts)
        voices = await open_voices(self.lab, self.settings, held, self.control, self.clock)
        self.priced = all(voice.price.known for voice in voices.values())
        check_priced(self.settings, [voice.ref for voice in voices.values()])  # the lab's prices may have changed
        register(self.lab, self.folder, voices["teacher"].model, prompts, store)
        method = make_method(self.settings, prompts)

        def look() -> tuple[int, teacher_runs.Tally, set[tuple[str, int]], JournalIndex]:
            items = agenda.settle_agenda(self.folder, store, self.settings)
            ended, failed = teacher_runs.tally(store.db, self.folder.id), teacher_runs.failed(store.db, self.folder.id)
            return items, ended, failed, agenda.index_journal(self.folder, store)

        items, ended, failed, index = await loop.run_in_executor(reader, look)
        self.progress.requested = items * self.settings.n
        self.progress.start_from(ended, failed, before)
        earlier = index.total
        self.progress.paid(earlier.input_tokens, earlier.output_tokens, earlier.cost_usd)
        budget = Budget(self.control, self.settings.budget_usd, self.settings.budget_tokens)
        budget.spend(self.progress.input_tokens + self.progress.output_tokens, self.progress.cost_usd)
        journal = await held.enter_async_context(Journal(self.folder.journal))
        return Job(
            self.lab, self.folder, self.settings, store, prompts, method, voices, journal,
            self.control, budget, self.progress, self.clock, index, reader,
        )  # fmt: skip

    async def _converse(self, job: Job, caller: Caller) -> None:
        """Hold the conversations, ``concurrency`` at a time."""
        teacher = job.voices["teacher"]
        provenance = Provenance(
            job.folder.id, job.method, teacher,
            {role: {"prompt": prompt.label, "hash": prompt.hash} for role, prompt in job.prompts.items()},
            lambda sample: teacher.options(job.settings, sample),
            job.voices.get("critic"),
        )  # fmt: skip
        pairs = job.to_do()
        taking = asyncio.Lock()

        async def one_after_another(landing: Landing) -> None:
            # What an engine has brought before the run was stopped is taken in; it asks nothing any more.
            while isinstance(caller, OnlyJournal) or not self.control.stopping.is_set():
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

        async with Landing(
            job.store, provenance, lambda outcome, verdict: self.progress.landed(outcome, verdict, self.clock)
        ) as landing:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(min(self.settings.concurrency, max(1, self.progress.requested))):
                        tasks.create_task(one_after_another(landing))
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from None  # they fail for the same reason: a disk, a database

    async def _beat(self) -> None:
        """Keep the status true, and obey the control files."""
        last = None
        while True:
            await asyncio.sleep(STATUS_S)
            self._obey()
            state = "stopping" if self.control.stopping.is_set() else "paused" if self.control.paused else "running"
            now = (
                state,
                self.progress.activity,
                self.progress.done,
                self.progress.failed,
                self.progress.in_flight,
                self.progress.output_tokens,
            )
            if now != last or time.time() - self._written > HEARTBEAT_S:
                last = now
                with contextlib.suppress(OSError):  # a full disk stops the run where it matters: at the journal
                    self._say(state, message=self.progress.activity)

    def _obey(self) -> None:
        """Do as the control files say; of a folder that cannot be looked into nothing is asked."""
        with contextlib.suppress(OSError):
            if self.folder.stop_file.exists():
                again = f"Go on with: o1lab distill --resume {self.folder.id}"
                self.control.stop("stop", "The run was asked to stop.", again)
            if self.folder.pause_file.exists():
                self.control.pause()
            else:
                self.control.go_on()

    def _end(self) -> _End:
        if self.control.stopping.is_set():
            return _End("stopped", self.control.reason, self.control.message, self.control.hint)
        left = self.progress.requested - self.progress.done - self.progress.failed
        message = f"{left} items are no longer in the lab." if left > 0 else ""
        return _End("finished", None, message, "")

    _written = 0.0

    def _say(self, state: Any, stopped_by: str | None = None, message: str = "", hint: str = "") -> Status:
        """Write the status, and tell whoever watches."""
        seen = self.progress
        status = Status(
            state,
            pid=os.getpid(),
            pid_started=self.pid_started,
            host=socket.gethostname(),
            heartbeat=time.time(),
            requested=seen.requested,
            done=seen.done,
            correct=seen.correct,
            incorrect=seen.incorrect,
            unverifiable=seen.unverifiable,
            rejected=seen.rejected,
            failed=seen.failed,
            in_flight=seen.in_flight,
            retries=seen.retries,
            input_tokens=seen.input_tokens,
            output_tokens=seen.output_tokens,
            cost_usd=round(seen.cost_usd, 6),
            priced=self.priced,
            faults=dict(seen.faults),
            notes=list(seen.notes),
            started_at=self.started_at,
            seconds_left=seen.seconds_left(self.clock) if state in ("running", "paused") else None,
            stopped_by=stopped_by,
            message=message,
            hint=hint,
        )
        self.folder.write_status(status)
        self._written = status.heartbeat
        if self.watch is not None:
            self.watch(status)
        return status


async def _hold(job: Job, caller: Caller, held: Conversation) -> Conversation | None:
    """Hold one conversation; None when the run ended before it did."""

    async def ask(turn: int, messages: Sequence[Message], *, role: Role = "teacher") -> Response:
        key = CallKey(held.item.id, held.sample, turn)
        response = job.index.find(key)
        if (
            response is not None
            and response.asked not in ("", digest(role, messages))
            and not isinstance(caller, OnlyJournal)
        ):
            response = None  # it answers another question: what is asked now follows from something that has changed
        if response is None:
            response = await caller.call(key, messages, role, held.spent.add)
        held.responses.append(response)
        return response

    try:
        held.draft = await job.method.respond(held.item, held.sample, ask)
    except RunOver:
        return None
    except O1LabError as error:
        held.broke = error.message
    except JournalError:
        raise  # nothing more can be kept
    except Exception as error:
        held.broke = f"internal: {type(error).__name__}: {error}"[:200]
        with contextlib.suppress(OSError), job.folder.log.open("a", encoding="utf-8", errors="backslashreplace") as log:
            traceback.print_exc(file=log)
    return held


def _told(error: BaseException, folder: RunFolder) -> _End:
    """The last words for an end that nobody wanted."""
    again = f"Go on with: o1lab distill --resume {folder.id}"
    match error:
        case asyncio.CancelledError() | KeyboardInterrupt():
            return _End("stopped", "interrupt", "The run was interrupted; calls in flight were given up.", again)
        case O1LabError() | StoreError():
            return _End("failed", None, error.message, error.hint or again)
        case OSError():
            return _End("failed", None, f"The disk refuses: {error.strerror or error}.", again)
    with contextlib.suppress(OSError), folder.log.open("a", encoding="utf-8", errors="backslashreplace") as log:
        traceback.print_exception(error, file=log)
    return _End("failed", None, f"Something went wrong: {type(error).__name__}: {error}.", f"See {folder.log}.")
