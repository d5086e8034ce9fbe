"""Reading and following a run of 100,000 steps, without a screen.

``python bench/curve_reading.py [--lines N] [--seconds S]`` prints one JSON object. Ratios are against json.loads line
by line on the same file in the same process; ``follow_core_share`` is processor time over wall time while ten lines
a second are appended and polled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

from o1lab.train.runs.curve import series
from o1lab.train.runs.metrics_reader import Metrics
from o1lab.widgets.loss_plot import Curve

TIMES = 5
COLUMNS = 160


def line(step: int) -> str:
    return json.dumps(
        {
            "step": step,
            "epoch": step / 1000,
            "loss": 2.0 / math.sqrt(step) + 0.01 * math.sin(step),
            "learning_rate": 5e-4 * (1 - step / 2e5),
            "grad_norm": 0.4 + 0.1 * math.cos(step),
            "num_tokens": step * 1280,
            "mean_token_accuracy": 1 - 1 / math.sqrt(step + 1),
            "tokens_per_second": 451.25,
            "elapsed_s": step * 2.8,
            "rss_bytes": 2_100_000_000,
        }
    )


def best(times: int, work: object) -> float:
    assert callable(work)
    found = math.inf
    for _ in range(times):
        began = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        path.write_text("".join(line(step) + "\n" for step in range(1, arguments.lines + 1)), "utf-8")

        def bare() -> None:
            with path.open("rb") as file:
                for raw in file:
                    json.loads(raw)

        def read() -> None:
            metrics = Metrics(path)
            metrics.poll()
            assert len(metrics) == arguments.lines

        metrics = Metrics(path)
        metrics.poll()

        def draw() -> None:
            curve = Curve()
            curve.extend(metrics.steps, metrics.column("loss"))
            for values in (curve.values, curve.smoothed(0.9)):
                series(curve.steps, values, columns=COLUMNS)

        bare_s, read_s, draw_s = best(TIMES, bare), best(TIMES, read), best(TIMES, draw)
        share = follow(path, metrics, arguments.lines, arguments.seconds)
        result = {
            "lines": arguments.lines,
            "bytes": path.stat().st_size,
            "json_loads_s": round(bare_s, 3),
            "read_s": round(read_s, 3),
            "read_ratio": round(read_s / bare_s, 3),
            "raw_and_smoothed_series_s": round(draw_s, 4),
            "follow_core_share": round(share, 4),
        }
        print(json.dumps(result))


def follow(path: Path, metrics: Metrics, step: int, seconds: float) -> float:
    """The share of a core that appending and polling ten times a second takes."""
    began, used = time.perf_counter(), time.process_time()
    with path.open("a", encoding="utf-8") as file:
        while (elapsed := time.perf_counter() - began) < seconds:
            step += 1
            file.write(line(step) + "\n")
            file.flush()
            assert metrics.poll()
            time.sleep(max(0.0, 0.1 - (time.perf_counter() - began - elapsed)))
    return (time.process_time() - used) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
