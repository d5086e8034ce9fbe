"""How long the list of traces takes over 100,000 of them: a page, a filter, a search, a place, a decision.

Run: python -m bench.lists [TRACES [FOLDER]]; a folder keeps the lab for the next time. Prints a line per question: the
median of repeated asking in milliseconds, elapsed and of the processor, and its ratio to the 50 ms that nobody notices.
Of 1,000,000 traces (7 minutes to make, 3.3 GB), each question should take at most 100 ms of the processor.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from store import annotations as annotation_log
from store import decisions, policy, problems, traces
from store.connection import Store, open_store
from store.filters import TraceQuery
from store.records import Measured, NewProblem, NewTrace

LIMIT_MS = 50.0
PROCESSOR_MS = 100.0
REPEATS = 9
BATCH = 5_000
CHAINS_PER_PROBLEM = 8

WORDS = [
    "so",
    "the",
    "first",
    "step",
    "is",
    "to",
    "find",
    "how",
    "many",
    "ways",
    "there",
    "are",
    "and",
    "then",
    "we",
    "add",
    "the",
    "terms",
    "that",
    "remain",
    "because",
    "each",
    "factor",
    "divides",
    "the",
    "sum",
    "of",
    "squares",
    "while",
    "the",
    "angle",
    "between",
    "both",
    "lines",
    "stays",
    "the",
    "same",
    "for",
    "every",
    "triangle",
    "in",
    "the",
    "figure",
    "let",
    "me",
    "compute",
    "this",
    "again",
    "with",
    "a",
    "smaller",
    "case",
    "where",
    "n",
    "equals",
    "two",
    "or",
    "three",
    "before",
    "going",
    "on",
    "to",
    "the",
    "general",
    "one",
]
SIGNS = (
    "Wait, let me double-check that.",
    "Hmm, that is not right.",
    "Therefore the answer follows.",
    "Let me verify it.",
)


def text_of(chance: random.Random, words: int) -> str:
    """A chain of common words with a few signs of moves."""
    parts = []
    for _ in range(words // 12):
        parts.append(" ".join(chance.choices(WORDS, k=12)) + ".")
        if chance.random() < 0.2:
            parts.append(chance.choice(SIGNS))
    return "\n".join(parts)


def made(number: int, words: int) -> Iterator[tuple[NewProblem, NewTrace, Measured]]:
    """``number`` traces, their problems and measures, from a fixed seed."""
    chance = random.Random(7)
    chains = [text_of(chance, words) for _ in range(min(number, 4_000))]  # made once: choosing words is slow
    for index in range(number):
        problem = NewProblem(f"Problem {index // CHAINS_PER_PROBLEM}: how many are there?", "bench", answer="7")
        thought = f"{chance.choice(chains)}\ntoken{chance.randrange(5_000)}"
        raw = f"<think>\n{thought}\n</think>\n\nThe answer is {index % 11}."
        end = len("<think>\n") + len(thought)
        trace = NewTrace(
            problem.id, f"teacher-{index % 5}", raw, (8, end), (end + 11, len(raw)), True, "r1", "bench", f"k:{index}"
        )
        moves = {"compute": chance.randrange(30), "reflect": chance.randrange(12), "verify": chance.randrange(6)}
        verdict = chance.choices(("correct", "incorrect", "unverifiable"), (6, 3, 1))[0]
        yield problem, trace, Measured(trace.id, chance.random() < 0.03, moves, "7", verdict, "bench", "bench")


def fill(store: Store, number: int, words: int) -> None:
    """Put the traces in, and decisions of two annotators, who differ on some."""
    batch: list[tuple[NewProblem, NewTrace, Measured]] = []

    def flush() -> None:
        with store.db.atomic():
            problems.add(store.db, [problem for problem, _, _ in batch])
            traces.add(store.db, [(trace, problem.statement) for problem, trace, _ in batch])
        traces.set_measures(store.db, [measured for _, _, measured in batch])
        batch.clear()

    for one in made(number, words):
        batch.append(one)
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    for annotator, text, decision in (
        ("bench", "key:1", "accept"),
        ("bench", "key:22", "reject"),
        ("other", "key:15", "reject"),
    ):
        annotation_log.decide_all(store.db, TraceQuery.parse(text), decision, annotator=annotator)


def timed(work: Callable[[], object]) -> list[tuple[float, float]]:
    """(elapsed, processor) milliseconds of each of a few runs, the first (cold) one left out."""
    work()
    times = []
    for _ in range(REPEATS):
        begun, spent = time.perf_counter(), time.thread_time()
        work()
        times.append(((time.perf_counter() - begun) * 1000, (time.thread_time() - spent) * 1000))
    return times


def questions(store: Store) -> Iterator[tuple[str, Callable[[], object]]]:
    """What the screen asks while somebody works in it."""
    db = store.db
    total = traces.count(db, TraceQuery.parse(""))

    def page(text: str, offset: int = 0) -> Callable[[], object]:
        query = TraceQuery.parse(text)
        return lambda: (
            traces.page(db, query, limit=100, offset=offset),
            traces.count(db, query, at_most=traces.AT_ONCE),
        )

    middle = traces.page(db, TraceQuery.parse(""), limit=1, offset=total // 2)[0].id
    yield "page: the first", page("")
    yield "page: in the middle", page("", total // 2)
    yield "page: the last", page("", total - 100)
    yield "page: in the middle of sort:-reflect", page("sort:-reflect", total // 2)
    yield "page: in the middle of sort:verdict", page("sort:verdict", total // 2)
    for text in (
        "verdict:wrong", "decision:none", "verdict:wrong decision:none reflect>=3", "teacher:teacher-3", "key:777",
        "looping:yes", "verdict:right sort:-chars", "sort:-reflect", "sort:verdict", "sort:problem",
    ):  # fmt: skip
        yield f"filter: {text}", page(text)
    for text in ("token17", "triangle", '"double check"', "wait verdict:wrong", "wait sort:-chars", "figure -hmm"):
        yield f"search: {text}", page(text)
    for text in ("", "verdict:wrong", "sort:-reflect", "wait"):
        query = TraceQuery.parse(text)
        yield f"place of a trace: {text or 'all'}", lambda query=query: traces.position(db, query, middle)
        yield f"next to do: {text or 'all'}", lambda query=query: traces.next_undecided(db, query, middle)
        yield (
            f"progress: {text or 'all'}",
            lambda query=query: annotation_log.progress(db, query, annotator="bench", at_most=traces.AT_ONCE),
        )
    for text in ("mine:none", "mine:accept", "agreement:disputed", "agreement:single"):
        yield f"filter: {text}", page(text)
    yield (
        "a decision, on the disk",
        lambda: annotation_log.annotate(db, middle, "decision", "accept", annotator="bench"),
    )
    yield "values for the completion", lambda: [traces.values(db, name) for name in ("model", "source", "synthesis")]


def afterwards(store: Store) -> Iterator[tuple[str, Callable[[], object]]]:
    """What the screen asks in the background, where more traces match than are counted at once."""
    db = store.db
    for text in ("", "teacher:teacher-3", "wait", "wait verdict:wrong"):
        query = TraceQuery.parse(text)
        yield f"exact number: {text or 'all'}", lambda query=query: traces.count(db, query)
        yield (
            f"exact progress: {text or 'all'}",
            lambda query=query: annotation_log.progress(db, query, annotator="bench"),
        )


def of_own(store: Store) -> Iterator[tuple[str, Callable[[], object]]]:
    """What the screen asks under the policy ``own``."""
    db = store.db
    for text in ("decision:none", "decision:accept", "sort:decision", "sort:-rating"):
        query = TraceQuery.parse(text)
        yield (
            f"own: {text}",
            lambda query=query: (traces.page(db, query), traces.count(db, query, at_most=traces.AT_ONCE)),
        )


def ask(store: Store) -> None:
    """Ask everything and print the table."""
    print(f"{'question':46} {'median ms':>10} {'processor':>10}  of {LIMIT_MS:.0f} ms")
    slow = long = 0
    for name, work in questions(store):
        times = timed(work)
        elapsed, processor = (statistics.median(column) for column in zip(*times, strict=True))
        too_slow = elapsed > LIMIT_MS
        slow += too_slow
        long += processor > PROCESSOR_MS
        print(f"{name:46} {elapsed:10.2f} {processor:10.2f}  {elapsed / LIMIT_MS:.2f}{' SLOW' * too_slow}")
    print(
        f"{slow} questions above {LIMIT_MS:.0f} ms, {long} above {PROCESSOR_MS:.0f} ms of the processor, which is what"
    )
    print("an idle machine would take; afterwards, in the background:")
    for name, work in afterwards(store):
        elapsed, processor = (statistics.median(column) for column in zip(*timed(work), strict=True))
        print(f"{name:46} {elapsed:10.2f} {processor:10.2f}")
    decisions.use_policy(store.db, "own")
    for name, work in of_own(store):
        elapsed, processor = (statistics.median(column) for column in zip(*timed(work), strict=True))
        print(f"{name:46} {elapsed:10.2f} {processor:10.2f}")
    decisions.use_policy(store.db, policy.DEFAULT)


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary)
        known = (folder / "lab.db").exists()
        store = open_store(folder / "lab.db", annotator="bench")
        begun = time.perf_counter()
        if not known:
            fill(store, number, words=240)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        print(f"{number:,} traces, {size:,.0f} MB, made in {time.perf_counter() - begun:.0f} s")
        ask(store)
        store.close()


if __name__ == "__main__":
    main()
