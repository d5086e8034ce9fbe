"""``python -P -m o1lab.serve.embedded MODEL``: a server of one base and its adapters, or of the solver.

A process of its own: with a base it imports torch. Its first line on standard output is JSON and says that it
is ready; what goes wrong before is a sentence on standard error and an exit status of the command line's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path

import psutil
import uvicorn
from tokenizers import Tokenizer

from o1lab.errors import LabError, O1LabError
from o1lab.locations import Lab
from o1lab.serve.api import Backend, make_api
from o1lab.serve.records import ServerRecord, new_token, records_folder, write_record
from o1lab.serve.registry import SOLVER
from o1lab.text import visible


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped; returns the exit status."""
    options = _options().parse_args(argv)
    try:
        sock = listen(options.port)
        backend = make_backend(options)
        asyncio.run(serve(backend, sock, options))
    except O1LabError as error:
        if options.json:
            print(json.dumps(error.as_json(), ensure_ascii=False), flush=True)
        else:
            print(visible(f"o1lab: {error.message}\n       {error.hint}"), file=sys.stderr, flush=True)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="o1lab.serve.embedded", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="a base's name or folder, or solver")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lab", type=Path, help="where the record goes; else the cache")
    parser.add_argument("--parent", type=int, help="stop when the process of this id is gone")
    parser.add_argument("--owner", choices=("app", "person"), default="person")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--max-rows", type=int, default=64, help="requests decoded at once")
    parser.add_argument("--trust-remote-code", action="store_true")
    parser.add_argument("--json", action="store_true", help="tell errors as JSON on standard output")
    return parser


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes any free one.

    Raises:
        LabError: the port is taken.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError as error:
        sock.close()
        raise LabError(
            f"Port {port} cannot be used: {error.strerror}.", "Choose another with --port, or 0 for any."
        ) from error
    return sock


def make_backend(options: argparse.Namespace) -> Backend:
    """What the command line names, loaded.

    Raises:
        O1LabError: no such model, no torch, an adapter that does not fit.
    """
    if options.model == SOLVER:
        from o1lab.serve.solver_model import Solver

        if options.adapter:
            raise LabError("The solver has no weights, so it takes no adapter.", "Name a base to serve.")
        return Solver(_student_tokenizer())
    from o1lab.models.base import resolve_base

    folder = resolve_base(options.model)
    try:
        from o1lab.serve.engine import Engine
        from o1lab.serve.language_model import LanguageModel
        from o1lab.serve.weights import load_weights
    except ImportError as error:
        raise LabError(
            f"Serving a model needs {error.name}, which is not installed.", "Install it: pip install 'o1lab[train]'"
        ) from error
    weights = load_weights(folder, dtype=options.dtype, trust_remote_code=options.trust_remote_code)
    engine = Engine(weights.model, weights.end_tokens, max_rows=options.max_rows)
    engine.start()
    name = options.model if "/" not in options.model else folder.name
    model = LanguageModel(name, weights, engine)
    for adapter in options.adapter:
        adapter_name, _, path = adapter.partition("=")
        model.load_adapter(adapter_name, Path(path))
    return model


def _student_tokenizer() -> Tokenizer | None:
    """The student's tokenizer, which counts what the solver says; ``None`` when the student is not here yet."""
    from o1lab.models.base import resolve_base, tokenizer_file
    from o1lab.models.student import STUDENT

    try:
        return Tokenizer.from_file(str(tokenizer_file(resolve_base(STUDENT, fetch=False))))
    except O1LabError:
        return None


async def serve(backend: Backend, sock: socket.socket, options: argparse.Namespace) -> None:
    """Answer on ``sock`` until a signal comes or the parent is gone; says when it is ready."""
    token = new_token()
    config = uvicorn.Config(
        make_api(backend, token),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    record: Path | None = None
    running = asyncio.create_task(server.serve([sock]))
    try:
        while not server.started and not running.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
        models = [card["id"] for card in backend.cards()]
        folder = records_folder(Lab(options.lab) if options.lab else None)
        record = write_record(
            folder,
            ServerRecord(url, token, os.getpid(), models, backend.engine, time.time(), options.owner),
        )
        ready = {"url": url, "models": models, "engine": backend.engine, "pid": os.getpid(), "record": str(record)}
        print(json.dumps(ready, ensure_ascii=False), flush=True)
        watch = asyncio.create_task(_leave_with(options.parent, server)) if options.parent else None
        await running
        if watch is not None:
            watch.cancel()
    finally:
        server.should_exit = True
        await running
        if record is not None:
            record.unlink(missing_ok=True)


async def _leave_with(parent: int, server: uvicorn.Server) -> None:
    """Stop ``server`` once ``parent`` is gone: an app that was killed must not leave its models running."""
    try:
        process = psutil.Process(parent)
        # A process that is not our child can only be polled.
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await asyncio.sleep(1)
    except psutil.Error:
        pass
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
