"""The ``batch`` engine: sends all requests through the OpenAI Batch API (or a compatible server).

The price is often half. Pending requests are written into parts (:mod:`o1lab.distill.engines.batch_parts`), each part
becomes a batch, the batches are polled, and their results go into the journal. Requests that failed for a transient
reason, were left over by an expired batch or got no result go into the next parts, up to ``attempts`` times. A stop
cancels the batches and keeps the results they have. A process that was killed finds its batches by their metadata,
also those that it created and never wrote down.

The very first call of a run is made directly, at the full price: a wrong key, a wrong name or a parameter that the
model does not take must not show after a day.

With a budget, as much is submitted as cannot exceed it even if every answer is as long as it may be; when that has
come back it is known what it took, and the next part follows.
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

from o1lab.distill.engines.batch_parts import Part, Parts, PartWriter, answer_lines, request_line
from o1lab.distill.engines.offline import OfflineEngine
from o1lab.distill.runner import Job
from o1lab.inference.calls import FATAL, RAW_LIMIT, CallKey, RequestError, Response, RunStopped
from o1lab.inference.client import CONNECT_TIMEOUT_S, CompletionClient, as_response, droppable
from o1lab.inference.errors import explain, without_key
from o1lab.inference.models import price_of
from o1lab.inference.stream import Reply, error_in, fault_of, read_body, status_error
from o1lab.serve.records import PAST_PROXIES

FIRST_LOOK_S, LONGEST_LOOK_S = 0.5, 60.0
"""Seconds between two looks at a batch: more each time that nothing moved."""
_SLOWER = 1.5
CANCEL_S = 660.0
"""How long a cancelled batch is waited for: the API's reference says up to ten minutes."""
PATIENCE_S = 86_400.0
"""How long a server may be away: as long as a batch may take."""
_TRANSFER_S = 600.0
_CLOCKS_S = 86_400.0
"""So much may the server's clock differ from ours when a batch is looked for that may be ours."""
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})
_FAILURES = (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, ValueError)
_AGAIN = "Go on with --resume once that is mended: nothing that was paid for is asked again."

T = TypeVar("T")


