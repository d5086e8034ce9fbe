"""Asking a teacher 3,000 things, 256 at once, 200 ms each, against one local server: calls a second and memory.

Beside it, in the same run: a bare asyncio loop on the default ``openai`` client that keeps nothing (``bare``), and the
same loop on its aiohttp transport (``aio``), which is what the journal and the lab cost beyond it. Ours journals
every response (fsync), parses, measures and verifies it and writes it into the lab before the clock stops.

    python -m bench.distill [--calls 3000] [--at-once 256] [--latency-ms 200] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CURATOR = 0.74  # of the bare loop, as measured when this was designed; bespokelabs-curator is not a dependency
CHAIN = "Ones: 4 + 4 = 8, write 8.\nTens: 6 + 9 = 15, write 5, carry 1.\nWait, let me check that again.\n" * 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--latency-ms", type=float, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--part", choices=("serve", "bare", "aio", "ours"), help="one part of it, in a process of its own"
    )
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    if options.part:
        {"serve": serve, "bare": bare, "aio": bare, "ours": ours}[options.part](options)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        options.url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    server = subprocess.Popen(command(options, "serve"))
    try:
        wait_for(options.url)
        found: dict[str, list[dict[str, float]]] = {"bare": [], "aio": [], "ours": []}
        for number in range(options.rounds):
            for part, rounds in found.items():
                said = subprocess.run(command(options, part), stdout=subprocess.PIPE, text=True, check=True).stdout
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
    print(f"curator / bare, when it was measured, {CURATOR}")
    print("peak memory  " + ", ".join(f"{part} {peak:.0f} MB" for part, peak in peaks.items()))


def command(options: argparse.Namespace, part: str, module: str = "bench.distill") -> list[str]:
    """What runs one part in a process of its own."""
    given = {"calls": options.calls, "at-once": options.at_once, "latency-ms": options.latency_ms, "url": options.url}
    return [sys.executable, "-m", module, "--part", part, *(f"--{k}={v}" for k, v in given.items())]


def line(one: dict[str, float]) -> str:
    return f"{one['rate']:7.0f} calls/s  {one['cpu_s']:5.1f} s of CPU  {one['peak_mb']:4.0f} MB"


def wait_for(url: str) -> None:
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the server does not start")


def report(calls: int, seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "rate": calls / seconds, "seconds": seconds,
        "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024,
    }))  # fmt: skip


def serve(options: argparse.Namespace) -> None:
    """An OpenAI-compatible server that takes its time and answers sums."""
    from aiohttp import web

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(options.latency_ms / 1000)
        words = body["messages"][-1]["content"].split()
        total = int(words[2]) + int(words[4].rstrip("?"))
        content = f"<think>\n{words[2]} and {words[4]}\n{CHAIN}</think>\n\n\\boxed{{{total}}}"
        message = {"role": "assistant", "content": content}
        usage = {"prompt_tokens": 20, "completion_tokens": 250, "total_tokens": 270}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
                                  "choices": [choice], "usage": usage})  # fmt: skip

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    port = int(options.url.removesuffix("/v1").rpartition(":")[2])
    web.run_app(app, host="127.0.0.1", port=port, print=None, backlog=1024)


def bare(options: argparse.Namespace) -> None:
    """A loop as one would write it: one client, a semaphore, nothing kept."""
    import openai

    async def loop() -> float:
        seats = asyncio.Semaphore(options.at_once)
        http = openai.DefaultAioHttpClient() if options.part == "aio" else None
        async with openai.AsyncOpenAI(base_url=options.url, api_key="none", http_client=http) as client:

            async def one(number: int) -> str | None:
                async with seats:
                    answer = await client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": f"What is {number} + 1?"}], max_tokens=400
                    )
                return answer.choices[0].message.content

            began = time.perf_counter()
            answers = await asyncio.gather(*(one(number) for number in range(options.calls)))
            seconds = time.perf_counter() - began
        assert all(answers)
        return seconds

    report(options.calls, asyncio.run(loop()))


def ours(options: argparse.Namespace) -> None:
    """A teacher run: from a lab on the disk to the last row in it."""
    from o1lab.config import init_lab
    from o1lab.distill import runs
    from o1lab.distill.runner import TeacherRunner
    from store import problems
    from store.connection import open_store
    from store.records import NewProblem

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        lab = init_lab(Path(folder) / "lab")
        with lab.config.open("a") as config:
            config.write(f'\n[[endpoints]]\nname = "t"\nurl = "{options.url}"\nmodel = "m"\nrole = "teacher"\n')
        store = open_store(lab.database)
        with store.db.atomic():
            problems.add(
                store.db, (NewProblem(f"What is {n} + 1?", "sums", answer=str(n + 1)) for n in range(options.calls))
            )
        store.close()
        values: dict[str, Any] = {"endpoint": "t", "concurrency": options.at_once, "max_tokens": 400}
        run = runs.start(lab, runs.read_settings(values))
        began = time.perf_counter()
        status = asyncio.run(TeacherRunner(lab, run).work())
        seconds = time.perf_counter() - began
        assert (status.state, status.done, status.correct) == ("finished", options.calls, options.calls), status
    report(options.calls, seconds)


if __name__ == "__main__":
    assert find_spec("aiohttp"), "the aiohttp transport is part of the installation"
    main()
