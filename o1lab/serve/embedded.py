"""``python -P -m o1lab.serve.embedded MODEL``: a server of one base and its adapters, or of the solver.

A process of its own: with a base it imports torch. Its first line on standard output is JSON and says that it
is ready; what goes wrong before is a sentence on standard error and an exit status of the command line's.
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
from o1lab.models.base import resolve_base, tokenizer_file
from o1lab.models.student import STUDENT
from o1lab.process import is_alive, started_at
from o1lab.serve.api import Backend, make_api
from o1lab.serve.process import announced, common_options, listen, model_name, report
from o1lab.serve.records import new_token
from o1lab.serve.registry import SOLVER


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped; returns the exit status."""
    parser = common_options("o1lab.serve.embedded")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
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
    """What the command line names, loaded.

    Raises:
        O1LabError: no such model, no torch, an adapter that does not fit.
    """
    if options.model == SOLVER:
        from o1lab.serve.solver_model import Solver

        if options.adapter:
            raise LabError("The solver has no weights, so it takes no adapter.", "Name a base to serve.")
        return Solver(student_tokenizer())
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
    model = LanguageModel(model_name(options.model, folder), weights, engine)
    for name, path in options.adapter:
        model.load_adapter(name, path)
    return model


def student_tokenizer() -> Tokenizer | None:
    """The student's tokenizer, which counts what the solver says; ``None`` when the student is not here yet."""
    try:
        return Tokenizer.from_file(str(tokenizer_file(resolve_base(STUDENT, fetch=False))))
    except O1LabError:
        return None


class _Server(uvicorn.Server):
    """uvicorn raises a signal again once it has stopped, which would end us before our record is gone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(backend: Backend, sock: socket.socket, options: argparse.Namespace) -> None:
    """Answer on ``sock`` until a signal comes or the parent is gone; says when it is ready."""
    token = new_token()
    config = uvicorn.Config(
        make_api(backend, token), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2
    )
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
        with announced(options, port=port, token=token, models=models, engine=backend.engine):
            await running
    finally:
        server.should_exit = True
        await running
        backend.close()
        if watch is not None:
            watch.cancel()


async def _leave_with(parent: int, server: uvicorn.Server) -> None:
    """Stop ``server`` once ``parent`` is gone: an app that was killed must not leave its models running."""
    started = started_at(parent)
    while is_alive(parent, started):  # noqa: ASYNC110 - there is no event: it is not a child of ours
        await asyncio.sleep(1)
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
