"""Keep-alive data for requests that wait for their turn, or compute, longer than clients wait for a silent server.

A stream gets comments, and a body that comes as a whole gets empty lines before its JSON, which parsers skip; public
servers do the same. After ``KEEP_ALIVE_S`` the headers of a response are sent, and then such data for each interval in
which the model has made a step. A client of a model that hangs gets none, so that its own time limit ends the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from o1lab.serve.protocol import ApiError

_log = logging.getLogger(__name__)
KEEP_ALIVE_S = 5.0
"""Seconds without any data after which some is sent; limits of clients below this are not kept."""


class Progress:
    """Detects whether a model has made a step.

    Args:
        steps: returns the steps that the model has made so far.
    """

    def __init__(self, steps: Callable[[], int]) -> None:
        self._steps, self._seen = steps, steps()

    def advanced(self) -> bool:
        """Return whether there were steps since the last call, or since the request came."""
        before, self._seen = self._seen, self._steps()
        return self._seen != before


async def whole(
    request: Request,
    work: asyncio.Future[Any],
    progress: Progress,
    render: Callable[[Any], Response],
    refuse: Callable[[Exception], Response],
) -> Response:
    """Return the response with the result of ``work``, which is cancelled if the client disconnects.

    If it takes longer than ``KEEP_ALIVE_S``, the response begins before: its status is 200 even if the work fails.

    Args:
        request: the request.
        work: computes the result.
        progress: that of the model.
        render: makes the response of a result.
        refuse: makes the response of an error.

    Raises:
        ApiError: the client has disconnected.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.ensure_future(gone())
    keeps = False
    try:
        await asyncio.wait({work, watch}, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return render(work.result())
        if watch.done():
            raise ApiError(499, "The client disconnected.", "cancelled")
        keeps = True
    finally:
        watch.cancel()
        if not keeps:
            await _cancel(work)
    return StreamingResponse(_lines(work, progress, render, refuse), media_type="application/json")


async def _lines(
    work: asyncio.Future[Any],
    progress: Progress,
    render: Callable[[Any], Response],
    refuse: Callable[[Exception], Response],
) -> AsyncIterator[bytes]:
    try:
        while not work.done():
            if progress.advanced():
                yield b"\n"
            await asyncio.wait({work}, timeout=KEEP_ALIVE_S)
        try:
            response = render(work.result())
        except Exception as error:
            _log.exception("A request failed after its response had begun")
            response = refuse(error)
        yield bytes(response.body)
    finally:
        await _cancel(work)


async def _cancel(work: asyncio.Future[Any]) -> None:
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await work
