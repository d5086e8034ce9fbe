"""A stand-in for ``sys.executable`` that forks o1lab's programs from processes that have imported what these need.

A program of o1lab imports for 0.4 s (a hook) to 10 s (torch, transformers, PEFT and TRL) of processor time, and tests
start thousands of them. Here fork servers import once for the session, each what one kind of program needs:

1. ``install`` writes a small program, the client, which tests have as ``sys.executable`` (``tests/conftest.py``).
2. The code under test starts ``python -P -m MODULE ...`` as always. The client starts the fork server of this module
   (this file as a program) unless it runs, and passes on its arguments, folder, environment and standard streams.
3. The fork server forks. The client ends with the exit status of the forked process, passes signals on, and takes it
   along when it is killed. A log beside the client has the processor time of each program, with its test.

The forked process has another process id and another session than the client, and its network. The client runs the
real interpreter for anything but o1lab's modules and torchrun, for ``REAL``, in a terminal, which sends its signals to
a session, and in an environment that changes how Python starts (``PYTHONPATH``).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from o1lab.process import QUIET_ENVIRONMENT

KINDS = {
    "o1lab.chains.verify_worker": "algebra",
    "o1lab.evaluate.scorers.refusal_worker": "torch",
    "o1lab.lens.token_worker": "torch",
    "o1lab.models.convert": "torch",
    "o1lab.models.import_worker": "torch",
    "o1lab.models.merge_worker": "torch",
    "o1lab.serve.embedded": "torch",
    "o1lab.train.preflight.worker": "torch",
    "o1lab.train.worker": "torch",
    "torch.distributed.run": "torch",
}  # any other module of o1lab is of the kind "plain"
REAL = ("o1lab.serve.vllm",)  # it asks the kernel for a signal when the process that started it ends
REAL_PYTHON = sys.executable
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
ENVIRONMENTS = {  # what the fork servers have beside the environment of the session
    "plain": ONE_THREAD,
    "algebra": ONE_THREAD | {"PYTHONHASHSEED": "0"},
    "torch": ONE_THREAD | QUIET_ENVIRONMENT,
}
IMPORTS = {
    "plain": (
        "o1lab.chat",
        "o1lab.cli",
        "o1lab.distill",
        "o1lab.evaluate",
        "o1lab.ingest",
        "o1lab.jobs",
        "o1lab.train.launchers",
    ),
    "algebra": ("math_verify", "o1lab.chains.verify_worker"),
    "torch": (
        "datasets",
        "torch",
        "o1lab.serve.engine.language_model",
        "o1lab.serve.engine.weights",
        "o1lab.train.trainer.callbacks",
        "o1lab.train.trainer.tensors",
        *(module for module, kind in KINDS.items() if kind == "torch"),
    ),
}
PREFIXES = ("PYTHON", "LC_", "LANG")  # of variables that change how Python starts

CLIENT = """#!{python} -ISE
import _socket, json, os, signal, sys
words, kinds, expected = sys.argv[1:], {kinds}, {expected}
environments = {environments}
def changed(name):
    if not name.startswith({prefixes}) or name in {harmless}:
        return False
    return os.environ.get(name) != (environments[kind] | expected).get(name)
module = words[2] if words[:2] == ["-P", "-m"] else ""
kind = kinds.get(module, "plain")
known = module in kinds or (module.split(".")[0] == "o1lab" and module not in {real})
if not known or any(map(changed, {{*os.environ, *expected, *environments[kind]}})) or os.isatty(0):
    os.execv({python!r}, [{python!r}, *words])
server = _socket.socket(_socket.AF_UNIX)
try:
    server.connect({folder!r} + "/" + kind)
except OSError:
    import subprocess
    start = [{python!r}, "-P", {program!r}, "start", {folder!r}, kind, {owner!r}]
    subprocess.run(start, check=True, stdin=subprocess.DEVNULL)
    server.connect({folder!r} + "/" + kind)
