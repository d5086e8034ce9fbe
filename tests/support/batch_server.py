"""A teacher for tests that also speaks the Batch API: files, batches that move on when looked at, what can go wrong.

Every look at a batch moves it one step: validating, in_progress (half of it done), finalizing, and its end.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email import policy
from email.parser import BytesParser
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.distill_server import DistillServer, Question, question_of

STEPS = ("validating", "in_progress", "finalizing")
ENDS = ("completed", "expired", "failed", "queue", "silent")
"""``queue``: not accepted, the account's queue is full. ``silent``: completed, but half of it has no line."""
MOMENTS = ("before-create", "after-create", "poll", "download")


@dataclass
class _Batch:
    id: str
    body: dict[str, Any]
    end: str
    lines: list[dict[str, Any]]
    at: int = 0
    status: str = "validating"
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


class BatchServer(DistillServer):
    """``end`` says how the n-th batch ends (from 0). At ``moment`` it stands still, once, until ``release`` is set."""

    def __init__(
        self,
        *,
        end: Callable[[int], str] = lambda number: "completed",
        moment: str = "",
        treat: Callable[[Question, int], str] | None = None,
    ) -> None:
        self.end = end
        self.moment = moment
        self.reached = threading.Event()
        self.batches: list[_Batch] = []
        self.uploads: dict[str, bytes] = {}
        self.cancelled: list[str] = []
        self.calls: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        """How many of the next requests of a kind (upload, create, list, retrieve, content) fail with 503."""
        super().__init__(treat=treat)

    def more_routes(self) -> list[Route]:
        return [
            Route("/v1/files", self._upload, methods=["POST"]),
            Route("/v1/files/{id}/content", self._content),
            Route("/v1/batches", self._create, methods=["POST"]),
            Route("/v1/batches", self._list),
            Route("/v1/batches/{id}", self._retrieve),
            Route("/v1/batches/{id}/cancel", self._cancel, methods=["POST"]),
        ]

    async def _still(self, moment: str) -> None:
        if self.moment == moment and not self.release.is_set():
            self.reached.set()
            await self._released()

    def _trouble(self, kind: str) -> Response | None:
        self.calls[kind] += 1
        if self.troubles[kind] > 0:
            self.troubles[kind] -= 1
            return JSONResponse({"error": {"message": "Try again later."}}, 503)
        return None

    async def _upload(self, request: Request) -> Response:
        if trouble := self._trouble("upload"):
            return trouble
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        form = BytesParser(policy=policy.HTTP).parsebytes(head + await request.body())
        fields = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        assert fields["purpose"].get_content().strip() == "batch"
        name = f"file-{len(self.uploads)}"
        self.uploads[name] = fields["file"].get_payload(decode=True)
        return JSONResponse(
            {"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "batch"}
            | {"status": "processed"}
        )

    async def _create(self, request: Request) -> Response:
        if trouble := self._trouble("create"):
            return trouble
        body = await request.json()
        await self._still("before-create")
        if await request.is_disconnected():
            return Response(status_code=499)
        assert (body["endpoint"], body["completion_window"]) == ("/v1/chat/completions", "24h")
        lines = [json.loads(line) for line in self.uploads[body["input_file_id"]].splitlines()]
        assert all((line["method"], line["url"]) == ("POST", body["endpoint"]) for line in lines)
        assert len({line["custom_id"] for line in lines}) == len(lines)
        batch = _Batch(f"batch-{len(self.batches)}", body, self.end(len(self.batches)), lines)
        self.batches.append(batch)
        await self._still("after-create")
        if self.troubles["created"]:  # it is there, and the answer says it failed
            self.troubles["created"] -= 1
            return JSONResponse({"error": {"message": "Bad gateway"}}, 502)
        return JSONResponse(self._card(batch))

    async def _list(self, request: Request) -> Response:
        if trouble := self._trouble("list"):
            return trouble
        newest = [self._card(batch) for batch in reversed(self.batches)]
        return JSONResponse({"object": "list", "data": newest, "has_more": False})

    async def _retrieve(self, request: Request) -> Response:
        if trouble := self._trouble("retrieve"):
            return trouble
        batch = self._of(request)
        if batch.status == "in_progress":
            await self._still("poll")
        self._move(batch)
        return JSONResponse(self._card(batch))

    async def _cancel(self, request: Request) -> Response:
        batch = self._of(request)
        self.cancelled.append(batch.id)
        if batch.status not in (*STEPS, "cancelling"):
            return JSONResponse({"error": {"message": f"Cannot cancel a batch that is {batch.status}."}}, 409)
        batch.status = "cancelling"
        return JSONResponse(self._card(batch))

    async def _content(self, request: Request) -> Response:
        if trouble := self._trouble("content"):
            return trouble
        await self._still("download")
        name = request.path_params["id"]
        text = next(batch.files[name] for batch in self.batches if name in batch.files)
        return Response(text.encode(), media_type="application/octet-stream")

    def _of(self, request: Request) -> _Batch:
        return next(batch for batch in self.batches if batch.id == request.path_params["id"])

    # --- a batch's way --------------------------------------------------------------------------------

    def _move(self, batch: _Batch) -> None:
        if batch.status == "cancelling":
            self._finish(batch, "cancelled")
        elif batch.status in STEPS:
            batch.at += 1
            if batch.at == 1 and batch.end in ("failed", "queue"):
                batch.status = "failed"
            elif batch.at < len(STEPS):
                batch.status = STEPS[batch.at]
                if batch.status == "in_progress":
                    self._work(batch, batch.lines[: len(batch.lines) // 2])
            else:
                if batch.end == "completed":
                    self._work(batch, batch.lines[len(batch.lines) // 2 :])
                self._finish(batch, "completed" if batch.end == "silent" else batch.end)

    def _work(self, batch: _Batch, lines: list[dict[str, Any]]) -> None:
        for number, line in enumerate(lines):
            with self._news:
                self.asked[question_of(line["body"])] += 1
            mode = self.mode_of(line["body"])
            refusal = self._refusal(mode, line["body"], "Bearer secret")
            answered = {"id": f"r{number}", "custom_id": line["custom_id"], "error": None}
            if refusal is not None and "json" in refusal.headers["content-type"]:
                body, status = json.loads(bytes(refusal.body)), refusal.status_code
            else:
                body, status = self._whole(mode, line["body"]), 200
            answered["response"] = {"status_code": status, "request_id": "q", "body": body}
            (batch.done if status == 200 else batch.failed).append(json.dumps(answered))

    def _finish(self, batch: _Batch, status: str) -> None:
        batch.status = status
        if status in ("expired", "cancelled"):
            there = {json.loads(text)["custom_id"] for text in batch.done + batch.failed}
            error = {"code": f"batch_{status}", "message": "This request could not be executed."}
            for line in batch.lines:
                if line["custom_id"] not in there:
                    left = {"id": "r", "custom_id": line["custom_id"], "response": None, "error": error}
                    batch.failed.append(json.dumps(left))
        # The order of a result file is the server's own business.
        for kind, texts in (("output", batch.done[::-1]), ("error", batch.failed)):
            if texts:
                batch.files[f"{batch.id}-{kind}"] = "\n".join(texts) + "\n"

    def _card(self, batch: _Batch) -> dict[str, Any]:
        over = batch.status not in (*STEPS, "cancelling")
        code = "token_limit_exceeded" if batch.end == "queue" else "invalid_model"
        errors = {"object": "list", "data": [{"code": code, "message": "Enqueued too much, or no such model."}]}
        names = {kind: f"{batch.id}-{kind}" for kind in ("output", "error")}
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.body["endpoint"],
            "input_file_id": batch.body["input_file_id"],
            "completion_window": "24h",
            "created_at": 1_900_000_000,
            "status": batch.status,
            "metadata": batch.body.get("metadata"),
            "errors": errors if batch.status == "failed" else None,
            "request_counts": {
                "total": len(batch.lines),
                "completed": len(batch.done),
                "failed": len(batch.failed),
            },
            **{f"{kind}_file_id": name if over and name in batch.files else None for kind, name in names.items()},
        }
