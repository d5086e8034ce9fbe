"""The hook of a lab: called by real processes, for workers that end in every way."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from o1lab.config import EVENTS, NotifySettings, init_lab, load_config
from o1lab.distill.run_directory import TeacherRunStatus
from o1lab.jobs import hook
from o1lab.jobs.hook import event_of_end
from o1lab.paths import Lab
from o1lab.process import started_at
from o1lab.train.runs.directory import RunDir, RunStatus
from tests.support.fake_runs import write_run

# Reads commands from its input: what a worker does.
WORKER = """
import os, sys
from dataclasses import replace
from pathlib import Path
from o1lab.jobs.hook import HookCaller
from o1lab.process import started_at
from o1lab.train.runs.directory import RunDir
run = RunDir(Path(sys.argv[1]))
run.write_status(replace(run.read_status(), pid=os.getpid(), pid_started=started_at(os.getpid())))
caller = HookCaller(run)
print("ready", flush=True)
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    if word == "spike":
        caller.send("spike", rest)
    else:
        run.write_status(replace(run.read_status(), state=word, message=rest))
"""


def lab_with_hook(folder: Path, *words: str, on: tuple[str, ...] = EVENTS) -> Lab:
    lab = init_lab(folder, name="demo")
    lab.config.write_text(f'name = "demo"\n[notify]\non = {json.dumps(on)}\nhook = {json.dumps(words)}\n')
    return lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab whose hook writes its environment to the pipe ``told``."""
    os.mkfifo(tmp_path / "told")
    return lab_with_hook(tmp_path / "lab", "sh", "-c", f"env > {tmp_path / 'told'}")


def told(lab: Lab) -> dict[str, str]:
    """Wait until the hook is called; return the variables it got from us."""
    pipe = lab.root.parent / "told"
    lines = subprocess.run(["cat", pipe], capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if line.startswith("O1LAB_"))


def working(lab: Lab) -> tuple[RunDir, subprocess.Popen[str]]:
    run = write_run(lab.runs, "7f3a", "running", steps=3, total=9)
    run.about_file.write_text('{"name": "first"}')
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", WORKER, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return run, process


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def test_a_spike_and_the_end_of_a_run_call_the_hook(lab: Lab) -> None:
    run, process = working(lab)
    say(process, "spike Loss spike at step 3: 9.")
    first = told(lab)
    assert (
        first.items()
        >= {
            "O1LAB_EVENT": "spike",
            "O1LAB_KIND": "run",
            "O1LAB_RUN": "7f3a",
            "O1LAB_NAME": "first",
            "O1LAB_STATE": "running",
            "O1LAB_CAUSE": "Loss spike at step 3: 9.",
            "O1LAB_DIR": str(run.path),
            "O1LAB_LAB": str(lab.root),
            "O1LAB_LAB_NAME": "demo",
        }.items()
    )
    say(process, "finished Finished after 9 steps.")
    process.communicate()
    last = told(lab)
    assert (last["O1LAB_EVENT"], last["O1LAB_CAUSE"]) == ("finished", "Finished after 9 steps.")
    assert run.info().hook_fault == ""


def test_the_hook_is_called_for_a_worker_that_was_killed(lab: Lab) -> None:
    run, process = working(lab)
    run.log.write_text("Traceback (most recent call last):\nValueError: an odd\x1b[31m thing\n")
    process.kill()
    process.communicate()
    said = told(lab)
    assert (said["O1LAB_EVENT"], said["O1LAB_STATE"]) == ("dead", "dead")
    assert said["O1LAB_CAUSE"].endswith("The last error in its log: ValueError: an odd␛[31m thing.")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run of a lab whose hook writes its environment to the file ``told``."""
    return write_run(lab_with_hook(tmp_path / "lab", "sh", "-c", f"env > {tmp_path / 'told'}").runs, "7f3a", "running")


@pytest.fixture
def worker(run: RunDir) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that works on the run and holds the end of a pipe; the other end of the pipe."""
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[writer])
    os.close(writer)
    started, here = started_at(process.pid), socket.gethostname()
    run.write_status(RunStatus("running", process.pid, started, here, time.time()))
    yield process, reader
    os.close(reader)
    process.kill()
    process.communicate()


def hook_process(changes: str, run: RunDir, pid: int, pipe: int) -> subprocess.Popen[str]:
    """The process that calls the hook, with changes for the test."""
    code = f"import os, sys\nfrom o1lab.jobs import hook_process\n{changes}\nsys.exit(hook_process.main())"
    words = ["o1lab.train.runs.directory:RunDir", str(run.path), str(pid)]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *words], stdin=pipe, stdout=subprocess.PIPE, text=True
    )  # fmt: skip


CHECKS_OFTEN = """
def check(pid, alive=hook_process.is_alive):
    print("checked", flush=True)
    return alive(pid)
hook_process._CHECK_S, hook_process.is_alive = 0.05, check
"""


