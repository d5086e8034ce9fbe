"""The ``batch`` engine: sends all requests through the OpenAI Batch API (or a compatible server).

The price is often half. Pending requests are written into parts (:mod:`o1lab.inference.engines.batch_parts`), each part
becomes a batch, the batches are polled, and their results go into the journal. Requests that failed for a transient
reason, were in an expired batch or got no result go into later parts, up to ``attempts`` times. A stop cancels the
batches and keeps the results that they have. After a crash, batches are found by their metadata, including those that
were created but not yet recorded in batches.json.

The very first call of a run is made directly, at the full price, so that a wrong key, model name or parameter shows at
once and not after a day.

With a budget, only as many requests are submitted as cannot exceed it even if every response has the maximum length.
When their results are known, the next parts follow.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import openai
from openai.types import Batch

from o1lab.inference.calls import FATAL, RAW_LIMIT, CallKey, RequestError, Response
from o1lab.inference.client import CONNECT_TIMEOUT_S, CompletionClient, as_response
from o1lab.inference.engines.batch_parts import Part, Parts, PartWriter, answer_lines, request_line
from o1lab.inference.engines.offline import OfflineEngine, OfflineWork
from o1lab.inference.errors import classify, classify_body, status_error
from o1lab.inference.models import price_of
from o1lab.inference.refused import SYSTEM, refused_options
from o1lab.inference.stream import Reply, read_body
from o1lab.inference.transport import Transport
from o1lab.jobs.control import RunStopped

FIRST_POLL_S, LONGEST_POLL_S = 0.5, 60.0
"""The shortest and longest time between two polls of a batch; it grows while nothing changes."""
_SLOWER = 1.5
CANCEL_S = 660.0
"""Seconds to wait for a cancelled batch; the API's reference says up to ten minutes."""
PATIENCE_S = 86_400.0
"""Seconds that a server may be unreachable: as long as a batch may take."""
_TRANSFER_S = 600.0
_CLOCKS_S = 86_400.0
"""Largest difference between the server's clock and ours when batches are searched by creation time."""
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})
_FAILURES = (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, ValueError)
_CORRECT = "Correct that; resuming repeats no call that was paid for."

T = TypeVar("T")


