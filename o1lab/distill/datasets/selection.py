"""Select the traces of a dataset: rejection sampling by verdict and rules, one chain per problem or all, mixing.

Every trace that is dropped has a reason, the first that applies in this order:

============  ====================================================================================================
rejected      it was rejected by hand, or in its teacher run (such as a reformatted answer that differs from gold)
evaluation    it, or its parent, answers an evaluation item: it would leak evaluation answers into training
excluded      its problem is excluded from the pool (a duplicate, contaminated, ...)
looping       it ends in a loop
truncated     it is truncated
(verdicts)    with ``keep="verified"``: incorrect, unverifiable or not verified yet
format        phase 2: no closed thought, or no solution after it; phase 1: no solution, or none with a ``\\boxed``
              answer; both: thinking marks inside the text to learn, which would break the student's format
mixed         it mixes languages, or its language differs from that of its problem
(choice)      another trace of its problem was selected
============  ====================================================================================================
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, get_args

from o1lab.chains.answers import How, extract_answer
from o1lab.chains.language import language_of, mixed_language
from o1lab.chains.marks import pattern
from o1lab.errors import UsageError
from o1lab.text import HAN
from store import Store, datasets, selecting
from store.filters import TraceQuery
from store.selecting import Candidate

CHOOSING_VERSION = 2

Keep = Literal["verified", "all"]
PerProblem = Literal["all", "shortest", "longest", "most-reflective", "first", "person"]
Rule = Literal["rejected", "evaluation", "excluded", "looping", "truncated", "format", "mixed"]

PER_PROBLEM: tuple[PerProblem, ...] = get_args(PerProblem)
RULES: tuple[Rule, ...] = get_args(Rule)

_VERDICTS = {"incorrect": "wrong answer", "unverifiable": "unverifiable answer", None: "not verified yet"}
_NOT_TAKEN = {
    "shortest": "not the shortest of its problem",
    "longest": "not the longest of its problem",
    "most-reflective": "not the most reflective of its problem",
    "first": "not the first of its problem",
    "person": "a person accepted another one of its problem",
}
_NOBODY = "nobody accepted a trace of its problem"
_LATER = "a person accepted another one later"
_HAN = re.compile(f"[{HAN}]")


@dataclass(frozen=True)
class Choice:
    """The result of a selection.

    Attributes:
        ids: the selected traces in order.
        drops: the reason of every dropped trace.
        selection: the parameters, as stored with the dataset (JSON values only).
    """

    ids: list[str]
    drops: dict[str, str]
    selection: Mapping[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """The number of dropped traces by reason, the most frequent first."""
        return dict(Counter(self.drops.values()).most_common())


def choose(
    store: Store,
    query: TraceQuery,
    *,
    phase: int = 2,
    keep: Keep = "verified",
    per_problem: PerProblem = "all",
    drop: Collection[Rule] = RULES,
) -> Choice:
    """Select from the traces of ``query``, in its order.

    Ids and reasons of all traces are kept in memory, 100 to 300 bytes each (at most 300 MB per million); texts are not.

    Args:
        store: the lab's database.
        query: the traces to select from.
        phase: the training phase, 1 or 2.
        keep: ``verified`` takes only traces with the verdict correct, ``all`` any (rows have their verdicts).
        per_problem: ``all`` traces of a problem, or one: the ``shortest`` or ``longest`` in characters to learn (tokens
            of different teachers are not comparable), the ``most-reflective`` by reflections, backtracks and checks,
            the ``first`` in the order of the query, or the one that a ``person`` accepted last. Ties go to the first
            in the order of the query.
        drop: the rules that apply; see the module.
    """
    taken: list[str] = []
    drops: dict[str, str] = {}
    picked = _Picked(per_problem, phase, store, drops)
    looked = 0
    for candidate in selecting.candidates(store.db, query):
        looked += 1
        reason = why_not(store, candidate, phase, keep, drop)
        if reason is not None:
            drops[candidate.id] = reason
        elif per_problem == "all":
            taken.append(candidate.id)
        else:
            picked.add(candidate)
    chosen = taken or picked.ids()
    selection = {
        "version": CHOOSING_VERSION, "keep": keep, "per_problem": per_problem,
        "rules": [rule for rule in RULES if rule in drop], "looked": looked, "kept": len(chosen),
    }  # fmt: skip
    return Choice(chosen, drops, selection)


def mix(store: Store, names: Sequence[str], *, balance: bool = False, seed: int | None = None) -> tuple[Choice, int]:
    """Combine the rows of several datasets; a trace in more than one of them is taken once.

    Args:
        store: the lab's database.
        names: names or hashes of the datasets; rows are in their order unless there is a seed.
        balance: take the same number of rows from each, as many as the smallest has: the first ones, or a sample if
            there is a seed.
        seed: shuffles the rows.

    Returns:
        The selection and the common phase of the datasets.

    Raises:
        NotFoundError: a dataset does not exist.
        UsageError: they have different phases, or ``balance`` would leave no rows.
    """
    parts = list({part.name: part for part in (datasets.get(store.db, name, kind="sft") for name in names)}.values())
    if len({part.phase for part in parts}) > 1:
        phases = ", ".join(f"{part.name} has phase {part.phase}" for part in parts)
        raise UsageError(f"Datasets of different phases cannot be mixed: {phases}.", "Mix datasets of one phase.")
    random = None if seed is None else Random(seed)  # noqa: S311 (an order, no secret)
    rows = _once(datasets.trace_ids(store.db, part.name) for part in parts)
    duplicates = sum(part.rows for part in parts) - sum(map(len, rows))
    if empty := next((part.name for part, own in zip(parts, rows, strict=True) if balance and not own), None):
        raise UsageError(
            f"--balance would leave no rows: every trace of '{empty}' is also in a dataset named before it.",
            "Leave it out, or mix without --balance.",
        )
    least = min(map(len, rows)) if balance else max(map(len, rows))
    if random is not None:
        for own in rows:
            random.shuffle(own)
    ids = [trace_id for own in rows for trace_id in own[:least]]
    if random is not None:
        random.shuffle(ids)
    drops = {trace_id: f"more than {least:,} of its dataset" for own in rows for trace_id in own[least:]}
    selection = {
        "version": CHOOSING_VERSION,
        "from": [
            {"name": part.name, "hash": part.hash, "rows": len(own[:least])}
            for part, own in zip(parts, rows, strict=True)
        ],
        "balance": balance, "seed": seed, "duplicates": duplicates,
    }  # fmt: skip
    return Choice(ids, drops, selection), parts[0].phase


def mixed_size(store: Store, ids: Sequence[str], names: Sequence[str], *, balance: bool) -> int:
    """Return the number of rows that :func:`mix` makes of a dataset of these traces and the named datasets.

    Raises:
        NotFoundError: a dataset does not exist.
    """
    others = dict.fromkeys(datasets.get(store.db, name, kind="sft").name for name in names)
    sizes = [len(own) for own in _once([ids, *(datasets.trace_ids(store.db, name) for name in others)])]
    return min(sizes) * len(sizes) if balance else sum(sizes)


def _once(parts: Iterable[Sequence[str]]) -> list[list[str]]:
    """Return the traces of each part without those of the parts before it."""
    known: set[str] = set()
    rows = []
    for part in parts:
        own = [trace_id for trace_id in part if trace_id not in known]
        known.update(own)
        rows.append(own)
    return rows


def why_not(store: Store, one: Candidate, phase: int, keep: Keep, drop: Collection[Rule]) -> str | None:
    """Return why the rules drop a trace, or None. Cheap rules are first; texts are read only for the last two."""
    if "rejected" in drop and one.decision == "reject":
        return "rejected by hand"
    if "rejected" in drop and one.rejected_by_run:
        return "rejected in its teacher run"
    if "evaluation" in drop and one.evaluated:
        return datasets.EVALUATION
    if "excluded" in drop and one.excluded_by:
        return sys.intern(f"problem excluded: {one.excluded_by}")  # share equal reasons, which stay in memory
    if "looping" in drop and one.looping:
        return "looping"
    if "truncated" in drop and not one.complete:
        return "truncated"
    if keep == "verified" and one.verdict != "correct":
        return _VERDICTS.get(one.verdict, _VERDICTS[None])
    if phase == 1 and not one.solution:
        return datasets.NO_SOLUTION
    if "format" in drop and (broken := _lacks(one, phase)):
        return broken
    return _of_text(store, one, phase, drop) if {"format", "mixed"} & set(drop) else None


def _lacks(one: Candidate, phase: int) -> str | None:
    if phase == 2 and not one.thought:
        return "no closed thought"
    return None if one.solution else datasets.NO_SOLUTION


def _of_text(store: Store, one: Candidate, phase: int, drop: Collection[Rule]) -> str | None:
    statement, thought, solution = selecting.texts(store.db, one)
    text = f"{thought}\n{solution}" if phase == 2 else solution
    if "format" in drop:
        if pattern().search(text):
            return "thinking marks inside its text"
        if phase == 1 and ((answer := extract_answer(solution)) is None or answer.how is not How.BOXED):
            return "no boxed answer"
    if "mixed" in drop:
        if mixed_language(text):
            return "mixes languages"
        if _other_language(statement, text):
            return "in another language than its problem"
    return None


def _other_language(statement: str, text: str) -> bool:
    if not _HAN.search(statement) and not _HAN.search(text):
        return False
    languages = {language_of(statement), language_of(text)}
    return languages == {"zh", "en"}


class _Picked:
    """The best candidate of each problem so far. Others are dropped at once, so only one per problem is in memory."""

    def __init__(self, rule: PerProblem, phase: int, store: Store, drops: dict[str, str]) -> None:
        self._rule, self._phase, self._store, self._drops = rule, phase, store, drops
        self._best: dict[str, tuple[Any, int, str]] = {}
        self._seen = 0
        self._not_accepted: list[tuple[str, str]] = []
        ranks: dict[str, Callable[[Candidate], Any]] = {
            "shortest": lambda one: -self._length(one),
            "longest": self._length,
            "most-reflective": lambda one: one.reflective or 0,
            "first": lambda one: 0,
            "person": lambda one: selecting.decided_at(store.db, one.id),
        }
        self._rank = ranks.get(rule, ranks["first"])

    def add(self, one: Candidate) -> None:
        self._seen += 1
        if self._rule == "person" and one.decision != "accept":
            self._not_accepted.append((one.id, one.problem_id))
            return
        mine, best = (self._rank(one), self._seen, one.id), self._best.get(one.problem_id)
        if best is None:
            self._best[one.problem_id] = mine
            return
        better = mine[0] > best[0]
        if better:
            self._best[one.problem_id] = mine
        self._drops[best[2] if better else one.id] = _LATER if self._rule == "person" else _NOT_TAKEN[self._rule]

    def ids(self) -> list[str]:
        """Return the selected traces in the order of the query."""
        for trace_id, problem_id in self._not_accepted:
            self._drops[trace_id] = _NOT_TAKEN["person"] if problem_id in self._best else _NOBODY
        return [trace_id for _, _, trace_id in sorted(self._best.values(), key=lambda best: best[1])]

    def _length(self, one: Candidate) -> int:
        return one.solution + (one.thought if self._phase == 2 else 0)
