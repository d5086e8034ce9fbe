"""``o1lab train --on ray`` on a Ray of this machine that wants a token: two nodes, a stop, and a wrong token."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import tomlkit

from o1lab.cli.main import run as o1lab
from o1lab.paths import Lab
from o1lab.train.runs.directory import RunDir, find_run
from o1lab.train.runs.metrics_reader import Metrics
from tests.support.training_lab import make_lab
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),  # one Ray at a time on a small machine
    pytest.mark.skipif(find_spec("ray") is None, reason="the cluster extra is not installed"),
    pytest.mark.skipif(find_spec("trl") is None, reason="the train extra is not installed"),
]
PATIENCE_S = 900.0
ROOT = Path(__file__).parents[3]
RAY = str(Path(sys.executable).with_name("ray"))
TOKEN = "0123456789abcdef0123456789abcdef"


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """A cluster of two nodes on this machine; returns the address of its dashboard. No process is left."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short: sockets lie in it
    env = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    env |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_TMPDIR": str(folder)}
    head, web = port(), port()
    try:
        start = [RAY, "start", "--num-cpus=2", "--num-gpus=0", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
        options = [f"--port={head}", "--include-dashboard=true", f"--dashboard-port={web}", f"--temp-dir={folder}"]
        for words in ([*start, "--head", *options], [*start, f"--address=127.0.0.1:{head}"]):
            done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=PATIENCE_S)
            assert done.returncode == 0, done.stdout + done.stderr
        yield f"http://127.0.0.1:{web}"
    finally:
        running = psutil.process_iter(["cmdline"])
        ours = [one for one in running if str(folder) in " ".join(one.info["cmdline"] or [])]
        for process in ours:
            process.terminate()
        _, alive = psutil.wait_procs(ours, timeout=30)
        for process in alive:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lab(dashboard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = make_lab(tmp_path / "lab")
    document = tomlkit.parse(made.config.read_text("utf-8"))
    document["cluster"] = {"dashboard": dashboard}
    made.config.write_text(tomlkit.dumps(document), "utf-8")
    return made


def command(lab: Lab, base: Path, steps: int, *more: str) -> list[str]:
    words = ["--lab", str(lab.root), "train", "--base", str(base), "--dataset", "sums", "--on", "ray", *more, "--json"]
    for one in (f"steps={steps}", "batch_size=2", "max_length=128", "dtype=fp32", "device=cpu", "eval_steps=0"):
        words += ["--set", one]
    return [*words, "--set", "save_steps=0", "--no-check"]


def seen(run: RunDir, holds: Callable[[], bool]) -> None:
    until(holds, lambda: (run.info(), run.log_tail(30)))


def steps(run: RunDir) -> list[int]:
    metrics = Metrics(run.metrics)
    metrics.poll()
    return [int(step) for step in metrics.steps]


def test_two_nodes_train_together_until_they_are_stopped_and_go_on_on_one(
    lab: Lab, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert o1lab(command(lab, tiny_base, 5000, "--nodes", "2")) == 0
    answer = json.loads(capsys.readouterr().out)
    run = find_run(lab, answer["run_id"])
    launch = run.launch()
    assert launch is not None
    assert (answer["pid"], answer["job"], launch.launcher) == (None, launch.job, "ray")
    seen(run, lambda: len(steps(run)) >= 2 or not run.info().active)
    assert run.read_status().processes == 2
    assert o1lab(["--lab", str(lab.root), "runs", "stop", run.id, "--wait", "--json"]) == 0
    stopped = json.loads(capsys.readouterr().out)
    assert (stopped["state"], stopped["checkpoint"]) == ("stopped", f"step-{steps(run)[-1]}")
    assert o1lab(["--lab", str(lab.root), "doctor", "--json"]) in (0, 1)
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["ray"]["ok"], checks["ray"]


def test_a_wrong_token_is_a_failed_run_with_what_to_do(
    lab: Lab, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 32)
    assert o1lab(command(lab, tiny_base, 1)) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], "does not accept the token" in error["message"]) == ("ray_token", True)
    (folder,) = lab.runs.iterdir()
    run = RunDir(folder)
    assert run.info().state == "failed"
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert o1lab(["--lab", str(lab.root), "runs", "resume", run.id, "--json"]) == 0
    seen(run, lambda: not run.info().active)
    assert run.info().state == "finished", (run.info(), run.log_tail(30))
