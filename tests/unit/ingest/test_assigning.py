"""Plans of assignments are fair, and depend on nothing but their arguments."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from o1lab.ingest.assigning import plan

PEOPLE = ["anna", "ben", "cara", "dan"]


@given(
    traces=st.integers(0, 60),
    people=st.integers(2, 4),
    together=st.integers(2, 4),
    overlap=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_a_plan_is_fair(traces: int, people: int, together: int, overlap: float, seed: int) -> None:
    together, names, ids = min(together, people), PEOPLE[:people], [f"{number:04}" for number in range(traces)]
    found = plan(ids, names, overlap=overlap, together=together, seed=seed)
    assert found == plan(ids[::-1], names, overlap=overlap, together=together, seed=seed)
    assert set(found) == set(ids)
    shared = [group for group in found.values() if len(group) > 1]
    assert len(shared) == round(overlap * traces)
    assert all(len(set(group)) == together for group in shared)
    pairs = Counter(frozenset(pair) for group in shared for pair in combinations(group, 2))
    groups = Counter(map(frozenset, shared))
    possible = len(list(combinations(names, together)))
    assert not groups or max(groups.values()) - (min(groups.values()) if len(groups) == possible else 0) <= 1
    assert set(pairs) <= {frozenset(pair) for pair in combinations(names, 2)}
    if len(shared) % possible == 0:
        load = Counter(name for group in found.values() for name in group)
        assert not load or max(load.values()) - min(load[name] for name in names) <= 1
