"""A stand-in for ``sys.executable`` that forks trainers and model servers from a process that has imported torch.

Importing torch, transformers, PEFT and TRL takes five seconds of processor time, again in each trainer, preflight and
model server that a test starts. Here one process per test session imports them once and forks for each request:

1. ``start`` starts the fork server (this module as a program) and writes a small program, the client.
2. A test sets ``sys.executable`` to the client, and the code under test starts ``python -P -m MODULE ...`` as always.
3. The client passes its arguments, folder, environment and standard streams to the fork server, which forks. It ends
   with the exit status of the forked process, passes SIGTERM and SIGINT on, and takes it along when it is killed.

The client runs anything but ``MODULES`` with the real interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

MODULES = ("o1lab.train.worker", "o1lab.train.preflight.worker", "o1lab.serve.embedded")
READY = b"ready\n"
ROOT = Path(__file__).parents[2]

CLIENT = """#!{python} -ISE
import json, os, signal, socket, sys
words = sys.argv[1:]
if words[:2] != ["-P", "-m"] or words[2] not in {modules}:
    os.execv({python!r}, [{python!r}, *words])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = json.dumps({{"module": words[2], "argv": words[3:], "cwd": os.getcwd(), "env": dict(os.environ)}}).encode()
socket.send_fds(server, [b"%12d" % len(request)], [0, 1, 2])
server.sendall(request)
answers = server.makefile()
pid = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: os.kill(pid, number))
status = int(answers.readline() or -signal.SIGKILL)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def start(folder: Path, owner: int) -> Path:
    """Start a fork server that ends with the process ``owner``.

    Args:
        folder: an empty folder for the client and the server's socket.
        owner: a process id.

    Returns:
        The client, which takes the place of ``sys.executable``.
    """
    from o1lab.process import QUIET_ENVIRONMENT

    executable, address = folder / "python", str(folder / "socket")
    executable.write_text(CLIENT.format(python=sys.executable, modules=MODULES, address=address), "utf-8")
    executable.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.support.warm_python", address, str(owner)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | QUIET_ENVIRONMENT | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == READY, "the fork server did not start"
    process.returncode = 0  # nobody waits for it: it may outlive this process
    return executable


def main() -> None:
    """Import what is slow to import, then fork for each request until the owner ends."""
    import datasets  # noqa: F401
    import torch  # noqa: F401
    import transformers
    import trl

    import o1lab.serve.language_model
    import o1lab.serve.weights
    import o1lab.train.callbacks
    import o1lab.train.tensors  # noqa: F401

    _ = transformers.AutoModelForCausalLM, transformers.LlamaForCausalLM, transformers.Trainer, trl.SFTTrainer
    assert threading.active_count() == 1, threading.enumerate()  # a fork keeps the calling thread only
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the supervisors
    owner = os.pidfd_open(int(sys.argv[2]))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([listener, owner], [], [])
            if owner in ready:
                os._exit(0)  # nothing to clean up
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                os._exit(_supervise(connection))
            connection.close()


def _supervise(connection: socket.socket) -> int:
    """Fork for one request, tell the client how it ends, and end it with its client."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, streams, _, _ = socket.recv_fds(connection, 12, 3)
    request = json.loads(connection.makefile("rb").read(int(length)))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(request, streams)
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % pid)
    ended = os.pidfd_open(pid)
    ready, _, _ = select.select([ended, connection], [], [])
    if ended not in ready:  # the client is gone
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    return 0


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Run the module of a request as ``python -P -m`` would; does not return."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[1:] = request["argv"]
    sys.modules.pop(request["module"], None)
    status: Any = 0
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    main()
