"""Launchers: commands, batch scripts, and what the answers of schedulers mean for a run. No scheduler is needed."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from o1lab.cli.main import run as o1lab
from o1lab.config import ClusterConfig, SlurmConfig, init_lab, load_config
from o1lab.errors import LabError
from o1lab.jobs import manage
from o1lab.paths import Lab
from o1lab.train import launch
from o1lab.train.launcher import after_signal, home_fault, write_launch
from o1lab.train.launchers import LAUNCHERS, slurm
from o1lab.train.launchers.ray_client import RayJobs, dashboard, token
from o1lab.train.launchers.silence import Silence
from o1lab.train.launchers.slurm_client import SlurmError, parse_job, parse_queue
from o1lab.train.launchers.slurm_words import refusal
from o1lab.train.recipes.recipe import Recipe
from o1lab.train.runs import silent_jobs
from o1lab.train.runs.directory import Launch, RunDir, RunStatus
from o1lab.train.torchrun import SHUTDOWN_S, port_of
from tests.support.training_lab import prepared

Put = Callable[[str, str], Path]
RECIPE = Recipe(dataset="sums", on="slurm", device="cpu")
POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab")


@pytest.fixture
def run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setattr(silent_jobs, "_ASK_EVERY_S", 0.0)
    monkeypatch.setattr(slurm, "_MINE_S", 0.0)
    monkeypatch.setattr(LAUNCHERS.get("slurm"), "_silence", Silence(lambda error: isinstance(error, SlurmError)))
    return prepared(lab.root, "0a1b2c3d", RECIPE)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Returns a function that puts a program of a name and a shell script on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name: str, text: str) -> Path:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
        return folder / name

    for name in ("sbatch", "squeue", "scontrol", "scancel", "sacct"):
        put(name, "exit 1")
    return put


def silent(run: RunDir, state: str = "running", *, step: int = 5, pid: int | None = 1) -> None:
    """The run of job 12, whose worker has not reported for a minute."""
    write_launch(run, Launch("slurm", job="12", requeue=True, submitted_at=time.time() - 100))
    run.write_status(RunStatus(state, pid=pid, host="node7", heartbeat=time.time() - 60, step=step))


def scontrol(state: str, **more: str) -> str:
    pairs = {"JobId": "12", "JobName": "o1lab-0a1b2c3d", "JobState": state, "Reason": "None", "Restarts": "0"}
    pairs |= {"NodeList": "node7", "TimeLimit": "01:00:00", "ExitCode": "0:0", "StartTime": "Unknown"} | more
    return "echo '" + " ".join(f"{name}={value}" for name, value in pairs.items()) + "'"


@pytest.mark.parametrize(
    ("state", "more", "becomes", "message", "hint"),
    [
        ("OUT_OF_MEMORY", {}, "dead", "Slurm job 12 used more memory than it had.", "--mem=64G"),
        ("TIMEOUT", {}, "dead", "Slurm job 12 reached its time limit of 01:00:00.", "Raise time in [slurm]"),
        ("NODE_FAIL", {}, "dead", "Slurm job 12 lost its node node7, which failed.", "no checkpoint"),
        ("CANCELLED", {}, "stopped", "Slurm job 12 was cancelled.", "no checkpoint"),
        ("PREEMPTED", {}, "dead", "Slurm job 12 was preempted by a job with a higher priority.", ""),
        ("FAILED", {"ExitCode": "0:53"}, "dead", "could not write the log of the run on node7", "see"),
        ("FAILED", {"ExitCode": "1:0"}, "dead", "OSError: it broke", "no checkpoint"),
        ("COMPLETED", {}, "dead", "OSError: it broke", ""),
    ],
)
def test_the_end_of_a_job_is_the_state_of_its_run_and_is_kept(  # noqa: PLR0917
    run: RunDir, commands: Put, state: str, more: dict[str, str], becomes: str, message: str, hint: str
) -> None:
    run.log.write_text("--- o1lab: a session starts, 2026 ---\nTraceback (most recent call last):\nOSError: it broke\n")
    silent(run)
    commands("squeue", "exit 0")
    commands("scontrol", scontrol(state, **more))
    found = run.info()
    assert (found.state, found.active, found.stale) == (becomes, False, False)
    assert message in found.status.message
    assert hint in found.status.hint
    commands("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")  # it forgets in minutes
    assert replace(run.info(), heartbeat_age_s=None) == replace(found, heartbeat_age_s=None)


@pytest.mark.parametrize(
    ("line", "becomes", "state", "message"),
    [
        ("12|PENDING|Priority|||o1lab-0a1b2c3d", "queued", "running", "is back in the queue: jobs with a higher"),
        ("12|PENDING|QOSMaxJobs|||o1lab-0a1b2c3d", "queued", "running", "is back in the queue: QOSMaxJobs."),
        ("12|RUNNING|None|node7||o1lab-0a1b2c3d", "running", "running", "its worker has not reported lately"),
        ("12|SUSPENDED|None|node7||o1lab-0a1b2c3d", "running", "running", "is suspended on node7"),
    ],
)
def test_a_silent_worker_is_judged_by_its_job(  # noqa: PLR0917
    run: RunDir, commands: Put, line: str, becomes: str, state: str, message: str
) -> None:
    silent(run, state)
    commands("squeue", f"echo '{line}'")
    found = run.info()
    assert (found.state, found.active) == (becomes, True)
    assert message in found.status.message
    run.write_status(replace(run.read_status(), heartbeat=time.time()))
    commands("squeue", "echo a worker that reports is not asked about >&2; exit 1")
    assert (run.info().state, run.info().status.message) == (state, "")


def test_a_job_whose_worker_never_reports_has_a_message(run: RunDir, commands: Put) -> None:
    silent(run, "queued", step=0, pid=None)
    commands("squeue", "echo '12|RUNNING|None|node7||o1lab-0a1b2c3d'")
    assert run.info().state == "starting"
    launched = run.launch()
    assert launched is not None
    write_launch(run, replace(launched, submitted_at=time.time() - 1000))
    run.write_status(replace(run.read_status(), heartbeat=time.time() - 1000))
    found = run.info()
    assert "Slurm job 12 runs, but its worker has not reported for 17 min." in found.status.message
    assert f"Can its nodes read {run.path}?" in found.status.hint


def test_a_scheduler_that_cannot_be_asked_leaves_the_run_as_it_is(run: RunDir, commands: Put) -> None:
    silent(run)
    commands("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    found = run.info()
    assert (found.state, found.stale) == ("running", True)
    assert "cannot be asked about job 12" in found.status.message
    launched = run.launch()
    assert launched is not None
    assert launched.end == ""


def test_a_scheduler_that_does_not_answer_is_asked_once_for_a_list_of_runs(
    lab: Lab, run: RunDir, commands: Put, tmp_path: Path
) -> None:
    other = prepared(lab.root, "0a0a0a0a", RECIPE)
    silent(run)
    silent(other)
    commands("squeue", f"echo asked >> {shlex.quote(str(tmp_path / 'asked'))}; exit 1")
    for one in (run, other, run):
        assert "cannot be asked about job 12" in one.info().status.message
    assert (tmp_path / "asked").read_text() == "asked\n"
    commands("scancel", "exit 0")
    commands("squeue", "echo '12|RUNNING|None|node7||o1lab-0a1b2c3d'")
    manage.stop(run)  # Slurm has taken the request
    assert "its worker has not reported lately" in other.info().status.message


def test_a_job_that_slurm_has_forgotten_is_explained_by_its_log(run: RunDir, commands: Put) -> None:
    silent(run)
    commands("squeue", "exit 0")
    commands("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    run.log.write_text(
        "slurmstepd: error: *** JOB 12 ON node7 CANCELLED AT 2026-11-29T13:49:29 DUE TO TIME LIMIT ***\n"
    )
    assert run.info().status.message == "Slurm job 12 reached its time limit."


def test_the_accounting_database_is_asked_where_there_is_one(run: RunDir, commands: Put) -> None:
    silent(run)
    commands("squeue", "exit 0")
    commands("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    commands("sacct", "echo 'CANCELLED by 0|0:0|node7'")
    assert (run.info().state, run.info().status.message) == ("stopped", "Slurm job 12 was cancelled.")


def test_a_submission_that_was_cut_off_is_found_by_its_name(run: RunDir, commands: Put) -> None:
    write_launch(run, Launch("slurm", submitted_at=time.time() - 100))
    run.write_status(RunStatus("queued", host="here", heartbeat=time.time() - 60))
    commands("squeue", f"echo '40|PENDING|Priority|||o1lab-{run.id}'")
    assert run.info().state == "queued"
    commands("squeue", "exit 0")
    assert "was not submitted" in run.info().status.message


def test_only_a_signal_of_the_scheduler_lets_a_run_continue(run: RunDir) -> None:
    stopped = {"state": "stopped", "message": "Stopped at step 5."}
    assert after_signal(run, stopped, signalled=True) == stopped  # a process of this machine
    silent(run)
    assert after_signal(run, stopped, signalled=False) == stopped
    assert after_signal(run, {"state": "finished"}, signalled=True) == {"state": "finished"}
    assert not run.again_file.exists()
    assert after_signal(run, stopped, signalled=True)["state"] == "stopping"
    assert run.again_file.exists()
    run.again_file.unlink()
    run.stop_file.touch()  # a person has asked for it
    assert after_signal(run, stopped, signalled=True) == stopped


def test_stop_cancels_a_job_whose_worker_has_not_started(run: RunDir, commands: Put) -> None:
    silent(run, "queued", pid=None)
    commands("squeue", "echo '12|PENDING|Priority|||o1lab-0a1b2c3d'")
    commands("scancel", f"echo $@ > {shlex.quote(str(run.path / 'cancelled'))}")
    assert manage.stop(run).state == "stopped"
    assert (run.path / "cancelled").read_text() == "12\n"
    run.write_status(RunStatus("running", pid=1, host="node7", heartbeat=time.time()))
    (run.path / "cancelled").unlink()
    assert manage.stop(run).state == "stopping"  # a worker that reports sees the stop file
    assert not (run.path / "cancelled").exists()


@pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed")
def test_a_refused_job_is_a_failed_run_that_can_be_resumed(lab: Lab, run: RunDir, commands: Put) -> None:
    commands("sbatch", "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1")
    with pytest.raises(LabError, match="does not let you use the account"):
        launch.start_worker(run)
    assert (run.info().state, run.info().active) == ("failed", False)
    commands("sbatch", f"echo $@ > {shlex.quote(str(run.path / 'words'))}; echo '99;blue'")
    launch.RUNS.resume(lab, run)
    assert run.launch() == Launch("slurm", "99", "blue", requeue=True, submitted_at=run.launch().submitted_at)  # type: ignore[union-attr]
    assert run.info().state == "queued"
    words = (run.path / "words").read_text().split()
    assert {"--parsable", f"--chdir={run.path}", "--signal=TERM@120", "--requeue"} <= {*words}
    assert "--resume" in run.batch_script.read_text()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: Invalid partition "
         "name specified", "no_partition"),
        ("allocation failure: Requested node configuration is not available", "no_nodes"),
        ("sbatch: error: Invalid generic resource (gres) specification", "no_gpus"),
        ("sbatch: error: Invalid gres specification", "no_gpus"),
        ("sbatch: error: AssocMaxGRESPerJob", "slurm_quota"),
        ("sbatch: error: QOSMaxWallDurationPerJobLimit", "slurm_quota"),
        (f"sbatch: error: {POLICY}", "slurm_quota"),
        ("sbatch: error: Invalid --time specification", "time_limit"),
        ("sbatch: error: Requested time limit is invalid (missing or exceeds some limit)", "time_limit"),
        ("sbatch: unrecognized option '--foo'\nTry \"sbatch --help\" for more information", "slurm_option"),
        ("the command sbatch cannot be found", "no_slurm"),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", "slurm_down"),
        ("sbatch: error: something new", "slurm"),
    ],
)  # fmt: skip
def test_each_refusal_of_sbatch_is_a_sentence_with_what_to_do(text: str, code: str) -> None:
    error = refusal(text, SlurmConfig(partition="x", time="soon"))
    assert error.code == code
    assert error.message.endswith(".")
    assert "Try " not in error.message
    assert error.hint


def test_a_limit_of_the_account_is_named_as_slurm_names_it() -> None:
    failed = f"sbatch: error: Batch job submission failed: {POLICY}"
    named = refusal(f"sbatch: warning: x\nsbatch: error: AssocMaxSubmitJobLimit\n{failed}", SlurmConfig())
    assert named.message == "A limit of your account or QOS: AssocMaxSubmitJobLimit."
    refused = refusal(f"{failed}\n", SlurmConfig())
    assert refused.message == f"A limit of your account or QOS: {POLICY}."
    assert "wait until your other jobs have ended" in refused.hint


def test_options_follow_the_recipe_and_the_lab() -> None:
    config = SlurmConfig(partition="gpu", account="nlp", time="1:00", options=["--mem=8G"], requeues=0)
    words = slurm.options(Recipe(dataset="d", nodes=2, processes=4), config)
    assert {"--nodes=2", "--gpus-per-node=4", "--partition=gpu", "--account=nlp", "--time=1:00"} <= {*words}
    assert "--no-requeue" in words
    assert words[-1] == "--mem=8G", "the lab's own options come last: they override"
    assert not [word for word in slurm.options(RECIPE, SlurmConfig()) if "gpus" in word]
    assert "--gpus-per-node=8" in slurm.options(Recipe(dataset="d"), SlurmConfig(gpus_per_node=8))


def test_the_batch_script_starts_each_node_with_its_number_and_the_first_host(
    lab: Lab, run: RunDir, commands: Put
) -> None:
    """The script runs for real, with srun as a program that runs the command for two nodes."""
    several = Recipe(dataset="d", nodes=2, processes=4, device="cpu")
    saves = 'echo "saves $TORCH_ELASTIC_SHUTDOWN_TIMEOUT"'
    words = 'echo "threads $OMP_NUM_THREADS"; for word; do echo "$word"; done'
    python = commands("python-of-nodes", f"{words}; {saves}")
    config = SlurmConfig(python=str(python), signal_s=900)
    text = slurm.script(lab, run, several, config, resuming=False)
    commands("scontrol", "[ $1 = show ] && printf 'node7\\nnode8\\n'")
    commands("srun", 'while [ "$1" != bash ]; do shift; done; for n in 0 1; do SLURM_NODEID=$n "$@"; done')
    env = os.environ | {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_RESTART_COUNT": "1", "SLURM_JOB_ID": "12"}
    env = {name: value for name, value in env.items() if name != "OMP_NUM_THREADS"} | {"SLURM_CPUS_ON_NODE": "16"}
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=env, check=True)
    one, two = (node.splitlines() for node in done.stdout.split("threads 4\n")[1:])
    assert {
        "torch.distributed.run",
        "--nnodes=2",
        "--nproc-per-node=4",
        "--node-rank=0",
        str(run.path),
        "--resume",
    } <= {*one}
    assert "--node-rank=1" in two
    assert "saves 900" in one, "as long as Slurm gives it before the time limit"
    assert one.count(str(python)) == 1 and sys.executable not in one
    assert [word for word in (*one, *two) if "endpoint" in word] == [f"--rdzv-endpoint=node7:{port_of(run)}"] * 2


def test_a_lab_can_have_its_own_batch_script(lab: Lab, run: RunDir) -> None:
    lab.batch_script.parent.mkdir()
    lab.batch_script.write_text("module load cuda\n@COMMAND@ > @RUN@/out; mail me@COMPANY.com\n")
    text = slurm.script(lab, run, RECIPE, SlurmConfig(), resuming=False)
    assert text.startswith("module load cuda\n'")
    assert "me@COMPANY.com" in text
    lab.batch_script.write_text("true\n")
    with pytest.raises(LabError, match="does not say @COMMAND@"):
        slurm.script(lab, run, RECIPE, SlurmConfig(), resuming=False)


def test_preflight_names_what_a_launcher_lacks(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (fault,) = LAUNCHERS.get("slurm").faults(lab, RECIPE)
    assert fault.code == "no_slurm"
    assert "sbatch, squeue, scontrol, scancel cannot be found" in fault.message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_home_is_found_by_writing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home_fault(tmp_path) is None
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
    fault = home_fault(tmp_path)
    assert fault is not None and fault.code == "home_full"
    assert str(tmp_path) in fault.message


def test_by_hand_prints_a_command_for_each_node_and_stops_without_one(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe(dataset="sums", on="hand", device="cpu", nodes=2)
    run = prepared(lab.root, "0b0b0b0b", recipe)
    lab.config.write_text(lab.config.read_text() + '\n[hand]\nhosts = ["one:4000", "two"]\n')
    assert launch.start_worker(run) is None
    launched = run.launch()
    assert launched is not None
    first, second = launched.commands
    assert first.startswith(f"cd {run.path} && ")
    assert "--rdzv-endpoint=one:4000" in first
    assert f" env TORCH_ELASTIC_SHUTDOWN_TIMEOUT={SHUTDOWN_S} {sys.executable} " in first
    assert "--node-rank=0" in first
    assert "--node-rank=1" in second
    assert "2>&1 | tee -ia log.txt" in second
    run.write_status(replace(run.read_status(), heartbeat=time.time() - 9000))
    assert run.info().state == "queued", "nobody has started it, which may take days"
    assert o1lab(["--lab", str(lab.root), "runs", "stop", run.id]) == 0
    assert capsys.readouterr().out == f"Run {run.id} is stopped.\n"


def test_the_outputs_of_slurm_are_read() -> None:
    queue = parse_queue("12|PENDING|(launch failed requeued held)|||a|b\n7|RUNNING|None|n[1-2]|2026-01-01T00:00|x\n?")
    assert (queue["12"].name, queue["12"].start, queue["7"].nodes) == ("a|b", "", "n[1-2]")
    assert parse_job("slurm_load_jobs error") is None


class _Dashboard(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, Any]]] = {}
    early: ClassVar[dict[str, tuple[int, Any]]] = {}  # the first answer at a path
    seen: ClassVar[list[tuple[str, str, str | None, Any]]] = []

    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        self.seen.append((self.command, self.path, self.headers.get("Authorization"), body))
        status, answer = self.answers.get(self.path, (404, "no such job"))
        if self.path in self.early:
            status, answer = self.early.pop(self.path)
        if self.headers.get("Authorization") != "Bearer right":
            status, answer = (403 if self.headers.get("Authorization") else 401), "no"
        text = json.dumps(answer).encode() if isinstance(answer, dict | list) else str(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def ray(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[_Dashboard]]:
    """A dashboard that wants the token `right`, in o1lab.toml."""
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    _Dashboard.answers, _Dashboard.early, _Dashboard.seen = {}, {}, []
    server = HTTPServer(("127.0.0.1", 0), _Dashboard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    lab.config.write_text(lab.config.read_text() + f'\n[cluster]\ndashboard = "{address}"\n')
    yield _Dashboard
    server.shutdown()
    server.server_close()


def test_ray_gets_its_token_or_an_error_explains_it(
    lab: Lab, ray: type[_Dashboard], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ray.answers = {"/api/jobs/": (200, []), "/api/version": (200, {"ray_version": "2.60.0"})}
    recipe = Recipe(dataset="d", on="ray")
    (fault,) = LAUNCHERS.get("ray").faults(lab, recipe)
    assert (fault.code, "wants a token" in fault.message) == ("ray_token", True)
    asked = len(ray.seen)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    (fault,) = LAUNCHERS.get("ray").faults(lab, recipe)
    assert (fault.code, len(ray.seen)) == ("ray_token", asked), "no request is sent without the token that it needs"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    (fault,) = LAUNCHERS.get("ray").faults(lab, recipe)
    assert "does not accept the token" in fault.message
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("right\n")
    assert LAUNCHERS.get("ray").faults(lab, recipe) == []
    assert ray.seen[-1][2] == "Bearer right"


def test_a_ray_job_is_submitted_watched_and_stopped(
    lab: Lab, ray: type[_Dashboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent_jobs, "_ASK_EVERY_S", 0.0)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    ray.answers = {"/api/jobs/": (200, {"submission_id": "j1"}), "/api/jobs/j1/stop": (200, {"stopped": True})}
    run = prepared(lab.root, "0c0c0c0c", Recipe(dataset="sums", on="ray", processes=2))
    assert launch.start_worker(run) is None
    body = ray.seen[-1][3]
    assert body["entrypoint_num_gpus"] == 2
    saves = f"env TORCH_ELASTIC_SHUTDOWN_TIMEOUT={SHUTDOWN_S}"
    assert body["entrypoint"].startswith(f"cd {run.path} && exec {saves} {sys.executable} ")
    assert body["entrypoint"].endswith(" >> log.txt 2>&1")
    old = replace(run.read_status(), heartbeat=time.time() - 60)
    for status, message, state in (("PENDING", "no node has 2 GPUs", "queued"), ("RUNNING", "", "starting")):
        run.write_status(old)
        ray.answers["/api/jobs/j1"] = 200, {"status": status, "message": message}
        assert run.info().state == state
        assert message in run.info().status.message
    manage.stop(run)
    assert ray.seen[-1][:2] == ("POST", "/api/jobs/j1/stop")
    run.write_status(old)
    ray.answers |= {"/api/jobs/j1": (200, {"status": "FAILED", "message": "exit 1"})}
    ray.answers |= {"/api/jobs/j1/logs": (200, {"logs": "sh: 1: cd: can't cd to /lab\n"})}
    found = run.info()
    assert (found.state, "can't cd to /lab" in found.status.message) == ("dead", True)


def test_stop_ends_a_run_whose_cluster_does_not_answer(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent_jobs, "_ASK_EVERY_S", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"  # bound, and not listening: nothing answers
        run = prepared(lab.root, "0c0c0c0c", Recipe(dataset="sums", on="ray"))
        write_launch(run, Launch("ray", job="j1", where=nobody, submitted_at=time.time() - 100))
        run.write_status(RunStatus("running", pid=1, host="node7", heartbeat=time.time() - 60, step=5))
        assert (run.info().state, run.info().stale) == ("running", True)
        stopped = manage.stop(run)
        assert (stopped.state, stopped.active) == ("stopped", False)
        assert f"No Ray dashboard answers at {nobody}" in stopped.status.message
        write_launch(run, Launch("ray", job="j1", where=nobody, submitted_at=time.time() - 100))
        run.write_status(RunStatus("queued", host="here", heartbeat=time.time() - 60))
        assert manage.stop(run).state == "stopped", "nor has its worker started"


def test_the_dashboard_and_the_token_are_found_where_ray_looks(tmp_path: Path) -> None:
    def at(config: ClusterConfig, **environ: str) -> str:
        return dashboard(config, environ)

    assert at(ClusterConfig()) == "http://127.0.0.1:8265"
    assert at(ClusterConfig(address="head:6379")) == "http://head:8265"
    assert at(ClusterConfig(), RAY_ADDRESS="ray://head:10001") == "http://head:8265"
    assert at(ClusterConfig(address="auto"), RAY_API_SERVER_ADDRESS="http://x:1/") == "http://x:1"
    assert at(ClusterConfig(dashboard="x:1")) == "http://x:1"
    (tmp_path / "token").write_text("t\n")
    assert token(ClusterConfig(), {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}) == "t"
    assert token(ClusterConfig(token_env="RAY_MINE"), {"RAY_MINE": "m", "RAY_AUTH_TOKEN": "r"}) == "m"


def test_the_token_goes_to_the_dashboard_of_the_lab_only(
    lab: Lab, ray: type[_Dashboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """launch.json of a lab that somebody else made may name any server."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    run = prepared(lab.root, "0c0c0c0c", Recipe(dataset="sums", on="ray"))
    there = dashboard(load_config(lab).cluster)
    write_launch(run, Launch("ray", job="j1", where=there.replace("127.0.0.1", "localhost")))
    run.write_status(RunStatus("running", pid=1, host="node7", heartbeat=time.time() - 60))
    found = run.info()
    assert [authorization for _, _, authorization, _ in ray.seen] == [None]
    assert "gets no token, because it is not the dashboard of this lab." in found.status.message
    write_launch(run, Launch("ray", job="j2", where=there))
    ray.answers["/api/jobs/j2"] = 200, {"status": "RUNNING"}
    assert run.info().status.message == "Ray job j2 runs; its worker has not reported lately."
    assert ray.seen[-1][2] == "Bearer right"


