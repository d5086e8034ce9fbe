"""Teacher runs in the store: what is counted of their outcomes."""

from __future__ import annotations

from store import Store, teacher_runs
from store.teacher_runs import Outcome, TeacherRun


def test_reasons_are_counted_without_their_details(store: Store) -> None:
    teacher_runs.add(store.db, TeacherRun("r1", "distill/r1", "translate", "teacher", "m", "p@1", {}))
    said = [
        "a mark is missing: ⟦3⟧, for x: y",
        "a mark is missing: ⟦4⟧, for z",
        "a mark is missing",
        "empty",
        "at 12:30",
    ]
    with store.db.atomic():
        outcomes = [Outcome(str(number), 0, "rejected", reason) for number, reason in enumerate(said)]
        teacher_runs.add_outcomes(store.db, "r1", [*outcomes, Outcome("kept", 0, "kept")])
    assert list(teacher_runs.reasons(store.db, "r1").items()) == [
        ("a mark is missing", 3),
        ("at 12:30", 1),
        ("empty", 1),
    ]
    assert teacher_runs.details(store.db, "r1") == {"a mark is missing": said[0]}
