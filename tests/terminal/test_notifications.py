"""What the app writes to a terminal when a job ends: bytes at a pseudo-terminal, alone and through tmux."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.paths import Lab
from store import open_store
from tests.support.fake_runs import write_run
from tests.support.programs import program
from tests.terminal.tmux import PATIENCE_S, tmux_needed

pytestmark = pytest.mark.terminal
OSC_9 = b"\x1b]9;o1lab: demo: Run 7f3a12cd has finished.\a"
OSC_777 = b"\x1b]777;notify;o1lab: demo;Run 7f3a12cd has finished.\a"


class Screen:
    """A terminal of 100 by 30 that keeps every byte a program writes."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.written = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, env)  # noqa: S606
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))

    def until(self, *wanted: bytes, start: int = 0) -> bytes:
        """Read until all of these were written after ``start``."""
        deadline = time.monotonic() + PATIENCE_S
        while not all(one in self.written[start:] for one in wanted):
            left = deadline - time.monotonic()
            assert left > 0 and self._read(left), f"waited in vain for {wanted}:\n{self.written[start:]!r}"
        return self.written[start:]

    def rest(self) -> bytes:
        """Read to the end of the program."""
        while self._read(PATIENCE_S):
            pass
        return self.written

    def _read(self, seconds: float) -> bool:
        if not select.select([self.terminal], [], [], seconds)[0]:
            return False
        with suppress(OSError):  # the program has ended
            block = os.read(self.terminal, 65_536)
            self.written += block
            return bool(block)
        return False


@contextmanager
def running(command: list[str], **env: str) -> Iterator[Screen]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE", "STY")}
    screen = Screen(command, inherited | {"TERM": "xterm-256color"} | env)
    try:
        yield screen
    finally:
        with suppress(ProcessLookupError):
            os.kill(screen.pid, signal.SIGKILL)
        os.waitpid(screen.pid, 0)
        os.close(screen.terminal)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = init_lab(tmp_path / "lab", name="demo")
    open_store(lab.database).close()
    return lab


def ends_while_watched(lab: Lab, screen: Screen, *wanted: bytes) -> bytes:
    """Let a run end once the app shows it; return what was written since, when ``wanted`` is there."""
    run = write_run(lab.runs, "7f3a12cd", "running", steps=40)
    screen.until(b"run 7f3a12cd 40/100")
    before = len(screen.written)
    run.write_status(replace(run.read_status(), state="finished", message="Finished after 100 steps."))
    return screen.until(*wanted, start=before)


def test_a_terminal_gets_the_bell_and_both_notifications(lab: Lab) -> None:
    with running(program(lab=lab)) as screen:
        written = ends_while_watched(lab, screen, OSC_777)
        assert b"\a" + OSC_9 + OSC_777 in written
        os.write(screen.terminal, b"\x11")
        screen.rest()


def test_what_is_told_and_how_is_a_setting(lab: Lab) -> None:
    lab.config.write_text('name = "demo"\n[notify]\nbell = false\ndesktop = ["osc9"]\n')
    with running(program(lab=lab)) as screen:
        written = ends_while_watched(lab, screen, OSC_9)
        assert written.count(b"\a") == 1 and b"]777;" not in written, "the BEL that ends OSC 9, and no bell"
        os.write(screen.terminal, b"\x11")
        screen.rest()


def test_a_terminal_that_shows_no_notifications_gets_the_bell(lab: Lab) -> None:
    with running(program(lab=lab), TERM="linux") as screen:
        assert b"\x1b]9;" not in ends_while_watched(lab, screen, b"\a")


@pytest.mark.parametrize("passthrough", ["on", "off"])
def test_tmux_passes_notifications_on_if_it_may_and_the_bell_always(lab: Lab, tmp_path: Path, passthrough: str) -> None:
    tmux_needed()
    settings = tmp_path / "tmux.conf"
    settings.write_text(f"set -g allow-passthrough {passthrough}\nset -g status off\n")
    socket = f"o1lab-{uuid.uuid4().hex[:8]}"
    tmux = [shutil.which("tmux") or "tmux", "-L", socket]
    doctor = [*program(lab=lab), "doctor"]
    try:
        with running([*tmux, "-f", str(settings), "new-session", *program(lab=lab)]) as screen:
            wanted = (OSC_9, OSC_777) if passthrough == "on" else (b"\a",)
            written = ends_while_watched(lab, screen, *wanted)
            assert (OSC_9 in written) is (OSC_777 in written) is (passthrough == "on")
            assert b"\a" in written.replace(OSC_9, b"").replace(OSC_777, b"")
            asked = ["new-window", "-P", "-F", "#{pane_id}", f"{' '.join(doctor)} > {tmp_path}/said; tmux wait -S done"]
            subprocess.run([*tmux, *asked], check=True, capture_output=True)
            subprocess.run([*tmux, "wait", "done"], check=True, timeout=PATIENCE_S)
        said = " ".join((tmp_path / "said").read_text().split())
        assert ("✓ notify tmux passes notifications on" in said) is (passthrough == "on")
        assert ("tmux set -g allow-passthrough on" in said) is (passthrough == "off")
    finally:
        subprocess.run([*tmux, "kill-server"], capture_output=True)
