"""Common parts of the server processes: options, socket, ready line, errors."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o1lab.errors import LabError, O1LabError
from o1lab.models.base import with_end_token
from o1lab.models.checkpoints import served_name
from o1lab.models.prompts import PromptOptions
from o1lab.paths import Lab
from o1lab.serve.records import ServerRecord, records_folder, write_record
from o1lab.text import json_text, visible


def common_options(prog: str) -> argparse.ArgumentParser:
    """Return a parser with the options that the processes of both engines share."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("model", help="name or folder of a base model")
    parser.add_argument("--adapter", action="append", default=[], type=_named_folder, metavar="NAME=FOLDER")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--lab", type=Path, help="lab for the server record [default: the cache]")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--owner", choices=("app", "person"), default="person")
    parser.add_argument("--trust-remote-code", action="store_true")
    parser.add_argument("--json", action="store_true", help="print errors as JSON on standard output")
    return parser


def _named_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError("an adapter is NAME=FOLDER")
    return name, Path(folder)


def model_name(model: str, folder: Path) -> str:
    """Return the name of a base in requests: its name, or the name of its folder."""
    return served_name(folder) if Path(model).expanduser().is_dir() else model


def listen(port: int) -> socket.socket:
    """Return a socket bound on loopback; port 0 takes any free port.

    Raises:
        LabError: the port cannot be used (code ``port``).
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        sock.close()
        reason = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise LabError(
            f"Port {port} cannot be used: {reason}.", "Choose another with --port; 0 takes any free one.", code="port"
        ) from error
    return sock


@contextlib.contextmanager
def announced(
    options: argparse.Namespace, *, port: int, token: str, models: list[str], engine: str, base: Path | None = None
) -> Iterator[None]:
    """Write the server's record and print the ready line; remove the record at the end of the block."""
    url = f"http://127.0.0.1:{port}/v1"
    folder = records_folder(Lab(options.lab) if options.lab else None)
    prompts = _prompts(options, models[0], base, engine)
    record = ServerRecord(
        url,
        token,
        os.getpid(),
        models,
        engine,
        time.time(),
        options.owner,
        prompts=prompts,
        base="" if base is None else str(base.resolve()),
    )
    path = write_record(folder, record)
    try:
        ready = {"url": url, "models": models, "engine": engine, "pid": os.getpid(), "record": str(path)}
        ready |= {"prompts": prompts} if prompts else {}
        print(json_text(ready), flush=True)
        yield
    finally:
        path.unlink(missing_ok=True)


def _prompts(options: argparse.Namespace, name: str, base: Path | None, engine: str) -> dict[str, dict[str, Any]]:
    """Return what the students among the models are asked with, by name."""
    folders = [*([(name, base)] if base is not None else []), *options.adapter]
    found = {name: PromptOptions.of_checkpoint(path.expanduser().absolute()) for name, path in folders}
    if engine == "vllm":
        found = {name: with_end_token(prompt, options.model) for name, prompt in found.items()}
    return {name: prompt.as_json() for name, prompt in found.items() if prompt}


def report(error: O1LabError, *, as_json: bool) -> int:
    """Print ``error`` as the command line does, and return the exit status."""
    if as_json:
        print(json_text(error.as_json()), flush=True)
    else:
        hint = f"\n       {error.hint}" if error.hint else ""
        print(visible(f"o1lab: {error.message}{hint}"), file=sys.stderr, flush=True)
    return error.exit_status
