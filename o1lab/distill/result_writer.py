"""Measures, verifies and stores finished conversations as rows of the lab.

The trace, measures and outcome of a sample are written in one transaction, many samples at a time, in a separate
thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from o1lab.chains import parse
from o1lab.chains.verify import VerifierPool
from o1lab.distill.method import Draft, Method, SourceItem
from o1lab.errors import internal_reason
from o1lab.inference.calls import RequestError, Response, Role
from o1lab.inference.models import ModelClient
from o1lab.ingest.measuring import as_record, measure_new
from o1lab.ingest.verifying import verify_pairs
from o1lab.jobs.pipeline import StoreWriter
from o1lab.jobs.progress import Usage
from store import annotations as annotation_log
from store import problems, teacher_runs, traces, trees
from store.connection import Store
from store.records import Measured, NewTrace
from store.teacher_runs import Outcome
from store.trees import NewWalk
from store.writers import as_meta, written_by


@dataclass
class Conversation:
    """One (item, sample): its responses so far, and its result."""

    item: SourceItem
    sample: int
    usage: Usage = field(default_factory=Usage)
    responses: list[Response] = field(default_factory=list)
    draft: Draft | None = None
    failure: str = ""
    """An error in o1lab itself, if there was one."""

    @property
    def fault(self) -> RequestError | None:
        """The first error among the responses."""
        return next((one.fault for one in self.responses if one.fault is not None), None)


@dataclass(frozen=True)
class TraceOrigin:
    """The facts that all traces of a run share."""

    run_id: str
    method: Method
    teacher: ModelClient
    prompts: Mapping[str, Mapping[str, Any]]
    sampling: Callable[[int], Mapping[str, Any]]
    """The sampling options of a sample, used if its response does not contain them."""
    others: Mapping[Role, ModelClient] = field(default_factory=dict)
    """The other models that the method calls, by role."""

    @property
    def source(self) -> str:
        return f"distill/{self.run_id}"

    @property
    def synthesis(self) -> str:
        alone = self.teacher.ref.source == "solver" and not self.method.continues
        return "solver" if alone else self.method.synthesis

    def name(self, role: Role) -> str:
        """Return the name of a model in traces."""
        return self.others.get(role, self.teacher).model

    @property
    def annotator(self) -> str:
        """The name under which a judge annotates: an edited prompt or another endpoint is a different judge."""
        prompts = ", ".join(f"{one['prompt']} {one['hash'][:6]}" for one in self.prompts.values())
        return f"{self.teacher.model} of {self.teacher.ref.id} ({prompts})"

    @property
    def licence(self) -> str | None:
        return self.teacher.ref.endpoint.licence if self.teacher.ref.endpoint else None


Written = tuple[Outcome, str | None]
"""The outcome of a conversation, and the verdict on its trace."""


class ResultWriter(StoreWriter[Conversation, Written]):
    """Measures, verifies and stores conversations. Use as ``async with``; leaving it waits until all are stored."""

    def __init__(self, store: Store, origin: TraceOrigin, on_stored: Callable[[Written], None]) -> None:
        super().__init__(on_stored)
        self._store = store
        self._origin = origin

    async def __aenter__(self) -> Self:
        self.verifier = VerifierPool(workers=2)
        return await super().__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            await asyncio.to_thread(self.verifier.close)

    async def write(self, batch: list[Conversation]) -> None:
        await self.store(batch, self._save, self._save_failed)

    def _save_failed(self, one: Conversation, error: Exception) -> Written:
        # Without its counts: they may be what could not be stored.
        reason = internal_reason(error)
        failed = Outcome(one.item.id, one.sample, "failed", reason)
        with self._store.explained(), self._store.db.atomic():
            teacher_runs.add_outcomes(self._store.db, self._origin.run_id, [failed])
        return failed, None

    def _save(self, batch: Sequence[Conversation]) -> list[Written]:
        """Store a batch in one transaction; runs in the writer's thread."""
        drafted = [(one, self._trace(one)) for one in batch]
        kept = [(one, trace) for one, trace in drafted if trace is not None]
        counted = [measure_new(trace) for _, trace in kept]
        pairs = [(_gold(one), found.answer) for (one, _), found in zip(kept, counted, strict=True)]
        with self._store.explained():
            verdicts = verify_pairs(self._store.db, self.verifier, pairs)
        measures: dict[str, Measured] = {}
        for (_, trace), found, verdict in zip(kept, counted, verdicts, strict=True):
            measures[trace.id] = as_record(trace.id, found, verdict.status, verdict.reason)
        outcomes = [self._outcome(one, measures[trace.id] if trace else None) for one, trace in drafted]
        with self._store.explained(), self._store.db.atomic():
            db = self._store.db
            problems.add(db, [one.draft.problem for one in batch if one.draft is not None and one.draft.problem])
            traces.add(db, [(trace, _statement(one)) for one, trace in kept])
            traces.set_measures(db, list(measures.values()))
            trees.add_walks(db, self._walks(kept))
            for one in batch:
                self._annotate(one)
            teacher_runs.add_outcomes(db, self._origin.run_id, outcomes)
        return [(outcome, measures[outcome.trace_id].verdict if outcome.trace_id else None) for outcome in outcomes]

    def _annotate(self, one: Conversation) -> None:
        """Store a judge's finding on a trace, as an annotation by the judge."""
        finding = one.draft.finding if one.draft else None
        if finding is not None and one.item.trace_id is not None:
            kind, value, span = finding
            by, run = self._origin.annotator, self._origin.run_id
            annotation_log.annotate(self._store.db, one.item.trace_id, kind, value, annotator=by, span=span, run_id=run)

    def _walks(self, kept: Sequence[tuple[Conversation, NewTrace]]) -> Iterator[tuple[str, NewWalk]]:
        """Yield the walks through search trees that traces were made from, by the ids of the traces."""
        for one, trace in kept:
            if one.draft is not None and one.draft.walk is not None:
                yield trace.id, one.draft.walk._replace(written_by=self._origin.teacher.model)

    def _trace(self, one: Conversation) -> NewTrace | None:
        draft, run = one.draft, self._origin
        if draft is None or not draft.raw:
            return None
        parsed = parse.parse(draft.raw)
        return NewTrace(
            draft.problem.id if draft.problem else one.item.problem_id,
            run.teacher.model,
            source=run.source,
            key=f"{one.item.id}/{one.sample}",
            licence=one.item.trace_licence or run.licence or one.item.licence,
            synthesis=run.synthesis,
            parent_id=draft.parent_id,
            tokens=_written(one) if run.method.counted else None,
            meta={**self._meta(one), **draft.meta, **self._writers(one.item, draft)},
            **parsed.fields(draft.raw) | {"complete": parsed.complete and draft.complete},
        )

    def _meta(self, one: Conversation) -> dict[str, Any]:
        run, by_role = self._origin, {response.role: response for response in one.responses}
        others = {role: last for role in run.others if (last := by_role.pop(role, None)) is not None}
        last = next(reversed(by_role.values()), one.responses[-1])
        hidden = run.teacher.hidden_thoughts or bool(last.thought_tokens and not last.thought)
        return (
            {
                "teacher_run": run.run_id,
                "item": one.item.id,
                "sample": one.sample,
                "method": run.method.name,
                "prompts": run.prompts,
                "sampling": dict(last.options or run.sampling(one.sample)),
                "endpoint": run.teacher.ref.id,
                "asked_model": run.teacher.target.model,
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
            | {role: self._other(role, last, one) for role, last in others.items()}
        )

    def _other(self, role: Role, last: Response, one: Conversation) -> dict[str, Any]:
        """Describe another model than the teacher, how it was asked, and what of the usage was its own."""
        model, own = self._origin.others[role], Usage()
        for response in one.responses:
            if response.role == role:
                own.add(response)
        return {
            "endpoint": model.ref.id, "asked_model": model.target.model, "served_model": last.model,
            "sampling": dict(last.options or {}),
            "usage": {"input_tokens": own.input_tokens, "output_tokens": own.output_tokens},
        }  # fmt: skip

    def _writers(self, item: SourceItem, draft: Draft) -> dict[str, Any]:
        """Return who wrote what of a text that several models wrote."""
        begun_by = {"student": item.model} if item.model else {}
        _, writers = written_by([(begun_by.get(role) or self._origin.name(role), text) for role, text in draft.parts])
        return as_meta(writers)

    def _outcome(self, one: Conversation, measured: Measured | None) -> Outcome:
        trace_id = measured.trace_id if measured else None
        state, reason = self._judge(one, measured)
        usage = one.usage
        return Outcome(
            one.item.id, one.sample, state, reason, trace_id, usage.input_tokens, usage.output_tokens, usage.cost_usd
        )

    def _judge(self, one: Conversation, measured: Measured | None) -> tuple[Any, str]:
        if one.failure:
            return "failed", one.failure
        if one.fault is not None:
            return "failed", one.fault.code
        if one.draft is None:
            return "failed", "no result"
        if one.draft.rejected:
            return "rejected", one.draft.rejected
        if one.draft.finding is not None:
            return "kept", ""
        if measured is None:
            return "rejected", "empty"
        if self._origin.method.verified and measured.verdict != "correct":
            return "rejected", f"the answer is {measured.verdict}"
        return "kept", ""


def _written(one: Conversation) -> int | None:
    """Return the tokens of the trace as its server counted them, without hidden ones; None if they are not run.

    The count of several calls is not the count of one trace.
    """
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
