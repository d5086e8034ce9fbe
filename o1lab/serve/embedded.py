"""``python -P -m o1lab.serve.embedded MODEL``: serve a base model and its adapters, or the solver.

This runs in a separate process, because a base model needs torch. The first line on standard output is JSON and is
printed when the server is ready. An earlier error is one sentence on standard error and an exit status of the CLI.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
from tokenizers import Tokenizer

from o1lab.errors import LabError, O1LabError
from o1lab.models.base import load_tokenizer, resolve_base
from o1lab.models.student import STUDENT
from o1lab.process import is_alive, started_at
from o1lab.serve.http.api import make_api
from o1lab.serve.http.connections import GuardedProtocol
from o1lab.serve.process import announced, common_options, listen, model_name, report
from o1lab.serve.protocol import Backend
from o1lab.serve.records import SOLVER, new_token


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped, and return the exit status."""
    parser = common_options("o1lab.serve.embedded")
    parser.add_argument("--parent", type=int, help="stop when the process with this id ends")
    parser.add_argument("--max-rows", type=int, default=64, help="requests decoded at once")
    options = parser.parse_args(argv)
    try:
        with contextlib.closing(listen(options.port)) as sock:
            asyncio.run(serve(make_backend(options), sock, options))
    except O1LabError as error:
        return report(error, as_json=options.json)
    except KeyboardInterrupt:
        return 130
    return 0


def make_backend(options: argparse.Namespace) -> Backend:
    """Load the model and the adapters that the command line names.

    Raises:
        O1LabError: the model does not exist, torch is missing, or an adapter does not fit.
    """
    if options.model == SOLVER:
        from o1lab.serve.solver_model import Solver

        if options.adapter:
            raise LabError("The solver has no weights and cannot use adapters.", "Name a base model to serve.")
        return Solver(student_tokenizer())
    folder = resolve_base(options.model)
    try:
        from o1lab.serve.engine.engine import Engine
        from o1lab.serve.engine.language_model import LanguageModel
        from o1lab.serve.engine.weights import load_weights
    except ImportError as error:
        raise LabError(
            f"Serving a model needs {error.name}, which is not installed.", "Install it: pip install 'o1lab[train]'"
        ) from error
    weights = load_weights(folder, dtype=options.dtype, trust_remote_code=options.trust_remote_code)
    engine = Engine(weights.model, weights.end_tokens, max_rows=options.max_rows)
    engine.start()
    model = LanguageModel(model_name(options.model, folder), weights, engine)
    for name, path in options.adapter:
        model.load_adapter(name, path)
    return model


def student_tokenizer() -> Tokenizer | None:
    """Return the student's tokenizer, which counts the solver's tokens; None if the student is not on this machine."""
    try:
        return load_tokenizer(resolve_base(STUDENT, fetch=False))
    except O1LabError:
        return None


class _Server(uvicorn.Server):
    """uvicorn raises a signal again after it stops, which would end this process before it removes its record."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(backend: Backend, sock: socket.socket, options: argparse.Namespace) -> None:
    """Serve on ``sock`` until a signal arrives or the parent process ends; print the ready line."""
    token = new_token()
    config = uvicorn.Config(
        make_api(backend, token), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2,
        http=GuardedProtocol,
    )  # fmt: skip
    server = _Server(config)
    for kind in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(kind, server.handle_exit, kind, None)
    running = asyncio.create_task(server.serve([sock]))
    while not server.started and not running.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    models = [str(card["id"]) for card in backend.cards()]
    watch = asyncio.create_task(_leave_with(options.parent, server)) if options.parent else None
    try:
        port = sock.getsockname()[1]
        with announced(options, port=port, token=token, models=models, engine=backend.engine, base=backend.folder):
            await running
    finally:
        server.should_exit = True
        await running
        backend.close()
        if watch is not None:
            watch.cancel()


async def _leave_with(parent: int, server: uvicorn.Server) -> None:
    """Stop ``server`` when the process ``parent`` ends: a killed app must not leave its models running."""
    started = started_at(parent)
    while is_alive(parent, started):  # noqa: ASYNC110 - the parent is not a child process, so there is no event
        await asyncio.sleep(1)
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
