"""Run Slurm's commands and parse their output."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from o1lab.text import one_line

COMMANDS = ("sbatch", "squeue", "scontrol", "scancel")
_TIMEOUT_S = 10.0
_FORMAT = "%i|%T|%r|%N|%S|%j"
_PAIR = re.compile(r"(\w+)=(\S*)")


class SlurmError(Exception):
    """A command of Slurm failed; ``text`` is what it wrote."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def brief(self) -> str:
        """Its last line, without the name of the command."""
        last = self.text.strip().rpartition("\n")[2]
        return one_line(re.sub(r"^\w+: (error|fatal): ", "", last).rstrip("."), 160)


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """A job.

    Attributes:
        id, name: its id and name.
        state: its state in Slurm's words, such as ``PENDING``.
        reason: why it is in this state.
        nodes: the nodes that it has.
        start: when it started or will probably start, as Slurm writes it; empty if unknown.
        exit_code: exit status and signal of its script, such as ``0:9``; empty if unknown.
        limit: its time limit; empty if unknown.
    """

    id: str
    state: str
    reason: str = ""
    nodes: str = ""
    start: str = ""
    name: str = ""
    exit_code: str = ""
    limit: str = ""


def missing(names: Sequence[str]) -> list[str]:
    """Return the commands that this machine does not have."""
    return [name for name in names if shutil.which(name) is None]


def ask(words: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = _TIMEOUT_S) -> str:
    """Run a command of Slurm and return its output.

    Raises:
        SlurmError: it does not exist, failed, or did not answer in time.
    """
    try:
        done = subprocess.run(
            list(words),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=environment,
        )
    except FileNotFoundError:
        raise SlurmError(f"the command {words[0]} cannot be found") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{words[0]} did not answer within {timeout_s:.0f} s") from None
    except OSError as error:
        raise SlurmError(f"{words[0]} cannot be started: {error.strerror}") from None
    if done.returncode:
        raise SlurmError(done.stderr.strip() or done.stdout.strip() or f"{words[0]} ended with {done.returncode}")
    return done.stdout


def jobs_of_user() -> dict[str, SlurmJob]:
    """Return the pending and running jobs of this user by id, with one request.

    Raises:
        SlurmError: Slurm cannot be asked.
    """
    return parse_queue(ask(["squeue", f"--user={getpass.getuser()}", "--noheader", f"--format={_FORMAT}"]))


def parse_queue(text: str) -> dict[str, SlurmJob]:
    """Read the output of squeue in the format of :func:`jobs_of_user`."""
    found = {}
    for line in text.splitlines():
        parts = line.strip().split("|", 5)
        if len(parts) == 6:
            job, state, reason, nodes, start, name = parts
            found[job] = SlurmJob(job, state, reason, nodes, "" if start == "N/A" else start, name)
    return found


def find_job(job: str) -> SlurmJob | None:
    """Return a job, also one that has ended some minutes ago; None if Slurm does not know it any more.

    Raises:
        SlurmError: Slurm cannot be asked.
    """
    try:
        return parse_job(ask(["scontrol", "--oneliner", "show", "job", job]))
    except SlurmError as error:
        if "Invalid job id" not in error.text:
            raise
    return _recorded(job)


def parse_job(text: str) -> SlurmJob | None:
    """Read the output of ``scontrol --oneliner show job``."""
    pairs = dict(reversed(_PAIR.findall(text)))  # the first of a name counts: paths that follow may hold anything
    if "JobState" not in pairs:
        return None
    return SlurmJob(
        pairs.get("JobId", ""),
        pairs["JobState"],
        pairs.get("Reason", ""),
        pairs.get("NodeList", "").replace("(null)", ""),
        pairs.get("StartTime", "").replace("Unknown", ""),
        pairs.get("JobName", ""),
        pairs.get("ExitCode", ""),
        pairs.get("TimeLimit", "").replace("UNLIMITED", ""),
    )


def _recorded(job: str) -> SlurmJob | None:
    """Return a job from the accounting database, where there is one."""
    if shutil.which("sacct") is None:
        return None
    words = ["sacct", "--noheader", "--allocations", "--parsable2", "--format=State,ExitCode,NodeList", f"--jobs={job}"]
    try:
        line = ask(words).strip().partition("\n")[0]
    except SlurmError:  # this cluster has none
        return None
    state, _, rest = line.partition("|")
    code, _, nodes = rest.partition("|")
    return SlurmJob(job, state.split()[0], nodes=nodes, exit_code=code) if state.strip() else None
