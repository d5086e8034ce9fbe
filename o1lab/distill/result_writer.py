"""From conversations that ended to rows of the lab: measured, verified, and with where they came from.

A sample's trace, its measures and its outcome are one transaction, many samples at a time, in a thread of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

from o1lab.chains import parse
from o1lab.chains.verify import Verdict, VerifierPool, settle
from o1lab.distill.method import Draft, Method, SourceItem
from o1lab.inference.calls import RequestError, Response
from o1lab.inference.models import ModelClient
from o1lab.inference.usage import Usage
from o1lab.ingest.measuring import as_record, measure_new
from o1lab.jobs.batch_writer import batches
from store import problems, teacher_runs, traces
from store.connection import Store
from store.errors import StoreError
from store.records import Measured, NewTrace
from store.teacher_runs import Outcome

_WAITING = 512
"""So many ended conversations may wait to be taken in; then the asking waits."""
_BATCH = 256
_TOGETHER_S = 0.05
"""Conversations that end within this time share a transaction and its fsync."""


@dataclass
class Conversation:
    """One (item, sample) while it is held, and what it came to."""

    item: SourceItem
    sample: int
    spent: Usage = field(default_factory=Usage)
    responses: list[Response] = field(default_factory=list)
    draft: Draft | None = None
    broke: str = ""
    """What went wrong in us, if something did."""

    @property
    def fault(self) -> RequestError | None:
        """The first fault among its responses."""
        return next((one.fault for one in self.responses if one.fault is not None), None)


@dataclass(frozen=True)
class TraceOrigin:
    """What every trace of a run has in common."""

    run_id: str
    method: Method
    teacher: ModelClient
    prompts: Mapping[str, Mapping[str, Any]]
    sampling: Callable[[int], Mapping[str, Any]]
    """How a sample is asked for, where its response does not say how it was."""
    critic: ModelClient | None = None

    @property
    def source(self) -> str:
        return f"distill/{self.run_id}"

    @property
    def synthesis(self) -> str:
        return "solver" if self.teacher.ref.source == "solver" else self.method.synthesis

    @property
    def licence(self) -> str | None:
        return self.teacher.ref.endpoint.licence if self.teacher.ref.endpoint else None


OnWritten = Callable[[Outcome, str | None], None]


class ResultWriter:
    """Takes conversations in. Use as ``async with``; leaving it waits until all are in.

    ``landed`` is called in the event loop with each outcome and its trace's verdict, once they are on the disk.
    """

    def __init__(self, store: Store, provenance: TraceOrigin, landed: OnWritten) -> None:
        self._store = store
        self._provenance = provenance
        self._landed = landed
        self._verifier = VerifierPool(workers=2)
        self._queue: asyncio.Queue[Conversation | None] = asyncio.Queue(_WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="landing")
        self._task: asyncio.Task[None]  # while entered

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if not self._task.done():
                await self._queue.put(None)
            await self._task
        finally:
            self._thread.shutdown()
            await asyncio.to_thread(self._verifier.close)

    async def put(self, conversation: Conversation) -> None:
        """Hand one over; waits while too many are waiting.

        Raises:
            StoreError: the database refuses; nothing more will be taken in.
        """
        if self._task.done():
            self._task.result()
        await self._queue.put(conversation)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for batch in batches(self._queue, most=_BATCH, together_s=_TOGETHER_S):
                for outcome, verdict in await loop.run_in_executor(self._thread, self._land_each, batch):
                    self._landed(outcome, verdict)
        except BaseException:
            while not self._queue.empty():  # nobody shall wait for room that never comes
                self._queue.get_nowait()
            raise

    def _land_each(self, batch: Sequence[Conversation]) -> list[tuple[Outcome, str | None]]:
        """Store a batch, or one by one where something in it cannot be stored: that one fails, the others stay.

        Raises:
            StoreError, OSError: the database or the disk refuses.
        """
        try:
            return self._land(batch)
        except (StoreError, OSError):
            raise
        except Exception as error:
            if len(batch) > 1:
                return [ended for one in batch for ended in self._land_each([one])]
            one, reason = batch[0], f"internal: {type(error).__name__}: {error}"[:200]
            failed = Outcome(one.item.id, one.sample, "failed", reason)  # its counts may be what cannot be stored
            with self._store.explained(), self._store.db.atomic():
                teacher_runs.add_outcomes(self._store.db, self._provenance.run_id, [failed])
            return [(failed, None)]

    def _land(self, batch: Sequence[Conversation]) -> list[tuple[Outcome, str | None]]:
        """Store a batch; runs in the landing's thread."""
        drafted = [(one, self._trace(one)) for one in batch]
        kept = [(one, trace) for one, trace in drafted if trace is not None]
        counted = [measure_new(trace) for _, trace in kept]
        verdicts = self._verdicts([(_gold(one), found.answer) for (one, _), found in zip(kept, counted, strict=True)])
        measures: dict[str, Measured] = {}
        for (_, trace), found, verdict in zip(kept, counted, verdicts, strict=True):
            measures[trace.id] = as_record(trace.id, found, verdict.status, verdict.reason)
        outcomes = [self._outcome(one, measures[trace.id] if trace else None) for one, trace in drafted]
        with self._store.explained(), self._store.db.atomic():
            db = self._store.db
            problems.add(db, [one.draft.problem for one in batch if one.draft is not None and one.draft.problem])
            traces.add(db, [(trace, _statement(one)) for one, trace in kept])
            traces.set_measures(db, list(measures.values()))
            teacher_runs.add_outcomes(db, self._provenance.run_id, outcomes)
        return [(outcome, measures[outcome.trace_id].verdict if outcome.trace_id else None) for outcome in outcomes]

    def _verdicts(self, pairs: Sequence[tuple[str | None, str | None]]) -> list[Verdict]:
        """Verdicts on (gold, answer) pairs; only what needs algebra goes to the verifying processes."""
        settled = [settle(*pair) for pair in pairs]
        hard = [pair for pair, verdict in zip(pairs, settled, strict=True) if verdict is None]
        verified = self._verifier.verify_many(hard)
        return [verdict or next(verified) for verdict in settled]

    def _trace(self, one: Conversation) -> NewTrace | None:
        draft, known = one.draft, self._provenance
        if draft is None or not draft.raw:
            return None
        parsed = parse.parse(draft.raw)
        return NewTrace(
            draft.problem.id if draft.problem else one.item.problem_id,
            known.teacher.model,
            draft.raw,
            parsed.thought or (0, 0),
            parsed.solution or (len(draft.raw), len(draft.raw)),
            parsed.complete and draft.complete,
            str(parsed.format),
            known.source,
            key=f"{one.item.id}/{one.sample}",
            licence=one.item.trace_licence or known.licence or one.item.licence,
            synthesis=known.synthesis,
            parent_id=draft.parent_id,
            tokens=_written(one),
            meta={**self._meta(one), **draft.meta},
        )

    def _meta(self, one: Conversation) -> dict[str, Any]:
        known, by_role = self._provenance, {response.role: response for response in one.responses}
        critic = by_role.pop("critic", None)
        last = next(reversed(by_role.values()), one.responses[-1])
        hidden = known.teacher.hidden_thoughts or bool(last.thought_tokens and not last.thought)
        return (
            {
                "teacher_run": known.run_id,
                "item": one.item.id,
                "sample": one.sample,
                "method": known.method.name,
                "prompts": known.prompts,
                "sampling": dict(last.options or known.sampling(one.sample)),
                "endpoint": known.teacher.ref.id,
                "asked_model": known.teacher.target.model,
                "served_model": last.model,
                "finish_reason": last.finish_reason,
                "hidden_thoughts": hidden,
                "calls": len(one.responses),
                "usage": {
                    "input_tokens": sum(each.input_tokens for each in one.responses),
                    "output_tokens": sum(each.output_tokens for each in one.responses),
                    "thought_tokens": last.thought_tokens,
                    "estimated": any(each.estimated for each in one.responses),
                },
                "seconds": round(sum(each.seconds for each in one.responses), 3),
                "asked_at": one.responses[0].asked_at,
            }
            | ({"fault": one.fault.code} if one.fault else {})
            | self._critic(critic)
        )

    def _critic(self, last: Response | None) -> dict[str, Any]:
        """Who criticised, and how it was asked."""
        voice = self._provenance.critic
        if last is None or voice is None:
            return {}
        asked = {"endpoint": voice.ref.id, "asked_model": voice.target.model, "served_model": last.model}
        return {"critic": {**asked, "sampling": dict(last.options or {})}}

    def _outcome(self, one: Conversation, measured: Measured | None) -> Outcome:
        trace_id = measured.trace_id if measured else None
        state, reason = self._judge(one, measured)
        spent = one.spent
        return Outcome(
            one.item.id, one.sample, state, reason, trace_id, spent.input_tokens, spent.output_tokens, spent.cost_usd
        )

    def _judge(self, one: Conversation, measured: Measured | None) -> tuple[Any, str]:
        if one.broke:
            return "failed", one.broke
        if one.fault is not None:
            return "failed", one.fault.code
        if one.draft is None:
            return "failed", "nothing came of it"
        if one.draft.rejected:
            return "rejected", one.draft.rejected
        if measured is None:
            return "rejected", "empty"
        if self._provenance.method.verified and measured.verdict != "correct":
            return "rejected", f"the answer is {measured.verdict}"
        return "kept", ""


def _written(one: Conversation) -> int | None:
    """Tokens of the trace by its model's own count: hidden ones are not in it, and several calls are not one trace."""
    last = one.responses[-1]
    if len(one.responses) != 1 or last.estimated:
        return None
    return last.output_tokens - (last.thought_tokens or 0 if not last.thought else 0)


def _gold(one: Conversation) -> str | None:
    problem = one.draft.problem if one.draft else None
    return (problem.answer if problem else None) or one.item.gold


def _statement(one: Conversation) -> str:
    problem = one.draft.problem if one.draft else None
    return problem.statement if problem else one.item.statement