class BatchEngine(OfflineEngine):
    """Fills the journal through the Batch API."""

    def __init__(self, work: OfflineWork) -> None:
        super().__init__(work)
        self._model = work.model
        self._model.refusals.note = self.context.progress.note
        self._price = price_of(self._model.ref, "batch")
        self._parts = Parts(work.directory)
        self._model.refusals.known |= dict.fromkeys(self._parts.dropped, "as an earlier batch showed.")
        self._counts: dict[int, tuple[int, str]] = {}
        self._queue_full = False

    async def fill(self) -> None:
        transport = Transport(silence_timeout_s=_TRANSFER_S, connect_timeout_s=CONNECT_TIMEOUT_S)
        async with transport:
            self._client = transport.client(self._model.target)
            for part in self._parts.open:
                self.context.budget.take(part.worst_tokens, part.worst_usd)
            try:
                await self._finish()
                if not self._parts.parts and not len(self.index):
                    await self._call_once()
                while await self._write():
                    await self._finish()
            except RunStopped:
                await self._withdraw()
                raise

    async def _call_once(self) -> None:
        async for key, messages in self.to_do():
            async with CompletionClient(
                self.work.settings, {"teacher": self._model}, self.context, stream=self.work.stream
            ) as client:
                await client.call(key, messages)
            return

    # --- writing --------------------------------------------------------------------------------------

    async def _write(self) -> bool:
        """Write pending requests into parts, as many as fit the budget; returns whether there are any.

        Raises:
            RunStopped: not one more request fits the budget.
        """
        await self.reindex()
        parts: list[Part] = []
        writer: PartWriter | None = None
        try:
            async for request in self.affordable(self._price):
                line = request_line(request.key, request.body)
                if writer is None or not writer.takes(line):
                    if writer is not None:
                        writer.close()
                    writer = self._parts.begin(sorted(request.body.keys() - {"model", "messages"}))
                    parts.append(writer.part)
                writer.put(line, request.worst_tokens, request.worst_usd)
        finally:
            if writer is not None:
                writer.close()
        self._parts.add(*parts)
        for part in parts:
            self.context.budget.take(part.worst_tokens, part.worst_usd)
        return bool(parts)

    # --- submitting and polling -----------------------------------------------------------------------

    async def _finish(self) -> None:
        """Submit and poll until the results of every part are in the journal.

        Raises:
            RunStopped: the run is stopping.
        """
        control, wait = self.context.control, FIRST_POLL_S
        while open_parts := self._parts.open:
            changed = False
            for part in open_parts:
                if part.state == "submitted":
                    changed |= await self._poll(part)
                elif not self._queue_full and not control.paused and not control.stopping.is_set():
                    await self._submit(part)
                    changed = True
            self._show_progress()
            if not self._parts.open:
                return
            wait = FIRST_POLL_S if changed else min(_SLOWER * wait, LONGEST_POLL_S)
            if await self.context.clock.wait(control.stopping, wait):
                raise RunStopped(control.reason)

    async def _submit(self, part: Part) -> None:
        """Create the part's batch, unless an earlier process or a request that seemed to fail has created it."""
        uploaded, until = "", self.context.clock.now() + PATIENCE_S
        while True:
            batch = await self._find(part)
            if batch is None:
                uploaded = uploaded or await self._patiently(lambda: self._upload(part))
                try:
                    batch = await self._client.batches.create(
                        input_file_id=uploaded,
                        endpoint="/v1/chat/completions",
                        completion_window="24h",
                        metadata=part.metadata(self.work.id),
                    )
                except _FAILURES as error:
                    await self._wait_out(error, FIRST_POLL_S, until)
                    continue  # the batch may exist nevertheless
            part.batch, part.state = batch.id, "submitted"
            self._parts.save()
            return

    async def _upload(self, part: Part) -> str:
        name = f"o1lab-{self.work.id}-{part.number}.jsonl"
        with self._parts.file(part).open("rb") as lines:
            return (await self._client.files.create(file=(name, lines), purpose="batch")).id

    async def _find(self, part: Part) -> Batch | None:
        """Search the server for the part's batch, by its metadata."""
        ours = part.metadata(self.work.id).items()
        earliest = self.work.created - _CLOCKS_S

        async def search() -> Batch | None:
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).items() >= ours and batch.status != "failed":
                    return batch
                if batch.created_at < earliest:  # the newest come first
                    return None
            return None

        return await self._patiently(search)

    async def _poll(self, part: Part) -> bool:
        """Retrieve the state of a part's batch, and its results once it has ended; returns whether it changed."""
        batch = await self._patiently(lambda: self._client.batches.retrieve(part.batch))
        counts = batch.request_counts
        state = ((counts.completed + counts.failed) if counts else 0, batch.status)
        changed = self._counts.get(part.number) != state
        self._counts[part.number] = state
        if batch.status not in _OVER:
            return changed
        if batch.status == "failed":
            await self._not_accepted(part, batch)
        else:
            await self._take_in(part, batch)
        return True

    async def _not_accepted(self, part: Part, batch: Batch) -> None:
        """Handle a rejected batch: the server's queue is full, or it does not accept such requests at all.

        Raises:
            RunStopped: neither waiting nor a smaller batch would help.
        """
        errors = (batch.errors.data if batch.errors else None) or []
        part.batch, part.state = "", "written"
        self._parts.save()
        if any(error.code == "token_limit_exceeded" for error in errors):
            if any(other.state == "submitted" for other in self._parts.open):
                self._queue_full = True  # until one of our batches ends
                return
            if part.requests > 1:
                self.context.budget.settle(part.worst_tokens, part.worst_usd)
                for half in self._parts.halves(part):
                    self.context.budget.take(half.worst_tokens, half.worst_usd)
                return
        why = next((error.message for error in errors if error.message), "no reason given")
        raise self._over("failures", f"The server rejected the batch: {why[:300]}", _CORRECT)

    # --- results --------------------------------------------------------------------------------------

    async def _take_in(self, part: Part, batch: Batch) -> None:
        """Write the results of a batch into the journal."""
        left = await asyncio.to_thread(self._parts.asked, part)
        path = self._parts.answers(part)
        for name in (batch.output_file_id, batch.error_file_id):
            if name:
                await self._patiently(partial(self._download, name, path))
                await self.keep(self._responses(part, batch, answer_lines(path), left))
                path.unlink()
        if batch.status != "cancelled":
            fault = _left_over(batch.status)
            await self.keep(Response(key, "failed", fault=fault) for key in left if key not in self.index)
        self.context.budget.settle(part.worst_tokens, part.worst_usd)
        self._parts.dropped = set(self._model.refusals.known)
        self._parts.done_with(part)
        self._queue_full = False
        if self.context.control.stopping.is_set() and self.context.control.reason in FATAL:
            raise RunStopped(self.context.control.reason)

    def _responses(
        self, part: Part, batch: Batch, lines: Iterator[dict[str, Any]], left: dict[CallKey, int]
    ) -> Iterator[Response]:
        """Yield the responses in a result file, and remove their calls from ``left``."""
        asked_at = datetime.fromtimestamp(batch.created_at, UTC).isoformat(timespec="microseconds")
        for line in lines:
            try:
                key = CallKey.read(str(line.get("custom_id")))
            except ValueError:
                continue
            if key not in left:
                continue
            reply = self._reply(part, line)
            prompt = left.pop(key)
            if reply is None or key in self.index:  # to be sent again; or journalled before the process was killed
                continue
            status = (line.get("response") or {}).get("status_code")
            response = as_response(key, reply, self._price, prompt)
            yield replace(
                response,
                status=status if isinstance(status, int) else None,
                attempt=1 + self._tries.get(key, 0),
                asked_at=asked_at,
            )

    def _reply(self, part: Part, line: dict[str, Any]) -> Reply | None:
        """Return the reply in a result line; None if the request must be sent again without counting as a failure."""
        raw, answer, error = json.dumps(line, ensure_ascii=False), line.get("response"), line.get("error")
        if not isinstance(answer, dict) or not answer.get("status_code"):
            code = error.get("code") if isinstance(error, dict) else None
            if code == "batch_cancelled":
                return None
            found = _left_over("expired") if code == "batch_expired" else classify_body(error, self._model.target)
            return Reply(error=found, raw=raw)
        body = answer.get("body")
        if answer["status_code"] == 200:
            return read_body(json.dumps(body, ensure_ascii=False), self._model.target)
        status, known = answer["status_code"], self._model.refusals.known
        failure = status_error(status, body.get("error") if isinstance(body, dict) else None)
        sent: dict[str, Any] = dict.fromkeys(part.options)
        sent |= {name: self.work.settings.max_tokens for name in sent if name.startswith("max_")}
        sent["messages"] = [] if SYSTEM in known else [{"role": SYSTEM}]  # the lines of the part are not read again
        refused = refused_options(status, body, sent, code=failure.code, param=failure.param)
        if refused:
            self._model.refusals.add(refused)
            return None
        raw = self._model.target.redact(raw)[:RAW_LIMIT]
        return Reply(error=classify(failure, self._model.target, sent=sent), raw=raw)

    async def _download(self, name: str, path: Path) -> None:
        async with self._client.files.with_streaming_response.content(name) as answer:
            await answer.stream_to_file(path)

    # --- stopping -------------------------------------------------------------------------------------

    async def _withdraw(self) -> None:
        """Cancel the batches and fetch the results that they have; a resumed run fetches the rest."""
        never = asyncio.Event()
        missing = False  # the server does not have the batch
        try:
            for part in self._parts.open:
                if part.state == "written" and (batch := await self._find(part)) is not None:
                    part.batch, part.state = batch.id, "submitted"
                    self._parts.save()
                elif part.state == "written":
                    self.context.budget.settle(part.worst_tokens, part.worst_usd)
                    self._parts.forget(part)
            for part in self._parts.open:
                await self._cancel(part)
            wait, until = FIRST_POLL_S, self.context.clock.now() + CANCEL_S
            while self._parts.open and self.context.clock.now() < until:
                for part in self._parts.open:
                    await self._poll(part)
                self._show_progress()
                if self._parts.open:
                    await self.context.clock.wait(never, wait)
                    wait = min(_SLOWER * wait, LONGEST_POLL_S)
        except RunStopped as stopped:
            missing = isinstance(stopped.__cause__, openai.NotFoundError)
        if any(part.state == "submitted" or not missing for part in self._parts.open):
            self.context.progress.note("The server is still working on a batch; `resume` fetches its results.")

    async def _cancel(self, part: Part) -> None:
        try:
            await self._client.batches.cancel(part.batch)
        except openai.APIStatusError as error:
            if error.status_code not in (400, 404, 409):  # these mean that it has ended already
                raise RunStopped(self.context.control.reason) from error
        except _FAILURES as error:
            raise RunStopped(self.context.control.reason) from error

    # --- shared ---------------------------------------------------------------------------------------

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Send a request until it succeeds, even if the server is unreachable for hours: its batches continue.

        Raises:
            RunStopped: the server refuses, was unreachable for longer than ``PATIENCE_S``, or the run is stopping.
        """
        wait, until = FIRST_POLL_S, self.context.clock.now() + PATIENCE_S
        while True:
            try:
                return await ask()
            except _FAILURES as error:
                await self._wait_out(error, wait, until)
            wait = min(2 * wait, LONGEST_POLL_S)

    async def _wait_out(self, error: Exception, seconds: float, until: float) -> None:
        found = classify(error, self._model.target)
        control = self.context.control
        if isinstance(error, openai.NotFoundError):
            raise self._over(
                "failures",
                "The server has no Batch API, or the batch is gone.",
                "Start a new run with --engine local.",
            ) from error
        if not found.transient or isinstance(error, httpx2.InvalidURL) or self.context.clock.now() > until:
            raise self._over(found.code if found.code in FATAL else "failures", found.sentence, _CORRECT) from error
        self.context.progress.activity = found.sentence
        if await self.context.clock.wait(control.stopping, max(seconds, found.retry_after_s or 0.0)):
            raise RunStopped(control.reason) from error

    def _over(self, reason: str, sentence: str, hint: str) -> RunStopped:
        self.context.control.stop(reason, sentence, hint)
        return RunStopped(reason)

    def _show_progress(self) -> None:
        open_parts = self._parts.open
        progress, everything = self.context.progress, self._parts.parts
        progress.in_flight = sum(part.requests for part in open_parts if part.state == "submitted")
        if not open_parts:
            progress.activity = ""
            return
        done = sum(self._counts.get(part.number, (0, ""))[0] for part in open_parts)
        places = [everything.index(part) + 1 for part in open_parts]
        which = f"batch {places[0]}" if len(places) == 1 else f"batches {places[0]} to {places[-1]}"
        requests = sum(part.requests for part in open_parts)
        progress.activity = f"{which} of {len(everything)}: {done:,} of {requests:,} done"


def _left_over(status: str) -> RequestError:
    if status == "expired":
        return RequestError.of("expired", "The batch expired before its turn came.")
    return RequestError.of("missing", "The batch ended without a result for this request.")
