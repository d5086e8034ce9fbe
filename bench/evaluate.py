"""Evaluating 3,000 items, 256 at once, 200 ms each, against one local server that batches: samples a second and memory.

Beside it, in the same run: a bare asyncio loop on the default ``openai`` client that keeps and scores nothing
(``bare``), and the same loop on its aiohttp transport (``aio``). Ours journals every response (fsync), scores it and
writes it into the lab before the clock stops. At least 0.9 of the bare loop is wanted.

``--embedded`` measures the embedded student instead: 64 prompts at once against one at a time, by the same evaluation
with another concurrency. At least 4 times as fast is wanted.

    python -m bench.evaluate [--calls 3000] [--at-once 256] [--latency-ms 200] [--rounds 3]
    python -m bench.evaluate --embedded [--prompts 64] [--tokens 48]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.distill import bare, command, line, report, serve, wait_for
from o1lab.paths import Lab

SUITE = {
    "name": "sums", "version": 1, "title": "Sums", "family": "mathematics", "items": {"file": "sums.jsonl"},
    "scorer": {"name": "math"}, "sampling": {"max_tokens": 400},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--latency-ms", type=float, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--embedded", action="store_true", help="measure the embedded student")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--part", choices=("serve", "bare", "aio", "ours"), help="one part, in a process of its own")
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    if options.embedded:
        embedded(options)
        return
    if options.part:
        {"serve": serve, "bare": bare, "aio": bare, "ours": ours}[options.part](options)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        options.url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    server = subprocess.Popen(command(options, "serve", "bench.evaluate"))
    try:
        wait_for(options.url)
        found: dict[str, list[dict[str, float]]] = {"bare": [], "aio": [], "ours": []}
        for number in range(options.rounds):
            for part, rounds in found.items():
                words = command(options, part, "bench.evaluate")
                said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
                rounds.append(json.loads(said.splitlines()[-1]))
                print(f"round {number + 1} {part:<5}", line(rounds[-1]), flush=True)
    finally:
        server.terminate()
        server.wait()
    for part in ("bare", "aio"):
        ratios = [mine["rate"] / its["rate"] for mine, its in zip(found["ours"], found[part], strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"ours / {part:<5} {statistics.median(ratios):.2f} (median of {each})")
    peaks = {part: max(one["peak_mb"] for one in rounds) for part, rounds in found.items()}
    print("peak memory  " + ", ".join(f"{part} {peak:.0f} MB" for part, peak in peaks.items()))


def ours(options: argparse.Namespace) -> None:
    """An evaluation: from a lab on the disk to the last row in it."""
    from o1lab.evaluate.run import control
    from o1lab.evaluate.run.runner import EvaluationRunner

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        lab = make_lab(Path(folder) / "lab", options.calls)
        with lab.config.open("a") as config:
            config.write(f'\n[[endpoints]]\nname = "t"\nurl = "{options.url}"\nmodel = "m"\nrole = "teacher"\n')
        values: dict[str, Any] = {"suite": "sums", "model": "t", "concurrency": options.at_once}
        run = control.start(lab, control.read_settings(lab, values))
        began = time.perf_counter()
        status = asyncio.run(EvaluationRunner(lab, run).work())
        seconds = time.perf_counter() - began
        assert (status.state, status.done, status.correct) == ("finished", options.calls, options.calls), status
    report(options.calls, seconds)


def embedded(options: argparse.Namespace) -> None:
    """The embedded student, all prompts at once and one after the other; the server's start is not in it."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        lab = make_lab(Path(folder) / "lab", options.prompts)
        seconds = {}
        for at_once in (options.prompts, 1):
            seconds[at_once], tokens = _asked(lab, at_once, options.tokens)
            print(
                f"{options.prompts} prompts, {at_once:>3} at once  {seconds[at_once]:6.1f} s  {tokens:,} tokens",
                flush=True,
            )
        print(f"at once is {seconds[1] / seconds[options.prompts]:.1f} times as fast")


def _asked(lab: Lab, at_once: int, tokens: int) -> tuple[float, int]:
    """(seconds from the first question to the last score, output tokens) of an evaluation."""
    from o1lab.evaluate.run import control
    from o1lab.evaluate.run.directory import EvalStatus
    from o1lab.evaluate.run.runner import EvaluationRunner

    watched: dict[str, float] = {}

    def watch(status: EvalStatus) -> None:
        watched.setdefault(status.state, time.perf_counter())

    values: dict[str, Any] = {
        "suite": "sums", "model": "smollm2-135m", "concurrency": at_once, "max_tokens": tokens, "reuse": False,
    }  # fmt: skip
    run = control.start(lab, control.read_settings(lab, values))
    ended = asyncio.run(EvaluationRunner(lab, run, watch=watch).work())
    assert ended.state == "finished" and not ended.failed, ended
    return watched["finished"] - watched["running"], ended.output_tokens


def make_lab(path: Path, number: int) -> Lab:
    """A lab with a suite of so many sums."""
    from o1lab.config import init_lab

    lab = init_lab(path)
    (lab.suites / "data").mkdir(parents=True)
    (lab.suites / "sums.yaml").write_text(json.dumps(SUITE))  # JSON is YAML
    rows = ({"id": str(n), "question": f"What is {n} + 1?", "gold": str(n + 1)} for n in range(number))
    (lab.suites / "data" / "sums.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return lab


if __name__ == "__main__":
    main()
