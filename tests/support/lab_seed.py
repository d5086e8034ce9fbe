"""Labs to look at in tests: chains written by hand, put in through the store's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from o1lab.chains.measures import measure
from o1lab.chains.parse import parse
from o1lab.config import init_lab
from o1lab.paths import Lab
from screens.base.context import LabContext, open_context
from store import problems, traces
from store.connection import Store, open_store
from store.records import Measured, NewProblem, NewTrace

CAREFUL = """\
Okay, so I need to find {a} + {b}. Both numbers have three digits.

Let me add column by column, starting with the ones.

Ones: {a1} + {b1} = {s1}. Tens: {a10} + {b10} plus the carry. Hundreds: {a100} + {b100} plus the carry.

So the sum should be {right}.

Wait, let me double-check by subtracting: {right} - {b} = {a}. Yes, that checks out.

Therefore, the answer is {right}."""

CORRECTED = """\
So I've got {a} + {b} here.

First I will add the columns and ignore the carries for a moment.

Without carries that gives {wrong}.

Hmm, wait. Is that right? A sum without its carries is too small whenever a column passes nine.

No, that was a mistake. Let me start over and carry properly.

With carries: {a} + {b} = {right}.

Let me verify: {right} - {a} = {b}. That matches.

So the final answer is {right}."""

HASTY = """\
I need {a} + {b}.

{a} + {b} = {wrong}.

So the answer is {wrong}."""

LOOPING = "I need {a} + {b}.\n\n" + "Wait, let me check that again, because I am not sure about the carry.\n" * 60

# (model, thought, what it answers, whether it was cut off)
AUTHORS = (
    ("solver", CAREFUL, "right", False),
    ("Sky-T1-14B", CORRECTED, "right", False),
    ("Gemma-27B", HASTY, "wrong", False),
    ("Gemma-27B-loop", LOOPING, None, True),
)

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07[bold red]not markup[/] "
    "\x1b]52;c;b3duZWQ=\x07 \u202egnp.exe \u2066inside\u2069 NUL:\x00 DEL:\x7f C1:\x9b31m \ud800 "
)


def chain(number: int) -> tuple[NewProblem, NewTrace, str, str | None]:
    """The ``number``-th chain: its problem, the trace, its verdict and its answer."""
    model, template, answers, cut = AUTHORS[number % len(AUTHORS)]
    index = number // len(AUTHORS)
    a, b = 123 + 37 * index % 800, 288 + 53 * index % 700
    values = {
        "a": a, "b": b, "right": a + b, "wrong": a + b - 10,
        "a1": a % 10, "b1": b % 10, "s1": a % 10 + b % 10,
        "a10": a // 10 % 10, "b10": b // 10 % 10, "a100": a // 100, "b100": b // 100,
    }  # fmt: skip
    statement = f"Add two numbers in your head ({index}). What is {a} + {b}?"
    thought = template.format(**values)
    answer = None if answers is None else str(values[answers])
    raw = f"<think>\n{thought}" if cut else f"<think>\n{thought}\n</think>\n\nThe sum is \\boxed{{{answer}}}."
    problem = NewProblem(statement, "hand", f"add:{index}", str(a + b), licence="CC0-1.0")
    verdict = {"right": "correct", "wrong": "incorrect", None: "unverifiable"}[answers]
    return problem, trace_of(problem, model, raw, key=f"add:{index}"), verdict, answer


def trace_of(problem: NewProblem, model: str, raw: str, *, key: str = "") -> NewTrace:
    """A trace of ``raw`` as an importer would make it."""
    parsed = parse(raw)
    return NewTrace(
        problem.id, model, raw, parsed.thought or (0, 0), parsed.solution or (len(raw), len(raw)),
        parsed.complete, str(parsed.format), problem.source, key, "CC0-1.0", "solver", tokens=len(raw.split()),
    )  # fmt: skip


def measured(trace: NewTrace, verdict: str, answer: str | None) -> Measured:
    """What measuring finds in a trace whose verdict its author knows."""
    found = measure(trace.raw, trace.thought, trace.solution, complete=trace.complete)
    return Measured(trace.id, found.looping, found.counts, answer, verdict, "compared by hand", "hand-1", trace.tokens)


def fill(store: Store, number: int) -> list[str]:
    """Put ``number`` chains into the store and return the ids of their traces, in order."""
    made = [chain(index) for index in range(number)]
    with store.db.atomic():
        problems.add(store.db, [problem for problem, *_ in made])
        traces.add(store.db, [(trace, problem.statement) for problem, trace, *_ in made])
    traces.set_measures(store.db, [measured(trace, verdict, answer) for _, trace, verdict, answer in made])
    return [trace.id for _, trace, *_ in made]


def add_raw(store: Store, raw: str, *, statement: str = "What is 1 + 1?", model: str = "stranger") -> str:
    """Put one trace of any text into the store, unmeasured."""
    problem = NewProblem(statement, "hand", "odd:0", "2")
    trace = trace_of(problem, model, raw, key="odd:0")
    with store.db.atomic():
        problems.add(store.db, [problem])
        traces.add(store.db, [(trace, problem.statement)])
    return trace.id


def make_lab(path: Path, number: int = 12) -> Lab:
    """A lab at ``path`` with ``number`` hand-written chains: four authors for each problem."""
    lab = init_lab(path, name="hand")
    store = open_store(lab.database)
    fill(store, number)
    store.close()
    return lab


def seeded_context(path: Path, number: int = 12) -> LabContext:
    """An open lab with ``number`` chains, for an app under test."""
    return open_context(make_lab(path, number))


def all_ids(store: Store) -> Iterator[str]:
    """Ids in the order they were added."""
    yield from (str(row[0]) for row in store.db.execute("SELECT id FROM traces ORDER BY seq"))
