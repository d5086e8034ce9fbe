"""The Train screen against a long run and a busy one. Run: ``python bench/curve.py``.

1. A run of 100,000 steps: from choosing it to its drawn curve, in the screen itself. Beside it the plain way: parse
   each line with json, give every point to the plot. Asked: under 0.5 s.
2. Following a run that writes 10 steps a second: CPU time of the real program in a terminal, over wall time. Beside
   it the same program on a finished run. Asked: under 5 % of a core.

The first is given in wall and in CPU seconds: on a machine that does other work too, only the latter means something.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import math
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from unittest.mock import patch

import psutil
from textual.app import App, ComposeResult
from textual_plot import HiResMode, PlotWidget

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.paths import Lab
from o1lab.train.runs.directory import RunDir, RunStatus
from o1lab.widgets.loss_plot import LossPlot
from screens.base.context import open_context
from screens.train.screen import TrainScreen
from tests.support.fake_runs import append, metric_line, write_run

STEPS = 100_000
ROUNDS = 5
SIZE = (120, 40)
RATE_HZ, FOLLOW_S, WARM_S = 10, 30.0, 8.0
OPEN = """
import sys
from pathlib import Path
from o1lab.app import run_app
from o1lab.paths import Lab
run_app(Lab(Path(sys.argv[1])), mode="train")
"""


def now() -> tuple[float, float]:
    """Wall and CPU seconds, from any beginning."""
    return time.perf_counter(), time.process_time()


async def curve_seconds(lab: Lab) -> list[tuple[float, float]]:
    """(wall, CPU) seconds from choosing the long run to its curve being drawn, each time with nothing read before."""
    drawn: list[tuple[float, float]] = []
    ready = asyncio.Event()
    plain_render = PlotWidget.render
    app = LabApp(open_context(lab), mode="train")

    def render(self: PlotWidget) -> object:
        result = plain_render(self)
        if " long " in str(app.screen.query_one(LossPlot)._legend.content):  # the legend changes with the curves
            drawn.append(now())
            ready.set()
        return result

    found = []
    with patch.object(PlotWidget, "render", render):
        async with app.run_test(size=SIZE) as pilot:
            screen = app.screen
            assert isinstance(screen, TrainScreen)
            for _ in range(ROUNDS):
                screen.open_run("short")
                await pilot.pause(2.0)
                drawn.clear()
                ready.clear()
                begun = now()
                screen.open_run("long")
                await ready.wait()
                found.append((drawn[0][0] - begun[0], drawn[0][1] - begun[1]))
    return found


async def plain_seconds(run: RunDir) -> tuple[float, float]:
    """The plain way: json for each line, every point on the plot."""

    class Plain(App[None]):
        def compose(self) -> ComposeResult:
            yield PlotWidget()

    app = Plain()
    async with app.run_test(size=SIZE):
        begun = now()
        lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
        plot = app.query_one(PlotWidget)
        plot.plot([line["step"] for line in lines], [line["loss"] for line in lines], hires_mode=HiResMode.BRAILLE)
        plot.render()
        ended = now()
        return ended[0] - begun[0], ended[1] - begun[1]


def cpu_share(lab: Lab, live: RunDir | None) -> float:
    """CPU seconds a second of the program on the Train screen, while ``live`` (if given) writes."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", OPEN, str(lab.root)], stdin=follower, stdout=follower, stderr=follower,
        start_new_session=True, env=os.environ | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(follower)
    over = threading.Event()
    threading.Thread(target=_drain, args=(leader,), daemon=True).start()
    if live is not None:
        threading.Thread(target=_write, args=(live, over), daemon=True).start()
    try:
        time.sleep(WARM_S)
        watched = psutil.Process(process.pid)
        before, begun = watched.cpu_times(), time.perf_counter()
        time.sleep(FOLLOW_S)
        after, took = watched.cpu_times(), time.perf_counter() - begun
        return (after.user + after.system - before.user - before.system) / took
    finally:
        over.set()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(leader)


def _drain(leader: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(leader, 65536):
            pass


def _write(run: RunDir, over: threading.Event) -> None:
    """Ten steps a second, a heartbeat every two seconds, as a worker does."""
    step = int(json.loads(run.metrics.read_text().splitlines()[-1])["step"])
    while not over.wait(1 / RATE_HZ):
        step += 1
        append(run.metrics, [metric_line(step, STEPS)])
        with run.log.open("a") as log:
            log.write(f"{{'loss': {math.exp(-step / 1e4):.4f}}}\n")
        if step % (2 * RATE_HZ) == 0:
            run.write_status(RunStatus("running", pid=os.getpid(), heartbeat=time.time(), step=step, total_steps=STEPS))


def median(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The medians of wall and CPU seconds."""
    return statistics.median(wall for wall, _ in pairs), statistics.median(cpu for _, cpu in pairs)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lab = init_lab(Path(folder) / "lab", name="bench")
        write_run(lab.runs, "short", steps=50, age=1)
        long = write_run(lab.runs, "long", steps=STEPS, total=STEPS, age=2)
        took = median(asyncio.run(curve_seconds(lab)))
        plain = median([asyncio.run(plain_seconds(long)) for _ in range(3)])
        print(f"a run of {STEPS:,} steps shows its curve in {took[0]:.2f} s, CPU {took[1]:.2f} s (asked: < 0.5)")
        print(f"the plain way: {plain[0]:.2f} s, CPU {plain[1]:.2f} s; ratio of CPU {took[1] / plain[1]:.2f}")

        busy = init_lab(Path(folder) / "busy", name="bench")
        live = write_run(busy.runs, "live", "running", steps=2_000, total=STEPS)
        following = cpu_share(busy, live)
        still = init_lab(Path(folder) / "still", name="bench")
        write_run(still.runs, "done", steps=2_000)
        idle = cpu_share(still, None)
        print(
            f"following {RATE_HZ} steps a second: {following:.1%} of a core (asked: < 5 %); a finished run {idle:.1%}"
        )


if __name__ == "__main__":
    main()
