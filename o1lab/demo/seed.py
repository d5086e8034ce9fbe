"""The demo's lab: its problems, the solver's chains as accepted traces, and the dataset made of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from o1lab.chains import parse, verify
from o1lab.chains.measures import count_tokens
from o1lab.config import init_lab
from o1lab.errors import LabError, RefusedError, from_store
from o1lab.ingest.measuring import as_record, measure_new
from o1lab.models import STUDENT, resolve_base, tokenizer_file
from o1lab.paths import Lab
from o1lab.serve.registry import SOLVER
from o1lab.serve.solver import read_question, respond
from store import datasets, problems, traces
from store.annotations import decide_all
from store.connection import Store, open_store
from store.errors import StoreError
from store.filters import TraceQuery
from store.records import NewProblem, NewTrace

SOURCE = "demo"
HELD_OUT_SOURCE = "demo-heldout"
DATASET = "col-add-400"
LICENCE = "Apache-2.0"  # the problems and the chains are this program's own
ANNOTATOR = "demo"
SEED = 20241125  # the day the paper appeared
TRAINING = 400
HELD_OUT = 60
EXAMPLE = (964, 494)  # what the Compare screen starts with: never trained on, never counted
_QUERY = f"source:{SOURCE} verdict:correct decision:accept"

Progress = Callable[[str], None]


class Sum(NamedTuple):
    """One problem."""

    a: int
    b: int

    @property
    def statement(self) -> str:
        return f"What is {self.a} + {self.b}?"

    @property
    def answer(self) -> str:
        return str(self.a + self.b)

    @property
    def pair(self) -> tuple[int, int]:
        """The operands without their order: 123 + 456 and 456 + 123 are one pair."""
        return min(self), max(self)


def draw() -> tuple[list[Sum], list[Sum]]:
    """The training problems and the held-out ones; no pair of operands occurs twice, in either order."""
    generator = random.Random(SEED)  # noqa: S311 - a fixed draw, no secret
    seen = {Sum(*EXAMPLE).pair}
    drawn: list[Sum] = []
    while len(drawn) < TRAINING + HELD_OUT:
        one = Sum(generator.randint(100, 999), generator.randint(100, 999))
        if one.pair not in seen:
            seen.add(one.pair)
            drawn.append(one)
    training, held_out = drawn[:TRAINING], drawn[TRAINING:]
    require_disjoint(training, held_out)
    return training, held_out


def require_disjoint(training: list[Sum], held_out: list[Sum]) -> None:
    """See that no held-out pair of operands is among the training pairs, in either order.

    Raises:
        AssertionError: one is. A figure measured on it would mean nothing, so nothing goes on.
    """
    shared = {one.pair for one in training} & {one.pair for one in held_out}
    if shared:
        raise AssertionError(f"held-out operands are among the training problems: {sorted(shared)[:3]}")


@dataclass(frozen=True)
class Seeded:
    """What stands in the lab after seeding. ``added``: traces that were not there before."""

    lab: Lab
    dataset: str
    dataset_hash: str
    rows: int
    held_out: list[Sum]
    added: int


def seed_demo(folder: Path, *, progress: Progress | None = None) -> Seeded:
    """Make the demo's lab at ``folder``, or complete the one that is there. Doing it twice changes nothing.

    Raises:
        RefusedError: the folder holds a lab with traces of its own.
        LabError: it cannot be written.
    """
    tell = progress or (lambda _line: None)
    lab = init_lab(folder, name="demo", base=STUDENT)
    training, held_out = draw()
    try:
        store = open_store(lab.database)
        try:
            return _seed(lab, store, training, held_out, tell)
        finally:
            store.close()
    except StoreError as error:
        raise from_store(error) from error


def _seed(lab: Lab, store: Store, training: list[Sum], held_out: list[Sum], tell: Progress) -> Seeded:
    db = store.db
    with store.explained():
        if traces.count(db, TraceQuery()) and not problems.count(db, source=HELD_OUT_SOURCE):
            raise RefusedError(
                f"The lab at {lab.root} holds traces that are not the demo's.",
                "Give the demo a folder of its own: o1lab demo --lab DIR.",
                code="not_a_demo",
            )
        chains = [_chain(one) for one in training]
        with db.atomic():
            problems.add(db, [_problem(one, SOURCE) for one in training])
            problems.add(db, [_problem(one, HELD_OUT_SOURCE) for one in held_out])
            added = traces.add(db, chains)
        if added:
            tell(f"Added {added} chains of the solver and {len(held_out)} held-out problems to {lab.root}.")
        if not _has_dataset(store):
            _measure(store, [(trace, one.answer) for (trace, _), one in zip(chains, training, strict=True)])
            undecided = TraceQuery.parse(f"source:{SOURCE} verdict:correct decision:none")
            decide_all(db, undecided, "accept", annotator=ANNOTATOR)
            datasets.create(db, DATASET, TraceQuery.parse(_QUERY))
        made = datasets.get(db, DATASET)
        # Not what was drawn but what stands in the lab decides what a student sees.
        require_disjoint([_read(row.statement) for row in datasets.rows(db, made.name)], held_out)
    return Seeded(lab, made.name, made.hash, made.rows, held_out, added)


def _measure(store: Store, chains: list[tuple[NewTrace, str]]) -> None:
    """Moves, verdict and length (by the student's tokenizer, if it is on this machine) of each chain."""
    try:
        tokenizer = tokenizer_file(resolve_base(STUDENT, fetch=False))
    except LabError:
        tokenizer = None
    found = []
    for trace, gold in chains:
        measures = measure_new(trace)
        verdict = verify.settle(gold, measures.answer)
        if verdict is None:
            raise LabError(
                f"The solver's answer to a demo problem is not a number: {measures.answer}.", code="internal"
            )
        tokens = count_tokens(trace.raw, tokenizer) if tokenizer else None
        found.append(as_record(trace.id, measures, verdict.status, verdict.reason, tokens=tokens))
    traces.set_measures(store.db, found)


def _has_dataset(store: Store) -> bool:
    return any(dataset.name == DATASET for dataset in datasets.all_datasets(store.db))


def _problem(one: Sum, source: str) -> NewProblem:
    return NewProblem(one.statement, source, key=_key(one), answer=one.answer, licence=LICENCE)


def _key(one: Sum) -> str:
    """What the lists call the problem."""
    return f"{one.a}+{one.b}"


def _chain(one: Sum) -> tuple[NewTrace, str]:
    """The solver's chain for a problem, as it would arrive from a teacher's endpoint."""
    raw = respond(one.statement).text
    parsed = parse.parse(raw)
    trace = NewTrace(
        problem_id=_problem(one, SOURCE).id,
        model=SOLVER,
        raw=raw,
        thought=parsed.thought or (0, 0),
        solution=parsed.solution or (0, 0),
        complete=parsed.complete,
        format=parsed.format,
        source=SOURCE,
        key=_key(one),
        licence=LICENCE,
        synthesis="solver",
        tokens=None,
    )
    return trace, one.statement


def _read(statement: str) -> Sum:
    operands = read_question(statement)
    if operands is None:
        raise LabError(f"The dataset {DATASET} holds a row that is no sum: {statement!r}.", "Use a fresh folder.")
    return Sum(*operands)
