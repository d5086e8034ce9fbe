"""Shared by the commands that ask models of the lab: the servers, and the argument for traces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from o1lab.cli.base.naming import completing
from o1lab.cli.base.output import say

if TYPE_CHECKING:
    from o1lab.paths import Lab
    from o1lab.serve.manager import ServerManager

ResultT = TypeVar("ResultT")

TraceArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Trace id, the start of it, or the key of its problem.", autocompletion=completing("trace")
    ),
]
TraceIds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TRACE", help="Traces, by id or by the key of the problem.", autocompletion=completing("trace")
    ),
]


@asynccontextmanager
async def servers(lab: Lab) -> AsyncIterator[ServerManager]:
    """Run the servers that a command needs; servers that are already running are used and left running.

    Prints on standard error if several servers share a device.
    """
    from o1lab.serve.manager import ServerManager

    async with ServerManager(lab, reuse=True) as manager:
        if notice := manager.shared_device_notice():
            say(notice)
        yield manager


def with_servers(lab: Lab, work: Callable[[ServerManager], Awaitable[ResultT]]) -> ResultT:
    """Run asynchronous work with the :func:`servers` of a lab, and return its result."""

    async def run() -> ResultT:
        async with servers(lab) as manager:
            return await work(manager)

    return asyncio.run(run())
