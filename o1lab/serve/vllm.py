"""``python -P -m o1lab.serve.vllm MODEL``: start vLLM, wait for it, and print the same ready line.

vLLM pins its version of torch, so it may be installed in a separate environment, which is named in o1lab.toml
(``[serve] vllm = "/path/to/bin/vllm"``, or the ``python`` of that environment for third-party builds without a working
``vllm`` program). The key is passed in the environment, because other users can read arguments.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import re
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

from o1lab.config import ServeConfig
from o1lab.errors import LabError, O1LabError
from o1lab.files import write_text
from o1lab.models.base import resolve_base
from o1lab.models.prompts import PromptOptions
from o1lab.paths import cache_dir
from o1lab.serve.process import announced, common_options, listen, model_name, report
from o1lab.serve.records import new_token
from o1lab.text import visible

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the values vLLM's --max-lora-rank takes
_OURS = frozenset({"api-key", "dtype", "enable-lora", "host", "lora-modules", "model", "port", "served-model-name"})
"""Options of vLLM that o1lab sets."""
_STOP_S = 10.0
_KEPT = 500
"""Lines of vLLM's output that are kept to explain its end: the tracebacks of several processes."""
_CAUSE = re.compile(r"\b[A-Z]\w*(?:Error|Exception): \S.*")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_MODULE = ["-P", "-m", "vllm.entrypoints.openai.api_server", "--model"]
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy for loopback


def main(argv: list[str] | None = None) -> int:
    """Run vLLM until it ends or is stopped, and return the exit status."""
    parser = common_options("o1lab.serve.vllm")
    parser.add_argument("--program", help="the vllm program of another environment")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of vLLM")
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
    """Return the command that starts vLLM.

    Args:
        program: ``vllm``, or a ``python`` that has vLLM installed; None for the vLLM of this environment.

    Raises:
        LabError: vLLM was not found.
    """
    if program:
        path = Path(program).expanduser()
        if not os.access(path, os.X_OK) or path.is_dir():
            raise LabError(f"{path} is not a program.", "Correct [serve] vllm in o1lab.toml.", code="no_vllm")
        return [str(path), *_MODULE] if path.name.startswith("python") else [str(path), "serve"]
    own = Path(sys.executable).parent / "vllm"
    if own.is_file():
        return [str(own), "serve"]
    if importlib.util.find_spec("vllm") is not None:
        return [sys.executable, *_MODULE]
    raise LabError(
        "vLLM is not installed in this environment.",
        "Install it in a separate environment and name it in o1lab.toml: [serve] vllm = '/path/to/bin/vllm'.",
        code="no_vllm",
    )


def vllm_arguments(
    folder: Path, name: str, port: int, adapters: Sequence[tuple[str, Path]], *, trust_remote_code: bool = False
) -> list[str]:
    """Return the arguments of vLLM: loopback only, with adapters that can be loaded while it runs.

    Args:
        folder: the base model.
        name: the name of the base in requests.
        port: the port on loopback.
        adapters: adapters to load at start, as (name, folder).
        trust_remote_code: whether the model may run its own code.

    Raises:
        LabError: vLLM cannot serve an adapter: its rank is too high, it is DoRA, or modules were trained in full.
    """
    arguments = [str(folder), "--host", "127.0.0.1", "--port", str(port), "--served-model-name", name]
    arguments += ["--enable-lora", "--max-loras", str(max(4, len(adapters)))]
    arguments += ["--max-lora-rank", str(_rank([path for _, path in adapters]))]
    if adapters:
        arguments += ["--lora-modules", *(f"{adapter}={path.absolute()}" for adapter, path in adapters)]
    if trust_remote_code:
        arguments.append("--trust-remote-code")
    return arguments


def settings_arguments(settings: ServeConfig) -> list[str]:
    """Return the arguments of this module that o1lab.toml sets."""
    program = ["--program", settings.vllm] if settings.vllm else []
    return [*program, *(f"--option={option}" for option in settings.vllm_options)]


