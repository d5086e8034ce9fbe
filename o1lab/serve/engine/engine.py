"""Continuous batching: concurrent requests are decoded together, one token per step for each.

transformers' continuous batching packs all requests into one row, and PEFT selects adapters by row, so the two cannot
serve several adapters at once (transformers 5.23, peft 0.21: ``adapter_names`` is ignored there). Here every request is
a row. One thread owns the model. Between two steps, rows leave, adapters are loaded, and new rows join: they are
prefilled one chunk per step, so that a long prompt does not delay the rows that decode.

PEFT mixes the adapters of plain linear layers and embeddings in one forward pass. For other adapters (fused experts,
modules trained in full) each step makes one forward pass per adapter instead.

Requests whose prompts begin alike share what the model has read (:mod:`o1lab.serve.engine.prefill`).
"""

from __future__ import annotations

import queue
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import torch

from o1lab.serve.engine.kv import append_rows, join_rows, padded_mask, select_rows, take_rows
from o1lab.serve.engine.prefill import BASE, Job, KeptPrefix, Prefill, Row, next_jobs
from o1lab.serve.engine.sampling import OVERFLOWED, draw, token_scores

T = TypeVar("T")
CHUNK_TOKENS = {"cpu": 512, "cuda": 4096}
"""Prompt tokens of a step while no row decodes. A 1.5B model on an H200 reads as many in the time of one token."""
CHUNK_BESIDE = 1024
"""Prompt tokens of a step while rows decode, which wait for it."""
KEPT_S = 60.0
"""Seconds without work after which the kept prompt is freed."""


