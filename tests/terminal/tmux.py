"""A real terminal for tests: tmux runs the program, keys go in, the screen comes out."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import pytest

PATIENCE_S = 60.0


def tmux_needed() -> None:
    """Skip where there is no tmux; under CI that is a failure, because CI installs it."""
    if shutil.which("tmux") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("tmux is missing: .ci/run installs it")
        pytest.skip("tmux is not installed")


class Terminal:
    """One tmux session with a program in it."""

    def __init__(
        self, command: list[str], *, size: tuple[int, int] = (80, 24), env: Mapping[str, str] | None = None
    ) -> None:
        tmux_needed()
        self.socket = f"o1lab-{uuid.uuid4().hex[:8]}"
        self.command = command
        self.size = size
        self.env = dict(env or {})

    def __enter__(self) -> Terminal:
        self.start(self.command)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tmux("kill-server")

    def start(self, command: list[str]) -> None:
        """Run ``command``; the shell stays afterwards and prints its exit status as ``[left N]``."""
        settings = [f"{name}={value}" for name, value in self.env.items()]
        # A test runner's COLUMNS would override the size of the pane.
        line = (
            shlex.join(["env", "-u", "COLUMNS", "-u", "LINES", *settings, *command])
            + '; echo "[left $?]"; exec sleep 600'
        )
        columns, rows = self.size
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-s", "main", "-x", str(columns), "-y", str(rows),
            "sh", "-c", line,
        )  # fmt: skip

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names (``Enter``, ``C-p``, ``F2``)."""
        self._tmux("send-keys", "-t", "main", *keys)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-t", "main", "-l", text)

    def screen(self, *, colours: bool = False) -> str:
        """What stands on the screen now."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []), "-t", "main").stdout

    def wait_for(self, *wanted: str | Callable[[str], bool], seconds: float = PATIENCE_S) -> str:
        """The screen once it holds all that is wanted.

        Raises:
            AssertionError: it did not within the time; the screen is in the message.
        """
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            missing = [one for one in wanted if not (one(screen) if callable(one) else one in screen)]
            if not missing:
                return screen
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen within {seconds:g} s: {missing}\n{screen}")
            time.sleep(0.05)  # the poll of an outside program, not a wait for a moment

    def pid(self, ending: str) -> int:
        """The process in this terminal whose command line ends so."""
        shell = int(self._tmux("list-panes", "-t", "main", "-F", "#{pane_pid}").stdout)
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
                line = (status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue  # it ended while we looked
            if parent == shell and line.endswith(ending):
                return int(status.parent.name)
        raise AssertionError(f"no process ends with {ending}")

    def _tmux(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["tmux", "-L", self.socket, *arguments], capture_output=True, text=True, timeout=20)
