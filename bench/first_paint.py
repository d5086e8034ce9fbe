"""From exec to the first useful paint, on a lab of 10,000 traces, as a ratio to a bare Textual app.

Useful: the bare app shows its one word, o1lab shows the count of its traces. Both run in a pty of 80x24, in turn.
Peers measured elsewhere the same way: posting 3.4, harlequin 4.1 times the bare app.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from o1lab.config import init_lab
from store import open_store, problems, traces
from store.records import NewProblem, NewTrace

ROUNDS = 9
BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("useful")
Bare().run()
"""


def seconds_until(command: list[str], wanted: bytes) -> float:
    """Seconds from exec until ``wanted`` is written to the terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        env=environment | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(follower)
    seen = b""
    try:
        while wanted not in seen:
            if not select.select([leader], [], [], 30)[0]:
                raise TimeoutError(f"{command} never showed {wanted!r}; it wrote {seen[-400:]!r}")
            seen += os.read(leader, 65536)
        return time.perf_counter() - began
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(leader)


def fill(folder: Path, number: int) -> None:
    lab = init_lab(folder)
    store = open_store(lab.database)
    with store.db.atomic():
        for i in range(number):
            problem = NewProblem(f"What is {i} + {i}?", "bench", answer=str(2 * i))
            raw = f"<think>{'Wait, let me add them again. ' * 40}</think>{2 * i}"
            end = raw.index("</think>")
            trace = NewTrace(problem.id, "bench", raw, (7, end), (end + 8, len(raw)), True, "r1", "bench")
            problems.add(store.db, [problem])
            traces.add(store.db, [(trace, problem.statement)])
    store.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "lab", 10_000)
        bare, lab = [sys.executable, "-c", BARE], [sys.executable, "-m", "o1lab", "--lab", str(Path(folder) / "lab")]
        seconds_until(bare, b"useful"), seconds_until(lab, b"10,000")
        pairs = [(seconds_until(bare, b"useful"), seconds_until(lab, b"10,000")) for _ in range(ROUNDS)]
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    bare_s, lab_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"bare Textual {bare_s:.2f} s, o1lab {lab_s:.2f} s")
    print(f"first useful paint, o1lab / bare Textual: {ratio:.2f} (median of {ROUNDS} pairs; wanted: at most 2)")


if __name__ == "__main__":
    main()
