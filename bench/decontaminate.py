"""Duplicates and contamination: 100,000 problems against 3,000 of benchmarks, through a lab on disk.

The pool is made of gsm8k_train and math_train_sample with every number and name changed, so it is full of families that
differ in numbers alone, and of planted copies whose truth is known: copies of benchmark problems in other dress, in the
middle of other text, with words replaced or letters mistyped (all contaminated), copies with other numbers (not), and
near copies of problems of the pool (duplicates). One process on one core does it all, and its processor time is held to
the limit: the clock of a busy machine says more of its other work. Run: ``python -m bench.decontaminate``.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasketch import MinHash, MinHashLSH

from bench.filters import rows
from o1lab.distill.filters.benchmarks import RUN
from o1lab.distill.filters.duplicates import BANDS, FEWEST_WORDS, ROWS, Signatures
from o1lab.distill.filters.pool import chosen_rules, filter_pool
from o1lab.distill.filters.words import read_words
from store import open_store, problems
from store.filters import ProblemQuery
from store.records import NewProblem

POOL, TESTED, EACH = 100_000, 3_000, 300
LIMIT_S = 120
NAMES = ("Ada", "Boris", "Chen", "Dora", "Emil", "Farah", "Goran", "Hana", "Ivo", "Jana", "Kofi", "Lena", "Milo")
FILLERS = ("quite", "rather", "then", "there", "indeed", "certain", "several", "further", "usual", "simple", "local")
_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"\b(?!How|What|The|She|His|Her|They|There|When|Each|After|Then|This|That|And|But|For|Let|Find)"
                   r"[A-Z][a-z]{2,}\b")  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A problem of the pool and what is true of it."""

    statement: str
    kind: str  # pool, or how it was planted
    contaminated: bool | None = None  # None: not known, as for what was made of training data
    duplicate: bool = False


def renumbered(text: str, dice: random.Random) -> str:
    """The text with every number another one of as many digits."""
    return _NUMBER.sub(lambda found: str(dice.randint(10 ** (len(found[0]) - 1), 10 ** len(found[0]) - 1)), text)


def renamed(text: str, dice: random.Random) -> str:
    names = {name: dice.choice(NAMES) for name in set(_NAME.findall(text))}
    return _NAME.sub(lambda found: names[found[0]], text)


def dressed(text: str, _dice: random.Random) -> str:
    return text.replace("\\frac", "\\dfrac").replace(" ", "  ").replace("$", "$ ").upper().replace("\\DFRAC", "\\dfrac")


def embedded(text: str, dice: random.Random) -> str:
    filler = " ".join(dice.choices(FILLERS, k=12))
    return f"Consider the {filler} question. {text} Explain every step before you answer, {filler}."


