"""Scores of works: the answer of most scorers counts, evidence must point somewhere, agreement is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from o1lab.config import init_lab
from o1lab.errors import UsageError
from o1lab.transparency.framework import find_framework
from o1lab.transparency.leaderboard import bars, leaderboard
from o1lab.transparency.scores import agreement, all_works, check_answer, score
from store import open_store
from store import transparency as log
from store.transparency import Answer, SelfScore

INDEX = find_framework(None)


def given(scorer: str, **answers: str) -> list[Answer]:
    return [
        Answer("W", INDEX.item(name).id, answer, "https://a.org", "", scorer, "2026")
        for name, answer in answers.items()
    ]


def test_points_of_each_dimension() -> None:
    found = score(INDEX, "W", given("ann", sources="yes", rl="not_used", search="no", weights="yes"))
    assert (dict(found.scores), found.total) == (
        {"data": 3, "methodology": 6, "evaluation": 0, "open_source": 5}, 14,
    )  # fmt: skip
    assert found.open_items == 21


def test_the_answer_of_most_scorers_counts_and_a_tie_earns_nothing() -> None:
    answers = [
        *given("ann", sources="yes", base="yes"),
        *given("bo", sources="yes", base="no"),
        *given("cy", sources="no"),
    ]
    found = score(INDEX, "W", answers)
    items = {one.item.id: one for one in found.items}
    assert (items["data.sources"].answer, items["data.sources"].is_disputed) == ("yes", True)
    assert (items["method.base"].answer, items["method.base"].points) == ("no", 0)
    assert found.total == 3


def test_agreement_needs_two_scorers() -> None:
    one = given("ann", sources="yes", base="no", weights="yes", rl="not_used")
    assert agreement(score(INDEX, "W", one)) is None
    same = agreement(score(INDEX, "W", [*one, *given("bo", sources="yes", base="no", weights="yes", rl="not_used")]))
    assert same is not None and same.value == pytest.approx(1)
    other = agreement(score(INDEX, "W", [*one, *given("bo", sources="no", base="yes", weights="no", rl="yes")]))
    assert other is not None and other.value is not None and other.value < 0


@pytest.mark.parametrize(
    ("item", "answer", "evidence", "message"),
    [
        ("data.sources", "maybe", "", "not an answer"),
        ("data.sources", "not_used", "it is", "cannot|can be left out|does not ask"),
        ("data.sources", "yes", "  ", "needs evidence"),
        ("data.sources", "yes", "https://", "has no host"),
        ("data.sources", "yes", "http:///path", "has no host"),
        ("data.sources", "yes", "https://[broken", "has no host"),
        ("data.sources", "yes", "/no/such/file", "no file"),
        ("data.sources", "no", "./gone.md", "no file"),
        ("data.sources", "yes", "~nobody/x", "no file"),
    ],
)
def test_bad_answers_are_refused(item: str, answer: str, evidence: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_answer(INDEX.item(item), answer, evidence)


def test_good_answers_pass(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("x")
    for evidence in ("https://example.org/data", str(tmp_path / "card.md"), "Section 3 lists seven sources."):
        check_answer(INDEX.item("data.sources"), "yes", evidence)
    check_answer(INDEX.item("method.rl"), "not_used", "No reinforcement learning is used.")
    check_answer(INDEX.item("data.sources"), "no", "")


def test_the_leaderboard_ranks_published_works_own_works_and_the_lab() -> None:
    own = [
        SelfScore("r1", 9, [{"id": "data.sources", "points": 3, "answer": "yes"}], "2026-02"),
        SelfScore("r1", 0, [{"id": "data.sources", "points": 3, "answer": "no"}], "2026-01"),
    ]
    works = all_works(INDEX, given("ann", base="yes"), own)
    assert [(work.name, work.total) for work in works][-3:] == [("W", 4), ("this lab, run r1", 3), ("Skywork O1", 0)]
    table = leaderboard(INDEX, works)
    assert [row.published for row in table.sections[0].rows][-3:] == [False, False, True]
    assert any("W: 24 of 25 items have no answer" in note for note in table.notes)
    lines = bars(INDEX, works, 80).plain.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[-1] == "79" and lines[-1].startswith("█ Data /14")


def test_the_latest_answer_counts_and_the_history_stays(tmp_path: Path) -> None:
    store = open_store(init_lab(tmp_path / "lab").database)
    for answer in ("no", "yes"):
        log.add(store.db, INDEX.name, "W", "data.sources", answer, scorer="ann", evidence="https://a.org")
    log.add(store.db, INDEX.name, "W", "data.sources", "no", scorer="bo")
    log.add(store.db, INDEX.name, "W", "data.sources", log.WITHDRAWN, scorer="bo")
    log.add(store.db, "another", "W", "x", "yes", scorer="ann")
    assert [(one.scorer, one.answer) for one in log.current(store.db, INDEX.name, "W")] == [("ann", "yes")]
    assert [one.answer for one in log.history(store.db, INDEX.name)] == ["no", "yes", "no", "withdrawn"]
    store.close()