passed = [s for s in (1, 2, 3, 10, 12, 15) if signal.getsignal(s) is not signal.SIG_IGN]
ignored = [s for s in (1, 2, 3, 10, 12, 15) if s not in passed]
signal.pthread_sigmask(signal.SIG_BLOCK, passed)  # until there is a process to pass them on to
umask = os.umask(0o77)
os.umask(umask)
request = json.dumps({{
    "module": module, "argv": words[3:], "cwd": os.getcwd(), "env": dict(os.environ), "executable": {executable!r},
    "ignored": ignored, "umask": umask, "pid": os.getpid(),
}}).encode()
descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
server.sendmsg([b"%12d" % len(request)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
server.sendall(request)
pid = int(server.recv(16, _socket.MSG_WAITALL))
try:
    process = os.pidfd_open(pid)
except ProcessLookupError:  # it has ended
    process = None
def pass_on(number, _):
    try:
        process is not None and signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        pass
for number in passed:
    signal.signal(number, pass_on)
signal.pthread_sigmask(signal.SIG_UNBLOCK, passed)
status = int(server.recv(16, _socket.MSG_WAITALL) or -signal.SIGKILL)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def install(folder: Path, owner: int) -> Path:
    """Write the client. Its fork servers start when they are needed, and end with the process ``owner``.

    Args:
        folder: an empty folder for the client and the servers' sockets.
        owner: a process id.

    Returns:
        The client, which takes the place of ``sys.executable``.
    """
    executable = folder / "python"
    harmless = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONNOUSERSITE")
    executable.write_text(
        CLIENT.format(
            python=REAL_PYTHON,
            kinds={name: kind for name, kind in KINDS.items() if kind != "torch" or find_spec("trl")},
            environments=ENVIRONMENTS,
            real=REAL,
            harmless=harmless,
            prefixes=PREFIXES,
            expected={name: value for name, value in os.environ.items() if name.startswith(PREFIXES)},
            folder=str(folder),
            program=__file__,
            owner=str(owner),
            executable=str(executable),
        ),
        "utf-8",
    )
    executable.chmod(0o755)
    # Fork servers have the environment of the session, and not that of the test that asks first.
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN"))}
    (folder / "environment.json").write_text(json.dumps(environment), "utf-8")
    return executable


def start(folder: Path, kind: str, owner: int) -> None:
    """Start a fork server unless it runs, and return when it accepts requests."""
    with (folder / f"{kind}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        address = folder / kind
        if address.exists():
            return
        environment = json.loads((folder / "environment.json").read_text("utf-8"))
        log = os.open(folder / f"{kind}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        done, ready = os.pipe()
        if os.fork() == 0:
            os.setsid()
            os.close(done)
            lock.close()
            for number in (1, 2):
                os.dup2(log, number)
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.set_inheritable(ready, True)
            os.chdir("/")
            os.execve(  # noqa: S606 - by list, never through a shell
                sys.executable,
                [sys.executable, "-P", __file__, "serve", str(address), str(owner), str(ready)],
                environment | ENVIRONMENTS[kind],
            )
        os.close(ready)
        assert os.read(done, 1), f"the fork server did not start: see {folder / kind}.log"


def serve(address: str, owner: int, ready: int) -> None:
    """Import what is slow to import, then fork for each request until the owner ends."""
    _enter_network(owner)  # that of the client ends with its test
    _import(Path(address).name)
    assert threading.active_count() == 1, threading.enumerate()  # a fork keeps the calling thread only
    gc.collect()
    gc.freeze()  # collections in the forked processes leave these objects alone, and their pages shared
    ended = os.pidfd_open(owner)
    clients: dict[int, tuple[socket.socket, int, str]] = {}  # by the descriptor of the forked process
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{address}.new")
        listener.listen(128)
        Path(f"{address}.new").rename(address)
        os.write(ready, b"1")
        os.close(ready)
        while True:
            readable, _, _ = select.select([listener, ended, *clients, *(one for one, *_ in clients.values())], [], [])
            if ended in readable:
                os._exit(0)  # nothing to clean up
            for process, (client, pid, what) in list(clients.items()):
                if process in readable:
                    _, status, usage = os.wait4(pid, 0)
                    print(f"{usage.ru_utime + usage.ru_stime:.2f} s {what}", flush=True)  # in the log
                    with contextlib.suppress(BrokenPipeError):
                        client.sendall(b"%16d" % os.waitstatus_to_exitcode(status))
                    client.close()
                    os.close(process)
                    del clients[process]
                elif client in readable:  # it was killed
                    os.kill(pid, signal.SIGKILL)
            if listener in readable:
                client, _ = listener.accept()
                with contextlib.suppress(ValueError, ConnectionError):  # it was killed before it asked
                    pid, what = _fork(client, [listener, *(one for one, *_ in clients.values())])
                    clients[os.pidfd_open(pid)] = client, pid, what
                    client.sendall(b"%16d" % pid)


def _fork(client: socket.socket, others: list[socket.socket]) -> tuple[int, str]:
    """Fork for a request; return the process id, and the module with the test that asks."""
    length, streams, _, _ = socket.recv_fds(client, 12, 3)
    request = json.loads(client.recv(int(length), socket.MSG_WAITALL))
    if (pid := os.fork()) == 0:
        try:
            for one in (client, *others):
                one.close()
            _become(request, streams)
        except BaseException:
            traceback.print_exc()  # in the log, or where the program writes
        finally:
            os._exit(1)  # never back into the loop of the server
    for stream in streams:
        os.close(stream)
    return pid, f"{request['module']} {request['env'].get('PYTEST_CURRENT_TEST', '')}"


def _become(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Run the module of a request as ``python -P -m`` would."""
    os.setsid()
    _enter_network(request["pid"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    _open_streams()
    for name in ("huggingface_hub.constants", "datasets.config"):  # they read it when they are imported
        if (settings := sys.modules.get(name)) is not None:
            settings.HF_HUB_OFFLINE = os.environ.get("HF_HUB_OFFLINE") == "1"
    sys.executable = request["executable"]
    sys.argv[1:] = request["argv"]
    module = request["module"]
    is_package = hasattr(sys.modules.get(module), "__path__")
    sys.modules.pop(f"{module}.__main__" if is_package else module, None)
    status: Any = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if (status or 0) < 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit((status or 0) & 0xFF)


def _enter_network(pid: int) -> None:
    """Enter the network namespace of a process, unless this process is in it."""
    theirs = Path(f"/proc/{pid}/ns/net")
    if theirs.readlink() == Path("/proc/self/ns/net").readlink():
        return
    with theirs.open("rb") as network:
        failed = ctypes.CDLL(None, use_errno=True).setns(network.fileno(), 0)  # os.setns is of Python 3.12
    assert not failed, os.strerror(ctypes.get_errno())


def _open_streams() -> None:
    """Reopen the standard streams, because their buffering depends on the environment and on the file."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        through = unbuffered and number > 0
        mode, buffering = "wb" if number else "rb", 0 if through else -1
        file: Any = open(number, mode, closefd=False, buffering=buffering)  # noqa: SIM115
        lines = number == 2 or os.isatty(number)
        new = io.TextIOWrapper(
            file, encoding=old.encoding, errors=old.errors, line_buffering=lines, write_through=through
        )
        new.mode = old.mode  # type: ignore[misc]
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def _import(kind: str) -> None:
    for name in IMPORTS[kind]:
        module = importlib.import_module(name)
        if kind == "plain":
            for found in pkgutil.walk_packages(module.__path__, f"{name}."):
                if found.name not in KINDS:
                    importlib.import_module(found.name)
    if kind == "plain":
        verbs = sys.modules["o1lab.cli.verbs"]
        for commands in ((), *verbs.PARTS.values()):
            verbs.program(commands)
        sys.modules["o1lab.serve.records"].certificates()
    if kind == "algebra":
        sys.modules["o1lab.chains.verify_worker"]._warm_up(sys.modules["math_verify"])
    if kind == "torch":
        import transformers
        import trl

        _ = transformers.AutoModelForCausalLM, transformers.LlamaForCausalLM, transformers.Trainer, trl.SFTTrainer


if __name__ == "__main__":
    if sys.argv[1] == "start":
        start(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
