"""Findings, rulings, and the state of a problem that follows from both."""

from __future__ import annotations

import pytest

from store import Store, exclusions, problems
from store.errors import NotFoundError
from store.exclusions import Exclusion, RuleRun
from store.filters import ProblemQuery
from store.records import NewProblem


@pytest.fixture
def ids(store: Store) -> list[str]:
    made = [NewProblem(f"What is {at} + 1?", "a", str(at), str(at + 1)) for at in range(5)]
    with store.db.atomic():
        problems.add(store.db, made)
    return [one.id for one in made]


def state(store: Store, identity: str) -> str | None:
    found = problems.get(store.db, identity)
    assert found is not None
    return found.excluded_by


def found(identity: str, rule: str = "image", twin: str | None = None) -> Exclusion:
    return Exclusion(identity, rule, 1, f"{rule} says so", twin)


def test_a_rules_findings_are_replaced_where_it_looked_again(store: Store, ids: list[str]) -> None:
    exclusions.record(store.db, ids[:3], ["image"], [found(ids[0]), found(ids[1])])
    exclusions.record(store.db, ids, ["proof"], [found(ids[1], "proof")])
    assert [state(store, one) for one in ids] == ["image", "image,proof", None, None, None]
    exclusions.record(store.db, ids[1:3], ["image"], [found(ids[2])])
    assert [state(store, one) for one in ids] == ["image", "proof", "image", None, None]
    assert exclusions.counts(store.db) == {"image": 2, "proof": 1}


def test_reasons_and_twins_are_kept(store: Store, ids: list[str]) -> None:
    exclusions.record(store.db, ids[:1], ["image", "duplicate"], [found(ids[0], "duplicate", ids[1]), found(ids[0])])
    assert exclusions.of_problem(store.db, ids[0]) == [
        Exclusion(ids[0], "duplicate", 1, "duplicate says so", ids[1]),
        Exclusion(ids[0], "image", 1, "image says so", None),
    ]
    assert exclusions.of_problem(store.db, ids[1]) == []


def test_a_persons_word_goes_before_the_rules_and_can_be_taken_back(store: Store, ids: list[str]) -> None:
    exclusions.record(store.db, ids, ["image"], [found(ids[0])])
    exclusions.rule_on(store.db, [ids[0]], "keep", annotator="anna", note="it adds nothing")
    exclusions.rule_on(store.db, [ids[1]], "exclude", annotator="anna")
    assert [state(store, one) for one in ids[:3]] == [None, "person", None]
    # The rules look again: what the person said stands.
    exclusions.record(store.db, ids, ["image", "proof"], [found(ids[0]), found(ids[1], "proof")])
    assert [state(store, one) for one in ids[:3]] == [None, "person", None]
    exclusions.rule_on(store.db, ids[:2], "none", annotator="ben")
    assert [state(store, one) for one in ids[:3]] == ["image", "proof", None]
    said = exclusions.rulings(store.db, ids[0])
    assert [(one.ruling, one.note, one.annotator) for one in said] == [
        ("keep", "it adds nothing", "anna"), ("none", "", "ben"),
    ]  # fmt: skip


def test_all_rulings_or_none(store: Store, ids: list[str]) -> None:
    with pytest.raises(NotFoundError):
        exclusions.rule_on(store.db, [ids[0], "0123456789abcdef"], "exclude", annotator="anna")
    assert exclusions.rulings(store.db, ids[0]) == []
    assert state(store, ids[0]) is None


def test_standing_leaves_out_the_rules_asked_about(store: Store, ids: list[str]) -> None:
    exclusions.record(store.db, ids, ["image", "proof"], [found(ids[0]), found(ids[1], "proof")])
    exclusions.rule_on(store.db, [ids[2]], "keep", annotator="anna")
    standing = exclusions.standing(store.db, ids[:3], apart_from=["image"])
    assert {one: tuple(standing[one]) for one in ids[:3]} == {
        ids[0]: ("none", False), ids[1]: ("none", True), ids[2]: ("keep", False),
    }  # fmt: skip


def test_runs_of_rules(store: Store) -> None:
    exclusions.record_runs(store.db, [RuleRun("image", 1, 5, 2, "2024-11-25"), RuleRun("proof", 1, 5, 0, "2024-11-25")])
    exclusions.record_runs(store.db, [RuleRun("image", 2, 7, 3, "2024-11-26")])
    assert exclusions.runs(store.db) == {
        "image": RuleRun("image", 2, 7, 3, "2024-11-26"), "proof": RuleRun("proof", 1, 5, 0, "2024-11-25"),
    }  # fmt: skip


def test_the_query_language_knows_a_persons_exclusions(store: Store, ids: list[str]) -> None:
    exclusions.record(store.db, ids, ["image"], [found(ids[0])])
    exclusions.rule_on(store.db, [ids[1]], "exclude", annotator="anna")

    def chosen(query: str) -> list[str]:
        return [one.id for one in problems.select(store.db, ProblemQuery.parse(query))]

    assert chosen("excluded:person") == [ids[1]]
    assert chosen("excluded:image") == [ids[0]]
    assert chosen("excluded:no") == ids[2:]
    assert [one.id for one in problems.page(store.db, ProblemQuery.parse(""), limit=2, offset=3)] == ids[3:]


def test_a_problem_by_the_beginning_of_its_id(store: Store, ids: list[str]) -> None:
    assert problems.resolve(store.db, ids[0]).id == ids[0]
    shortest = next(length for length in range(1, 17) if sum(one[:length] == ids[0][:length] for one in ids) == 1)
    assert problems.resolve(store.db, ids[0][:shortest]).id == ids[0]
    for wrong in ("", "zzz", "%"):
        with pytest.raises(NotFoundError):
            problems.resolve(store.db, wrong)


def test_problems_of_sources(store: Store, ids: list[str]) -> None:
    with store.db.atomic():
        problems.add(store.db, [NewProblem("What is 0 + 1?", "Bench", "7", licence="MIT", meta={"level": 3})])
    assert problems.of_sources(store.db, ["bench", "none"]) == [(ids[0], "Bench", "7")]
    assert len(problems.of_sources(store.db, ["A", "bench"])) == 5
    assert [tuple(one) for one in problems.origins(store.db, ids[0])] == [
        ("Bench", "7", "MIT", {"level": 3}), ("a", "0", None, {}),
    ]  # fmt: skip
    assert [one.id for one in problems.several(store.db, [ids[3], ids[1], "absent"])] == [ids[1], ids[3]]
