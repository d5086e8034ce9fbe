"""The random subset of a dataset that was selected by figures of a student, to see what the selection is worth.

The result of training on selected chains means little without the result of as many chains that were not selected. The
subset is drawn from the traces that pass the same filter and the same rules, without the conditions on figures of the
student, and that have these figures and scores of the student's tokens. It has the same number of rows, and its tokens,
by the student's tokenizer, differ by at most ``TOLERANCE``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from o1lab.distill.datasets.selection import Choice
from o1lab.errors import UsageError
from store import Store, datasets, suitability
from store.filters import TraceQuery
from store.filters.traces import OF_STUDENT
from store.records import Dataset, with_suffix
from store.suitability import Student

TOLERANCE = 0.02
RANDOM = "-random"
"""What is added to the name of a dataset for its random subset."""
SEED = 0
_SWAPS_PER_ROW = 50


def save(
    store: Store,
    name: str,
    query: TraceQuery,
    choose: Callable[[TraceQuery], Choice],
    *,
    phase: int,
    most: int | None = None,
) -> Dataset:
    """Select traces and store the dataset; if figures of the student select them, with its random subset.

    Args:
        store: the lab's database.
        name: the name of the dataset; that of the random subset ends in ``RANDOM``.
        query: the filter.
        choose: selects from the traces of a filter.
        phase: the training phase, 1 or 2.
        most: the maximum number of rows: the first ones.

    Returns:
        The dataset. Its ``selection`` names student and random subset, or says why there is none.

    Raises:
        UsageError: the filter asks for figures of the student and none is chosen, a name is taken or not valid, or
            there are no rows.
    """
    student = suitability.chosen(store.db) if query.of_student else None
    if query.of_student and student is None:
        raise UsageError("No student is chosen, so no trace has its figures.", "o1lab suitability --model MODEL")
    with store.db.atomic():
        choice = choose(query)
        if most is not None:
            choice = first(choice, most)
        own = with_suffix(name, RANDOM)
        drawn: list[str] = []
        about: dict[str, Any] = {}
        if student is not None and choice.ids:
            drawn, about = _beside(store, choice.ids, choose(query.without_student()).ids, student, phase)
            about |= {"student": student.name, "student_key": student.model}
        selection = {**choice.selection, **about, **({"random": own} if drawn else {})}
        made = datasets.snapshot(
            store.db, name, choice.ids, phase=phase, query=query.source, selection=selection, drops=choice.drops
        )
        if drawn:
            datasets.snapshot(
                store.db, own, drawn, phase=phase,
                query=TraceQuery.LANGUAGE.without(query.source, *OF_STUDENT, "sort"),
                selection={"random_of": name, "parent_hash": made.hash, "seed": SEED, **about},
            )  # fmt: skip
        return made


def first(choice: Choice, most: int) -> Choice:
    """Return the first rows of a selection; the others are dropped with a reason."""
    drops = {**choice.drops, **dict.fromkeys(choice.ids[most:], f"not among the first {most:,}")}
    kept = choice.ids[:most]
    return Choice(kept, drops, {**choice.selection, "most": most, "kept": len(kept)})


def sentences(dataset: Dataset) -> list[str]:
    """Say what a dataset that a student's figures selected, or its random subset, is compared with; [] for others."""
    chosen = dataset.selection
    if "student" not in chosen:
        return []
    student = f"by figures of the student {chosen['student']}"
    if "random_of" in chosen:
        return [
            f"A random subset of the traces that {chosen['random_of']} was selected from {student}: as many rows, "
            f"drawn with seed {chosen['seed']}, and {chosen['random_tokens']:,} tokens instead of "
            f"{chosen['own_tokens']:,}."
        ]
    if "random" in chosen:
        return [
            f"Selected {student}. For comparison, {chosen['random']} has as many random rows that pass the same rules, "
            f"and {chosen['random_tokens']:,} tokens instead of {chosen['own_tokens']:,}: train on both to compare."
        ]
    return [f"Selected {student}. It has no random subset: {chosen['without_random']}."]