def test_only_a_variable_of_ray_can_be_sent_as_a_token(lab: Lab) -> None:
    lab.config.write_text(lab.config.read_text() + '\n[cluster]\ntoken_env = "AWS_SECRET_ACCESS_KEY"\n')
    with pytest.raises(LabError, match=r"cluster\.token_env: the name must begin with RAY_, because"):
        load_config(lab)


def test_a_job_that_ray_does_not_know_is_none_or_an_error(
    lab: Lab, ray: type[_Dashboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    config = load_config(lab).cluster
    client = RayJobs(config)
    assert client.find("j9") is None
    with pytest.raises(LabError) as unknown:
        client.stop("j9")
    assert unknown.value.code == "no_job"


def test_a_cluster_that_has_just_started_is_given_time(
    lab: Lab, ray: type[_Dashboard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    monkeypatch.setattr("o1lab.train.launchers.ray_client._RETRY_S", 0.0)
    config = load_config(lab).cluster
    client = RayJobs(config)
    starting = 500, "No available agent to submit job, please try again later."
    ray.early, ray.answers = {"/api/jobs/": starting}, {"/api/jobs/": (200, {"submission_id": "j1"})}
    assert client.submit({}) == "j1"
    ray.early, ray.answers = {}, {"/api/jobs/": starting}
    monkeypatch.setattr("o1lab.train.launchers.ray_client._AGENT_S", 0.0)
    with pytest.raises(LabError, match="No available agent"):
        client.submit({})
