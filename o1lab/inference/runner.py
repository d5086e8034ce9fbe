"""Runs a job that asks models: what teacher runs, evaluations and rounds share besides their results."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any, TypeVar

from o1lab.inference.backend import CallContext
from o1lab.inference.journal import Journal
from o1lab.inference.limits import Budget
from o1lab.inference.settings import RequestSettings
from o1lab.jobs.directory import JobFolder, StatusT
from o1lab.jobs.runner import JobRunner
from o1lab.paths import Lab
from o1lab.serve.manager import ServerManager

RequestSettingsT = TypeVar("RequestSettingsT", bound=RequestSettings)


class AskingRunner(JobRunner[StatusT, RequestSettingsT]):
    """One session of a job that asks models.

    Args:
        lab: the lab of the job.
        folder: the job.
        manager: the servers to use, which keep running; without it servers stop with the session.
        more: arguments of :class:`~o1lab.jobs.runner.JobRunner`.
    """

    def __init__(
        self,
        lab: Lab,
        folder: JobFolder[StatusT, RequestSettingsT],
        *,
        manager: ServerManager | None = None,
        **more: Any,
    ) -> None:
        super().__init__(lab, folder, **more)
        self._manager = manager

    @cached_property
    def budget(self) -> Budget:
        """The budget of the job, which all its calls share."""
        return Budget(self.control, self.counts.usage, self.settings.budget_usd, self.settings.budget_tokens)

    @property
    def workers(self) -> int:
        """The maximum number of samples at the same time."""
        return min(self.settings.concurrency, max(1, self.counts.requested))

    async def servers(self, stack: AsyncExitStack) -> ServerManager:
        """Return the servers of the models; those of this session alone are closed with ``stack``."""
        if self._manager is not None:
            return self._manager
        return await stack.enter_async_context(ServerManager(self.lab))

    def context(self, journal: Journal) -> CallContext:
        """Return the context of calls whose responses go to ``journal``, which is open."""
        return CallContext(journal, self.control, self.budget, self.counts, self.clock)
