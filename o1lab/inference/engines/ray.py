"""The ``ray`` engine: runs problems through copies of a model on a Ray cluster.

Requests are the same as those of the local engine. Ray Data reads them in small blocks from the object store and passes
them to actors, one per model copy (:mod:`o1lab.inference.engines.ray_stage`). vLLM batches what it receives. Answers
arrive as a stream, in any order, and the process that started the run journals them. Journalled requests are never sent
again, so a run that was stopped or killed can resume; requests that a copy had not finished are lost and only cost
time. When a node disappears, Ray sends its blocks to another copy.

On a cluster::

    ray start --head --port=6379                    # on the first node
    ray start --address=HEAD:6379                   # on every other one
    o1lab distill -e MODEL --engine ray             # on any of them, with [cluster] address = "auto" in o1lab.toml

MODEL is an endpoint whose ``model`` is a hub id or a folder, the lab's base, or a run's checkpoint. Folders must have
the same path on every node (a shared file system; ``O1LAB_CACHE`` for the built-in bases). The lab itself is read and
written on the node where the command runs. Nodes need o1lab and vLLM; ``[cluster] runtime_env = {py_executable =
"/path/to/python"}`` gives them another environment.

vLLM's engine is used directly, not through ``ray.data.llm``, whose output (2.60) has no finish reason, so that a
truncated chain would look complete.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from o1lab.config import ClusterConfig, load_config
from o1lab.errors import LabError, O1LabError, UsageError
from o1lab.inference.calls import RAW_LIMIT, CallKey, Response
from o1lab.inference.client import as_response
from o1lab.inference.engines.offline import OfflineEngine, OfflineWork
from o1lab.inference.engines.ray_stage import StageModel
from o1lab.inference.errors import classify, status_error
from o1lab.inference.limits import Price
from o1lab.inference.stream import Reply, read_body
from o1lab.jobs.control import RunStopped
from o1lab.models import resolve_base
from o1lab.serve.registry import ModelRef
from o1lab.text import one_line
from store.records import now

VLLM, SOLVER = "o1lab.inference.engines.ray_stage:VllmStage", "o1lab.inference.engines.ray_stage:SolverStage"
_OLD_STAGES = ("o1lab.distill.ray_stage:", "o1lab.distill.engines.ray_stage:")
"""Former modules of the built-in stages, which o1lab.toml files may still name."""
_CONNECT_S = 10.0
_THREAD_END_S = 60.0
_FREE = Price(0.0, 0.0)


class RayEngine(OfflineEngine):
    """Fills the journal from a cluster."""

    def __init__(self, work: OfflineWork) -> None:
        super().__init__(work)
        config = load_config(work.lab)
        self._cluster = config.cluster
        self._stage, self._model = stage_of(work.model.ref, config.cluster, config.serve.trust_remote_code)
        if self._stage != (config.cluster.stage or self._stage):
            self.context.progress.note(f"[cluster] stage in o1lab.toml is now spelled {self._stage}.")

    async def fill(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):  # Ray prints its errors to standard output, which may be JSON
            await self._fill()

    async def _fill(self) -> None:
        self.context.progress.activity = "Connecting to the cluster."
        await asyncio.to_thread(connect, self._cluster, self._model.gpus)
        try:
            while not self.context.control.stopping.is_set() and (blocks := await self._put()):
                self.context.progress.activity = "Waiting for the cluster's first answers."
                await self._streamed(blocks)
        except asyncio.CancelledError:
            raise  # Ray ends with the process; waiting for its current work could take minutes
        except BaseException:
            await asyncio.to_thread(_leave)
            raise
        await asyncio.to_thread(_leave)

    async def _put(self) -> list[Any]:
        """Put the pending calls into the object store in blocks; returns references to the blocks."""
        import pyarrow
        import ray

        await self.reindex()
        blocks: list[Any] = []
        rows: list[dict[str, Any]] = []
        self._worst_tokens = requests = 0
        async for request in self.affordable(_FREE):
            body = json.dumps(request.body, ensure_ascii=False)
            rows.append({"key": str(request.key), "prompt": request.prompt, "body": body})
            self._worst_tokens += request.worst_tokens
            requests += 1
            if len(rows) == self._cluster.batch:
                blocks.append(ray.put(pyarrow.Table.from_pylist(rows)))
                rows = []
        if rows:
            blocks.append(ray.put(pyarrow.Table.from_pylist(rows)))
        if blocks:
            self.context.budget.take(self._worst_tokens, 0.0)
        self.context.progress.in_flight = requests
        return blocks

    async def _streamed(self, blocks: list[Any]) -> None:
        """Run :meth:`_stream` in a daemon thread, so that a cancelled job does not wait for it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def report(error: BaseException | None) -> None:
            if ended.done():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                self._stream(blocks, loop)
            except BaseException as failed:
                error = failed
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(report, error)

        threading.Thread(target=work, name="ray-data", daemon=True).start()
        await ended

    def _stream(self, blocks: list[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Run the pipeline in this thread; each block of answers is journalled before the next is taken.

        Raises:
            LabError: the cluster failed.
        """
        import ray
        from ray.data.exceptions import RayDataUserCodeException, SystemException

        from o1lab.inference.engines.ray_stage import StageActor

        together = max(1, -(-self.work.settings.concurrency // self._cluster.batch))
        try:
            answers = ray.data.from_arrow_refs(blocks).map_batches(
                StageActor,
                fn_constructor_args=[self._stage, asdict(self._model)],
                batch_size=self._cluster.batch,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(
                    size=self._cluster.replicas,
                    max_tasks_in_flight_per_actor=together,
                    max_concurrent_calls_per_actor=together,
                ),
                num_gpus=self._model.gpus,
                runtime_env=self._cluster.runtime_env or None,
            )
            # Not iter_batches: it holds the last block back, and its fetching thread outlives an early end (2.60).
            for bundle in answers.iter_internal_ref_bundles():
                for block in bundle.block_refs:
                    rows = ray.get(block).to_pylist()
                    asyncio.run_coroutine_threadsafe(self._take(rows), loop).result()
                if self.context.control.stopping.is_set():
                    return
        except (ray.exceptions.RayError, RayDataUserCodeException, SystemException) as error:
            raise LabError(
                f"The cluster failed: {_last_line(error)}",
                f"See Ray's logs. Resume with: {self.work.resume}",
                code="cluster",
            ) from error
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self.context.budget.settle, self._worst_tokens, 0.0)

    async def _take(self, rows: list[dict[str, Any]]) -> None:
        """Journal a block of answers."""
        await self.keep([self._response(row) for row in rows])
        self.context.progress.in_flight -= len(rows)
        self.context.progress.activity = f"The cluster is working on {self.context.progress.in_flight:,} requests."
        with contextlib.suppress(RunStopped):
            await self.context.control.gate()  # during a pause, the cluster finishes the requests that it has

    def _response(self, row: Mapping[str, Any]) -> Response:
        key, text = CallKey.read(row["key"]), row["answer"]
        if row["status"] == 200:
            reply = read_body(text, self.work.model.target)
        else:
            failure = status_error(row["status"], json.loads(text).get("error"))
            reply = Reply(error=classify(failure, self.work.model.target), raw=text[:RAW_LIMIT])
        response = as_response(key, reply, _FREE, row["prompt"])
        return replace(response, status=row["status"], attempt=1 + self._tries.get(key, 0), asked_at=now())


def stage_of(ref: ModelRef, cluster: ClusterConfig, trusted: list[str]) -> tuple[str, StageModel]:
    """Return the stage's class as ``module:Class``, and the model that it loads.

    Raises:
        UsageError: this model cannot be loaded on a cluster.
        NotFoundError, LabError: its base is missing.
    """
    stage = cluster.stage
    if stage is not None and stage.startswith(_OLD_STAGES):
        stage = VLLM.partition(":")[0] + ":" + stage.partition(":")[2]
    if ref.source == "solver":
        return stage or SOLVER, StageModel(ref.id)
    if ref.endpoint is not None:
        name = model = ref.endpoint.model
    elif ref.base is not None:
        name = ref.base
        model = str(resolve_base(name)) if stage is None else name
    else:
        raise UsageError(
            f"{ref.id} is a server, but the cluster loads models itself.", "Name the base or the checkpoint instead."
        )
    engine = dict(cluster.vllm)
    if name in trusted:
        engine["trust_remote_code"] = True
    adapter = str(ref.adapter.absolute()) if ref.adapter is not None else None
    return stage or VLLM, StageModel(model, adapter, cluster.gpus, engine, ref.prompt.as_json() if ref.prompt else {})


def connect(cluster: ClusterConfig, gpus: int) -> None:
    """Join the cluster, or start Ray on this machine.

    Raises:
        LabError: Ray is not installed, the cluster does not answer, or it has fewer GPUs than one copy needs.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # runs are private
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # after the shutdown, nothing starts Ray again
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise LabError("Ray is not installed.", "pip install 'o1lab[cluster]'", code="no_ray") from error
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    try:
        _check_reachable(address)
        ray.init(
            address,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError, OSError) as error:
        raise LabError(
            f"Ray does not answer at {address or 'this machine'}: {one_line(str(error), 200)}",
            "Start it (ray start --head), or correct [cluster] address in o1lab.toml.",
            code="no_cluster",
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # its plans and progress are in its own log
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    available = int(ray.cluster_resources().get("GPU", 0))
    if available < gpus:
        ray.shutdown()
        raise LabError(
            f"A copy of the model needs {gpus} GPUs, and the cluster has {available}.",
            "Set [cluster] gpus in o1lab.toml, or add nodes: ray start --address=HEAD:6379.",
            code="no_gpu",
        )


def _leave() -> None:
    """Leave the cluster after Ray Data's own threads have ended; one that still used Ray would end this process."""
    import ray

    for thread in threading.enumerate():
        if type(thread).__module__.startswith("ray.data."):
            thread.join(_THREAD_END_S)
    ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Check that a server listens at HOST:PORT, because Ray itself tries for minutes.

    Raises:
        OSError: there is none.
    """
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "//" not in host:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


def _last_line(error: BaseException) -> str:
    """Return the message of a remote error, without its traceback."""
    if isinstance(error.__cause__, O1LabError):
        return error.__cause__.message
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1] if lines else type(error).__name__, 300)