class BatchEngine(OfflineEngine):
    """Fills the journal through the Batch API."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._voice = job.voices["teacher"]
        self._price = price_of(self._voice.ref, "batch")
        self._parts = Parts(job.folder)
        self._voice.dropped |= self._parts.dropped
        self._counts: dict[int, tuple[int, str]] = {}
        self._queue_full = False

    async def fill(self) -> None:
        http = openai.DefaultAioHttpClient(
            timeout=httpx2.Timeout(_TRANSFER_S, connect=CONNECT_TIMEOUT_S), mounts=PAST_PROXIES
        )
        target = self._voice.target
        async with http:
            self._client = openai.AsyncOpenAI(
                base_url=target.base_url, api_key=target.key, http_client=http, max_retries=0
            )
            for part in self._parts.open:
                self.job.budget.take(part.worst_tokens, part.worst_usd)
            try:
                await self._finish()
                if not self._parts.parts and not len(self.job.index):
                    await self._call_once()
                while await self._write():
                    await self._finish()
            except RunStopped:
                await self._withdraw()
                raise

    async def _call_once(self) -> None:
        job = self.job
        async for key, messages in self.to_do():
            async with CompletionClient(
                job.settings, job.voices,
                journal=job.journal, control=job.control, budget=job.budget, progress=job.progress, clock=job.clock,
                stream=job.settings.stream,
            ) as teacher:  # fmt: skip
                await teacher.call(key, messages)
            return

    # --- writing --------------------------------------------------------------------------------------

    async def _write(self) -> bool:
        """Write what is to do into parts, as much as fits the budget at its worst; whether there is anything.

        Raises:
            RunStopped: not one more request fits the budget.
        """
        await self.job.reindex()
        made: list[Part] = []
        writer: PartWriter | None = None
        try:
            async for request in self.affordable(self._price):
                line = request_line(request.key, request.body)
                if writer is None or not writer.takes(line):
                    if writer is not None:
                        writer.close()
                    writer = self._parts.begin(sorted(request.body.keys() - {"model", "messages"}))
                    made.append(writer.part)
                writer.put(line, request.worst_tokens, request.worst_usd)
        finally:
            if writer is not None:
                writer.close()
        self._parts.add(*made)
        for part in made:
            self.job.budget.take(part.worst_tokens, part.worst_usd)
        return bool(made)

    # --- submitting and looking -----------------------------------------------------------------------

    async def _finish(self) -> None:
        """Until every part is taken in.

        Raises:
            RunStopped: the run is stopping.
        """
        control, wait = self.job.control, FIRST_LOOK_S
        while open_parts := self._parts.open:
            moved = False
            for part in open_parts:
                if part.state == "submitted":
                    moved |= await self._look(part)
                elif not self._queue_full and not control.paused and not control.stopping.is_set():
                    await self._submit(part)
                    moved = True
            self._say()
            if not self._parts.open:
                return
            wait = FIRST_LOOK_S if moved else min(_SLOWER * wait, LONGEST_LOOK_S)
            if await self.job.clock.wait(control.stopping, wait):
                raise RunStopped(control.reason)

    async def _submit(self, part: Part) -> None:
        """Make the part's batch, unless an earlier process or a request that seemed to fail has made it."""
        uploaded, until = "", self.job.clock.now() + PATIENCE_S
        while True:
            batch = await self._find(part)
            if batch is None:
                uploaded = uploaded or await self._patiently(lambda: self._upload(part))
                try:
                    batch = await self._client.batches.create(
                        input_file_id=uploaded,
                        endpoint="/v1/chat/completions",
                        completion_window="24h",
                        metadata=part.metadata(self.job.folder.id),
                    )
                except _FAILURES as error:
                    await self._wait_out(error, FIRST_LOOK_S, until)
                    continue  # it may be there all the same
            part.batch, part.state = batch.id, "submitted"
            self._parts.save()
            return

    async def _upload(self, part: Part) -> str:
        name = f"o1lab-{self.job.folder.id}-{part.number}.jsonl"
        with self._parts.file(part).open("rb") as lines:
            return (await self._client.files.create(file=(name, lines), purpose="batch")).id

    async def _find(self, part: Part) -> Batch | None:
        """The part's batch, if the server has one that we know nothing of."""
        ours = part.metadata(self.job.folder.id).items()
        born = self.job.folder.prompts.stat().st_mtime - _CLOCKS_S

        async def look() -> Batch | None:
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).items() >= ours and batch.status != "failed":
                    return batch
                if batch.created_at < born:  # the newest come first
                    return None
            return None

        return await self._patiently(look)

    async def _look(self, part: Part) -> bool:
        """See how a part's batch stands and take it in when it is over; whether anything has moved."""
        batch = await self._patiently(lambda: self._client.batches.retrieve(part.batch))
        counts = batch.request_counts
        seen = ((counts.completed + counts.failed) if counts else 0, batch.status)
        moved = self._counts.get(part.number) != seen
        self._counts[part.number] = seen
        if batch.status not in _OVER:
            return moved
        if batch.status == "failed":
            await self._not_accepted(part, batch)
        else:
            await self._take_in(part, batch)
        return True

    async def _not_accepted(self, part: Part, batch: Batch) -> None:
        """The server took none of a batch: its queue is full, or it does not take such requests at all.

        Raises:
            RunStopped: asking in another way would not help.
        """
        errors = (batch.errors.data if batch.errors else None) or []
        part.batch, part.state = "", "written"
        self._parts.save()
        if any(error.code == "token_limit_exceeded" for error in errors):
            if any(other.state == "submitted" for other in self._parts.open):
                self._queue_full = True  # until one of ours is over
                return
            if part.requests > 1:
                self._settle_budget(part, 0, 0.0)
                for half in self._parts.halves(part):
                    self.job.budget.take(half.worst_tokens, half.worst_usd)
                return
        said = next((error.message for error in errors if error.message), "it does not say why")
        raise self._over("failures", f"The server accepts no such batch: {said[:300]}", _AGAIN)

    # --- taking in ------------------------------------------------------------------------------------

    async def _take_in(self, part: Part, batch: Batch) -> None:
        """Everything a batch came to, into the journal."""
        before = self.job.progress.input_tokens + self.job.progress.output_tokens, self.job.progress.cost_usd
        left = await asyncio.to_thread(self._parts.asked, part)
        path = self._parts.answers(part)
        for name in (batch.output_file_id, batch.error_file_id):
            if name:
                await self._patiently(partial(self._download, name, path))
                await self.keep(self._responses(part, batch, answer_lines(path), left))
                path.unlink()
        if batch.status != "cancelled":
            fault = _left_over(batch.status)
            await self.keep(Response(key, "failed", fault=fault) for key in left if key not in self.job.index)
        used = self.job.progress.input_tokens + self.job.progress.output_tokens - before[0]
        self._settle_budget(part, used, self.job.progress.cost_usd - before[1])
        self._parts.dropped = set(self._voice.dropped)
        self._parts.done_with(part)
        self._queue_full = False
        if self.job.control.stopping.is_set() and self.job.control.reason in FATAL:
            raise RunStopped(self.job.control.reason)

    def _responses(
        self, part: Part, batch: Batch, lines: Iterator[dict[str, Any]], left: dict[CallKey, int]
    ) -> Iterator[Response]:
        """The responses in a result file; their calls are taken out of ``left``."""
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
            if reply is None or key in self.job.index:  # to be asked again; or taken in before the process was killed
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
        """What a result line says; None where it only says how to ask."""
        raw, answer, error = json.dumps(line, ensure_ascii=False), line.get("response"), line.get("error")
        if not isinstance(answer, dict) or not answer.get("status_code"):
            code = error.get("code") if isinstance(error, dict) else None
            if code == "batch_cancelled":
                return None
            return Reply(fault=_left_over("expired") if code == "batch_expired" else error_in(error), raw=raw)
        body = answer.get("body")
        if answer["status_code"] == 200:
            return read_body(json.dumps(body, ensure_ascii=False))
        told = body.get("error") if isinstance(body, dict) else None
        failure = status_error(answer["status_code"], told)
        if isinstance(failure, openai.BadRequestError):
            refused = droppable(failure, dict.fromkeys(part.options))
            if refused is not None:
                self._voice.dropped.add(refused)
                self.job.progress.note(f"{self._voice.ref.id} does not take {refused}: it is left out.")
                return None
        raw = without_key(raw, self._voice.target.key)[:RAW_LIMIT]
        return Reply(fault=fault_of(failure, self._voice.target), raw=raw)

    async def _download(self, name: str, path: Path) -> None:
        async with self._client.files.with_streaming_response.content(name) as answer:
            await answer.stream_to_file(path)

    # --- stopping -------------------------------------------------------------------------------------

    async def _withdraw(self) -> None:
        """Cancel what the server works on and take in what it came to; what cannot be had now comes with a resume."""
        never = asyncio.Event()
        try:
            for part in self._parts.open:
                if part.state == "written" and (batch := await self._find(part)) is not None:
                    part.batch, part.state = batch.id, "submitted"
                    self._parts.save()
                elif part.state == "written":
                    self._settle_budget(part, 0, 0.0)
                    self._parts.forget(part)
            for part in self._parts.open:
                await self._cancel(part)
            wait, until = FIRST_LOOK_S, self.job.clock.now() + CANCEL_S
            while self._parts.open and self.job.clock.now() < until:
                for part in self._parts.open:
                    await self._look(part)
                self._say()
                if self._parts.open:
                    await self.job.clock.wait(never, wait)
                    wait = min(_SLOWER * wait, LONGEST_LOOK_S)
        except RunStopped:
            pass
        if self._parts.open:
            self.job.progress.note("The server still works on a batch: what it comes to is fetched with --resume.")

    async def _cancel(self, part: Part) -> None:
        try:
            await self._client.batches.cancel(part.batch)
        except openai.APIStatusError as error:
            if error.status_code not in (400, 404, 409):  # it is over already
                raise RunStopped(self.job.control.reason) from error
        except _FAILURES as error:
            raise RunStopped(self.job.control.reason) from error

    # --- what all of them need ------------------------------------------------------------------------

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the server answers, also when it is away for hours: what it works on goes on meanwhile.

        Raises:
            RunStopped: it refuses, it was away for longer than ``PATIENCE_S``, or the run is stopping.
        """
        wait, until = FIRST_LOOK_S, self.job.clock.now() + PATIENCE_S
        while True:
            try:
                return await ask()
            except _FAILURES as error:
                await self._wait_out(error, wait, until)
            wait = min(2 * wait, LONGEST_LOOK_S)

    async def _wait_out(self, error: Exception, seconds: float, until: float) -> None:
        said = explain(error, self._voice.target)
        control = self.job.control
        if isinstance(error, openai.NotFoundError):
            raise self._over(
                "failures", "That server has no Batch API, or no longer what was asked of it.", "Use --engine local."
            ) from error
        if not said.retryable or self.job.clock.now() > until:
            raise self._over(said.code if said.code in FATAL else "failures", said.sentence, _AGAIN) from error
        self.job.progress.activity = said.sentence
        if await self.job.clock.wait(control.stopping, max(seconds, said.retry_after_s or 0.0)):
            raise RunStopped(control.reason) from error

    def _over(self, reason: str, sentence: str, hint: str) -> RunStopped:
        self.job.control.stop(reason, sentence, hint)
        return RunStopped(reason)

    def _settle_budget(self, part: Part, tokens: int, usd: float) -> None:
        self.job.budget.settle(part.worst_tokens, part.worst_usd, tokens, usd)

    def _say(self) -> None:
        open_parts = self._parts.open
        progress, everything = self.job.progress, self._parts.parts
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
        return RequestError("expired", "The batch expired before its turn came.", retryable=True)
    return RequestError("missing", "The batch ended without a word on this request.", retryable=True)
