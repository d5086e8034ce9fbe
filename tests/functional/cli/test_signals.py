"""The exit status of a command that a signal ends is 128 + its number. Chat and jobs have tests of their own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from o1lab.cli.main import run
from o1lab.config import init_lab
from o1lab.errors import Interrupted
from tests.support.fake_runs import write_run
from tests.support.programs import program

pytestmark = pytest.mark.usefixtures("real_python")  # signals reach the program itself
PATIENCE_S = 60
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def ended(process: subprocess.Popen[Any]) -> int:
    """The exit status of a process that should end now."""
    try:
        return process.wait(PATIENCE_S)
    finally:
        process.kill()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_watcher_of_a_training_run_and_not_the_run(number: signal.Signals, tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    made = write_run(lab.runs, "aaaa0001", "running", steps=3, total=9)
    command = program("runs", "watch", made.id, lab=lab)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.send_signal(number)
        assert ended(process) == 128 + number
        assert "continues in the background" in process.stderr.read()
    assert made.info().state == "running"


def test_a_closed_terminal_does_not_change_the_status(tmp_path: Path) -> None:
    lab = init_lab(tmp_path / "lab")
    made = write_run(lab.runs, "aaaa0001", "running", steps=3, total=9)
    ours, theirs = pty.openpty()
    command = program("runs", "watch", made.id, lab=lab)
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        assert os.read(ours, 10)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert ended(process) == 128 + signal.SIGHUP


@pytest.mark.parametrize("number", SIGNALS)
def test_any_command_has_this_status(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(_: object) -> int:
        raise (KeyboardInterrupt if number == signal.SIGINT else Interrupted(number))

    monkeypatch.setattr(sys.modules["o1lab.cli.main"], "_dispatch", ended)
    assert run(["doctor"]) == 128 + number
    assert capsys.readouterr().err == "Interrupted.\n"
