"""Messages and states of Slurm, as states of runs and sentences for people."""

from __future__ import annotations

import re

from o1lab.config import SlurmConfig
from o1lab.errors import LabError
from o1lab.text import one_line
from o1lab.train.launcher import Seen
from o1lab.train.launchers.slurm_client import SlurmJob
from o1lab.train.runs.directory import Launch, RunDir

_PENDING = frozenset({
    "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD",
})  # fmt: skip
_RUNNING = frozenset({
    "RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "RESIZING", "SUSPENDED", "STOPPED",
})  # fmt: skip
_REASONS = {
    "Resources": "it waits for free nodes",
    "Priority": "jobs with a higher priority are ahead",
    "BeginTime": "it was put back into the queue and may start in a moment",
    "Dependency": "it waits for another job",
    "DependencyNeverSatisfied": "the job that it waits for has failed",
    "PartitionTimeLimit": "its time limit is longer than the partition allows",
    "PartitionNodeLimit": "it asks for more nodes than the partition allows",
    "PartitionDown": "the partition is down",
    "ReqNodeNotAvail": "a node that it needs is down or reserved",
    "JobHeldUser": "it is held; release it with scontrol release",
    "JobHeldAdmin": "an administrator holds it",
    "launch failed requeued held": "its launch failed, and Slurm holds it",
}
_LIMIT_HINT = "Raise time in [slurm] of o1lab.toml."
_MEMORY_HINT = "Lower batch_size, or ask for more: options = ['--mem=64G'] in [slurm] of o1lab.toml."
_ENDS = {  # the message, the hint, and the state of the run, by the state of a job
    "TIMEOUT": ("reached its time limit{limit}", _LIMIT_HINT, "dead"),
    "DEADLINE": ("reached its deadline", "Remove the deadline from [slurm] options.", "dead"),
    "OUT_OF_MEMORY": ("used more memory than it had", _MEMORY_HINT, "dead"),
    "NODE_FAIL": ("lost its node{nodes}, which failed", "", "dead"),
    "BOOT_FAIL": ("had a node that did not boot", "", "dead"),
    "PREEMPTED": ("was preempted by a job with a higher priority", "", "dead"),
    "CANCELLED": ("was cancelled", "", "stopped"),
    "REVOKED": ("was revoked", "", "dead"),
}
_LOG_ENDS = (  # what the daemon of a node writes into the log of a job
    (re.compile(r"JOB (\d+) .*DUE TO TIME LIMIT"), "TIMEOUT"),
    (re.compile(r"JOB (\d+) .*DUE TO NODE FAILURE"), "NODE_FAIL"),
    (re.compile(r"JOB (\d+) .*DUE TO PREEMPTION"), "PREEMPTED"),
    (re.compile(r"oom_kill event in StepId=(\d+)|StepId=(\d+)\S* exceeded memory limit"), "OUT_OF_MEMORY"),
    (re.compile(r"JOB (\d+) ON \S+ CANCELLED AT \S+ \*"), "CANCELLED"),
)
_REFUSALS = (  # the text of sbatch, the code, the message and the hint
    (  # first, because the names of limits and this sentence also say GRES, account and time limit
        r"accounting/QOS policy|QOSMax|QOSGrp|Assoc\w*(Max|Grp)",
        "slurm_quota",
        "A limit of your account or QOS: {line}.",
        "Ask for less in [slurm] of o1lab.toml, wait until your other jobs have ended, or ask for a higher limit; "
        "`sacctmgr show assoc user=$USER` and `sacctmgr show qos` list the limits.",
    ),
    (
        r"Invalid partition|partition.* not valid|invalid partition",
        "no_partition",
        "Slurm has no partition '{partition}'.",
        "Correct partition in [slurm] of o1lab.toml; `sinfo` lists them.",
    ),
    (
        r"Invalid account",
        "no_account",
        "Slurm does not let you use the account '{account}' here.",
        "Correct account in [slurm] of o1lab.toml.",
    ),
    (
        r"Invalid generic resource|invalid gres",
        "no_gpus",
        "Slurm has no GPUs of this kind.",
        "Set gpus_per_node = 0 in [slurm] of o1lab.toml to train without, or correct options.",
    ),
    (
        r"node configuration is not available|Node count specification invalid|More processors requested",
        "no_nodes",
        "No nodes of the partition fit what the run asks for.",
        "Ask for fewer nodes, GPUs or CPUs; `sinfo -o '%P %D %c %G'` lists what there is.",
    ),
    (
        r"time limit|--time specification",
        "time_limit",
        "Slurm does not accept the time limit '{time}'.",
        "Correct time in [slurm] of o1lab.toml, such as 12:00:00 or 1-00:00:00.",
    ),
    (
        r"unrecognized option|invalid option|ambiguous",
        "slurm_option",
        "sbatch does not know an option: {text}.",
        "Correct options in [slurm] of o1lab.toml.",
    ),
    (
        r"cannot be found",
        "no_slurm",
        "{text}.",
        "Start o1lab on a login node of the cluster, or set PATH.",
    ),
    (
        r"Unable to contact|did not answer|Connection refused|Zero Bytes|communications connection failure",
        "slurm_down",
        "Slurm does not answer: {text}.",
        "Try again later; `scontrol ping` asks it.",
    ),
)