class Engine:
    """Decodes jobs with ``model`` until :meth:`close`.

    Args:
        model: a causal language model in eval mode, or a ``PeftModel`` around one.
        end_tokens: ids that end a turn.
        max_rows: maximum number of requests that decode at once; others wait.
        chunk_tokens: number of prompt tokens that are prefilled between two decoding steps; None for that of the
            device (``CHUNK_TOKENS``).

    Attributes:
        steps: turns of the loop with work so far.
    """

    def __init__(
        self, model: Any, end_tokens: set[int], *, max_rows: int = 64, chunk_tokens: int | None = None
    ) -> None:
        self.model = model
        self._end_tokens = end_tokens
        self._max_rows = max_rows
        self._chunk_tokens = chunk_tokens or CHUNK_TOKENS.get(model.device.type, CHUNK_TOKENS["cpu"])
        self._joined_tokens = 16 * min(self._chunk_tokens, CHUNK_TOKENS["cpu"])
        self._inbox: queue.SimpleQueue[Job | Callable[[], None] | None] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._prefill: Prefill | None = None
        self._kept: KeptPrefix | None = None
        self._rows: list[Row] = []
        self._cache: Any = None
        self._mask = torch.zeros(0, 0, dtype=torch.long)
        self._mixes = True
        self._active = ""
        self._closing = False
        self.steps = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, job: Job) -> None:
        self._inbox.put(job)

    def between_steps(self, action: Callable[[], T]) -> Future[T]:
        """Run ``action`` in the engine's thread between two steps. Only there may the model be changed."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(action())
            except Exception as error:
                future.set_exception(error)

        self._inbox.put(run)
        return future

    def use_model(self, model: Any, *, mixes: bool) -> None:
        """Decode with ``model`` from now on. Call it between steps, also when its adapters have changed.

        Args:
            model: the model.
            mixes: whether its adapters can be mixed in one forward pass.
        """
        self.model, self._mixes, self._active, self._kept = model, mixes, "", None
        if mixes and hasattr(model, "peft_config"):
            model.base_model.enable_adapter_layers()  # a pass for the base alone may have disabled them

    def in_use(self, adapter: str) -> bool:
        """Return whether a request for ``adapter`` runs or waits. Call it between steps."""
        coming = self._prefill.rows if self._prefill else []
        running = any(row.job.adapter == adapter for row in [*self._rows, *coming])
        return running or any(job.adapter == adapter for job in self._waiting)

    @property
    def load(self) -> tuple[int, int]:
        """The number of requests that decode, and the number that wait."""
        return len(self._rows), len(self._waiting) + (len(self._prefill.rows) if self._prefill else 0)

    def close(self) -> None:
        self._inbox.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            self._receive()
            if self._closing:
                self._fail_all("The server is stopping.")
                return
            try:
                with torch.inference_mode():
                    self._admit()
                    if self._prefill is not None:
                        self._prefill_chunk(self._prefill)
                    if self._rows:
                        self._decode_step()
            except Exception as error:
                self._fail_all(_message(error))
            self.steps += 1

    def _receive(self) -> None:
        """Process everything in the inbox; wait for an item if there is no work."""
        idle = not (self._rows or self._waiting or self._prefill)
        while idle or not self._inbox.empty():
            try:
                item = self._inbox.get(timeout=KEPT_S if idle and self._kept else None)
            except queue.Empty:
                self._kept = None
                continue
            idle = False
            if item is None:
                self._closing = True
            elif isinstance(item, Job):
                self._waiting.append(item)
            else:
                item()

    def _admit(self) -> None:
        """Start the next prefill with the waiting jobs that fit, first come, first served."""
        if self._prefill is not None:
            return
        jobs, fork = next_jobs(self._waiting, self._max_rows - len(self._rows), self._joined_tokens, self._kept)
        rows: list[Row] = []
        for job in jobs:
            if job.cancelled.is_set():
                job.on_end("cancelled", "")
            elif job.adapter != BASE and job.adapter not in getattr(self.model, "peft_config", ()):
                job.on_end("error", "This adapter was removed before the answer began.")
            else:
                rows.append(Row(job, len(job.prompt)))
        if rows:
            self._prefill = Prefill.of(rows, self._kept if fork else None)

    def _prefill_chunk(self, prefill: Prefill) -> None:
        if all(row.job.cancelled.is_set() for row in prefill.rows):
            self._prefill = None
            for row in prefill.rows:
                row.job.on_end("cancelled", "")
            return
        scored = any(row.job.score_from is not None for row in prefill.rows)
        tokens = min(self._chunk_tokens, CHUNK_BESIDE) if self._rows else self._chunk_tokens
        if scored:
            tokens = min(tokens, max(logits_room(self.model), CHUNK_TOKENS["cpu"]))
        columns = max(1, tokens // len(prefill.rows))
        end = min(prefill.done + columns, prefill.ids.shape[1])
        positions = (prefill.mask.cumsum(1) - 1).clamp(min=0)[:, prefill.done : end]
        logits = self._forward(
            prefill.ids[:, prefill.done : end],
            prefill.mask[:, :end],
            positions,
            prefill.cache,
            prefill.rows,
            keep=end - prefill.done if scored else 1,
        )
        if scored:
            prefill.add_scores(logits, prefill.done)
        prefill.done = end
        if end < prefill.ids.shape[1]:
            return
        self._prefill = None
        self._kept = prefill.to_keep(self._kept) or self._kept
        for row, parts in zip(prefill.rows, prefill.figures, strict=True):
            if row.job.score_from is not None:
                row.job.on_prompt([score for part in parts for score in part.scores()])
        if not any(row.job.max_tokens for row in prefill.rows):
            overflowed = (~torch.isfinite(logits[:, -1])).any(-1).tolist()
            for row, failed in zip(prefill.rows, overflowed, strict=True):
                row.job.on_end(*(("error", OVERFLOWED) if failed else ("length", "")))
            return
        # Join the rows before reporting their first tokens, so that a failure from here on ends every row.
        if self._rows:
            width = max(self._mask.shape[1], end)
            self._mask = torch.cat([padded_mask(self._mask, width), padded_mask(prefill.mask, width)])
            append_rows(self._cache, prefill.cache)
        else:
            self._mask, self._cache = prefill.mask, prefill.cache
        self._rows += prefill.rows
        self._advance(prefill.rows, logits[:, -1])

    def _decode_step(self) -> None:
        ids = torch.tensor([[row.last] for row in self._rows])
        positions = torch.tensor([[row.length] for row in self._rows])
        mask = torch.cat([self._mask, self._mask.new_ones(len(self._rows), 1)], dim=1)
        logits = self._forward(ids, mask, positions, self._cache, self._rows)
        self._mask = mask
        for row in self._rows:
            row.length += 1
        self._advance(list(self._rows), logits[:, -1])

    def _forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
        rows: list[Row],
        *,
        keep: int = 1,
    ) -> torch.Tensor:
        """Run the model and return the logits of each row's last ``keep`` columns, [rows, keep, vocabulary]."""
        adapters = [row.job.adapter for row in rows]
        if self._mixes:
            extra = {"adapter_names": adapters} if hasattr(self.model, "peft_config") else {}
            return self._pass(ids, mask, positions, cache, keep=keep, **extra)
        groups = [[i for i, name in enumerate(adapters) if name == one] for one in dict.fromkeys(adapters)]
        if len(groups) == 1:
            self._activate(adapters[0])
            return self._pass(ids, mask, positions, cache, keep=keep)
        parts = [take_rows(cache, group) for group in groups]
        logits = []
        for group, part in zip(groups, parts, strict=True):
            self._activate(adapters[group[0]])
            logits.append(self._pass(ids[group], mask[group], positions[group], part, keep=keep))
        join_rows(cache, parts, groups)
        order = torch.tensor([i for group in groups for i in group]).argsort()
        return torch.cat(logits)[order]

    def _pass(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any, *, keep: int, **extra: Any
    ) -> torch.Tensor:
        device = self.model.device
        out = self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
            **extra,
        )
        logits: torch.Tensor = out.logits[:, -keep:]
        return logits

    def _activate(self, adapter: str) -> None:
        """Apply one adapter, or none, to all rows of the next forward passes."""
        if adapter == self._active:
            return
        self._active = adapter
        if adapter == BASE:
            self.model.base_model.disable_adapter_layers()
        else:
            self.model.base_model.enable_adapter_layers()
            self.model.base_model.set_adapter([adapter], inference_mode=True)

    def _advance(self, rows: list[Row], logits: torch.Tensor) -> None:
        """Append the next token to each of ``rows``; finished rows leave the batch."""
        greedy = logits.argmax(-1).tolist()
        finite = torch.isfinite(logits).all(-1).tolist()
        ended: list[tuple[Row, str, str]] = []
        for i, row in enumerate(rows):
            job = row.job
            if job.cancelled.is_set():
                ended.append((row, "cancelled", ""))
                continue
            if not finite[i]:
                ended.append((row, "error", OVERFLOWED))
                continue
            if job.max_tokens == 0:
                ended.append((row, "length", ""))
                continue
            row.last = draw(logits[i], job.temperature, job.top_p, row.generator) if job.temperature > 0 else greedy[i]
            if row.last in self._end_tokens or row.last in job.end_tokens:
                ended.append((row, "stop", ""))
                continue
            row.made += 1
            score = None if job.top is None else token_scores(logits[i][None], torch.tensor([row.last]), job.top)[0]
            job.on_token(row.last, score)
            if row.made >= job.max_tokens:
                ended.append((row, "length", ""))
        if ended:
            self._leave([row for row, _, _ in ended])
            for row, reason, sentence in ended:
                row.job.on_end(reason, sentence)

    def _leave(self, leaving: list[Row]) -> None:
        gone = {id(row) for row in leaving}
        stay = [i for i, row in enumerate(self._rows) if id(row) not in gone]
        self._rows = [self._rows[i] for i in stay]
        if not stay:
            self._cache, self._mask = None, torch.zeros(0, 0, dtype=torch.long)
            return
        self._mask = self._mask[stay]
        first = int(self._mask.any(0).int().argmax())
        self._mask = self._mask[:, first:]
        select_rows(self._cache, stay, first)

    def _fail_all(self, sentence: str) -> None:
        """End all running jobs with an error; the engine continues with an empty batch."""
        jobs = [row.job for row in self._rows] + ([row.job for row in self._prefill.rows] if self._prefill else [])
        if self._closing:
            jobs += self._waiting
            self._waiting.clear()
        self._rows, self._prefill, self._cache, self._kept = [], None, None, None
        self._mask = torch.zeros(0, 0, dtype=torch.long)
        for job in jobs:
            job.on_end("error", sentence)


def logits_room(model: Any) -> int:
    """Return for how many tokens the logits fit into an eighth of the GPU's free memory; on a CPU, for any number."""
    if model.device.type != "cuda":
        return sys.maxsize
    vocabulary = int(model.config.get_text_config().vocab_size)
    return int(torch.cuda.mem_get_info(model.device)[0]) // 8 // (vocabulary * int(model.dtype.itemsize))


def _message(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return "The machine ran out of memory while answering; ask for fewer or shorter answers at once."
    first = str(error).strip().splitlines()
    return f"The model failed: {type(error).__name__}: {first[0] if first else 'no reason given'}"