def own_options(given: Sequence[str]) -> list[str]:
    """Return the arguments for options of vLLM, such as ``tensor-parallel-size=2``; one without a value is a switch.

    Raises:
        LabError: an option is one that o1lab sets.
    """
    arguments = []
    for option in given:
        name, _, value = option.lstrip("-").partition("=")
        name = name.replace("_", "-")
        if not name or name in _OURS:
            raise LabError(
                f"vLLM's option {name!r} cannot be set.", f"o1lab sets these itself: {', '.join(sorted(_OURS))}."
            )
        arguments += [f"--{name}", value] if value else [f"--{name}"]
    return arguments


def _rank(adapters: list[Path]) -> int:
    """Return the smallest rank supported by vLLM that fits all ``adapters``, and ranks up to 64."""
    highest = 64
    for path in adapters:
        try:
            settings = json.loads((path / "adapter_config.json").read_text("utf-8"))
            highest, full = max(highest, int(settings["r"])), settings.get("modules_to_save")
            dora = settings.get("use_dora")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabError(f"{path} has no adapter.", "Name a checkpoint folder of a run.") from error
        if dora:
            raise LabError(f"vLLM cannot serve {path}, a DoRA adapter.", "Use --engine embedded.", code="adapter")
        if full:
            message = f"vLLM cannot serve {path}, which has modules that were trained in full ({', '.join(full)})."
            raise LabError(message, "Use --engine embedded.", code="adapter")
    if highest > _RANKS[-1]:
        raise LabError(f"An adapter has rank {highest}; vLLM supports at most {_RANKS[-1]}.", "Use --engine embedded.")
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
    arguments += ["--dtype", options.dtype, *_own_template(options.adapter), *own_options(options.option)]
    child = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"VLLM_API_KEY": token, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"},
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no thread runs here yet
    )
    output: deque[str] = deque(maxlen=_KEPT)
    reader = threading.Thread(target=_forward, args=(child, output), daemon=True)
    reader.start()
    try:
        _wait_ready(child, port, options.ready_timeout, output)
        models = [name, *(adapter for adapter, _ in options.adapter)]
        with announced(options, port=port, token=token, models=models, engine="vllm", base=folder):
            status = child.wait()
    finally:
        _stop(child)
    if status:
        raise LabError(f"vLLM ended with status {status}: {_cause(output)}", "See its log above.", code="vllm")
    return 0


def _own_template(adapters: Sequence[tuple[str, Path]]) -> list[str]:
    """Return the argument for the chat template that the adapters were trained with; vLLM has one for all models.

    Raises:
        LabError: they were trained with different templates.
    """
    found = {PromptOptions.of_checkpoint(path.expanduser().absolute()).chat_template for _, path in adapters}
    if len(found) > 1:
        raise LabError(
            "The adapters were trained with different chat templates, but vLLM uses one for all.",
            "Serve them one by one, or use --engine embedded.",
            code="template",
        )
    if not any(found):
        return []
    text = found.pop()
    path = cache_dir() / "templates" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jinja"
    write_text(path, text, durable=False)
    return ["--chat-template", str(path)]


def _end_with_parent() -> None:
    """Runs in the child: have it terminated when this process dies, so that vLLM does not keep the GPU."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _forward(child: subprocess.Popen[bytes], output: deque[str]) -> None:
    """Copy the output of vLLM to standard error: standard output has only the ready line."""
    assert child.stdout is not None  # noqa: S101 - asked for
    for line in child.stdout:
        text = line.decode("utf-8", "replace").rstrip()
        output.append(text)
        sys.stderr.write(visible(text) + "\n")
        sys.stderr.flush()


def _wait_ready(child: subprocess.Popen[bytes], port: int, timeout_s: float, output: deque[str]) -> None:
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
        raise LabError(f"vLLM did not start: {_cause(output)}", _advice(output), code="vllm")
    raise LabError(f"vLLM was not ready after {timeout_s:.0f} s.", "See its log above.", code="vllm")


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End vLLM and the workers of its session; ignore signals from now on."""
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


def _cause(output: deque[str]) -> str:
    """Return the first error in vLLM's output, which later ones only report; without one, the last line."""
    found = next((cause[0] for line in output if (cause := _CAUSE.search(line))), None)
    return found or next((line for line in reversed(output) if line.strip()), "no output")


def _advice(output: deque[str]) -> str:
    if any("No package metadata was found for vllm" in line for line in output):
        return "It is a third-party build: name the python of its environment in [serve] vllm, not its vllm program."
    return "See its log above."


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
