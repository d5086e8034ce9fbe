"""Assigning traces to annotators: a random share to several of them, the rest to one each, in equal numbers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, cycle
from typing import Any

from o1lab.errors import UsageError
from store import annotations as annotation_log
from store import traces
from store.connection import Store
from store.filters import Condition, TraceQuery

_ASSIGNED = Condition("assigned", ("any",))
_FREE = Condition("assigned", ("none",))


@dataclass(frozen=True)
class Assigned:
    """Who got which traces.

    Attributes:
        people: the annotators of each trace, by its id.
        left: the number of traces of the filter that were assigned before; they stay as they were.
        seed: the seed of the draw.
    """

    people: dict[str, tuple[str, ...]]
    left: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        given = Counter(name for names in self.people.values() for name in names)
        shared = Counter(name for names in self.people.values() if len(names) > 1 for name in names)
        pairs = Counter(pair for names in self.people.values() for pair in combinations(sorted(names), 2))
        return {
            "traces": len(self.people),
            "shared": sum(len(names) > 1 for names in self.people.values()),
            "left": self.left,
            "seed": self.seed,
            "annotators": [
                {"annotator": name, "traces": number, "shared": shared[name]} for name, number in sorted(given.items())
            ],
            "pairs": [{"annotators": list(pair), "traces": number} for pair, number in sorted(pairs.items())],
        }


def plan(
    ids: Sequence[str], people: Sequence[str], *, overlap: float, together: int, seed: int
) -> dict[str, tuple[str, ...]]:
    """Draw who gets which traces.

    Args:
        ids: the traces; their order does not matter.
        people: the annotators.
        overlap: the share of the traces that ``together`` annotators get.
        together: the number of annotators of a shared trace.
        seed: the same traces, people and seed give the same plan.

    Raises:
        UsageError: the people or numbers do not fit each other.
    """
    if not people or len(set(people)) < len(people) or not all(name.strip() for name in people):
        raise UsageError("Name each annotator once.", "For example --to anna --to ben.")
    if not 0 <= overlap <= 1:
        raise UsageError(f"The overlap is a share from 0 to 1, not {overlap:g}.", "For example --overlap 0.2.")
    if overlap and not 2 <= together <= len(people):
        raise UsageError(
            f"{together} annotators of a shared trace do not fit {len(people)} annotators.",
            "Name at least two annotators, and --each from 2 to their number; or give --overlap 0.",
        )
    drawn = random.Random(seed)  # noqa: S311  # no secret
    order, names = sorted(ids), list(people)
    drawn.shuffle(order)
    drawn.shuffle(names)
    number = round(overlap * len(order))
    groups = list(combinations(names, together)) if number else []
    drawn.shuffle(groups)
    found = dict(zip(order[:number], cycle(groups), strict=False)) if groups else {}
    load = Counter(dict.fromkeys(names, 0))
    load.update(name for group in found.values() for name in group)
    for trace in order[number:]:
        least = min(names, key=load.__getitem__)
        found[trace] = (least,)
        load[least] += 1
    return found


def assign(
    store: Store, query: TraceQuery, people: Sequence[str], *, overlap: float, together: int, seed: int, by: str
) -> Assigned:
    """Assign the traces of a filter that nobody is assigned to, and record it.

    Raises:
        UsageError: the people or numbers do not fit each other.
    """
    with store.db.atomic():
        left = traces.count(store.db, query.narrowed(_ASSIGNED))
        ids = traces.ids(store.db, query.narrowed(_FREE))
        found = plan(ids, people, overlap=overlap, together=together, seed=seed)
        given = [(trace, name) for trace, names in found.items() for name in names]
        if given:
            annotation_log.add_batch(store.db, "assign", given, annotator=by)
    return Assigned(found, left, seed)


def withdraw(store: Store, query: TraceQuery, people: Sequence[str], *, by: str) -> int:
    """Withdraw the assignments of the traces of a filter, to ``people`` or to all; return the number withdrawn."""
    with store.db.atomic():
        chosen = set(traces.ids(store.db, query.narrowed(_ASSIGNED)))
        rows = store.db.execute("SELECT t.id, a.annotator FROM assignments a JOIN traces t ON t.seq = a.seq")
        gone = [(one, name) for one, name in rows if one in chosen and (not people or name in people)]
        if gone:
            annotation_log.add_batch(store.db, "unassign", gone, annotator=by)
    return len(gone)
