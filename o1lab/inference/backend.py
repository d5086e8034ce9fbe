"""The interface of the backends that make a job's calls, and the context that all calls of one job share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from o1lab.inference.calls import CallKey, Message, Response, Role
from o1lab.inference.journal import Journal
from o1lab.inference.limits import Budget
from o1lab.jobs.control import Clock, Control, RunStopped
from o1lab.jobs.progress import Counts

OnAttempt = Callable[[Response], None]
"""Called with every attempt of a call once it is in the journal, because every attempt costs."""


@dataclass(frozen=True)
class CallContext:
    """What all calls of one job share.

    Attributes:
        journal: every attempt is written to it before it counts.
        control: stops and pauses the job.
        budget: limits the money and tokens; reads the usage in ``progress``.
        progress: the counts that the job's status shows, including the usage of all attempts.
        clock: measures waiting times.
    """

    journal: Journal
    control: Control
    budget: Budget
    progress: Counts
    clock: Clock

    async def record(self, response: Response) -> None:
        """Write an attempt to the journal, then count its usage and its error.

        Raises:
            JournalError: it could not be written.
        """
        await self.journal.append(response)
        self.progress.usage.add(response)
        if response.fault is not None:
            self.progress.faults[response.fault.code] += 1


class CompletionBackend(Protocol):
    """Makes calls, or returns responses that are known already. Every engine provides one."""

    async def call(
        self, key: CallKey, messages: Sequence[Message], role: Role = "teacher", on_attempt: OnAttempt | None = None
    ) -> Response:
        """Make a call.

        Args:
            key: identifies the call.
            messages: the messages to send.
            role: the model to ask.
            on_attempt: called with every attempt.

        Returns:
            The best response; it is in the journal.

        Raises:
            RunStopped: no more calls may be made.
        """
        ...


class ReplayClient:
    """A backend that makes no calls, for conversations whose responses an engine has already journalled."""

    async def call(
        self, key: CallKey, messages: Sequence[Message], role: Role = "teacher", on_attempt: OnAttempt | None = None
    ) -> Response:
        raise RunStopped("not asked")
