"""Import of 200 MB of generated chains against plain loaders: json, sqlite3, FTS5, and nothing else.

``plain`` inserts with executemany and indexes the raw text only; ``bare`` inserts row by row and indexes the problem
too. All read the same file; each runs in a process of its own, whose peak memory and processor time (with that of its
own processes) are reported.
Memory is flat when a file four times as large needs no more. Run: ``python -m bench.importing [MEGABYTES [FILE]]``;
with a file, its rows are repeated with small changes instead of generated ones.
"""

from __future__ import annotations

import itertools
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_WORDS = 20_000


def generate(path: Path, megabytes: int) -> int:
    """Write chains of 2 to 30 kB in the students' format until the file is large enough; returns the rows."""
    chosen = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    words = ["".join(chosen.choices(letters, k=chosen.randint(1, 11))) for _ in range(_WORDS)]
    cues = ("Wait, ", "So ", "Let me check: ", "Therefore ", "First, ", "Hmm, ", "Compute 3 + 4 = 7, ", "")
    written = number = 0
    with path.open("w", encoding="utf-8") as file:
        while written < megabytes << 20:
            sentences = [
                chosen.choice(cues) + " ".join(chosen.choices(words, k=14)) for _ in range(chosen.randint(20, 350))
            ]
            raw = "<think>\n" + ".\n\n".join(sentences) + f".\n</think>\n\nThe answer is \\boxed{{{number}}}."
            row = {"problem": f"What is {number}? {' '.join(sentences[:2])}", "raw": raw, "model": "m",
                   "gold_answer": str(number)}  # fmt: skip
            written += file.write(json.dumps(row) + "\n")
            number += 1
    return number


def repeat(path: Path, rows_of: Path, megabytes: int) -> int:
    """Write the rows of a file again and again, each with changes in its text; returns the rows."""
    chosen = random.Random(1)
    rows = [json.loads(line) for line in rows_of.read_text("utf-8").splitlines()]
    written = number = 0
    with path.open("w", encoding="utf-8") as file:
        while written < megabytes << 20:
            row = rows[number % len(rows)]
            raw = row["raw"].replace("the", f"the{chosen.randrange(300)}", 3).replace(" ", f" {number} ", 1)
            kept = {name: row[name] for name in ("problem", "model", "gold_answer")}
            written += file.write(json.dumps({**kept, "raw": raw}) + "\n")
            number += 1
    return number


def plain(source: Path, folder: Path) -> None:
    """The least that makes the raw texts searchable: json.loads, executemany, and an FTS5 index over them."""
    connection = sqlite3.connect(folder / "plain.db")
    connection.executescript(
        "PRAGMA journal_mode=WAL;"
        "CREATE TABLE traces(id INTEGER PRIMARY KEY, problem TEXT, raw TEXT, model TEXT, gold TEXT);"
        "CREATE VIRTUAL TABLE found USING fts5(raw, content='');"
    )
    with source.open("rb") as lines:
        numbered = enumerate(map(json.loads, lines))
        while batch := list(itertools.islice(numbered, 1000)):
            with connection:
                connection.executemany(
                    "INSERT INTO traces VALUES (?, ?, ?, ?, ?)",
                    [(number, row["problem"], row["raw"], row["model"], row["gold_answer"]) for number, row in batch],
                )
                connection.executemany(
                    "INSERT INTO found(rowid, raw) VALUES (?, ?)", [(number, row["raw"]) for number, row in batch]
                )
    connection.close()


def bare(source: Path, folder: Path) -> None:
    """What nothing but json and sqlite3 takes to have the rows searchable."""
    connection = sqlite3.connect(folder / "bare.db")
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        "CREATE TABLE traces(id INTEGER PRIMARY KEY, problem TEXT, raw TEXT, model TEXT, gold TEXT);"
        "CREATE VIRTUAL TABLE found USING fts5(problem, raw, content='');"
    )
    with source.open("rb") as lines, connection:
        for number, line in enumerate(lines):
            row = json.loads(line)
            connection.execute(
                "INSERT INTO traces VALUES (?, ?, ?, ?, ?)",
                (number, row["problem"], row["raw"], row["model"], row["gold_answer"]),
            )
            connection.execute(
                "INSERT INTO found(rowid, problem, raw) VALUES (?, ?, ?)", (number, row["problem"], row["raw"])
            )
    connection.close()


def ours(source: Path, folder: Path) -> None:
    """The same with provenance, identity, thought and solution apart, every row accounted for."""
    from o1lab.ingest.importer import import_files
    from store import open_store

    report = import_files(open_store(folder / "lab.db"), [source])
    assert not report.failed


def measuring(source: Path, folder: Path) -> None:
    """The second pass over what ``ours`` brought in."""
    from o1lab.ingest.measuring import measure_pending
    from store import open_store

    assert measure_pending(open_store(folder / "lab.db")).measured > 0


WORK = {"plain": plain, "bare": bare, "ours": ours, "measuring": measuring}


def run(name: str, source: Path, folder: Path) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak MB of one of the functions above, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.importing", name, str(source), str(folder)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds, processor, peak = done.stdout.split()
    return float(seconds), float(processor), float(peak)


def main() -> None:
    if len(sys.argv) == 4:
        started = time.perf_counter()
        WORK[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
        seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        children = resource.getrusage(resource.RUSAGE_CHILDREN)  # the processes that segment and verify
        print(seconds, time.process_time() + children.ru_utime + children.ru_stime, peak)
        return
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    speeds: dict[str, float] = {}
    spent: dict[str, tuple[float, float]] = {}
    peaks: dict[tuple[str, int], float] = {}
    for size in (megabytes // 4, megabytes):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            source = folder / "chains.jsonl"
            rows = repeat(source, Path(sys.argv[2]), size) if len(sys.argv) > 2 else generate(source, size)
            for what in WORK:
                seconds, processor, peak = run(what, source, folder)
                speeds[what], peaks[what, size], spent[what] = size / seconds, peak, (seconds, processor)
                speed = f"{seconds:6.1f} s {processor:6.1f} s of processors {size / seconds:6.1f} MB/s {peak:6.0f} MB"
                print(f"{size:>4} MB {rows:>7,} rows  {what:<10} {speed}")
    print(f"import at {speeds['ours'] / speeds['plain']:.2f} of the plain loader's speed (asked: at least 0.8),")
    print(f"at {speeds['ours'] / speeds['bare']:.2f} of the bare loader's")
    together, processors = (sum(column) for column in zip(spent["ours"], spent["measuring"], strict=True))
    print(f"with measuring and verification {together:.1f} s (asked on two idle cores: at most 20 for 205 MB),")
    print(f"{processors:.1f} s of processors, {processors / spent['plain'][1]:.1f} times the plain loader's")
    growth = peaks["ours", megabytes] / peaks["ours", megabytes // 4]
    print(f"peak memory on four times the data: {growth:.2f} times (flat: about 1)")


if __name__ == "__main__":
    main()