def test_the_hook_is_called_for_a_worker_that_is_killed_after_checks(
    run: RunDir, worker: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    process, reader = worker
    caller = hook_process(CHECKS_OFTEN, run, process.pid, reader)
    assert caller.stdout is not None and [caller.stdout.readline() for _ in range(2)] == ["checked\n"] * 2
    process.kill()
    caller.communicate(timeout=60)
    assert "O1LAB_EVENT=dead" in (tmp_path / "told").read_text().splitlines()


KILLS_LATE = """
def pause(seconds):
    os.kill(int(sys.argv[3]), 9)
hook_process.time.sleep = pause
"""


def test_a_killed_worker_is_still_there_when_its_pipe_ends(
    run: RunDir, worker: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    with Path(os.devnull).open() as ended:
        caller = hook_process(KILLS_LATE, run, worker[0].pid, ended.fileno())
    caller.communicate(timeout=60)
    assert "O1LAB_EVENT=dead" in (tmp_path / "told").read_text().splitlines()


@pytest.mark.parametrize("gone", ["removed", "renamed"])
def test_a_job_whose_folder_is_gone_calls_no_hook(gone: str, run: RunDir, tmp_path: Path) -> None:
    if gone == "removed":
        shutil.rmtree(run.path)
    else:
        run.path.rename(tmp_path / "elsewhere")
    with Path(os.devnull).open() as ended:
        caller = hook_process("", run, os.getpid(), ended.fileno())
    caller.communicate(timeout=60)
    assert caller.returncode == 0 and not (tmp_path / "told").exists()


def test_the_hook_is_called_for_the_configured_events_only(tmp_path: Path) -> None:
    lab = lab_with_hook(tmp_path / "lab", "false", on=("dead",))
    run = write_run(lab.runs, "7f3a")
    settings = load_config(lab).notify
    for event in EVENTS:
        hook.call(run, settings, event, "finished", "")
    assert [json.loads(line)["event"] for line in run.hooks_file.read_text().splitlines()] == ["dead"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("sh", "-c", "echo no network >&2; exit 3"), "exit status 3: no network"),
        (("/absent/hook",), "/absent/hook cannot be started: No such file or directory"),
        (("sh", "-c", "kill -9 $$"), "it was ended by signal 9"),
        (("sh", "-c", "tail -f /dev/null; true"), "it did not end within 0.2 s"),
        (("true",), ""),
    ],
)
def test_an_error_of_a_hook_is_shown_with_its_job(words: tuple[str, ...], fault: str, tmp_path: Path) -> None:
    lab = lab_with_hook(tmp_path / "lab", *words)
    run = write_run(lab.runs, "7f3a")
    settings = load_config(lab).notify.model_copy(update={"hook_timeout_s": 0.2 if "tail" in words[-1] else 60})
    assert hook.call(run, settings, "failed", "failed", "") == fault
    assert run.info().hook_fault == fault
    run.hooks_file.write_bytes(b"damaged")
    assert run.info().hook_fault == ""


def test_a_hook_that_takes_too_long_ends_with_its_commands(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "held")
    lab = lab_with_hook(tmp_path / "lab", "sh", "-c", f"tail -f /dev/null > {tmp_path / 'held'}; true")
    settings = load_config(lab).notify.model_copy(update={"hook_timeout_s": 1.0})
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)  # its end is that of the commands that write to it
    try:
        assert "did not end" in hook.call(write_run(lab.runs, "7f3a"), settings, "failed", "failed", "")
        with suppress(BlockingIOError):  # some command is there: wait for its end
            assert os.read(held, 1) == b""
            return
        assert select.select([held], [], [], 10)[0], "a command goes on"
    finally:
        os.close(held)


def test_a_hook_process_that_cannot_be_started_leaves_no_pipe(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    ends = os.pipe()
    monkeypatch.setattr(hook.os, "pipe", lambda: ends)
    monkeypatch.setattr(hook.subprocess, "Popen", refused)
    hook.HookCaller(run).send("spike", "9")
    for end in ends:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)
    assert "Resource temporarily unavailable" in run.info().hook_fault


def test_without_a_hook_no_process_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = init_lab(tmp_path / "lab")
    run = write_run(lab.runs, "7f3a")
    monkeypatch.setattr(hook.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    caller = hook.HookCaller(run)
    caller.send("spike", "9")
    lab.config.write_text("damaged [")
    assert hook.settings_of(run) == NotifySettings(on=[])


def test_which_ends_are_events() -> None:
    ends = {
        "finished": RunStatus("finished"),
        "failed": RunStatus("failed"),
        None: RunStatus("stopped"),
    }
    assert {event_of_end(status.state, status): status for status in ends.values()} == ends
    assert (
        event_of_end("dead", RunStatus("running", os.getpid(), started_at(os.getpid()), socket.gethostname())) == "dead"
    )
    assert event_of_end("running", RunStatus("running", heartbeat=time.time())) is None
    reasons = {"budget_usd": "budget", "budget_tokens": "budget", "key": "failed", "failures": "failed"}
    for reason, event in (reasons | {"stop": None, "interrupt": None}).items():
        assert event_of_end("stopped", TeacherRunStatus("stopped", stopped_by=reason)) == event
