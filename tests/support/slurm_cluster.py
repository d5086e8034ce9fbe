"""A Slurm of one node on this machine, from the packages slurm-wlm and munge. It needs root, as in containers of CI."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

CONF = Path(__file__).parent / "slurm" / "slurm.conf"
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
_READY_S = 60.0


class CannotStartError(Exception):
    """This machine does not let the daemons run."""


@dataclass(frozen=True)
class Slurm:
    """A running cluster with the partitions ``main`` and ``high``; jobs of ``high`` preempt those of ``main``."""

    folder: Path

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def ask(self, *words: str, status: int = 0) -> str:
        """Return what a command of Slurm prints."""
        env = os.environ | {"SLURM_CONF": str(self.conf)}
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout.strip()

    def field(self, job: str, name: str) -> str:
        """Return a field of ``scontrol show job``, such as JobState."""
        pairs = dict(
            word.split("=", 1) for word in self.ask("scontrol", "-o", "show", "job", job).split() if "=" in word
        )
        return pairs[name]


def missing() -> str:
    """Return why this machine cannot start the cluster; empty if it can."""
    if os.geteuid() != 0:
        return "a Slurm for tests needs root"
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)} (packages slurm-wlm and munge)" if absent else ""


@contextlib.contextmanager
def running() -> Iterator[Slurm]:
    """Start the cluster in a folder of its own, and end its processes afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # short: a socket lies in it
    folder.chmod(0o755)
    slurm = Slurm(folder)
    try:
        try:
            _start(slurm)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            raise CannotStartError(str(error)) from error
        yield slurm
    finally:
        with contextlib.suppress(AssertionError, OSError, subprocess.TimeoutExpired):
            slurm.ask("scancel", "--user=root")
        _end(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _start(slurm: Slurm) -> None:
    folder, host = slurm.folder, socket.gethostname().partition(".")[0]
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    values = {"@DIR@": str(folder), "@HOST@": host, "@CTLD_PORT@": str(_port()), "@D_PORT@": str(_port())}
    text = CONF.read_text("utf-8")
    for mark, value in values.items():
        text = text.replace(mark, value)
    slurm.conf.write_text(text, "utf-8")
    places = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid", "log-file": "munged.log"}
    places["seed-file"] = "munged.seed"
    _run("munged", "--force", *(f"--{name}={folder / file}" for name, file in places.items()))
    _run("slurmctld", "-f", str(slurm.conf))
    _run("slurmd", "-f", str(slurm.conf), "-N", host)
    deadline = time.monotonic() + _READY_S
    while "idle" not in _state(slurm):
        assert time.monotonic() < deadline, _logs(folder)
        time.sleep(0.1)


def _state(slurm: Slurm) -> str:
    with contextlib.suppress(AssertionError):
        return slurm.ask("sinfo", "--noheader", "--format=%T")
    return ""


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text("utf-8", "replace")[-2000:] for path in folder.glob("*.log"))


def _end(folder: Path) -> None:
    """End the daemons by the process ids that they wrote, and what they started."""
    for file in (*folder.glob("d.*.pid"), folder / "ctld.pid", folder / "munged.pid"):
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            daemon = psutil.Process(int(file.read_text()))
            family = [daemon, *daemon.children(recursive=True)]
            daemon.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs(family, timeout=10)
            for process in alive:
                process.kill()


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
