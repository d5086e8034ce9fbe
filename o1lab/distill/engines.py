"""The registry of engines, which make the calls of a teacher run; ``--engine`` takes their names.

An engine is a function that takes the :class:`~o1lab.distill.job.Job` and returns an asynchronous context manager of
the backend that makes the calls. :class:`~o1lab.inference.engines.offline.OfflineEngine` is the base of the engines
that make all calls before any conversation begins. Other packages add engines through the entry point group
``o1lab.engines``. This module imports no engine until it is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, NamedTuple

from o1lab.registry import DEFAULT_ORDER, Registry

if TYPE_CHECKING:
    from o1lab.distill.job import Job
    from o1lab.inference.backend import CompletionBackend

    Make = Callable[[Job], AbstractAsyncContextManager[CompletionBackend]]


class Engine(NamedTuple):
    """A registered engine; ``conversations`` is whether it can make calls that depend on earlier answers."""

    name: str
    make: Make
    conversations: bool


ENGINES: Registry[Engine] = Registry("engine", "o1lab.engines", "o1lab.distill.engines")


def engine(name: str, *, conversations: bool = False, order: int = DEFAULT_ORDER) -> Callable[[Make], Make]:
    """Register a function that opens an engine.

    Args:
        name: what ``--engine`` takes.
        conversations: whether it can make calls that depend on earlier answers. Otherwise only methods of a single
            call per sample can use it.
        order: its place in lists.
    """

    def decorate(make: Make) -> Make:
        ENGINES.add(name, Engine(name, make, conversations), module=make.__module__, order=order)
        return make

    return decorate


@engine("local", conversations=True, order=10)
def local(job: Job) -> AbstractAsyncContextManager[CompletionBackend]:
    """Make the calls from this process while the conversations run."""
    from o1lab.inference.client import CompletionClient

    return CompletionClient(job.settings, job.models, job.context, stream=job.settings.stream)


@engine("batch", order=20)
def batch(job: Job) -> AbstractAsyncContextManager[CompletionBackend]:
    """Make the calls through the OpenAI Batch API."""
    from o1lab.inference.engines.batch_api import BatchEngine

    return BatchEngine(job.offline())


@engine("ray", order=30)
def ray(job: Job) -> AbstractAsyncContextManager[CompletionBackend]:
    """Make the calls on a Ray cluster."""
    from o1lab.inference.engines.ray import RayEngine

    return RayEngine(job.offline())