def refusal(text: str, config: SlurmConfig) -> LabError:
    """Return the error for a job that sbatch refused."""
    last = next((line for line in reversed(text.splitlines()) if "Try " not in line), text)
    words = {
        "text": _sentence(last),
        "partition": config.partition or "(default)",
        "account": config.account or "(default)",
        "time": config.time or "(default)",
    }
    for pattern, code, message, hint in _REFUSALS:
        if found := re.search(pattern, text, re.IGNORECASE):
            line = text[: found.end()].splitlines()[-1] + text[found.end() :].partition("\n")[0]
            return LabError(message.format(**words, line=_sentence(line)), hint, code=code)
    return LabError(f"Slurm refuses the job: {words['text']}.", "See [slurm] in o1lab.toml.", code="slurm")


def _sentence(line: str) -> str:
    """Return the message in a line of sbatch, without its prefix and the full stop."""
    for beginning in ("sbatch: ", "error: ", "Batch job submission failed: "):
        line = line.removeprefix(beginning)
    return one_line(line.rstrip("."), 200)


def seen_of(job: SlurmJob | None, launch: Launch, run: RunDir) -> Seen:
    """Return the state of a run from that of its job.

    Args:
        job: the job; None if Slurm does not know it any more.
        launch: the record of the run.
        run: the run; its log has the end of jobs that Slurm has forgotten.
    """
    if job is None:
        return _forgotten(launch, run)
    name = f"Slurm job {job.id or launch.job}"
    if job.state in _PENDING:
        reason = _REASONS.get(job.reason, one_line(job.reason, 80))
        why = f": {reason}" if reason not in ("", "None") else ""
        back = "is back in the queue" if run.read_status().pid is not None else "is in the queue"
        return Seen("pending", f"{name} {back}{why}.")
    if job.state in _RUNNING:
        if job.state == "SUSPENDED":
            return Seen("running", f"{name} is suspended on {job.nodes}.")
        return Seen("running", f"{name} runs on {job.nodes or 'its nodes'}; its worker has not reported lately.")
    if job.state in _ENDS:
        return _end(job.state, name, job)
    if job.reason == "JobLaunchFailure" or job.exit_code.endswith(":53"):
        where = f" on {job.nodes}" if job.nodes else ""
        message = f"{name} could not write the log of the run{where}."
        return Seen("ended", message, f"Do all nodes see {run.path}, and is its disk or your home full?", "dead")
    return Seen("ended")  # it ended by itself: the log says why


def _end(state: str, name: str, job: SlurmJob | None = None) -> Seen:
    words, hint, end = _ENDS[state]
    limit = f" of {job.limit}" if job is not None and job.limit else ""
    nodes = f" {job.nodes}" if job is not None and job.nodes else ""
    message = f"{name} {words.format(limit=limit, nodes=nodes)}."
    return Seen("ended", message, hint, "stopped" if end == "stopped" else "dead")


def _forgotten(launch: Launch, run: RunDir) -> Seen:
    """Return the end of a job from the log of its run."""
    if not launch.job:
        return Seen("ended", "It was not submitted: Slurm has no job of its name.", "Submit it again.")
    for line in reversed(run.log_tail(200)):
        for pattern, state in _LOG_ENDS:
            if (found := pattern.search(line)) and launch.job in found.groups():
                return _end(state, f"Slurm job {launch.job}")
    return Seen("ended")
