"""What makes the calls of a job, and what all calls of one job share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from o1lab.inference.budget import Budget
from o1lab.inference.calls import CallKey, Message, Response, Role
from o1lab.inference.journal import Journal
from o1lab.jobs.control import Clock, Control, RunStopped
from o1lab.jobs.progress import Counts

OnAttempt = Callable[[Response], None]
"""Called with every attempt of a call once it is in the journal: each is paid for."""


@dataclass(frozen=True)
class CallContext:
    """What all calls of one job share.

    Attributes:
        journal: every attempt is written to it before it counts.
        control: stops and pauses the job.
        budget: the money and tokens that may be spent.
        progress: the counts that the job's status shows.
        clock: measures waiting times.
    """

    journal: Journal
    control: Control
    budget: Budget
    progress: Counts
    clock: Clock

    async def record(self, response: Response) -> None:
        """Write an attempt to the journal, then count it.

        Raises:
            JournalError: it could not be written.
        """
        await self.journal.append(response)
        code = response.fault.code if response.fault is not None else ""
        self.progress.paid(response.input_tokens, response.output_tokens, response.cost_usd, fault=code)


class CompletionBackend(Protocol):
    """Makes calls, or knows their responses. Every engine gives one."""

    async def call(
        self, key: CallKey, messages: Sequence[Message], role: Role = "teacher", on_attempt: OnAttempt | None = None
    ) -> Response:
        """The response of this call, which is in the journal; ``on_attempt`` is called with every attempt.

        Raises:
            RunStopped: no more calls may be made.
        """
        ...


class ReplayClient:
    """Makes no calls: for conversations whose responses an engine has put into the journal already."""

    async def call(
        self, key: CallKey, messages: Sequence[Message], role: Role = "teacher", on_attempt: OnAttempt | None = None
    ) -> Response:
        raise RunStopped("not asked")
