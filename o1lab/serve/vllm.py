"""``python -P -m o1lab.serve.vllm MODEL``: starts vLLM and stays beside it, with the same ready line.

vLLM pins its own torch, so it may live in an environment of its own, named in o1lab.toml
(``[serve] vllm = "/path/to/bin/vllm"``, or that environment's ``python`` where a build brings no such program, or one
that does not find its own version, as third-party builds do). Its key goes by the environment: other users can read
arguments.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from o1lab.errors import LabError, O1LabError
from o1lab.models.base import resolve_base
from o1lab.process import is_alive
from o1lab.serve.process import announced, common_options, listen, model_name, report
from o1lab.serve.records import new_token

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the values vLLM's --max-lora-rank takes
_STOP_S = 10.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_MODULE = ["-P", "-m", "vllm.entrypoints.openai.api_server", "--model"]
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is behind no proxy


def main(argv: list[str] | None = None) -> int:
    """Run vLLM until it ends or is stopped; returns the exit status."""
    parser = common_options("o1lab.serve.vllm")
    parser.add_argument("--program", help="the vllm program of another environment")
    parser.add_argument("--ready-timeout", type=float, default=900.0, help="seconds; large models load for minutes")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(options)
    except O1LabError as error:
        return report(error, as_json=options.json)
    except KeyboardInterrupt:
        return 130


def vllm_command(program: str | None) -> list[str]:
    """How vLLM starts: the named program (``vllm``, or a ``python`` that has it), else this environment's own.

    Raises:
        LabError: there is none.
    """
    if program:
        path = Path(program).expanduser()
        if not os.access(path, os.X_OK) or path.is_dir():
            raise LabError(f"{path} is not a program.", "Correct [serve] vllm in o1lab.toml.", code="no_vllm")
        return [str(path), *_MODULE] if path.name.startswith("python") else [str(path), "serve"]
    beside = Path(sys.executable).parent / "vllm"
    if beside.is_file():
        return [str(beside), "serve"]
    if importlib.util.find_spec("vllm") is not None:
        return [sys.executable, *_MODULE]
    raise LabError(
        "vLLM is not installed in this environment.",
        "Install it in one of its own and name it in o1lab.toml: [serve] vllm = '/path/to/bin/vllm'.",
        code="no_vllm",
    )


def vllm_arguments(
    folder: Path, name: str, port: int, adapters: Sequence[tuple[str, Path]], *, trust_remote_code: bool = False
) -> list[str]:
    """What follows the command: loopback only, adapters on and loadable while it runs.

    Raises:
        LabError: an adapter's rank is more than vLLM takes.
    """
    arguments = [str(folder), "--host", "127.0.0.1", "--port", str(port), "--served-model-name", name]
    arguments += ["--enable-lora", "--max-loras", str(max(4, len(adapters)))]
    arguments += ["--max-lora-rank", str(_rank([path for _, path in adapters]))]
    if adapters:
        arguments += ["--lora-modules", *(f"{adapter}={path.absolute()}" for adapter, path in adapters)]
    if trust_remote_code:
        arguments.append("--trust-remote-code")
    return arguments


def _rank(adapters: list[Path]) -> int:
    """The smallest rank that vLLM takes and all ``adapters`` (and our usual 16 to 64) fit in."""
    highest = 64
    for path in adapters:
        try:
            highest = max(highest, int(json.loads((path / "adapter_config.json").read_text("utf-8"))["r"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabError(f"{path} holds no adapter.", "Name a checkpoint folder of a run.") from error
    if highest > _RANKS[-1]:
        raise LabError(f"An adapter has rank {highest}; vLLM takes at most {_RANKS[-1]}.", "Use --engine embedded.")
    return next(rank for rank in _RANKS if rank >= highest)


def _run(options: argparse.Namespace) -> int:
    command = vllm_command(options.program)
    folder = resolve_base(options.model)
    name = model_name(options.model, folder)
    sock = listen(options.port)
    port = sock.getsockname()[1]
    sock.close()  # vLLM binds it itself
    token = new_token()
    arguments = vllm_arguments(folder, name, port, options.adapter, trust_remote_code=options.trust_remote_code)
    child = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"VLLM_API_KEY": token, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"},
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no thread runs here yet
    )
    said: deque[str] = deque(maxlen=20)
    reader = threading.Thread(target=_pass_on, args=(child, said), daemon=True)
    reader.start()
    try:
        _wait_ready(child, port, options.ready_timeout, said)
        models = [name, *(adapter for adapter, _ in options.adapter)]
        with announced(options, port=port, token=token, models=models, engine="vllm"):
            status = _stay(child, options.parent)
    finally:
        _stop(child)
    if status:
        raise LabError(f"vLLM ended with status {status}: {_last(said)}", "Its log is above.", code="vllm")
    return 0


def _end_with_parent() -> None:
    """In the child: be told to stop when this process dies, however it dies. vLLM would keep its GPU otherwise."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _pass_on(child: subprocess.Popen[bytes], said: deque[str]) -> None:
    """What vLLM says goes to standard error: standard output has the ready line alone."""
    assert child.stdout is not None  # noqa: S101 - asked for
    for line in child.stdout:
        text = line.decode("utf-8", "replace").rstrip()
        said.append(text)
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _wait_ready(child: subprocess.Popen[bytes], port: int, timeout_s: float, said: deque[str]) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            _DIRECT.open(f"http://127.0.0.1:{port}/health", timeout=2).close()
        except (urllib.error.URLError, OSError):
            pass
        else:
            return
        try:
            child.wait(0.25)
        except subprocess.TimeoutExpired:
            continue
        raise LabError(f"vLLM did not start: {_last(said)}", _advice(said), code="vllm")
    raise LabError(f"vLLM was not ready after {timeout_s:.0f} s.", "See its log above.", code="vllm")


def _stay(child: subprocess.Popen[bytes], parent: int | None) -> int:
    """Until vLLM ends (its status) or ``parent`` is gone (0)."""
    while True:
        try:
            return child.wait(1)
        except subprocess.TimeoutExpired:
            if parent is not None and not is_alive(parent):
                return 0


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End vLLM and the workers of its session; being told again to stop changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, kind)
            child.wait(_STOP_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _last(said: deque[str]) -> str:
    return next((line for line in reversed(said) if line.strip()), "it said nothing")


def _advice(said: deque[str]) -> str:
    if any("No package metadata was found for vllm" in line for line in said):
        return "It is a build under another name: put its environment's python in [serve] vllm, not its vllm program."
    return "Its whole log is above."


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