def reworded(text: str, dice: random.Random) -> str:
    """One word in fifteen replaced; numbers and formulas stay."""
    words = text.split(" ")
    plain = [at for at, word in enumerate(words) if word.isalpha()]
    for at in dice.sample(plain, max(1, len(plain) // 15)) if plain else []:
        words[at] = dice.choice(FILLERS)
    return " ".join(words)


def mistyped(text: str, dice: random.Random) -> str:
    """One letter in sixty exchanged."""
    letters = list(text)
    plain = [at for at, letter in enumerate(letters) if letter.isalpha() and letter.islower()]
    for at in dice.sample(plain, len(plain) // 60):
        letters[at] = dice.choice("abcdefghijklmnopqrstuvwxyz")
    return "".join(letters)


def tested() -> list[NewProblem]:
    """3,000 problems under names of benchmarks; minif2f fills up what the data folder's benchmarks lack."""
    made: dict[str, NewProblem] = {}
    for name in ("aime24", "amc23", "math500", "olympiadbench", "minerva_math", "gsm8k_test", "minif2f_informal"):
        for problem, _ in rows(name):
            made.setdefault(problem.id, NewProblem(problem.statement, name, problem.key, problem.answer))
    return list(made.values())[:TESTED]


def pool(benchmark: list[NewProblem]) -> Iterator[Made]:
    dice = random.Random(7)
    long = [one.statement for one in benchmark if len(read_words(one.statement).words) >= 2 * RUN]
    numbered = [text for text in long if len(set(_NUMBER.findall(text))) >= 3]
    for change in (dressed, embedded, reworded, mistyped):
        for text in dice.sample(long, EACH):
            yield Made(change(text, dice), change.__name__, contaminated=True)
    for text in dice.sample(numbered, EACH):
        yield Made(renumbered(text, dice), "other numbers", contaminated=False)
    bases = [problem.statement for name in ("gsm8k_train", "math_train_sample") for problem, _ in rows(name)]
    copied = dice.sample([text for text in bases if len(read_words(text).words) >= 2 * FEWEST_WORDS], 2 * EACH)
    yield from (Made(text, "pool") for text in copied)
    for change in (dressed, reworded):
        for text in copied[:EACH] if change is dressed else copied[EACH:]:
            yield Made(change(text, dice), f"pool {change.__name__}", duplicate=True)
    left = POOL - 5 * EACH - 4 * EACH
    for number in range(left):
        yield Made(renamed(renumbered(bases[number % len(bases)], dice), dice), "pool")


def resident() -> int:
    """Bytes of memory this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    benchmark = tested()
    sources = sorted({one.source for one in benchmark})
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "lab.db")
        truth: dict[str, Made] = {}
        with store.db.atomic():
            problems.add(store.db, benchmark)
            for number, made in enumerate(pool(benchmark)):
                problem = NewProblem(made.statement, "pool", str(number))
                if problem.id not in truth and problems.add(store.db, [problem]):
                    truth[problem.id] = made
        clock, work = time.perf_counter(), time.process_time()
        stages: dict[str, float] = {}
        report = filter_pool(
            store.db,
            chosen_rules(["duplicate", "contaminated"]),
            ProblemQuery(),
            benchmarks=sources,
            progress=lambda what, _done, _of: stages.update({what: time.perf_counter() - clock}),
        )
        seconds, cpu = time.perf_counter() - clock, time.process_time() - work
        said = {
            rule: {row[0] for row in store.db.execute("SELECT problem_id FROM exclusions WHERE rule = ?", [rule])}
            for rule in ("duplicate", "contaminated")
        }
        print(
            f"{len(truth):,} problems against {len(benchmark):,} of benchmarks: {seconds:.1f} s, {cpu:.1f} s of a core"
        )
        print("ended after: " + ", ".join(f"{what} {at:.1f} s" for what, at in stages.items()))
        print(f"findings: {', '.join(f'{rule.name} {rule.excluded:,}' for rule in report.rules)}")
        index = Signatures()
        for problem in problems.select(store.db, ProblemQuery(), limit=1000):
            index.add(problem)
        each = index.bytes / len(index)
        print(f"memory: {each:.0f} bytes a problem in the duplicates' index ({BANDS} bands)")
        print(f"datasketch's MinHashLSH with as many bands: {sets_a_problem():.0f} bytes a problem")
        print(
            f"at most {resident() / 2**20:.0f} MiB in the process, this bench's own {len(truth):,} statements included"
        )
        recall(truth, said)
        store.close()
    return 0 if cpu < LIMIT_S else 1


def sets_a_problem(count: int = 2000) -> float:
    """Bytes a problem that datasketch's own index of the same bands allocates."""
    dice, sketch = random.Random(3), MinHash(num_perm=BANDS * ROWS)
    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    tracemalloc.start()
    for number in range(count):
        sketch.clear()
        sketch.update_batch([dice.randbytes(8) for _ in range(40)])
        index.insert(number, sketch)
    allocated = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return allocated / count


def recall(truth: dict[str, Made], said: dict[str, set[str]]) -> None:
    n: Counter[str] = Counter(made.kind for made in truth.values())
    hit = {rule: Counter(truth[one].kind for one in ids if one in truth) for rule, ids in said.items()}
    print(f"{'made how':<16}{'n':>8}{'contaminated':>14}{'duplicate':>11}   truth")
    wanted: dict[str, Any] = {}
    for made in truth.values():
        wanted.setdefault(made.kind, made)
    for kind, number in n.items():
        made = wanted[kind]
        known = "duplicate" if made.duplicate else "not planted"
        if made.contaminated is not None:
            known = "contaminated" if made.contaminated else "not contaminated"
        print(
            f"{kind:<16}{number:>8,}{hit['contaminated'][kind] / number:>14.4f}{hit['duplicate'][kind] / number:>11.4f}"
            f"   {known}"
        )
    print(json.dumps({"contaminated": dict(hit["contaminated"]), "duplicate": dict(hit["duplicate"]), "n": dict(n)}))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