def _beside(
    store: Store, selected: Sequence[str], pool: Sequence[str], student: Student, phase: int
) -> tuple[list[str], dict[str, Any]]:
    """Draw from the rows of the pool whose tokens the student has scored, see :func:`draw`; none if that cannot be."""
    sizes = _sizes(store, [*pool, *selected], student.model, phase)
    scored = [one for one in pool if one in sizes]
    unknown = sum(one not in sizes for one in selected)
    rows = "" if not unknown else "1 selected row has" if unknown == 1 else f"{unknown:,} selected rows have"
    if not unknown and len(scored) <= len(selected) < len(pool):
        rows = "the rows that were left out have"
    if rows:
        run = f"run `o1lab suitability --model {student.name}` and select again"
        return [], {"without_random": f"{rows} no scores of the student's tokens; {run}"}
    return draw(selected, scored, sizes)


def draw(selected: Sequence[str], pool: Sequence[str], sizes: Mapping[str, int]) -> tuple[list[str], dict[str, Any]]:
    """Draw as many traces of a pool as were selected, with about as many tokens.

    The draw is uniform; then rows are swapped at random where that brings the tokens nearer, until they match.

    Args:
        selected: the selected traces.
        pool: what they were selected from.
        sizes: the number of tokens of each trace.

    Returns:
        The drawn traces in the order of the pool, none if they cannot match; and the numbers of tokens with, in that
        case, the reason: ``own_tokens``, ``random_tokens``, ``without_random``.
    """
    wanted = sum(sizes[one] for one in selected)
    about: dict[str, Any] = {"own_tokens": wanted}
    if len(pool) <= len(selected):
        return [], about | {"without_random": "the student's figures leave out no trace"}
    chance = Random(SEED)  # noqa: S311 - not used for secrets
    order = list(pool)
    chance.shuffle(order)
    inside, outside = order[: len(selected)], order[len(selected) :]
    gap = sum(sizes[one] for one in inside) - wanted
    for _ in range(_SWAPS_PER_ROW * len(pool)):
        if abs(gap) <= TOLERANCE * wanted:
            break
        at, to = chance.randrange(len(inside)), chance.randrange(len(outside))
        change = sizes[outside[to]] - sizes[inside[at]]
        if abs(gap + change) < abs(gap):
            inside[at], outside[to] = outside[to], inside[at]
            gap += change
    gap = _best_swaps(inside, outside, sizes, gap, TOLERANCE * wanted)
    about |= {"random_tokens": wanted + gap}
    if abs(gap) > TOLERANCE * wanted:
        apart = f"{abs(gap) / wanted:.1%}" if wanted else f"{abs(gap):,} tokens"
        reason = f"no {len(selected):,} other rows have as many tokens: the nearest differ by {apart}"
        return [], about | {"without_random": reason}
    place = {one: at for at, one in enumerate(pool)}
    return sorted(inside, key=place.__getitem__), about


def _best_swaps(inside: list[str], outside: list[str], sizes: Mapping[str, int], gap: int, near: float) -> int:
    """Swap the best pair of rows until the tokens are near enough or no swap helps; return the gap that is left."""
    outside.sort(key=sizes.__getitem__)
    while abs(gap) > near:
        found = [sizes[one] for one in outside]
        best: tuple[int, int, int] | None = None
        for at, one in enumerate(inside):
            middle = bisect_left(found, sizes[one] - gap)
            for to in (middle - 1, middle):
                if 0 <= to < len(found):
                    left = abs(gap + found[to] - sizes[one])
                    best = min(best, (left, at, to)) if best else (left, at, to)
        if best is None or best[0] >= abs(gap):
            return gap
        _, at, to = best
        gap += found[to] - sizes[inside[at]]
        inside[at], outside[to] = outside[to], inside[at]
        outside.sort(key=sizes.__getitem__)
    return gap


def _sizes(store: Store, ids: Sequence[str], model: str, phase: int) -> dict[str, int]:
    """Return the number of tokens that a row of each trace teaches, by the student's tokenizer, where it is known."""
    found = suitability.of_traces(store.db, ids, model)
    tokens = {trace: one.tokens for trace, one in found.items() if one.tokens is not None}
    return {trace: (thought if phase == 2 else 0) + solution for trace, (thought, solution) in tokens.items()}
