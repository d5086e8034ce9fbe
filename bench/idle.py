"""What the app costs while nobody touches it: processor time of the real program in a terminal, by screen.

A lab of 10,000 traces with a finished run; each screen is opened, left alone until it settled, then watched. Prints
the share of one core, the system's part included. Run: ``python -m bench.idle [SECONDS]``.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import psutil

from bench.first_paint import fill
from tests.support.fake_runs import write_run

LIMIT = 1.0
SETTLED_S = 4.0
# Key and heading of each; the first stands from the start. The screens left behind go on living under the next.
SCREENS = ((b"", b"LAB"), (b"\x1bOQ", b"TRACES"), (b"\x1bOS", b"TRAIN"), (b"\x1b[15~", b"COMPARE"), (b"\x1bOP", b"LAB"))


class App:
    """The program in a terminal of 120x40 of its own."""

    def __init__(self, lab: Path) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "o1lab", "--lab", str(lab)], stdin=follower, stdout=follower, stderr=follower,
            start_new_session=True, env=environment | {"TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(follower)
        self._process = psutil.Process(self._child.pid)

    def read(self, seconds: float, wanted: bytes | None = None) -> int:
        """Take what the program writes, as a terminal does, for so long or until ``wanted``; returns how many bytes.

        Raises:
            TimeoutError: ``wanted`` did not come.
        """
        until, seen = time.perf_counter() + seconds, b""
        while (left := until - time.perf_counter()) > 0:
            if select.select([self._leader], [], [], left)[0]:
                seen += os.read(self._leader, 65536)
                if wanted is not None and wanted in seen:
                    return len(seen)
        if wanted is not None:
            raise TimeoutError(f"{wanted!r} was never shown; the last was {seen[-400:]!r}")
        return len(seen)

    def press(self, key: bytes) -> None:
        os.write(self._leader, key)

    def spent(self) -> float:
        """Processor seconds so far, of the program and what it started."""
        processes = [self._process, *self._process.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    def kill(self) -> None:
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        os.close(self._leader)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as name:
        lab = Path(name) / "lab"
        fill(lab, 10_000)
        write_run(lab / "runs", "7f3a", heartbeat=1.0, samples=())
        app = App(lab)
        try:
            app.read(30, b"10,000")
            for key, heading in SCREENS:
                if key:
                    app.press(key)
                    app.read(30, heading)
                app.read(SETTLED_S)
                before = app.spent()
                written = app.read(seconds)
                share = (app.spent() - before) / seconds * 100
                too_much = "  TOO MUCH" * (share >= LIMIT)
                print(
                    f"{heading.decode():8} {share:5.2f} % of a core, {written:,} bytes written in {seconds:g} s"
                    f" (wanted: under {LIMIT:g} %){too_much}"
                )
        finally:
            app.kill()


if __name__ == "__main__":
    main()
